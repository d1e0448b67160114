"""``kirikae logs compact`` and ``convert``: another tree of the same folders, with a proof."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import click

from kirikae.console.context import open_store
from kirikae.console.here import Answer, Here, would
from kirikae.console.logs_common import MOVE, LogsDesk, desk_of, speech_of
from kirikae.console.options import DRY, JSON, LANG, Number
from kirikae.console.speech import Speech
from kirikae.logs.carrier import Carrier
from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.derived import MEGABYTE, Derive, Fate, Result
from kirikae.logs.errors import LogsNotReady, NoLayout
from kirikae.logs.formats import header_length
from kirikae.logs.layout import OURS, Layout
from kirikae.logs.makers import Compact, Json, Parquet
from kirikae.logs.manifest import Manifest
from kirikae.logs.records import Records, columns_of
from kirikae.logs.tables import Table, projection, records_table
from kirikae.logs.trees import S3, Door
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.move import Phase
from kirikae.model.objects import Objects
from kirikae.model.said import Said, said, text
from kirikae.move.errors import UnknownMove
from kirikae.move.journal import Journal

AT = click.option(
    "--at",
    metavar="TREE",
    required=True,
    help="Where the other tree is to be: s3://BUCKET/PREFIX/ or a folder.",
)
FOLDERS = click.option(
    "--folder",
    "folders",
    multiple=True,
    help="Only this folder of the new tree, such as 2026/11/26/22/.",
)
SIZE = click.option(
    "--size",
    type=Number(min=1, max=100_000),
    default=256,
    show_default=True,
    help="Megabytes of plain lines in one object, about.",
)
_COLUMNS = f"{OURS}columns.json"
_SETTLED = (Phase.SETTLED, Phase.RETIRED)
_BAD = (Fate.STALE, Fate.DIFFERS, Fate.UNREADABLE)


@click.command("compact")
@MOVE
@AT
@FOLDERS
@SIZE
@DRY
@LANG
@JSON
@click.pass_obj
def compact(
    here: Here,
    move: str,
    at: str,
    folders: tuple[str, ...],
    size: float,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Make another tree of the new one of MOVE, with the same lines in fewer objects.

    After the move is settled; only of folders that are proven. What was made is read again, and a
    proof lies beside it. Nothing is overwritten or deleted: point the table to the new place, then
    let a rule of lifecycle expire the former one.
    """
    desk = desk_of(here, move)
    headed = desk.carrier().trees.reader().format.headed
    return _run(desk, at, folders, size, Compact(headed), dry_run, speech_of(here, lang))


@click.command("convert")
@MOVE
@click.option("--to", "form", type=click.Choice(["parquet", "json"]), required=True)
@AT
@FOLDERS
@SIZE
@DRY
@LANG
@JSON
@click.pass_obj
def convert(
    here: Here,
    move: str,
    form: str,
    at: str,
    folders: tuple[str, ...],
    size: float,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Make another tree of the new one of MOVE, with each line as a record: Parquet, or JSON.

    Never the same step as the move: only after it is settled, of folders that are proven. A line
    that cannot be read is kept as it is (`unparsed`). Records are counted and hashed on both sides,
    those that were made after they were read again.
    """
    desk = desk_of(here, move)
    records = _records(desk, at)
    maker = Parquet(records) if form == "parquet" else Json(records)
    return _run(desk, at, folders, size, maker, dry_run, speech_of(here, lang))


def _run(
    desk: LogsDesk,
    at: str,
    folders: tuple[str, ...],
    size: float,
    maker: Compact | Json | Parquet,
    dry_run: bool,
    speech: Speech,
) -> Answer:
    manifest = desk.manifest(must_be_there=True)
    carrier = desk.carrier()
    target = _target(desk, at, carrier)
    wanted = list(_proven(manifest, folders, carrier))
    if dry_run:
        plain = {"folders": wanted, "to": target.url, "made": maker.name}
        told = said("logs.derive.would", folders=len(wanted), to=target.url)
        return would([speech.say(told)], plain)
    desk.here.assert_may_change(f"logs {maker.name}")
    _assert_settled(desk)
    headed = carrier.trees.reader().format.headed
    derive = Derive(carrier.new, target, maker, int(size * MEGABYTE), headed)
    with manifest.owned():
        _keep_columns(target, maker)
        results = [derive.folder(label) for label in wanted]
    return _answer(results, _sql(desk, target, maker, carrier, wanted), speech)


def _assert_settled(desk: LogsDesk) -> None:
    """Raises LogsNotReady."""
    store = open_store(desk.here, desk.project)
    journal = Journal(store, desk.project.environment, desk.project.service, "", "")
    try:
        phase = journal.read(desk.name).phase
    except UnknownMove:
        phase = None
    if phase not in _SETTLED:
        raise LogsNotReady(
            f"{desk.name} is {phase or 'not planned'}: lines are given another form only after the "
            f"move is settled (`kirikae move settle {desk.name}`), never in the same step"
        )


def _target(
    desk: LogsDesk,
    at: str,
    carrier: Carrier,
) -> Objects:
    """Raises UsageProblem for a place that one of the trees is in already."""
    slashed = at if at.endswith("/") else f"{at}/"
    if slashed.startswith(S3) is not desk.place.new.in_s3:
        raise UsageProblem("--at: both trees lie in buckets, or both in folders of this machine")
    url = slashed if slashed.startswith(S3) else str(desk.here.folder / slashed) + "/"
    for tree in (carrier.old.url, carrier.new.url):
        if url.startswith(tree) or tree.startswith(url):
            raise UsageProblem(f"--at {at}: {tree} is a tree of this move; name another place")
    return Door(url, desk.project.region, desk.project.account, desk.here.read_only).open(desk.aws)


def _proven(
    manifest: Manifest,
    folders: tuple[str, ...],
    carrier: Carrier,
) -> Iterator[str]:
    """In order.  Raises UsageProblem for one that was named and is not."""
    judged = manifest.judged()
    for label in folders:
        if label not in judged or judged[label].verdict != Verdict.PASS:
            raise UsageProblem(
                f"--folder {label}: it is not proven; `kirikae logs verify MOVE` does that"
            )
    for label, each in judged.items():
        dated = carrier.trees.new.label_span(label) is not None
        if each.verdict == Verdict.PASS and dated and (not folders or label in folders):
            yield label


def _records(desk: LogsDesk, at: str) -> Records:
    """Columns are those of a first look; a tree that was begun keeps its own."""
    carrier = desk.carrier()
    reader = carrier.trees.reader()
    target = _target(desk, at, carrier)
    there = target.look(_COLUMNS)
    if there is not None:
        columns = tuple(_loaded(b"".join(target.read(there)), target.url + _COLUMNS))
    else:
        columns = columns_of(reader.format.name, _some_lines(carrier))
    return Records(reader.format, reader.clock, columns)


def _loaded(raw: bytes, where: str) -> list[str]:
    try:
        found = json.loads(raw)
        return [str(name) for name in found["columns"]]
    except (ValueError, LookupError, TypeError) as error:
        raise NoLayout(
            f"{where} cannot be read ({error}); take it away, or name another --at"
        ) from error


def _keep_columns(target: Objects, maker: Compact | Json | Parquet) -> None:
    """The next run makes the same ones."""
    if not isinstance(maker, Compact) and target.look(_COLUMNS) is None:
        text = json.dumps({"columns": list(maker.records.columns)})
        target.create(_COLUMNS, io.BytesIO(text.encode()))


def _some_lines(carrier: Carrier) -> Iterator[bytes]:
    """The beginning of some objects from all over the tree."""
    listed = [each for each in carrier.new.list() if not each.key.startswith("_")]
    for each in listed[:: max(1, len(listed) // 8)]:
        for block in Blocks(inflated(carrier.new.read(each))):
            yield from block[header_length(block) :].split(b"\n")[:250]
            break


def _sql(
    desk: LogsDesk,
    target: Objects,
    maker: Compact | Json | Parquet,
    carrier: Carrier,
    labels: list[str],
) -> str:
    """The table over what was made."""
    if not labels:
        return ""
    readers = desk.settings.readers
    layout: Layout = replace(carrier.trees.new, writes="event")
    table = Table(readers.database, f"{readers.new}_{maker.name}", target.url, layout)
    if isinstance(maker, Compact):
        return projection(table, labels[0], desk.now)
    return records_table(
        table,
        maker.records.columns,
        labels[0],
        desk.now,
        maker.name,
    )


def _answer(
    results: Iterable[Result],
    sql: str,
    speech: Speech,
) -> Answer:
    found = list(results)
    counts = Counter(str(each.fate) for each in found)
    bad = [each for each in found if each.fate in _BAD]
    told = [said(f"logs.derive.{each.fate}", folder=each.label, why=text(each.why)) for each in bad]
    made = [each for each in found if each.fate is Fate.MADE]
    told.append(_total(made, counts[Fate.UNCHANGED]))
    lines = [*map(speech.say, told), *sql.splitlines()]
    plain: dict[str, Any] = {
        "fates": dict(sorted(counts.items())),
        "folders": [each.to_plain() for each in found],
        "sql": sql,
    }
    return Answer(plain, lines, Exit.FOUND if bad else Exit.DONE)


def _total(made: list[Result], unchanged: int) -> Said:
    return said(
        "logs.derive.made",
        folders=len(made),
        before=sum(each.objects[0] for each in made),
        after=sum(each.objects[1] for each in made),
        lines=sum(each.sums.lines for each in made if each.sums is not None),
        unparsed=sum(each.unparsed for each in made),
        unchanged=unchanged,
    )
