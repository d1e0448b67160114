"""DuckDB, and the rows that it holds of objects of S3: an object is read once, whoever asks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from kirikae.local.athena.statements import Column, Name
from kirikae.local.athena.tables import Values
from kirikae.local.errors import QueryFailed

_MEMORY = "1GB"
_KINDS = {
    "VARCHAR": "varchar",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "TINYINT": "tinyint",
    "DOUBLE": "double",
    "FLOAT": "real",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}
_OF_HIVE = {
    "string": "VARCHAR",
    "char": "VARCHAR",
    "varchar": "VARCHAR",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "date": "DATE",
}
"""Types of partition columns."""


@dataclass(frozen=True, slots=True)
class File:
    """An object that a query reads."""

    bucket: str
    key: str
    etag: str
    size: int
    values: Values

    @property
    def path(self) -> str:
        """What ``"$path"`` tells."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how an object is read: equal ones share rows."""

    columns: tuple[str, ...]
    regex: str
    skipped: int


@dataclass(frozen=True, slots=True)
class Result:
    """``rows``: as texts, None where NULL."""

    columns: tuple[Column, ...]
    rows: list[list[str | None]]


@dataclass
class _Held:
    """A table of DuckDB with the rows of objects."""

    name: str
    etags: dict[str, str] = field(default_factory=dict)


class Engine:
    """One query at a time."""

    def __init__(self) -> None:
        self._db = duckdb.connect()
        for setting in (
            "set TimeZone='UTC'",
            f"set memory_limit='{_MEMORY}'",
            "set enable_external_access=false",
            "set lock_configuration=true",
        ):
            self._db.execute(setting)
        self._held: dict[Shape, _Held] = {}

    def is_missing(self, shape: Shape, file: File) -> bool:
        """Must it be read first?"""
        held = self._held.get(shape)
        return held is None or held.etags.get(file.path) != file.etag

    def hold(self, shape: Shape, file: File, columns: list[list[str | None]]) -> None:
        """The rows of one object, instead of those of a former one at its place."""
        held = self._assert_held(shape)
        if file.path in held.etags:
            self._db.execute(f"delete from {held.name} where path = ?", [file.path])
            del held.etags[file.path]
        if columns and columns[0]:
            taken = ", ".join("unnest(from_json(?, '[\"VARCHAR\"]'))" for _ in columns)
            rows = [json.dumps(column) for column in columns]
            self._db.execute(f"insert into {held.name} select ?, {taken}", [file.path, *rows])
        held.etags[file.path] = file.etag

    def _assert_held(self, shape: Shape) -> _Held:
        if shape not in self._held:
            name = f"held_{len(self._held)}"
            columns = ", ".join(f"{_quoted(each)} varchar" for each in shape.columns)
            self._db.execute(f"create table {name} (path varchar, {columns})")
            self._held[shape] = _Held(name)
        return self._held[shape]

    # --- what a query sees

    def chosen(self, keys: tuple[Column, ...], files: Iterable[File], wheres: set[str]) -> set[str]:
        """Paths of the files whose partitions the query asks for; all where some part of it asks
        for all."""
        every = list(files)
        if "" in wheres or not every:
            return {file.path for file in every}
        self._list("chosen", keys, every)
        condition = " or ".join(f"({where})" for where in sorted(wheres))
        try:
            found = self._db.execute(f"select path from chosen where {condition}").fetchall()
        except duckdb.Error as error:
            raise QueryFailed(_words(error)) from error
        return {path for (path,) in found}

    def show_table(
        self, name: Name, shape: Shape, keys: tuple[Column, ...], files: list[File]
    ) -> None:
        """A view over the rows of these files, with their partitions and ``"$path"``."""
        held = self._assert_held(shape)
        listed = f"files_{name.database}_{name.table}"
        self._list(_quoted(listed), keys, files)
        columns = [
            *(f"h.{_quoted(each)}" for each in shape.columns),
            *(f"f.{_quoted(key.name)}" for key in keys),
            'h.path as "$path"',
        ]
        self._view(
            name,
            f"select {', '.join(columns)} from main.{held.name} h "
            f"join main.{_quoted(listed)} f using (path)",
        )

    def show_view(self, name: Name, sql: str) -> None:
        """``sql``: in DuckDB's words."""
        self._view(name, sql)

    def _view(self, name: Name, sql: str) -> None:
        try:
            self._db.execute(f"create schema if not exists {_quoted(name.database)}")
            place = f"{_quoted(name.database)}.{_quoted(name.table)}"
            self._db.execute(f"create or replace view {place} as {sql}")
        except duckdb.Error as error:
            raise QueryFailed(_words(error)) from error

    def _list(self, name: str, keys: tuple[Column, ...], files: list[File]) -> None:
        """A table of paths and partitions."""
        kinds = [f"{_quoted(key.name)} {_kind(key)}" for key in keys]
        self._db.execute(f"create or replace table {name} ({', '.join(['path varchar', *kinds])})")
        if not files:
            return
        values = (list(each) for each in zip(*(file.values for file in files), strict=True))
        columns = [[file.path for file in files], *values]
        taken = ", ".join(
            f"unnest(from_json(?, '[\"{kind}\"]'))" for kind in ["VARCHAR", *map(_kind, keys)]
        )
        self._db.execute(f"insert into {name} select {taken}", [json.dumps(c) for c in columns])

    def run(self, sql: str) -> Result:
        """``sql``: in DuckDB's words.  Raises QueryFailed."""
        try:
            asked = self._db.execute(sql)
            told = asked.fetchall()
            described = asked.description or []
        except duckdb.Error as error:
            raise QueryFailed(_words(error)) from error
        columns = tuple(Column(name, _name(kind)) for name, kind, *_ in described)
        return Result(columns, [[_text(value) for value in row] for row in told])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _kind(key: Column) -> str:
    kind = key.kind.partition("(")[0].strip().lower()
    if kind not in _OF_HIVE:
        raise QueryFailed(f"kirikae local has no partition column of the type {key.kind}")
    return _OF_HIVE[kind]


def _name(kind: object) -> str:
    return _KINDS.get(str(kind).partition("(")[0], "varchar")


def _text(value: Any) -> str | None:
    """As Athena writes it."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case datetime():
            millis = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
            return f"{millis} UTC" if value.tzinfo is UTC or value.tzinfo else millis
        case date():
            return value.isoformat()
        case Mapping() | list():
            return json.dumps(value, default=str)
        case _:
            return str(value)


def _words(error: duckdb.Error) -> str:
    """The first line says what is wrong."""
    return str(error).splitlines()[0]
