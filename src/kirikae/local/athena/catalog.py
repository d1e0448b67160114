"""Databases, tables, partitions and views: kept in Glue, as Athena keeps them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kirikae.local.athena.asking import Stores
from kirikae.local.athena.statements import (
    AddPartitions,
    Column,
    CreateDatabase,
    CreateTable,
    CreateView,
    Drop,
    Name,
)
from kirikae.local.athena.tables import Values
from kirikae.local.errors import QueryFailed, StoreRefused

_DEFAULT = "default"
_BATCH = 100
"""Partitions a call (Glue API reference, BatchCreatePartition)."""
_HEAD = "/* Presto View: "
_TAIL = " */"
_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_MISSING = "EntityNotFoundException"
_THERE = "AlreadyExistsException"
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """As Glue tells it."""

    name: Name
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    location: str
    serde: str
    serde_properties: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """``sql``: in Athena's words."""

    name: Name
    sql: str
    database: str


class Catalog:
    """One region's."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    # --- looked up

    def find(self, name: Name) -> Table | View:
        """Raises QueryFailed where there is none."""
        try:
            found = self._glue("GetTable", DatabaseName=name.database, Name=name.table)["Table"]
        except StoreRefused as error:
            if error.code != _MISSING:
                raise QueryFailed(str(error)) from error
            raise QueryFailed(
                f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{name.database}.{name.table}' does not "
                "exist"
            ) from error
        text = found.get("ViewOriginalText") or ""
        if found.get("TableType") == "VIRTUAL_VIEW":
            return _view(name, text)
        storage = found.get("StorageDescriptor", {})
        serde = storage.get("SerdeInfo", {})
        return Table(
            name,
            _columns(storage.get("Columns", ())),
            _columns(found.get("PartitionKeys", ())),
            storage.get("Location", ""),
            serde.get("SerializationLibrary", ""),
            serde.get("Parameters", {}),
            found.get("Parameters", {}),
        )

    def partitions(self, name: Name) -> Iterator[tuple[Values, str]]:
        """Values and place of each that is registered."""
        asked: Plain = {"DatabaseName": name.database, "TableName": name.table}
        while True:
            page = self._glue("GetPartitions", **asked)
            for each in page["Partitions"]:
                yield tuple(each["Values"]), each["StorageDescriptor"]["Location"]
            if not page.get("NextToken"):
                return
            asked["NextToken"] = page["NextToken"]

    def names(self, database: str, only_views: bool) -> list[str]:
        """Tables and views."""
        page = self._glue("GetTables", DatabaseName=database)
        return sorted(
            each["Name"]
            for each in page["TableList"]
            if not only_views or each.get("TableType") == "VIRTUAL_VIEW"
        )

    def databases(self) -> list[str]:
        """There is always one that is called default."""
        page = self._glue("GetDatabases")
        return sorted({_DEFAULT, *(each["Name"] for each in page["DatabaseList"])})

    # --- changed

    def create_table(self, asked: CreateTable) -> None:
        """As Athena tells Glue."""
        storage = {
            "Columns": _plain(asked.columns),
            "Location": asked.location,
            "InputFormat": _INPUT,
            "OutputFormat": _OUTPUT,
            "SerdeInfo": {
                "SerializationLibrary": asked.serde,
                "Parameters": dict(asked.serde_properties),
            },
        }
        table = {
            "Name": asked.name.table,
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": storage,
            "PartitionKeys": _plain(asked.keys),
            "Parameters": {"EXTERNAL": "TRUE", **asked.properties},
        }
        self._create(asked.name, table, asked.lax)

    def create_view(self, asked: CreateView, columns: tuple[Column, ...], database: str) -> None:
        """``database``: the one in which its query is read."""
        told = {
            "originalSql": asked.sql,
            "catalog": "awsdatacatalog",
            "schema": database,
            "columns": [{"name": each.name, "type": each.kind} for each in columns],
        }
        text = base64.b64encode(json.dumps(told).encode()).decode()
        view = {
            "Name": asked.name.table,
            "TableType": "VIRTUAL_VIEW",
            "StorageDescriptor": {"Columns": _plain(columns), "Location": ""},
            "PartitionKeys": [],
            "ViewOriginalText": f"{_HEAD}{text}{_TAIL}",
            "ViewExpandedText": "/* Presto View */",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
        }
        if not (asked.replaces and self._replace(asked.name, view)):
            self._create(asked.name, view, False)

    def _replace(self, name: Name, view: Plain) -> bool:
        """False: there is none.  A table is never replaced by a view."""
        try:
            found = self.find(name)
        except QueryFailed:
            return False
        if isinstance(found, Table):
            raise QueryFailed(f"{name.database}.{name.table} is a table, not a view")
        self._glue("UpdateTable", DatabaseName=name.database, TableInput=view)
        return True

    def _create(self, name: Name, table: Plain, lax: bool) -> None:
        self._assert_default(name.database)
        try:
            self._glue("CreateTable", DatabaseName=name.database, TableInput=table)
        except StoreRefused as error:
            if error.code == _THERE and lax:
                return
            if error.code == _THERE:
                raise QueryFailed(
                    f"FAILED: AlreadyExistsException Table {name.table} already exists"
                ) from error
            raise QueryFailed(f"FAILED: {error}") from error

    def _assert_default(self, database: str) -> None:
        if database == _DEFAULT:
            self.create_database(CreateDatabase(_DEFAULT, True))

    def create_database(self, asked: CreateDatabase) -> None:
        try:
            self._glue("CreateDatabase", DatabaseInput={"Name": asked.name})
        except StoreRefused as error:
            if error.code != _THERE or not asked.lax:
                raise QueryFailed(f"FAILED: {error}") from error

    def add_partitions(self, asked: AddPartitions) -> None:
        """A hundred a call.  One that is there already is no error with IF NOT EXISTS."""
        table = self.find(asked.name)
        if not isinstance(table, Table):
            raise QueryFailed(f"{asked.name.table} is a view")
        known = {values for values, _ in self.partitions(asked.name)}
        fresh: dict[Values, str] = {}
        for given, place in asked.partitions:
            values = _values(given, table)
            if values in known or values in fresh:
                if not asked.lax:
                    raise QueryFailed(f"FAILED: AlreadyExistsException Partition {values} exists")
                continue
            below = "/".join(f"{key}={value}" for key, value in given.items())
            fresh[values] = place or f"{table.location.rstrip('/')}/{below}/"
        self._register(asked.name, fresh)

    def _register(self, name: Name, fresh: Mapping[Values, str]) -> None:
        left = iter(fresh.items())
        while batch := list(islice(left, _BATCH)):
            inputs = [
                {"Values": list(values), "StorageDescriptor": {"Location": place}}
                for values, place in batch
            ]
            told = self._glue(
                "BatchCreatePartition",
                DatabaseName=name.database,
                TableName=name.table,
                PartitionInputList=inputs,
            )
            if errors := told.get("Errors"):
                raise QueryFailed(f"FAILED: {errors[0]}")

    def drop(self, asked: Drop) -> None:
        """Metadata only: no object of S3 goes."""
        name = asked.name
        try:
            if asked.kind == "DATABASE":
                self._glue("DeleteDatabase", Name=name.table)
            else:
                self._assert_kind(asked)
                self._glue("DeleteTable", DatabaseName=name.database, Name=name.table)
        except (StoreRefused, QueryFailed) as error:
            is_missing = isinstance(error, QueryFailed) and "TABLE_NOT_FOUND" in str(error)
            is_missing = is_missing or (isinstance(error, StoreRefused) and error.code == _MISSING)
            if not (asked.lax and is_missing):
                raise QueryFailed(f"FAILED: {error}") from error

    def _assert_kind(self, asked: Drop) -> None:
        """DROP TABLE takes no view, and DROP VIEW no table."""
        is_view = isinstance(self.find(asked.name), View)
        if is_view is not (asked.kind == "VIEW"):
            what = "a view" if is_view else "a table"
            raise QueryFailed(f"{asked.name.database}.{asked.name.table} is {what}")

    def _glue(self, operation: str, **params: object) -> Plain:
        return self._stores.glue(operation, **params)


def _view(name: Name, text: str) -> View:
    if not (text.startswith(_HEAD) and text.endswith(_TAIL)):
        raise QueryFailed(f"the view {name.database}.{name.table} is none of Athena's")
    told = json.loads(base64.b64decode(text[len(_HEAD) : -len(_TAIL)]))
    return View(name, told["originalSql"], told["schema"])


def _columns(told: Any) -> tuple[Column, ...]:
    return tuple(Column(each["Name"].lower(), each.get("Type", "string")) for each in told)


def _plain(columns: tuple[Column, ...]) -> list[Plain]:
    return [{"Name": each.name, "Type": each.kind} for each in columns]


def _values(given: Mapping[str, str], table: Table) -> Values:
    """In the order of the table's partition columns."""
    keys = [key.name for key in table.keys]
    if sorted(given) != sorted(keys):
        raise QueryFailed(f"partition columns are {', '.join(keys)}, not {', '.join(given)}")
    return tuple(given[key] for key in keys)
