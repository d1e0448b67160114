"""Streams and their records in one SQLite file: what was acknowledged is in it.

Records lie here until S3 has taken them.  Which records go into which object is written down before
the object is put: killed in between, the same object is put again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from kirikae.local.firehose.rows import Order, Stream

_SCHEMA = """
create table if not exists stream (arn text primary key, body text not null) strict, without rowid;
create table if not exists record (
    seq integer primary key autoincrement, arn text not null, arrived real not null,
    size integer not null, data blob not null
) strict;
create index if not exists waiting on record (arn, seq, arrived, size);
create table if not exists delivery (arn text primary key, body text not null) strict,
    without rowid;
"""
_TAKEN = "select seq, arrived, size from record where arn = ? order by seq"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of a stream is not in S3 yet.  ``oldest``: when its first record arrived."""

    bytes: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Record:
    """``arrived``: Unix seconds of the clock that was then."""

    arrived: float
    data: bytes


class Streams:
    """One owner: the control plane."""

    def __init__(self, path: Path) -> None:
        """With WAL and ``synchronous=normal`` a killed process loses nothing that was answered;
        only a machine that loses its power may (sqlite.org, "PRAGMA synchronous")."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """What was put is in the file already."""
        self._db.close()

    @contextmanager
    def _together(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # --- streams

    def get(self, arn: str) -> Stream | None:
        """None where there is none."""
        row = self._db.execute("select body from stream where arn = ?", (arn,)).fetchone()
        return None if row is None else cast(Stream, json.loads(row[0]))

    def all(self, region: str = "") -> list[Stream]:
        """By name; of every region where none is named."""
        rows = self._db.execute("select arn, body from stream order by arn").fetchall()
        return [json.loads(body) for arn, body in rows if region in ("", arn.split(":")[3])]

    def put(self, stream: Stream) -> None:
        """A new one, or the same one changed."""
        body = (stream["arn"], json.dumps(stream))
        self._db.execute("insert or replace into stream values (?, ?)", body)

    def drop(self, arn: str) -> None:
        """With every record that is left."""
        with self._together():
            for table in ("stream", "record", "delivery"):
                self._db.execute(f"delete from {table} where arn = ?", (arn,))

    def forget_all(self) -> None:
        """As it was when it was new."""
        with self._together():
            for table in ("stream", "record", "delivery"):
                self._db.execute(f"delete from {table}")

    # --- records

    def add(self, arn: str, arrived: float, datas: Iterable[bytes]) -> None:
        """All of them or none."""
        rows = [(arn, arrived, len(data), data) for data in datas]
        with self._together():
            self._db.executemany(
                "insert into record (arn, arrived, size, data) values (?, ?, ?, ?)", rows
            )

    def waiting(self) -> Mapping[str, Waiting]:
        """Of every stream that has any, but for what is under way."""
        rows = self._db.execute("select arn, sum(size), min(arrived) from record group by arn")
        return {arn: Waiting(size, oldest) for arn, size, oldest in rows}

    def last_of(self, arn: str, most_bytes: int) -> int:
        """The last record of the next object: it holds as many as fit, and one at least."""
        size = 0
        last = 0
        for seq, _, each in self._db.execute(_TAKEN, (arn,)):
            size += each
            if last and size > most_bytes:
                break
            last = seq
        return last

    def upto(self, arn: str, last: int) -> list[Record]:
        """In the order in which they came."""
        rows = self._db.execute(
            "select arrived, data from record where arn = ? and seq <= ? order by seq", (arn, last)
        )
        return [Record(arrived, bytes(data)) for arrived, data in rows]

    # --- deliveries

    def ordered(self, arn: str) -> Order | None:
        """The object that is being put, or was when we were killed."""
        row = self._db.execute("select body from delivery where arn = ?", (arn,)).fetchone()
        return None if row is None else cast(Order, json.loads(row[0]))

    def order(self, arn: str, order: Order) -> None:
        """Written down before anything is put."""
        body = (arn, json.dumps(order))
        self._db.execute("insert or replace into delivery values (?, ?)", body)

    def delivered(self, arn: str, last: int) -> None:
        """S3 has them: they go."""
        with self._together():
            self._db.execute("delete from record where arn = ? and seq <= ?", (arn, last))
            self._db.execute("delete from delivery where arn = ?", (arn,))
