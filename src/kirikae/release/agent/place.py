"""Where hosts find what they shall run, and leave their reports: below a prefix of a bucket, or in
a folder that all of them see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kirikae.hosts.files import write_durably
from kirikae.hosts.ssh import Host
from kirikae.model.errors import StoreBroken
from kirikae.release.agent.desired import Desired, Recipe
from kirikae.release.agent.report import Report
from kirikae.release.manifest import Manifest

_DESIRED = "desired"


class Shelf(Protocol):
    """Whole texts by key.  ``url`` is how it is named to people."""

    @property
    def url(self) -> str: ...
    def read(self, key: str) -> bytes | None:
        """None: there is none."""

    def write(self, key: str, body: bytes) -> None:
        """A reader sees the former body or this one."""

    def holds(self, key: str, size: int) -> bool:
        """Whether it lies there in this length, in bytes."""


@dataclass(frozen=True, slots=True)
class FolderShelf:
    folder: Path

    @property
    def url(self) -> str:
        return str(self.folder)

    def read(self, key: str) -> bytes | None:
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._broken("read", key, error) from error

    def write(self, key: str, body: bytes) -> None:
        try:
            write_durably(self.folder / key, body)
        except OSError as error:
            raise self._broken("write", key, error) from error

    def holds(self, key: str, size: int) -> bool:
        try:
            return (self.folder / key).stat().st_size == size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._broken("read", key, error) from error

    def _broken(self, act: str, key: str, error: OSError) -> StoreBroken:
        return StoreBroken(
            f"cannot {act} {self.folder / key}: {error.strerror}; `fleets.old.deployer.agent` must "
            "be a folder that this machine and the hosts share, or a bucket"
        )


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """What lies on a shelf, in words of releases."""

    shelf: Shelf

    def desired(self) -> Desired:
        """Raises StoreBroken."""
        body = self.shelf.read(_DESIRED)
        where = f"{self.shelf.url}/{_DESIRED}"
        return Desired() if body is None else Desired.read(body.decode(errors="replace"), where)

    def change(self, recipe: Recipe, change: Callable[[Desired], Desired]) -> None:
        """Who calls holds the service's lock."""
        self.shelf.write(_DESIRED, change(self.desired()).text(recipe).encode())

    def offer(self, manifest: Manifest, archive: bytes) -> bool:
        """Lay an archive there; False: it lies there already.  Hosts prove its checksum."""
        key = f"archives/{manifest.id}.tar.gz"
        if self.shelf.holds(key, len(archive)):
            return False
        self.shelf.write(key, archive)
        return True

    def report(self, host: str) -> Report | None:
        """None: it has never told anything that can be read."""
        body = self.shelf.read(f"reports/{host}")
        return None if body is None else Report.read(body.decode(errors="replace"))

    def addresses(self, host: Host) -> frozenset[str]:
        """Its own, as it reported them; empty: it has not."""
        report = self.report(host.name)
        return frozenset() if report is None else frozenset(report.addresses)
