"""What kirikae local knows, in one SQLite file with one owner: rows of JSON, written before any
effect.

Rows are read from memory and written through.  A row is never changed in place: ``change`` puts a
new one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kirikae.local.errors import LocalError

Row = dict[str, Any]
FORMAT = 2
"""Of the rows; a change that older rows do not have raises it."""

_SCHEMA = """
create table if not exists thing (
    kind text, id text, body text not null, primary key (kind, id)
) strict, without rowid;
create table if not exists figure (
    subject text, second integer, body text not null, primary key (subject, second)
) strict, without rowid;
"""


class State:
    """WAL is safe here because exactly one process owns the file (the directory is locked)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._rows: dict[str, dict[str, Row]] = {}
        found = self._db.execute(
            "select body from thing where kind = 'meta' and id = 'format'"
        ).fetchone()
        if (found is None and self._db.execute("select 1 from thing").fetchone()) or (
            found and json.loads(found[0])["is"] != FORMAT
        ):
            raise LocalError(
                f"{path} was written by another version of kirikae; run `kirikae local "
                "down`, then `kirikae local up`"
            )
        for kind, key, body in self._db.execute("select kind, id, body from thing"):
            self._rows.setdefault(kind, {})[key] = json.loads(body)
        if found is None:
            self.put("meta", "format", {"is": FORMAT})

    def get(self, kind: str, key: str) -> Row | None:
        return self._rows.get(kind, {}).get(key)

    def all(self, kind: str) -> list[Row]:
        return list(self._rows.get(kind, {}).values())

    def _write(self, statement: str, *values: Any) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise LocalError(
                f"{self._path} cannot be written: {error}; free some disk space, then it "
                "goes on by itself"
            ) from error

    def put(self, kind: str, key: str, row: Row) -> Row:
        """Raises LocalError where the disk is full; then nothing has changed."""
        self._write("insert or replace into thing values (?, ?, ?)", kind, key, json.dumps(row))
        self._rows.setdefault(kind, {})[key] = row
        return row

    def change(self, kind: str, key: str, **fields: Any) -> Row:
        """Put the row with these fields replaced; KeyError if there is none."""
        return self.put(kind, key, {**self._rows[kind][key], **fields})

    def drop(self, kind: str, key: str) -> None:
        self._write("delete from thing where kind = ? and id = ?", kind, key)
        self._rows.get(kind, {}).pop(key, None)

    def drop_where(self, kind: str, gone: Callable[[Row], bool]) -> None:
        """Drop every row of this kind for which ``gone`` says so."""
        for key in [key for key, row in self._rows.get(kind, {}).items() if gone(row)]:
            self.drop(kind, key)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes inside are one transaction, also with others inside of it.  Do not await
        inside."""
        if self._db.in_transaction:
            yield
            return
        self._write("begin immediate")
        before = {kind: dict(rows) for kind, rows in self._rows.items()}
        try:
            yield
            self._write("commit")
        except BaseException:
            with suppress(
                sqlite3.OperationalError
            ):  # SQLite itself has rolled back where the disk is full
                self._db.execute("rollback")
            self._rows = before
            raise

    def snapshot(self, kinds: Iterable[str]) -> dict[str, dict[str, Row]]:
        """These kinds as they are now, for ``restore``."""
        return {kind: dict(self._rows.get(kind, {})) for kind in kinds}

    def restore(self, snapshot: dict[str, dict[str, Row]]) -> None:
        """Put every row of the snapshot's kinds back as it was."""
        with self.together():
            for kind, rows in snapshot.items():
                for key in [k for k in self._rows.get(kind, {}) if k not in rows]:
                    self.drop(kind, key)
                for key, row in rows.items():
                    if self.get(kind, key) != row:
                        self.put(kind, key, row)

    def put_figure(self, subject: str, second: int, body: Row) -> None:
        self._write(
            "insert or replace into figure values (?, ?, ?)", subject, second, json.dumps(body)
        )

    def figures(self, subject: str, since: int, until: int) -> list[tuple[int, Row]]:
        """Rows of ``since <= second < until``, oldest first."""
        rows = self._db.execute(
            "select second, body from figure where subject = ? and second >= ? and "
            "second < ? order by second",
            (subject, since, until),
        )
        return [(second, json.loads(body)) for second, body in rows]

    def figure_subjects(self) -> list[str]:
        return [
            row[0]
            for row in self._db.execute("select distinct subject from figure order by subject")
        ]

    def forget_figures(self, before: int) -> None:
        self._db.execute("delete from figure where second < ?", (before,))

    def close(self) -> None:
        self._db.close()
