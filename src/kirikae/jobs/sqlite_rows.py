"""The ledger's rows in one SQLite file that one process owns.

Only one thread ever touches the connection: what others want at the same moment is committed
together, so that a full sync is paid once for all of them.  The file is locked for as long as it is
open: a write-ahead log and several writing processes were found "malformed" on SQLite 3.40.1.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kirikae.jobs.book import Book
from kirikae.jobs.errors import LedgerAway, LedgerOwned
from kirikae.jobs.rows import Key, Plain, View, Written

T = TypeVar("T")
_MOST_TOGETHER = 256
_SCHEMA = """
create table if not exists row (
    part text not null,
    sort text not null,
    body text not null,
    list text,
    at real,
    minute integer,
    primary key (part, sort)
) strict, without rowid;
create index if not exists row_listed on row (list, at) where list is not null;
create index if not exists row_minute on row (minute, part) where minute is not null;
"""
_PUT = """
insert into row (part, sort, body, list, at, minute) values (?, ?, ?, ?, ?, ?)
on conflict (part, sort) do update set
    body = excluded.body, list = excluded.list, at = excluded.at, minute = excluded.minute
"""


def sqlite_ledger(path: Path, clock: Callable[[], float] = time.time) -> Book:
    """Raises LedgerOwned, LedgerAway."""
    return Book(SqliteRows(path, clock))


class _Asked(NamedTuple):
    """What a caller wants done inside a transaction, and where it waits for the answer."""

    act: Callable[[sqlite3.Connection], Any]
    answer: Future[Any]


class SqliteRows:
    """``Rows`` in one file.  Calls come from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises LedgerOwned, LedgerAway."""
        self._path = path
        self._clock = clock
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._lock_file = _owned(path)
        opened: Future[None] = Future()
        self._writer = threading.Thread(
            target=self._write,
            args=(opened,),
            daemon=True,
        )
        self._writer.start()
        try:
            opened.result()
        except (OSError, sqlite3.Error) as error:
            os.close(self._lock_file)
            raise self._away(error) from error

    def _away(self, error: Exception) -> LedgerAway:
        return LedgerAway(
            f"the ledger {self._path} cannot be used: {error}; check the disk and the file's owner"
        )

    def now(self) -> float:
        return self._clock()

    def close(self) -> None:
        """What was asked before is still done."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._asked.put(None)
        self._writer.join()
        os.close(self._lock_file)

    def _write(self, opened: Future[None]) -> None:
        try:
            connection = _open(self._path)
        except (OSError, sqlite3.Error) as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while (batch := self._batch()) is not None:
                self._commit(connection, batch)
        finally:
            connection.close()

    def _batch(self) -> list[_Asked] | None:
        """All that waits at this moment; at least one.  None: the end."""
        first = self._asked.get()
        if first is None:
            return None
        batch = [first]
        with suppress(queue.Empty):
            while len(batch) < _MOST_TOGETHER:
                following = self._asked.get_nowait()
                if following is None:
                    self._asked.put(None)
                    break
                batch.append(following)
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[_Asked]) -> None:
        """Nobody hears an answer before all of them are on the disk."""
        try:
            connection.execute("begin immediate")
            answers = [_answer(connection, asked.act) for asked in batch]
            connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("rollback")
            for asked in batch:
                asked.answer.set_exception(self._away(error))
            return
        for asked, answer in zip(
            batch,
            answers,
            strict=True,
        ):
            if isinstance(answer, _Failed):
                asked.answer.set_exception(answer.error)
            else:
                asked.answer.set_result(answer)

    def _ask(self, act: Callable[[sqlite3.Connection], T]) -> T:
        answer: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise LedgerAway(f"the ledger {self._path} is closed; start its owner again")
            self._asked.put(_Asked(act, answer))
        return answer.result()

    def together(self, act: Callable[[View], T]) -> T:
        return self._ask(lambda connection: _transact(connection, act))

    def each(self, acts: Sequence[Callable[[View], T]]) -> list[T]:
        if not acts:
            return []
        return self._ask(lambda connection: [_transact(connection, act) for act in acts])

    def listed(self, name: str, until: float, most: int) -> list[Plain]:
        return self._select(
            "select body from row where list = ? and at <= ? order by at limit ?",
            name,
            until,
            most,
        )

    def newest(
        self, part: str | None, since: int | None, until: int | None, most: int
    ) -> list[Plain]:
        wanted = ["minute is not null"]
        values: list[str | int] = []
        for condition, value in (("part = ?", part), ("minute >= ?", since), ("minute < ?", until)):
            if value is not None:
                wanted.append(condition)
                values.append(value)
        where = " and ".join(wanted)
        order = "sort desc" if part is not None else "minute desc, part"
        sql = f"select body from row where {where} order by {order} limit ?"
        return self._select(
            sql,
            *values,
            most,
        )

    def _select(self, sql: str, *values: object) -> list[Plain]:
        rows = self._ask(lambda connection: connection.execute(sql, values).fetchall())
        return [json.loads(body) for (body,) in rows]

    def part(self, part: str) -> list[tuple[str, Plain]]:
        sql = "select sort, body from row where part = ? order by sort"
        rows = self._ask(lambda connection: connection.execute(sql, (part,)).fetchall())
        return [(sort, json.loads(body)) for sort, body in rows]

    def forget(self, before: int) -> None:
        sql = "delete from row where minute < ?"
        self._ask(lambda connection: connection.execute(sql, (before,)).rowcount)


class _Failed(NamedTuple):
    """This act went wrong and wrote nothing; the others of its batch stand."""

    error: Exception


def _answer(connection: sqlite3.Connection, act: Callable[[sqlite3.Connection], Any]) -> Any:
    try:
        return act(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again where it was asked
        return _Failed(error)


def _transact(connection: sqlite3.Connection, act: Callable[[View], T]) -> T:
    view = View(lambda key: _get(connection, key))
    answer = act(view)
    for key, written in view.wanted.items():
        connection.execute(_PUT, _values(key, written))
    return answer


def _get(connection: sqlite3.Connection, key: Key) -> Plain | None:
    sql = "select body from row where part = ? and sort = ?"
    found = connection.execute(sql, key).fetchone()
    return None if found is None else json.loads(found[0])


def _values(key: Key, written: Written) -> tuple[object, ...]:
    name, at = (None, None) if written.listed is None else written.listed
    return (*key, json.dumps(written.body), name, at, written.minute)


def _owned(path: Path) -> int:
    """A lock that ends with the process, however it ends."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(
            parents=True,
            exist_ok=True,
            mode=0o700,
        )
        opened = os.open(
            lock,
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
    except OSError as error:
        raise LedgerAway(f"{lock} cannot be made: {error.strerror}; check the folder") from error
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(opened)
        raise LedgerOwned(
            f"another process owns {path}: ask it over HTTP (`kirikae jobs serve` runs already), "
            "or end it first"
        ) from error
    return opened


def _open(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(
            os.open(
                path,
                os.O_RDWR | os.O_CREAT | os.O_EXCL,
                0o600,
            )
        )
    connection = sqlite3.connect(
        path,
        timeout=0,
        isolation_level=None,
    )
    connection.execute("pragma locking_mode=exclusive")
    connection.execute("pragma journal_mode=truncate")
    connection.execute("pragma synchronous=full")
    connection.executescript(_SCHEMA)
    return connection
