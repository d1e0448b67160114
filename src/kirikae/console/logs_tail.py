"""``kirikae logs tail``: lines as they come."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import click

from kirikae.console.here import Answer, Here, to_json
from kirikae.console.jobs_common import ended_by_signals
from kirikae.console.logs_sources import (
    EVERY,
    FOR,
    GROUPS,
    SINCE,
    WHERE,
    assert_one,
    aws_at_hand,
    group_source,
    patiently,
    project_at_hand,
    rounds,
    tree_source,
)
from kirikae.console.options import STREAM
from kirikae.logs.alerts import Heard, Seen
from kirikae.logs.listening import Ear, Source
from kirikae.model.shown import clean

_OVERLAP_S = 60.0


@click.command("tail")
@WHERE
@GROUPS
@click.option(
    "--keyword",
    "keywords",
    multiple=True,
    metavar="WORD",
    help="Only lines with this in them (again for one of several).",
)
@SINCE
@FOR
@EVERY
@STREAM
@click.pass_obj
def tail(
    here: Here,
    move: str | None,
    groups: tuple[str, ...],
    keywords: tuple[str, ...],
    since: float,
    for_s: float | None,
    every_s: float,
    as_json: bool,
) -> Answer:
    """Show lines as they come, of log groups or of the new tree of MOVE.

    All of them, also where many come: it asks FilterLogEvents, not the live tail that samples. A
    tree shows what was written into it since then.
    """
    assert_one(move, groups)
    stopped = ended_by_signals()
    begun = time.time()
    ear = Ear(
        _source(here, move, groups),
        lambda line: not keywords or any(word in line for word in keywords),
        Seen(_OVERLAP_S, begun),
        begun - since,
    )
    shown = _Shown(ear, as_json)
    for now in rounds(for_s, every_s, stopped.wait):
        patiently(partial(shown.look, now), _told)
    return Answer({"lines": shown.count}, silent=not as_json)


@dataclass
class _Shown:
    ear: Ear
    as_json: bool
    count: int = 0

    def look(self, now: float) -> None:
        for heard in self.ear.fresh(now):
            self.count += 1
            _show(heard, self.as_json)
        self.ear.seen.asked(now)


def _source(
    here: Here,
    move: str | None,
    groups: tuple[str, ...],
) -> Source:
    if move is not None:
        return tree_source(here, move)
    aws = aws_at_hand(here, project_at_hand(here))
    return group_source(aws, groups, context=False)


def _show(heard: Heard, as_json: bool) -> None:
    if as_json:
        plain = {"at": heard.at, "source": heard.source, "line": heard.line}
        click.echo(to_json(plain))
        return
    when = datetime.fromtimestamp(heard.at, UTC)
    click.echo(f"{when:%H:%M:%SZ} {clean(heard.source)}  {clean(heard.line)}")
    sys.stdout.flush()


def _told(line: str) -> None:
    click.echo(line, err=True)
