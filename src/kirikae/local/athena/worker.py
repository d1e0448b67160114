"""The child process that carries out queries: one line of JSON asks, one answers.

It ends when its parent does.  ``python -m kirikae.local.athena.worker PORT``
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kirikae.local.athena.asking import Stores
from kirikae.local.athena.catalog import Catalog, Table, View
from kirikae.local.athena.dialect import Use, in_duckdb, names_in, uses_of
from kirikae.local.athena.engine import Engine, File, Result, Shape
from kirikae.local.athena.lines import columns_of, inflated, pattern_of
from kirikae.local.athena.refusing import not_carried_out
from kirikae.local.athena.statements import (
    REGEX_SERDE,
    AddPartitions,
    Column,
    CreateDatabase,
    CreateTable,
    CreateView,
    Drop,
    Name,
    Query,
    Show,
    statement_of,
)
from kirikae.local.athena.tables import folders_of, is_hidden
from kirikae.local.errors import QueryFailed, StoreRefused

Plain = dict[str, Any]
_DEEPEST = 20
"""Views in views."""
_NOTHING = Result((), [])
_SKIP = "skip.header.line.count"


@dataclass(frozen=True, slots=True)
class Answer:
    """``kind``: DDL, DML or UTILITY.  ``scanned``: bytes of the objects that the query asked
    for."""

    kind: str
    result: Result
    scanned: int = 0

    def to_plain(self) -> Plain:
        return {
            "kind": self.kind,
            "columns": [[each.name, each.kind] for each in self.result.columns],
            "rows": self.result.rows,
            "scanned": self.scanned,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a query reads, views taken apart."""

    tables: Mapping[Name, Table]
    views: Mapping[Name, tuple[View, exp.Query]]


class Worker:
    """``engine``: keeps what was read, from query to query."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._engine = Engine()
        self._stores: dict[str, Stores] = {}

    def answer(self, asked: Plain) -> Plain:
        """Never raises for what a query can be at fault of."""
        try:
            return self._answer(asked["sql"], asked["database"], asked["region"]).to_plain()
        except (QueryFailed, StoreRefused) as error:
            return {"error": str(error)}

    def _answer(self, sql: str, database: str, region: str) -> Answer:
        stores = self._stores.setdefault(region, Stores(self._port, region))
        catalog = Catalog(stores)
        statement = statement_of(sql, database)
        match statement:
            case Query(query):
                return self._query(catalog, stores, query, database)
            case CreateView():
                self._create_view(catalog, stores, statement, database)
            case CreateTable():
                pattern_of(
                    statement.serde_properties.get("input.regex", ""), len(statement.columns)
                )
                catalog.create_table(statement)
            case AddPartitions():
                catalog.add_partitions(statement)
            case CreateDatabase():
                catalog.create_database(statement)
            case Drop():
                catalog.drop(statement)
            case Show():
                return Answer("UTILITY", _shown(catalog, statement))
        return Answer("DDL", _NOTHING)

    # --- SELECT

    def _query(self, catalog: Catalog, stores: Stores, query: exp.Query, database: str) -> Answer:
        found = _found(catalog, query, database)
        scanned = 0
        for name, table in found.tables.items():
            scanned += self._show(catalog, stores, table, _wheres(name, query, database, found))
        self._show_views(found)
        return Answer("DML", self._engine.run(in_duckdb(query, database)), scanned)

    def _create_view(
        self, catalog: Catalog, stores: Stores, asked: CreateView, database: str
    ) -> None:
        """Its query must be one: it is run over no objects, which tells its columns too."""
        found = _found(catalog, asked.query, database)
        for table in found.tables.values():
            self._engine.show_table(table.name, _shape(table), table.keys, [])
        self._show_views(found)
        result = self._engine.run(f"select * from ({in_duckdb(asked.query, database)}) limit 0")
        catalog.create_view(asked, result.columns, database)

    def _show_views(self, found: Found) -> None:
        """Those that others stand on are there before them."""
        for name, (view, query) in found.views.items():
            self._engine.show_view(name, in_duckdb(query, view.database))

    def _show(self, catalog: Catalog, stores: Stores, table: Table, wheres: set[str]) -> int:
        """Bytes of the objects that are asked for; those that were not read yet are."""
        shape = _shape(table)
        files = _files(catalog, stores, table)
        chosen = self._engine.chosen(table.keys, files, wheres)
        asked = [file for file in files if file.path in chosen]
        pattern = pattern_of(shape.regex, len(shape.columns))
        for file in asked:
            if self._engine.is_missing(shape, file):
                data = inflated(file.key, stores.read(file.bucket, file.key))
                self._engine.hold(shape, file, columns_of(data, pattern, shape.skipped))
        self._engine.show_table(table.name, shape, table.keys, asked)
        return sum(file.size for file in asked)


def _found(catalog: Catalog, query: exp.Query, database: str) -> Found:
    """Tables, and views with those that they stand on before them."""
    tables: dict[Name, Table] = {}
    views: dict[Name, tuple[View, exp.Query]] = {}

    def walk(query: exp.Query, database: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise QueryFailed("views stand on each other")
        for name in sorted(names_in(query, database), key=str):
            if name in tables or name in views:
                continue
            entry = catalog.find(name)
            if isinstance(entry, Table):
                tables[name] = entry
                continue
            statement = statement_of(entry.sql, entry.database)
            if not isinstance(statement, Query):
                raise QueryFailed(f"the view {name.table} is no query")
            walk(statement.query, entry.database, depth + 1)
            views[name] = (entry, statement.query)

    walk(query, database, 0)
    return Found(tables, views)


def _wheres(name: Name, query: exp.Query, database: str, found: Found) -> set[str]:
    """What each place that reads a table asks of its partitions."""
    keys = {each: tuple(key.name for key in table.keys) for each, table in found.tables.items()}
    read: Iterable[tuple[exp.Query, str]] = [
        (query, database),
        *((each, view.database) for view, each in found.views.values()),
    ]
    uses: list[Use] = [use for each, where in read for use in uses_of(each, where, keys)]
    return {use.where for use in uses if use.name == name}


def _shape(table: Table) -> Shape:
    if table.serde != REGEX_SERDE:
        raise not_carried_out(f"the SerDe {table.serde} of {table.name.table}")
    return Shape(
        tuple(column.name for column in table.columns),
        table.serde_properties.get("input.regex", ""),
        int(table.parameters.get(_SKIP, "0")),
    )


def _files(catalog: Catalog, stores: Stores, table: Table) -> list[File]:
    """Every object of the table, as it is listed now."""
    keys = tuple(key.name for key in table.keys)
    is_projected = table.parameters.get("projection.enabled", "").lower() == "true"
    registered = () if is_projected or not keys else catalog.partitions(table.name)
    folders = folders_of(table.location, keys, table.parameters, registered, time.time())
    files = []
    for root in folders.roots:
        for each in stores.objects(root.bucket, root.prefix):
            values = folders.values(root.bucket, each.key)
            if values is not None and not is_hidden(each.key, root):
                files.append(File(root.bucket, each.key, each.etag, each.size, values))
    return files


def _shown(catalog: Catalog, asked: Show) -> Result:
    match asked.what:
        case "DATABASES":
            return _one_column("database_name", catalog.databases())
        case "TABLES" | "VIEWS":
            names = catalog.names(asked.name.database, asked.what == "VIEWS")
            return _one_column("tab_name", names)
        case "PARTITIONS":
            return _one_column("partition", _partitions(catalog, asked.name))
    view = catalog.find(asked.name)
    if not isinstance(view, View):
        raise QueryFailed(f"{asked.name.table} is no view")
    name = f"{view.name.database}.{view.name.table}"
    lines = [f"CREATE VIEW {name} AS", *view.sql.splitlines()]
    return _one_column("create view", lines)


def _partitions(catalog: Catalog, name: Name) -> list[str]:
    table = catalog.find(name)
    if not isinstance(table, Table):
        raise QueryFailed(f"{name.table} is a view")
    keys = [key.name for key in table.keys]
    return [
        "/".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
        for values, _ in catalog.partitions(name)
    ]


def _one_column(name: str, values: list[str]) -> Result:
    return Result((Column(name, "string"),), [[value] for value in values])


def main() -> None:
    """Lines in, lines out, until nobody asks any more."""
    os.nice(5)
    worker = Worker(int(sys.argv[1]))
    for line in sys.stdin:
        answer = json.dumps(worker.answer(json.loads(line)))
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
