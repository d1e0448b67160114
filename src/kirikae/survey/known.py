"""What is known of machines beforehand: what is Debian's own, and when support ends; dated data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from kirikae.survey.paths import HOME_OF_ROOT


@dataclass(frozen=True, slots=True)
class Debian:
    """What belongs to an ordinary machine and not to the service on it: names as shell patterns."""

    units: tuple[str, ...]
    agents: tuple[str, ...]
    spools: tuple[str, ...]
    """Trees whose content is the operating system's own."""
    housekeeping: tuple[str, ...]
    """What runs by time for the machine itself."""
    users: tuple[str, ...]
    host_only: tuple[str, ...]
    """Packages that a host needs and a container does not."""
    web_servers: tuple[str, ...]
    container_engines: tuple[str, ...]
    mail_servers: tuple[str, ...]
    written_by_the_system: tuple[str, ...]
    """Files that change by themselves, or by whoever logs in."""
    databases: Mapping[str, str]
    """Unit -> what it is."""


@cache
def debian() -> Debian:
    """Read once; ``debian.toml`` says when it was looked at."""
    rows = _data("debian.toml")
    databases = rows.pop("databases")
    lists = {name: tuple(map(_with_home, row)) for name, row in rows.items()}
    return Debian(**lists, databases=databases)


def _with_home(pattern: str) -> str:
    return pattern.replace("~root", HOME_OF_ROOT, 1) if pattern.startswith("~root/") else pattern


@dataclass(frozen=True, slots=True)
class Support:
    """When nobody maintains something any more."""

    name: str
    ends: date
    next: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """A language or a server of which each series has an end of its own."""

    name: str
    packages: tuple[str, ...]
    """That bring it: shell patterns."""
    ends: Mapping[str, date]
    """Series, such as ``3.1`` or ``18`` -> day."""

    def series(self, version: str) -> Support | None:
        """The support of the series that a version belongs to; None for one that is not known."""
        numbers = re.findall(r"\d+", version.rpartition(":")[2])
        for series in (".".join(numbers[:2]), ".".join(numbers[:1])):
            if series in self.ends:
                return Support(f"{self.name} {series}", self.ends[series], "")
        return None


@dataclass(frozen=True, slots=True)
class Supported:
    """Systems and runtimes of which it is known when nobody maintains them any more."""

    systems: Mapping[str, Support]
    """``ID VERSION_ID`` of os-release -> its support."""
    runtimes: tuple[Runtime, ...]

    def system(self, distribution: str) -> Support | None:
        """``rocky 8.9`` is ``rocky 8``, ``alpine 3.19.1`` is ``alpine 3.19``."""
        name = distribution
        while name:
            if name in self.systems:
                return self.systems[name]
            name = name.rpartition(".")[0]
        return None

    def runtime(self, name: str) -> Runtime:
        """Raises StopIteration for one that is not in the table."""
        return next(each for each in self.runtimes if each.name == name)

    def ends(self) -> dict[str, date]:
        """Name for people -> day."""
        found = {each.name: each.ends for each in self.systems.values()}
        for runtime in self.runtimes:
            for series, day in runtime.ends.items():
                found[f"{runtime.name} {series}"] = day
        return found


@cache
def support() -> Supported:
    """Read once.  What is not in ``support.toml`` has no known end, and no finding."""
    rows = _data("support.toml")
    return Supported(_supports(rows["os"]), tuple(_runtimes(rows["version"])))


def _runtimes(rows: Mapping[str, Any]) -> Iterator[Runtime]:
    for name, row in rows.items():
        yield Runtime(
            name,
            tuple(row["packages"]),
            row["ends"],
        )


def _supports(rows: Mapping[str, Any]) -> dict[str, Support]:
    """By key of the file."""
    found = {}
    for key, row in rows.items():
        found[key] = Support(
            name=row["name"],
            ends=row["ends"],
            next=row.get("next", ""),
        )
    return found


def _data(name: str) -> dict[str, Any]:
    """A file of this room."""
    return tomllib.loads((files("kirikae.survey") / name).read_text(encoding="utf-8"))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of these shell patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
