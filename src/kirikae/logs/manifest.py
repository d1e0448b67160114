"""What was done with each object: a file of SQLite that one process owns while it writes.

It is a cache: listing and reading both trees makes it anew.  What lasts is the proof beside the
data (``proof.py``) and the totals in the journal.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from kirikae.logs.errors import ManifestOwned, NoManifest, TreeTrouble
from kirikae.logs.sums import NOTHING, Sums
from kirikae.model.evidence import Verdict
from kirikae.model.objects import Listed

FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS head (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS object (
    key TEXT PRIMARY KEY, etag TEXT NOT NULL, size INTEGER NOT NULL, modified REAL NOT NULL,
    storage TEXT NOT NULL, class TEXT NOT NULL, why TEXT NOT NULL, labels TEXT NOT NULL,
    state TEXT NOT NULL, error TEXT NOT NULL, sums TEXT, facts TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS part (
    new_key TEXT PRIMARY KEY, old_key TEXT NOT NULL, label TEXT NOT NULL, mode TEXT NOT NULL,
    etag TEXT NOT NULL, size INTEGER NOT NULL, sums TEXT);
CREATE INDEX IF NOT EXISTS part_label ON part (label);
CREATE INDEX IF NOT EXISTS part_old ON part (old_key);
CREATE TABLE IF NOT EXISTS verdict (
    label TEXT PRIMARY KEY, verdict TEXT NOT NULL, facts TEXT NOT NULL, at REAL NOT NULL);
"""


class State(StrEnum):
    """Of an old object."""

    DONE = "done"
    WAITS = "waits"
    """For its lateness to be over, or for the boundary."""
    BROKEN = "broken"
    """It cannot be read to its end."""
    CHANGED = "changed"
    """It is no longer what was moved, or was another while it was read."""
    CONFLICT = "conflict"
    """Something else lies where its part belongs."""
    SPECIAL = "special"
    """A person must do something first: restore it, or unpack it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One object of the new tree that came from an old one.  ``sums``: None: never read."""

    new_key: str
    label: str
    mode: str
    etag: str
    size: int
    sums: Sums | None = None
    old_key: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One old object.  ``sums``: what it holds by folder; None: never read."""

    listed: Listed
    kind: str
    why: str
    state: State
    labels: tuple[str, ...] = ()
    error: str = ""
    sums: Mapping[str, Sums] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one folder of the new tree."""

    label: str
    verdict: str
    facts: Mapping[str, Any]
    at: float


def _loaded(text: str | None) -> dict[str, Sums] | None:
    if text is None:
        return None
    return {label: Sums.from_plain(raw) for label, raw in json.loads(text).items()}


def _dumped(sums: Mapping[str, Sums] | None) -> str | None:
    if sums is None:
        return None
    return json.dumps({label: each.to_plain() for label, each in sorted(sums.items())})


class Manifest:
    """Reads for everybody; ``owned`` for who writes."""

    def __init__(
        self,
        file: Path,
        must_be_there: bool = False,
    ) -> None:
        """Raises NoManifest, TreeTrouble."""
        if must_be_there and not file.exists():
            raise NoManifest(
                f"{file} is not there: nothing was moved yet; `kirikae logs backfill` begins"
            )
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._rows = sqlite3.connect(file, timeout=30, isolation_level=None)
            self._rows.execute("PRAGMA synchronous = FULL")
            self._rows.executescript(_TABLES)

    def close(self) -> None:
        self._rows.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise TreeTrouble(
                f"{self.file}: {error}; free the disk or see to the file, then run the same "
                "command again: the file is a cache, and what is done is not done twice"
            ) from error

    @contextmanager
    def owned(self) -> Iterator[None]:
        """The lock ends with the process, however it ends.  Raises ManifestOwned."""
        lock = self.file.with_suffix(".lock")
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ManifestOwned(
                    f"another process of this machine works on {self.file}: wait for it"
                ) from error
            yield

    def head(self, name: str) -> Any:
        with self._told():
            found = self._rows.execute("SELECT value FROM head WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set_head(
        self,
        name: str,
        value: Any,
    ) -> None:
        with self._told():
            self._rows.execute("REPLACE INTO head VALUES (?, ?)", (name, json.dumps(value)))

    def keep_all(self, outcomes: Iterable[tuple[Row, Iterable[Part]]]) -> None:
        """What became of some objects, in one transaction."""
        with self._told(), self._rows:
            self._rows.execute("BEGIN IMMEDIATE")
            for row, parts in outcomes:
                self._keep(row, parts)

    def _keep(
        self,
        row: Row,
        parts: Iterable[Part],
    ) -> None:
        listed = row.listed
        values = (
            listed.key,
            listed.etag,
            listed.size,
            listed.modified,
            listed.storage,
            row.kind,
            row.why,
            json.dumps(row.labels),
            str(row.state),
            row.error,
            _dumped(row.sums),
            json.dumps(dict(row.facts)),
        )
        marks = ", ".join("?" * len(values))
        self._rows.execute("DELETE FROM part WHERE old_key = ?", (listed.key,))
        self._rows.execute(f"REPLACE INTO object VALUES ({marks})", values)
        for part in parts:
            self._keep_part(listed.key, part)

    def _keep_part(
        self,
        old_key: str,
        part: Part,
    ) -> None:
        sums = None if part.sums is None else json.dumps(part.sums.to_plain())
        values = (part.new_key, old_key, part.label, part.mode, part.etag, part.size, sums)
        self._rows.execute("REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def rows(self) -> dict[str, Row]:
        """By key."""
        with self._told():
            found = self._rows.execute("SELECT * FROM object ORDER BY key").fetchall()
        return {each[0]: _row(each) for each in found}

    def parts(self, label: str | None = None) -> list[Part]:
        where, values = ("", ()) if label is None else ("WHERE label = ?", (label,))
        with self._told():
            found = self._rows.execute(
                "SELECT new_key, label, mode, etag, size, sums, old_key FROM part "
                f"{where} ORDER BY new_key",
                values,
            ).fetchall()
        return [_part(each) for each in found]

    def learn(
        self,
        new_key: str,
        sums: Sums,
    ) -> None:
        """What lies in a part that was copied unread."""
        with self._told():
            self._rows.execute(
                "UPDATE part SET sums = ? WHERE new_key = ?",
                (json.dumps(sums.to_plain()), new_key),
            )

    def judge(self, judged: Judged) -> None:
        values = (judged.label, judged.verdict, json.dumps(dict(judged.facts)), judged.at)
        with self._told():
            self._rows.execute("REPLACE INTO verdict VALUES (?, ?, ?, ?)", values)

    def asked_again(self) -> frozenset[str]:
        """Old objects of folders that failed: they are to be moved once more."""
        failed = (each for each in self.judged().values() if each.verdict == Verdict.FAIL)
        return frozenset(key for each in failed for key in each.facts.get("redo", ()))

    def answered(self, keys: frozenset[str]) -> None:
        """They were; the folders stay failed until they are verified again."""
        for each in self.judged().values():
            left = [key for key in each.facts.get("redo", ()) if key not in keys]
            if left != each.facts.get("redo", []):
                self.judge(replace(each, facts={**each.facts, "redo": left}))

    def judged(self) -> dict[str, Judged]:
        with self._told():
            found = self._rows.execute("SELECT * FROM verdict ORDER BY label").fetchall()
        return {
            each[0]: Judged(
                each[0],
                each[1],
                json.loads(each[2]),
                each[3],
            )
            for each in found
        }


def _row(values: tuple[Any, ...]) -> Row:
    key, etag, size, modified, storage, kind, why, labels, state, error, sums, facts = values
    return Row(
        Listed(
            key,
            etag,
            size,
            modified,
            storage,
        ),
        kind,
        why,
        State(state),
        tuple(json.loads(labels)),
        error,
        _loaded(sums),
        json.loads(facts),
    )


def _part(values: tuple[Any, ...]) -> Part:
    new_key, label, mode, etag, size, sums, old_key = values
    found = None if sums is None else Sums.from_plain(json.loads(sums))
    return Part(
        new_key,
        label,
        mode,
        etag,
        size,
        found,
        old_key,
    )


def total_sums(parts: Iterable[Part]) -> Sums | None:
    """None where one of them was never read."""
    total = NOTHING
    for part in parts:
        if part.sums is None:
            return None
        total += part.sums
    return total
