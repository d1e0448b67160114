"""A query of Athena in the words of DuckDB, and which partitions it asks for; pure.

Where the same function answers otherwise, it is written so that Athena's answer comes out (Trino
documentation, "Date and time functions", "Regular expression functions").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from kirikae.local.athena.refusing import not_carried_out
from kirikae.local.athena.statements import Name, name_of
from kirikae.local.athena.tables import strptime_of


def names_in(query: exp.Query, database: str) -> set[Name]:
    """Tables and views that it reads."""
    return {name_of(table, database) for table in _tables(query)}


def _tables(query: exp.Expr) -> Iterator[exp.Table]:
    """Not those that WITH names."""
    named = {each.alias_or_name.lower() for each in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.lower() not in named):
            yield table


def in_duckdb(query: exp.Query, database: str) -> str:
    """Every table stands in a schema of its database.  Raises QueryFailed."""
    tree = query.copy()
    for table in list(_tables(tree)):
        name = name_of(table, database)
        table.set("catalog", None)
        table.set("db", exp.to_identifier(name.database, quoted=True))
        table.set("this", exp.to_identifier(name.table, quoted=True))
    _name_columns(tree)
    return tree.transform(_otherwise).sql(dialect="duckdb")


def _name_columns(tree: exp.Expr) -> None:
    """Columns without a name are ``_col0``, ``_col1`` by their place; a union's are those of its
    first part."""
    first = tree
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    if isinstance(first, exp.Select):
        first.set(
            "expressions",
            [_named(each, number) for number, each in enumerate(first.expressions)],
        )


def _named(column: exp.Expr, number: int) -> exp.Expr:
    if column.alias or isinstance(column, exp.Column | exp.Star):
        return column
    return exp.alias_(column, f"_col{number}")


def _otherwise(node: exp.Expr) -> exp.Expr:
    match node:
        case exp.ParseDatetime():
            form = node.args.get("format")
            if not isinstance(form, exp.Literal):
                raise not_carried_out("parse_datetime with a format that is no text")
            return exp.func("strptime", node.this, exp.Literal.string(strptime_of(form.name)))
        case exp.RegexpExtract() if not isinstance(node.parent, exp.Case):
            # Athena: NULL where nothing fits; DuckDB: an empty text.
            fits = exp.func("regexp_matches", node.this.copy(), node.expression.copy())
            group = node.args.get("group") or exp.Literal.number(0)
            taken = exp.Anonymous(
                this="regexp_extract",
                expressions=[node.this.copy(), node.expression.copy(), group.copy()],
            )
            return exp.Case(ifs=[exp.If(this=fits, true=taken)])
        case _:
            return node


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a query reads a table.  ``where``: what it asks of partition columns, in
    DuckDB's words; empty: of all."""

    name: Name
    where: str


def uses_of(query: exp.Query, database: str, keys: dict[Name, tuple[str, ...]]) -> Iterator[Use]:
    """``keys``: partition columns of every table."""
    for table in _tables(query):
        name = name_of(table, database)
        if name in keys:
            select = table.find_ancestor(exp.Select)
            yield Use(name, " AND ".join(_conditions(select, table, keys[name])))


def _conditions(
    select: exp.Select | None, table: exp.Table, keys: tuple[str, ...]
) -> Iterator[str]:
    """Those that only speak of partition columns of a table that is read alone."""
    if select is None or select.args.get("joins") or not _is_read_by(select, table):
        return
    where = select.args.get("where")
    if where is None:
        return
    for each in _conjuncts(where.this):
        if _is_of_partitions(each, keys):
            yield _bare(each)


def _is_of_partitions(condition: exp.Expr, keys: tuple[str, ...]) -> bool:
    columns = list(condition.find_all(exp.Column))
    if not columns or condition.find(exp.Query) is not None:
        return False
    return all(column.name.lower() in keys for column in columns)


def _bare(condition: exp.Expr) -> str:
    """In DuckDB's words, without the names of tables."""
    bare = condition.copy()
    for column in bare.find_all(exp.Column):
        column.set("table", None)
        column.set("db", None)
    return f"({bare.transform(_otherwise).sql(dialect='duckdb')})"


def _is_read_by(select: exp.Select, table: exp.Table) -> bool:
    return isinstance(table.parent, exp.From) and table.parent.parent is select


def _conjuncts(condition: exp.Expr) -> Iterable[exp.Expr]:
    return condition.flatten() if isinstance(condition, exp.And) else (condition,)
