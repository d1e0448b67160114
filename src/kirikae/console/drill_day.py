"""``kirikae drill day``: one fault after the other, and one page: what broke, what it cost, what to
change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from kirikae.console.drill_fault import Made, advice_of, choosing, make, meant, timed
from kirikae.console.drill_ground import Scene, scene
from kirikae.console.drill_load import EXITS, speech_of
from kirikae.console.drill_options import BASE, HTML, Asking, asking
from kirikae.console.drill_written import Written, write_all
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, seconds
from kirikae.console.speech import Speech
from kirikae.drill.errors import UndoFailed
from kirikae.drill.faults import FAULTS
from kirikae.drill.watching import Look, look_at, whole
from kirikae.model.errors import Exit, KirikaeError, Waiting
from kirikae.model.said import Said, said

_LOOK_S = 1.0
_LONGEST = 10
"""So many times --rest is waited where tasks and targets keep coming and going: a task that dies
and dies again moves for ever."""
Refused = tuple[str, "str | Said"]
"""A fault, and why it was not made."""


@click.command("day")
@click.option(
    "--fault",
    "names",
    multiple=True,
    type=click.Choice(list(FAULTS)),
    help="Which, in this order (default: every one that can be made here).",
)
@choosing
@asking
@BASE
@timed
@meant
@click.option(
    "--rest",
    callback=seconds,
    default="2m",
    show_default=True,
    help="Between two faults wait until all tasks and targets are there; so long nothing may move.",
)
@HTML
@DRY
@LANG
@JSON
@click.pass_obj
def day(
    here: Here,
    /,
    names: tuple[str, ...],
    rest: float,
    html: Path | None,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Make one fault after the other, each as `drill fault` does, and say on one page what broke,
    what it cost and what to change (exit code 1: something did not hold, 5: no verdict on one)."""
    found = scene(here, options["cluster"], options["service"])
    asked = Asking.of(options)
    targets = asked.targets(found.project.checks if found.project is not None else ())
    chosen = names or tuple(FAULTS)
    if dry_run:
        return would([f"one after the other: {', '.join(chosen)}"], {"faults": list(chosen)})
    here.assert_may_change("drill day")
    speech = speech_of(here, lang)
    made: list[Made] = []
    refused: list[Refused] = []
    for name in chosen:
        try:
            made.append(make(found, name, targets, asked, options, speech))
        except UndoFailed:
            raise  # the fault stands: nothing more may be broken
        except KirikaeError as error:
            refused.append((name, str(error)))
            if isinstance(error, Waiting):
                break
            continue
        if made[-1].ran.interrupted:
            break
        if not _rested(found, made[-1], rest):
            left = chosen[chosen.index(name) + 1 :]
            refused += [(each, said("drill.day.not_itself", fault=name)) for each in left]
            break
    return _answer(made, refused, html, speech)


def _answer(
    made: Sequence[Made],
    refused: Sequence[Refused],
    html: Path | None,
    speech: Speech,
) -> Answer:
    wrote = Written()
    if html is not None:
        from kirikae.console.drill_page import page_of_day

        wrote = write_all([(html, page_of_day(made, refused, speech))])
    told = [*_told(made, refused), *wrote.told()]
    return Answer(
        {
            "faults": [each.to_plain() for each in made],
            "refused": [
                {"fault": name, "why": why.to_plain() if isinstance(why, Said) else why}
                for name, why in refused
            ],
            **wrote.to_plain(),
        },
        [speech.say(each) for each in told],
        wrote.exit(_exit(made)),
    )


def _rested(found: Scene, made: Made, patience_s: float) -> bool:
    """Is the service as it was before the fault?  Waits for it as long as anything moves."""
    begun = time.monotonic()
    moved = begun
    before: Look | None = None
    while (now := time.monotonic()) < min(moved + patience_s, begun + _LONGEST * patience_s):
        seen = look_at(found.ground.aws, made.fleet, 0.0)
        if whole(seen, made.fleet):
            return True
        if seen != before:
            moved = now
            before = seen
        time.sleep(_LOOK_S)
    return False


def _told(made: Sequence[Made], refused: Sequence[Refused]) -> Iterator[Said]:
    for each in made:
        cost = each.cost
        recovery: object = said("drill.fault.not_within")
        if cost.recovery_s is not None:
            recovery = f"{cost.recovery_s:.1f} s"
        yield said(
            "drill.day.fault",
            fault=each.prepared.name,
            word=said(f"drill.{cost.word}"),
            lost=cost.lost,
            bad=cost.bad,
            recovery=recovery,
        )
        for doubt in cost.doubts:
            yield said("drill.day.doubt", why=doubt)
        for what in advice_of(each):
            yield said("drill.advice.change", what=what)
    for name, why in refused:
        yield said("drill.day.refused", fault=name, why=why)


def _exit(made: Sequence[Made]) -> Exit:
    """The gravest word; without a hypothesis only figures are told."""
    words = {each.cost.word for each in made if each.cost.checked or each.cost.doubts}
    for word in ("fail", "unsure"):
        if word in words:
            return EXITS[word]
    return Exit.DONE if made else Exit.REFUSED
