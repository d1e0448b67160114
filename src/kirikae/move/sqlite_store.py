"""The store port on one SQLite file that several processes write.

Rollback journal and full sync on purpose: WAL with several writing processes was found "malformed"
on SQLite 3.40.1."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import uuid
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from kirikae.model.errors import Changed, StoreBroken, Taken
from kirikae.model.store import Stored

_SCHEMA = (
    "create table if not exists entry (key text primary key, body text not null, tag text "
    "not null) strict"
)

_TAKEN = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)
_OWN_FOLDER = ".kirikae"
"""A folder of another name may hold more than kirikae's state: its mode is the user's."""
_HANGS_S = 20.0
"""Longer than a lock is waited for by so much: the disk, or the server of the share it lies on,
does not answer."""

_Rows = tuple[list[tuple[str, ...]], int]
"""What was selected, and how many rows were changed."""


def _keep_private(folder: Path) -> None:
    """Nobody else looks into it, and git does not see it.  A disk that cannot be written is told of
    by whoever writes."""
    _close(folder, 0o700)
    with suppress(OSError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
        file.write("*\n")


def _close(path: Path, mode: int) -> None:
    """Take away what others may do; what is another user's is left as it is."""
    with suppress(OSError):
        found = stat.S_IMODE(path.stat().st_mode)
        if found & ~mode:
            path.chmod(found & mode)


class SqliteStore:
    """Each call opens the file anew, so that forked and threaded callers need no care of their
    own."""

    def __init__(self, path: Path, patience_s: float = 30.0) -> None:
        """``patience_s``: how long another process may hold the file locked."""
        self._path = path
        self._patience_s = patience_s
        self._made = False

    def _make(self) -> None:
        """Nobody else reads the journal; SQLite's own files beside it get the mode of this one."""
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.name == _OWN_FOLDER:
            _keep_private(folder)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _close(self._path, 0o600)

    def _run(self, sql: str, *values: str) -> _Rows:
        """One statement.  What hangs in the operating system cannot be broken off: it is left
        behind in a thread of its own, and may still be done; so is what a killed process began."""
        answer: Future[_Rows] = Future()

        def work() -> None:
            try:
                answer.set_result(self._rows(sql, *values))
            except Exception as error:  # noqa: BLE001 - it is raised again where it was asked
                answer.set_exception(error)

        threading.Thread(target=work, daemon=True, name="journal").start()
        try:
            return answer.result(self._patience_s + _HANGS_S)
        except TimeoutError as error:
            raise StoreBroken(
                f"the journal {self._path} did not answer in {self._patience_s + _HANGS_S:.0f} s; "
                "check the disk, or the server of the network share it lies on, then run this again"
            ) from error

    def _rows(self, sql: str, *values: str) -> _Rows:
        """Raises StoreBroken, Taken."""
        try:
            if not self._made:
                self._make()
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
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) in _TAKEN:
                raise Taken(str(values[0])) from error
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
        self._run(
            "insert into entry (key, body, tag) values (?, ?, ?)",
            key,
            body,
            tag,
        )
        return tag

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        fresh = uuid.uuid4().hex
        _, count = self._run(
            "update entry set body = ?, tag = ? where key = ? and tag = ?",
            body,
            fresh,
            key,
            tag,
        )
        if count != 1:
            raise Changed(f"{key} was changed by somebody else")
        return fresh
