"""Two trees of logs in a folder, the old one filled from a seed, and the truth of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

from kirikae.logs.backfill import Backfill, Done
from kirikae.logs.carrier import Carrier
from kirikae.logs.folder import FolderObjects
from kirikae.logs.layout import Layout
from kirikae.logs.manifest import Judged, Manifest, Part, Row
from kirikae.logs.owners import Owners
from kirikae.logs.throttle import Throttle
from kirikae.logs.trees import Door
from kirikae.logs.verify import Verifier
from kirikae.logs.work import Hand, Trees
from kirikae.logs.worker import Place
from kirikae.logs.zones import Grain
from kirikae.model.objects import Listed, Objects
from tests.logs_made import inflated, made, packed
from tests.world import Fuse

TOKYO = "Asia/Tokyo"
BEGIN = datetime(2026, 11, 20, tzinfo=ZoneInfo(TOKYO))
NOW = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
HOURLY = Layout("%Y/%m/%d/%H/", TOKYO)
DAILY = Layout("%Y/%m/%d/", TOKYO, Grain.DAY)
UTC_HOURS = Layout("%Y/%m/%d/%H/", "UTC")


@dataclass
class FusedObjects:
    """A tree that passes a point before and after everything that it writes, and counts it."""

    inner: Objects
    fuse: Fuse
    written: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.inner.url

    def list(self, prefix: str = "") -> Iterator[Listed]:
        return self.inner.list(prefix)

    def look(self, key: str) -> Listed | None:
        return self.inner.look(key)

    def read(self, listed: Listed) -> Iterator[bytes]:
        return self.inner.read(listed)

    def create(self, key: str, body: IO[bytes]) -> Listed:
        self.fuse.point()
        found = self.inner.create(key, body)
        self.written.append(key)
        self.fuse.point()
        return found

    def copy_from(self, source: Objects, listed: Listed, key: str) -> Listed:
        self.fuse.point()
        found = self.inner.copy_from(source, listed, key)
        self.written.append(key)
        self.fuse.point()
        return found

    def delete(self, listed: Listed) -> None:
        self.fuse.point()
        self.inner.delete(listed)
        self.fuse.point()


@dataclass
class LogsWorld:
    """``truth``: of each folder of the new tree the lines that belong there, and how often."""

    folder: Path
    old_layout: Layout = DAILY
    new_layout: Layout = UTC_HOURS
    on: int | None = None
    now: float = NOW
    multiline: bool = False
    quarantine: bool = False
    fuse: Fuse = field(default_factory=Fuse)
    written: list[str] = field(default_factory=list)

    @property
    def old_root(self) -> Path:
        return self.folder / "old"

    @property
    def new_root(self) -> Path:
        return self.folder / "new"

    def fill(self, days: int = 1, count: int = 240, faults: float = 0.1, fault: str = "") -> None:
        """One object for each slice of the old tree."""
        hours = 24 if self.old_layout.grain is Grain.DAY else 1
        for number in range(days * 24 // hours):
            begin = BEGIN + timedelta(hours=number * hours)
            each = count * hours // 24
            found = made(
                self.old_layout.format,
                begin,
                timedelta(hours=hours),
                each,
                number,
                (TOKYO,),
                faults,
            )
            path = begin.strftime(self.old_layout.prefix)
            self.put(f"{path}web1_{number}.log.GZ", packed(found.body, fault))

    def put(self, key: str, data: bytes) -> None:
        file = self.old_root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def put_new(self, key: str, data: bytes) -> None:
        file = self.new_root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    @property
    def trees(self) -> Trees:
        return Trees(
            self.old_layout,
            self.new_layout,
            self.now,
            0,
            self.multiline,
            self.quarantine,
        )

    @property
    def owners(self) -> Owners:
        return Owners(self.new_layout, self.now, 900, self.on)

    @property
    def place(self) -> Place:
        old = Door(str(self.old_root))
        new = Door(str(self.new_root))
        return _FusedPlace(self.trees, self.owners, old, new, self.fuse, self.written)

    def manifest(self) -> Manifest:
        return _FusedManifest(self.folder / "state" / "logs.db", self.fuse)

    def backfill(
        self,
        workers: int = 1,
        at_once: int = 1,
        open_window: Callable[[], bool] = lambda: True,
        put_aside: bool = False,
    ) -> Done:
        self.written.clear()
        throttle = Throttle(time.monotonic, time.sleep)
        place = self.place
        if workers > 1:
            place = Place(place.trees, place.owners, place.old, place.new)
        return Backfill(
            place,
            self.manifest(),
            throttle,
            workers,
            at_once,
            open_window,
            put_aside=put_aside,
        ).run()

    def verify(self, deep: bool = False) -> dict[str, Judged]:
        return Verifier(self.place.carrier(), self.manifest(), deep).run(self.now)

    def verdicts(self, deep: bool = False) -> dict[str, str]:
        return {label: each.verdict for label, each in self.verify(deep).items()}

    def old_lines(self) -> Counter[bytes]:
        return Counter(line for _, line in _lines(self.old_root))

    def new_lines(self) -> dict[str, Counter[bytes]]:
        """By folder, read by Python's own gzip."""
        found: dict[str, Counter[bytes]] = defaultdict(Counter)
        for key, line in _lines(self.new_root):
            if not key.startswith("_kirikae"):
                found[key[: key.rfind("/") + 1]][line] += 1
        return found

    def tree(self) -> dict[str, bytes]:
        """Everything in the new tree."""
        files = (file for file in sorted(self.new_root.rglob("*")) if file.is_file())
        return {str(file.relative_to(self.new_root)): file.read_bytes() for file in files}


class _FusedManifest(Manifest):
    """Passes a point before and after what it keeps."""

    def __init__(self, file: Path, fuse: Fuse) -> None:
        super().__init__(file)
        self._fuse = fuse

    def keep_all(self, outcomes: Iterable[tuple[Row, Iterable[Part]]]) -> None:
        kept = list(outcomes)
        if kept:
            self._fuse.point()
            super().keep_all(kept)
            self._fuse.point()


class _FusedFolder(FolderObjects):
    """Passes a point when a file is whole and has no name yet."""

    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self._fuse = fuse

    def _link(self, pending: Path, target: Path, key: str) -> None:
        self._fuse.point()
        super()._link(pending, target, key)


@dataclass(frozen=True)
class _FusedPlace(Place):
    fuse: Fuse
    written: list[str]

    def carrier(self, aws: object = None) -> Carrier:
        new = _FusedFolder(Path(self.new.url), self.fuse)
        new.sweep()
        fused = FusedObjects(new, self.fuse, self.written)
        return Carrier(
            self.trees,
            self.owners,
            self.old.open(),
            fused,
            Hand(self.trees),
            self.redo,
            self.put_aside,
        )


def _lines(root: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(root.rglob("*")):
        if file.is_file():
            body = inflated(file.read_bytes())
            lines = body.split(b"\n")
            if not lines[-1]:
                lines.pop()
            for line in lines:
                yield str(file.relative_to(root)), line
