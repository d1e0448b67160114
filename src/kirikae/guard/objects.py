"""What guard looks at, in one shape each, whatever file it stood in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple

from kirikae.model.said import Said

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Open:
    """A value that only a rendering, a deployment or a build knows: ``written`` stands for it."""

    written: str


def is_open(value: object) -> bool:
    """Is it filled in later?  A template's braces are, within a text as well."""
    return isinstance(value, Open) or (isinstance(value, str) and "{{" in value)


class Container(NamedTuple):
    """A container definition, and the name by which findings call it."""

    label: str
    plain: Plain


@dataclass(frozen=True, slots=True)
class Task:
    """A task definition with the keys of RegisterTaskDefinition.  ``name``: where it stands."""

    name: str
    plain: Plain

    @property
    def containers(self) -> Iterator[Container]:
        """Those that can be read; ``unread`` says whether there are others."""
        rows = self.plain.get("containerDefinitions")
        for number, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, Mapping):
                called = row.get("name")
                label = called if isinstance(called, str) else f"container {number + 1}"
                yield Container(label, row)

    @property
    def unread(self) -> bool:
        """Are its containers, or some of them, not known?"""
        rows = self.plain.get("containerDefinitions")
        return not isinstance(rows, list) or any(not isinstance(row, Mapping) for row in rows)

    @property
    def platforms(self) -> tuple[str, ...]:
        """What it says it can run on; empty: it does not say."""
        named = entries(self.plain.get("requiresCompatibilities"))
        return () if any(map(is_open, named)) else tuple(map(str, named))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile.  ``stage``: counted from 0; -1 before the first FROM."""

    word: str
    text: str
    line: int
    stage: int
    body: str = ""
    """Here-documents."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """``name``: where it stands."""

    name: str
    instructions: tuple[Instruction, ...]

    def of(self, *words: str) -> Iterator[Instruction]:
        """Instructions of these names, in every stage."""
        return (each for each in self.instructions if each.word in words)

    @property
    def lineage(self) -> tuple[int, ...]:
        """The stages that the image which comes out consists of, the last one first: a stage may
        begin with one before it."""
        bases = self._bases()
        found: list[int] = []
        stage = max(bases, default=None)
        while stage is not None:
            found.append(stage)
            stage = bases[stage]
        return tuple(found)

    def _bases(self) -> dict[int, int | None]:
        """Stage -> the one that it begins with; None: an image from elsewhere."""
        names: dict[str, int] = {}
        found: dict[int, int | None] = {}
        for each in self.of("FROM"):
            words = [word for word in each.text.split() if not word.startswith("--")]
            found[each.stage] = names.get(words[0].lower()) if words else None
            if words[1:2] and words[1].upper() == "AS":
                names[words[-1].lower()] = each.stage
        return found

    def last(self, word: str) -> Instruction | None:
        """The one that holds in the image that comes out; None: there is none."""
        newest = {each.stage: each for each in self.of(word)}
        return next(
            (newest[stage] for stage in self.lineage if stage in newest),
            None,
        )


class Kept(StrEnum):
    """Why a file of an image is kept for the checks."""

    SET_ID = "set-id"
    WRITABLE = "writable"
    SECRET = "secret"
    LOGIN = "login"
    TOOL = "tool"
    CACHE = "cache"
    VERSIONS = "versions"


@dataclass(frozen=True, slots=True)
class InLayer:
    """A file of an image.  ``layer``: counted from 1.  ``gone``: a later layer deletes it, or
    writes it anew."""

    kind: Kept
    path: str
    layer: int
    says: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """``name``: where it stands.  ``refs``: tags and digests that are said to be its own.
    ``config``: User, Env and so on, as Docker spells them.  ``unread``: why layers could
    not be opened here."""

    name: str
    refs: tuple[str, ...]
    config: Plain
    history: tuple[str, ...] = ()
    kept: tuple[InLayer, ...] = ()
    unread: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What one scanner says.  ``severity``: its own word, in small letters.  ``mended``: versions
    without it; empty: none is known."""

    scanner: str
    vulnerability: str
    package: str
    version: str
    severity: str
    mended: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """One scanner's result for one image.  ``at`` None: nobody says when.  ``sources``: package ->
    the one that it is built from.  ``missing``: what of the result is not there."""

    scanner: str
    image: str
    digests: frozenset[str]
    at: date | None
    told: tuple[Told, ...]
    sources: Mapping[str, str]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """One, in one package, as everybody who found it tells it."""

    name: str
    package: str
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Scanned:
    """An image as scanners saw it.  ``name``: its repository."""

    name: str
    digests: frozenset[str]
    scans: tuple[Scan, ...]
    vulnerabilities: tuple[Vulnerability, ...]

    @property
    def by(self) -> tuple[str, ...]:
        """Who looked."""
        return tuple(sorted({scan.scanner for scan in self.scans}))


class Kind(StrEnum):
    """What stands in an account."""

    TASK = "task definition"
    SERVICE = "service"
    CLUSTER = "cluster"
    REPOSITORY = "repository"
    GROUP = "security group"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing of an account, with the API's keys.  ``short``: its own name.  ``closed``: key -> why
    it could not be read; under ``*``: none could."""

    kind: Kind
    name: str
    short: str
    plain: Plain
    closed: Mapping[str, Said] = field(default_factory=dict)


Object = Task | Dockerfile | Image | Scanned | Resource


def entries(value: object) -> list[Any]:
    """The parts of a list; none of what is no list."""
    return value if isinstance(value, list) else []


def rows_of(value: object) -> list[Plain]:
    """The parts of a list that have keys."""
    return [each for each in entries(value) if isinstance(each, Mapping)]


def open_on(plain: Plain, path: str) -> Iterator[str]:
    """The places on a path at which something is filled in later; ``*`` is every part of a list."""
    return _open_on(
        plain,
        path.split("."),
        (),
    )


def _open_on(
    value: object,
    path: Sequence[str],
    at: tuple[str, ...],
) -> Iterator[str]:
    if is_open(value):
        yield ".".join(at)
    elif path and path[0] == "*":
        for each in entries(value):
            yield from _open_on(
                each,
                path[1:],
                at,
            )
    elif path and isinstance(value, Mapping):
        yield from _open_on(
            value.get(path[0]),
            path[1:],
            (*at, path[0]),
        )


def part_of(plain: Plain, key: str) -> Plain:
    """What stands below a key; nothing where that has no keys."""
    found = plain.get(key)
    return found if isinstance(found, Mapping) else {}


def number_of(value: object) -> float | None:
    """A number, as the API or a template writes it; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None
