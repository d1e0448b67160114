"""The store port on one SQLite file that several processes write.

Rollback journal and full sync on purpose: WAL with several writing processes was found "malformed"
on SQLite 3.40.1."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path

from kirikae.model.errors import Changed, StoreBroken, Taken
from kirikae.model.store import Stored

_SCHEMA = (
    "create table if not exists entry (key text primary key, body text not null, tag text "
    "not null) strict"
)


class SqliteStore:
    """Each call opens the file anew, so that forked and threaded callers need no care of their
    own."""

    def __init__(self, path: Path, patience_s: float = 30.0) -> None:
        """``patience_s``: how long another process may hold the file locked."""
        self._path = path
        self._patience_s = patience_s
        self._made = False

    def _run(self, sql: str, *values: str) -> tuple[list[tuple[str, ...]], int]:
        try:
            if not self._made:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=self._patience_s, isolation_level=None)
            try:
                connection.execute("pragma synchronous=full")
                if not self._made:
                    connection.execute(_SCHEMA)
                    self._made = True
                cursor = connection.execute(sql, values)
                return cursor.fetchall(), cursor.rowcount
            finally:
                connection.close()
        except sqlite3.IntegrityError as error:
            raise Taken(str(values[0])) from error
        except (sqlite3.Error, OSError) as error:
            raise StoreBroken(
                f"the journal {self._path} cannot be used: {error}; check the disk and "
                "the file's owner, then run this again"
            ) from error

    def get(self, key: str) -> Stored | None:
        rows, _ = self._run("select body, tag from entry where key = ?", key)
        return Stored(*rows[0]) if rows else None

    def list(self, prefix: str) -> list[str]:
        rows, _ = self._run(
            "select key from entry where key >= ? and key < ? order by key",
            prefix,
            prefix + "\U0010ffff",
        )
        return [row[0] for row in rows]

    def create_if_absent(self, key: str, body: str) -> str:
        tag = uuid.uuid4().hex
        self._run("insert into entry (key, body, tag) values (?, ?, ?)", key, body, tag)
        return tag

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        fresh = uuid.uuid4().hex
        _, count = self._run(
            "update entry set body = ?, tag = ? where key = ? and tag = ?", body, fresh, key, tag
        )
        if count != 1:
            raise Changed(f"{key} was changed by somebody else")
        return fresh
