"""What a statement of Athena wants: DDL as values, queries as trees; pure.

Athena user guide, "DDL statements" and "SELECT"; read by sqlglot in its dialect of Athena.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from kirikae.local.athena.refusing import not_carried_out
from kirikae.local.errors import QueryFailed

REGEX_SERDE = "org.apache.hadoop.hive.serde2.RegexSerDe"
_ADD = re.compile(
    r"\s*ALTER\s+TABLE\s+(?P<name>[\w.`\"]+)\s+ADD\s+(?P<lax>IF\s+NOT\s+EXISTS\s+)?(?=PARTITION)",
    re.IGNORECASE,
)
_TEXT = r"'(?:[^'\\]|\\.|'')*'"
_PARTITION = re.compile(
    rf"\s*PARTITION\s*\((?P<values>(?:[^()']|{_TEXT})*)\)(?:\s*LOCATION\s*(?P<at>{_TEXT}))?",
    re.IGNORECASE,
)
_VALUE = re.compile(rf"\s*(?P<key>[\w`]+)\s*=\s*(?P<value>{_TEXT}|[\w.-]+)\s*,?")
_SHOW = re.compile(
    r"(?P<what>PARTITIONS|CREATE\s+VIEW|TABLES|VIEWS|DATABASES|SCHEMAS)"
    r"(?:\s+(?:IN\s+|FROM\s+)?(?P<name>[\w.`\"]+))?",
    re.IGNORECASE,
)
_COMMENTS = re.compile(r"\A(\s*--[^\n]*(\n|\Z))+")


@dataclass(frozen=True, slots=True)
class Name:
    """Of a table or a view; names know no upper case."""

    database: str
    table: str

    @classmethod
    def read(cls, text: str, database: str) -> Name:
        """``database``: where the text names none."""
        parts = [part.strip('`"').lower() for part in text.split(".")]
        return cls(parts[-2] if len(parts) > 1 else database, parts[-1])


@dataclass(frozen=True, slots=True)
class Column:
    """``kind``: as Hive writes it."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE EXTERNAL TABLE."""

    name: Name
    lax: bool
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    serde: str
    serde_properties: Mapping[str, str]
    location: str
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """``partitions``: values by key, and where each lies (empty: below the table's place)."""

    name: Name
    lax: bool
    partitions: tuple[tuple[Mapping[str, str], str], ...]


@dataclass(frozen=True, slots=True)
class CreateView:
    """``sql``: the query as it was written."""

    name: Name
    replaces: bool
    query: exp.Query
    sql: str


@dataclass(frozen=True, slots=True)
class Drop:
    """``kind``: TABLE, VIEW or DATABASE."""

    kind: str
    name: Name
    lax: bool


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """CREATE DATABASE or SCHEMA."""

    name: str
    lax: bool


@dataclass(frozen=True, slots=True)
class Show:
    """``what``: PARTITIONS, CREATE VIEW, TABLES, VIEWS or DATABASES."""

    what: str
    name: Name


@dataclass(frozen=True, slots=True)
class Query:
    """SELECT, in any of its forms."""

    query: exp.Query


Statement = CreateTable | AddPartitions | CreateView | Drop | CreateDatabase | Show | Query


def statement_of(sql: str, database: str) -> Statement:
    """Raises QueryFailed for what is no statement, or none that is carried out here."""
    bare = _COMMENTS.sub("", sql)
    if (match := _ADD.match(bare)) is not None:
        name = Name.read(match["name"], database)
        return AddPartitions(name, bool(match["lax"]), tuple(_partitions(bare[match.end() :])))
    try:
        parsed = [each for each in sqlglot.parse(bare, read="athena") if each is not None]
    except SqlglotError as error:
        raise QueryFailed(f"SYNTAX_ERROR: {error}") from error
    if len(parsed) != 1:
        raise QueryFailed(f"Only one sql statement is allowed. Got: {sql[:200]}")
    return _statement(parsed[0], bare, database)


def _statement(tree: exp.Expr, sql: str, database: str) -> Statement:
    match tree:
        case exp.Query():
            return Query(tree)
        case exp.Create():
            return _created(tree, sql, database)
        case exp.Drop() if tree.kind in ("TABLE", "VIEW", "DATABASE", "SCHEMA"):
            kind = "DATABASE" if tree.kind == "SCHEMA" else str(tree.kind)
            table = tree.find(exp.Table)
            assert table is not None
            return Drop(kind, name_of(table, database), bool(tree.args.get("exists")))
        case exp.Command() if tree.name.upper() == "SHOW":
            return _shown(str(tree.expression.name), database)
    raise not_carried_out(sql.split("(")[0].strip()[:60] or "an empty statement")


def _shown(text: str, database: str) -> Show:
    match = _SHOW.fullmatch(text.strip().rstrip(";").strip())
    if match is None:
        raise not_carried_out(f"SHOW {text[:40]}")
    what = " ".join(match["what"].upper().split()).replace("SCHEMAS", "DATABASES")
    named = match["name"] or ""
    if what in ("TABLES", "VIEWS"):
        return Show(what, Name(named.strip('`"').lower() or database, ""))
    return Show(what, Name.read(named, database))


def name_of(table: exp.Table, database: str) -> Name:
    """As a query or a statement names it."""
    return Name((table.db or database).lower(), table.name.lower())


def _created(tree: exp.Create, sql: str, database: str) -> Statement:
    lax = bool(tree.args.get("exists"))
    kind = str(tree.kind)
    table = tree.find(exp.Table)
    assert table is not None
    if kind in ("DATABASE", "SCHEMA"):
        return CreateDatabase(table.name.lower(), lax)
    if kind == "VIEW" and isinstance(tree.expression, exp.Query):
        query = tree.expression
        found = re.search(r"\bAS\b", sql, re.IGNORECASE)
        assert found is not None
        text = sql[found.end() :].strip().rstrip(";").strip()
        return CreateView(name_of(table, database), bool(tree.args.get("replace")), query, text)
    if kind == "TABLE" and tree.find(exp.ExternalProperty) is not None:
        return _table(tree, name_of(table, database), lax)
    raise not_carried_out(f"CREATE {kind} but for EXTERNAL tables, views and databases")


def _table(tree: exp.Create, name: Name, lax: bool) -> CreateTable:
    """Raises QueryFailed for rows that are not read by the Regex SerDe."""
    serde = tree.find(exp.RowFormatSerdeProperty)
    if serde is None or serde.this.name != REGEX_SERDE:
        form = "rows without a SerDe" if serde is None else f"the SerDe {serde.this.name}"
        raise not_carried_out(f"{form} (only {REGEX_SERDE})")
    location = tree.find(exp.LocationProperty)
    if location is None:
        raise QueryFailed("FAILED: SemanticException table location is missing")
    of_serde = serde.args.get("serde_properties")
    own = tree.args["properties"].expressions
    keys = tree.find(exp.PartitionedByProperty)
    assert isinstance(tree.this, exp.Schema)
    return CreateTable(
        name,
        lax,
        tuple(_columns(tree.this)),
        tuple(_columns(keys.this)) if keys is not None else (),
        serde.this.name,
        _properties(of_serde.expressions if of_serde is not None else ()),
        location.this.name,
        _properties(own),
    )


def _columns(schema: exp.Expr) -> Iterator[Column]:
    for each in schema.find_all(exp.ColumnDef):
        kind = each.args["kind"].sql("hive").lower()
        yield Column(each.name.lower(), kind)


def _properties(found: list[exp.Expr] | tuple[()]) -> dict[str, str]:
    return {
        each.this.name: each.args["value"].name
        for each in found
        if type(each) is exp.Property and isinstance(each.args.get("value"), exp.Literal)
    }


def _partitions(text: str) -> Iterator[tuple[Mapping[str, str], str]]:
    """Of ALTER TABLE ADD, which sqlglot does not take apart."""
    at = 0
    while (match := _PARTITION.match(text, at)) is not None:
        values = {
            each["key"].strip("`").lower(): _unquoted(each["value"])
            for each in _VALUE.finditer(match["values"])
        }
        yield values, _unquoted(match["at"] or "")
        at = match.end()
    if text[at:].strip(" \t\r\n;"):
        raise QueryFailed(f"SYNTAX_ERROR: ALTER TABLE ADD cannot be read from: {text[at:][:80]}")


def _unquoted(text: str) -> str:
    """A text of Hive's own syntax."""
    if not text.startswith("'"):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1].replace("''", "'"))
