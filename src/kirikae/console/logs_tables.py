"""``kirikae logs tables``: what the query engine must be told."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, LogsDesk, desk_of
from kirikae.console.options import JSON
from kirikae.logs.errors import LogsNotReady
from kirikae.logs.layout import OURS
from kirikae.logs.tables import (
    Mapped,
    Table,
    map_statements,
    map_table,
    mapped,
    projection,
    view_sql,
)
from kirikae.logs.view import ViewFile
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.objects import Objects


@click.command("tables")
@MOVE
@click.option(
    "--projection",
    "wants",
    flag_value="projection",
    help="Tables over both trees.",
)
@click.option(
    "--map",
    "wants",
    flag_value="map",
    help="UTC hours over the old tree, uncopied.",
)
@click.option(
    "--map-back",
    "wants",
    flag_value="back",
    help="Old hours over the new tree.",
)
@click.option(
    "--view",
    "wants",
    flag_value="view",
    help="The view as it stands now.",
)
@JSON
@click.pass_obj
def tables(
    here: Here,
    move: str,
    wants: str | None,
) -> Answer:
    """Print SQL for Athena: tables over both trees, a map without a copy, or the view of MOVE.

    What cannot be mapped (a folder whose lines belong to several) is told: exit code 6.
    """
    if wants is None:
        raise UsageProblem("say which: --projection, --map, --map-back or --view")
    desk = desk_of(here, move)
    makers = {"projection": _projection, "view": _view}
    if wants in makers:
        text = makers[wants](desk)
        return Answer({"sql": text}, text.splitlines())
    return _map(desk, back=wants == "back")


def _both(desk: LogsDesk) -> tuple[Table, Table]:
    view = ViewFile(desk.settings, desk.here.folder).view(0, None)
    return view.old, view.new


def _folders(objects: Objects) -> list[str]:
    """That hold an object, in order."""
    keys = (listed.key for listed in objects.list())
    return sorted({key[: key.rfind("/") + 1] for key in keys if not key.startswith(OURS)})


def _projection(desk: LogsDesk) -> str:
    carrier = desk.carrier()
    parts = []
    for table, objects in zip(_both(desk), (carrier.old, carrier.new), strict=True):
        named = (each for each in _folders(objects) if table.layout.label_span(each))
        first = next(named, None)
        if first is None:
            raise LogsNotReady(f"{objects.url} has no folder yet to begin the table with")
        parts.append(projection(table, first, desk.now))
    return "\n".join(parts)


def _view(desk: LogsDesk) -> str:
    view = ViewFile(desk.settings, desk.here.folder)
    if view.file.exists():
        return view.file.read_text(encoding="utf-8")
    return view_sql(view.view(0, None))


def _map(desk: LogsDesk, back: bool) -> Answer:
    old, new = _both(desk)
    carrier = desk.carrier()
    of, by, objects = (new, old, carrier.new) if back else (old, new, carrier.old)
    found = list(mapped(of.layout, by.layout, _folders(objects)))
    rows = [each for each in found if isinstance(each, Mapped)]
    left = [each for each in found if isinstance(each, str)]
    named = Table(
        by.database,
        f"{by.name}_map",
        of.url,
        by.layout,
    )
    statements = [map_table(named), *map_statements(named, of.url, rows)]
    notes = list(_left(left))
    plain = {
        "sql": "\n".join(statements),
        "mapped": len(rows),
        "not_mapped": left,
    }
    lines = "\n".join(statements).splitlines()
    return Answer(
        plain,
        lines,
        Exit.FOUND if left else Exit.DONE,
        "",
        notes,
    )


def _left(folders: list[str]) -> Iterator[str]:
    for folder in folders:
        yield f"not mapped: {folder} holds lines of several folders, or of none that can be told"
