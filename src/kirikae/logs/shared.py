"""The manifest of a team: what one machine has learnt, another one goes on with.

With the store in a bucket, whatever changed in the file is copied there now and then, as a batch
that is written once, as entries of the journal are; who opens the manifest first takes over the
batches that it does not have.  A machine that is lost takes with it what it did since its last
batch: that is looked at again and found there.  A lease in the store lets in one owner of all
machines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.logs.errors import ManifestOwned
from kirikae.logs.manifest import FORMAT, Manifest, Part, Row
from kirikae.model.errors import Taken, Unfinished
from kirikae.model.project import Project
from kirikae.model.store import Store, plain_of, readable
from kirikae.move.errors import Driven, NewerFormat
from kirikae.move.lease import Lease

_LAST = "sealed"
"""Number of the last batch that this file has."""
_ROWS = 2000
_EVERY_S = 60.0
_TABLES = ("object", "verdict", "head")
_CHANGES = f"""
CREATE TABLE IF NOT EXISTS unsealed (
    kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TRIGGER IF NOT EXISTS object_kept AFTER INSERT ON object
    BEGIN INSERT OR IGNORE INTO unsealed VALUES ('object', new.key); END;
CREATE TRIGGER IF NOT EXISTS part_learnt AFTER UPDATE ON part
    BEGIN INSERT OR IGNORE INTO unsealed VALUES ('object', new.old_key); END;
CREATE TRIGGER IF NOT EXISTS verdict_kept AFTER INSERT ON verdict
    BEGIN INSERT OR IGNORE INTO unsealed VALUES ('verdict', new.label); END;
CREATE TRIGGER IF NOT EXISTS head_kept AFTER INSERT ON head WHEN new.name != '{_LAST}'
    BEGIN INSERT OR IGNORE INTO unsealed VALUES ('head', new.name); END;
"""
_EVERYTHING = """
INSERT OR IGNORE INTO unsealed SELECT 'object', key FROM object;
INSERT OR IGNORE INTO unsealed SELECT 'verdict', label FROM verdict;
INSERT OR IGNORE INTO unsealed SELECT 'head', name FROM head WHERE name != 'sealed';
"""
_NAMES = {
    "object": "key",
    "verdict": "label",
    "head": "name",
}
Names = list[tuple[str, str]]
"""What changed: the table, and the row's name."""


@dataclass(frozen=True)
class Shelf:
    """Where the batches of one move lie.  ``scope``: environment, service, move."""

    store: Store
    scope: str

    def key(self, number: int) -> str:
        return f"logs/{self.scope}/{number:08d}"

    def lease(self) -> Lease:
        return Lease(self.store, f"logs/{self.scope}")

    def empty(self) -> bool:
        return self.store.get(self.key(1)) is None


def shelf_of(
    project: Project,
    store: Store,
    name: str,
) -> Shelf | None:
    """None: the store is a file of this machine, as the manifest is."""
    if not project.store.startswith("s3://"):
        return None
    return Shelf(store, f"{project.environment}/{project.service}/{name}")


def opened(
    file: Path,
    shelf: Shelf | None,
    must_be_there: bool = False,
) -> Manifest:
    """Raises NoManifest, TreeTrouble, StoreBroken, AwsUnreachable."""
    if shelf is None:
        return Manifest(file, must_be_there)
    return SharedManifest(file, shelf, must_be_there)


class SharedManifest(Manifest):
    """A file of this machine, and batches that every machine reads."""

    def __init__(
        self,
        file: Path,
        shelf: Shelf,
        must_be_there: bool = False,
    ) -> None:
        super().__init__(file, must_be_there and shelf.empty())
        self._shelf = shelf
        self._kept = 0
        self._sealed_at = time.monotonic()
        with self._told():
            self._rows.executescript(_CHANGES)
        last = self.head(_LAST)
        if last is None or (last > 0 and shelf.store.get(shelf.key(last)) is None):
            # A file of before, or another store than it was.
            with self._told():
                self._rows.executescript(_EVERYTHING)
            self.set_head(_LAST, 0)
        self._take_over()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Raises ManifestOwned."""
        with super().owned(), self._leased():
            self._take_over()
            try:
                yield
            finally:
                self.seal()

    @contextmanager
    def _leased(self) -> Iterator[None]:
        lease = self._shelf.lease()
        with ExitStack() as stack:
            try:
                stack.enter_context(lease.held())
            except Driven as error:
                raise ManifestOwned(
                    f"{lease.holder() or 'another machine'} owns the manifest of "
                    f"{self._shelf.scope}: wait until it has ended, or end it, then run the same "
                    "command again; what it has done is not done twice"
                ) from error
            yield

    def keep_all(self, outcomes: Iterable[tuple[Row, Iterable[Part]]]) -> None:
        """Where the store does not answer, the next batch holds this one's rows too."""
        kept = list(outcomes)
        super().keep_all(kept)
        self._kept += len(kept)
        if self._kept >= _ROWS or time.monotonic() - self._sealed_at >= _EVERY_S:
            with suppress(Unfinished):
                self.seal()

    def seal(self) -> None:
        """Copy all that has changed.  Raises ManifestOwned, StoreBroken, AwsUnreachable."""
        while names := self._unsealed():
            number = self._last() + 1
            try:
                self._shelf.store.create_if_absent(self._shelf.key(number), self._body(names))
            except Taken as error:
                raise ManifestOwned(
                    f"another machine goes on with {self._shelf.scope}: run the same command again "
                    "once it has ended; what was done is not done twice"
                ) from error
            with self._changing():
                self._note(number, names)
        self._kept = 0
        self._sealed_at = time.monotonic()

    def _take_over(self) -> None:
        """The batches that others have written, or we before we were killed."""
        number = self._last() + 1
        while (stored := self._shelf.store.get(self._shelf.key(number))) is not None:
            with readable(self._shelf.key(number)):
                raw = plain_of(stored.body)
                if raw["format"] > FORMAT:
                    raise NewerFormat(
                        f"{self._shelf.key(number)} of the store was written by a newer kirikae; "
                        "update this one"
                    )
                rows = {table: list(map(tuple, raw[table])) for table in (*_TABLES, "part")}
            self._put(number, rows)
            number += 1

    def _put(
        self,
        number: int,
        rows: dict[str, list[tuple[Any, ...]]],
    ) -> None:
        with self._changing():
            if self._last() != number - 1:
                return  # another process of this machine was faster
            for key, *_ in rows["object"]:
                self._rows.execute("DELETE FROM part WHERE old_key = ?", (key,))
            for table, found in rows.items():
                for row in found:
                    marks = ", ".join("?" * len(row))
                    self._rows.execute(f"REPLACE INTO {table} VALUES ({marks})", row)
            names = [(table, row[0]) for table in _TABLES for row in rows[table]]
            self._note(number, names)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._told(), self._rows:
            self._rows.execute("BEGIN IMMEDIATE")
            yield

    def _note(self, number: int, names: Names) -> None:
        self._rows.executemany("DELETE FROM unsealed WHERE kind = ? AND name = ?", names)
        self._rows.execute("REPLACE INTO head VALUES (?, ?)", (_LAST, json.dumps(number)))

    def _last(self) -> int:
        return int(self.head(_LAST) or 0)

    def _unsealed(self) -> Names:
        with self._told():
            asked = "SELECT kind, name FROM unsealed ORDER BY kind, name LIMIT ?"
            return self._rows.execute(asked, (_ROWS,)).fetchall()

    def _body(self, names: Names) -> str:
        plain: dict[str, Any] = {"format": FORMAT}
        for table in _TABLES:
            mine = [name for kind, name in names if kind == table]
            plain[table] = self._selected(table, _NAMES[table], mine)
        keys = [row[0] for row in plain["object"]]
        plain["part"] = self._selected("part", "old_key", keys)
        return json.dumps(plain, ensure_ascii=False)

    def _selected(
        self,
        table: str,
        column: str,
        names: list[str],
    ) -> list[tuple[Any, ...]]:
        with self._told():
            asked = f"SELECT * FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"
            return self._rows.execute(asked, (json.dumps(names),)).fetchall()
