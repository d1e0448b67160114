"""``kirikae drill compare``: is the new side slower, or wrong more often, than the old one?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from kirikae.console.drill_load import EXITS, Looking, figures_told, plain_of, speech_of, time_told
from kirikae.console.drill_options import Asking, asking
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, seconds
from kirikae.drill.asking import host_of
from kirikae.drill.engine import attack
from kirikae.drill.paired import Compared, Errors, Margin, errors, percentiles
from kirikae.drill.plan import Plan
from kirikae.drill.plan import read as read_plan
from kirikae.drill.replay import at_all, part
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Outcome, judged
from kirikae.model.said import Said, said

_OF = (50.0, 95.0, 99.0)
_SHOWN = 20


@click.command("compare")
@click.argument("plan")
@click.option("--old", required=True, help="The old side, such as http://10.0.0.11.")
@click.option("--new", required=True, help="The new side, such as http://10.0.1.9:8080.")
@asking
@click.option(
    "--times",
    type=Number(min=1, max=100),
    default=1.10,
    show_default=True,
    help="p95 of the new side is at most so many times the old one's ...",
)
@click.option(
    "--plus-ms",
    type=Number(min=0, max=60_000),
    default=5.0,
    show_default=True,
    help="... and so many milliseconds more.",
)
@click.option(
    "--errors",
    "errors_percent",
    type=Number(min=0, min_open=True, max=50),
    default=0.5,
    show_default=True,
    metavar="PERCENT",
    help="Of its requests at most so many more are wrong or lost.",
)
@click.option("--warm-up", callback=seconds, default="2s", show_default=True)
@DRY
@LANG
@JSON
@click.pass_obj
def compare(
    here: Here,
    /,
    plan: str,
    old: str,
    new: str,
    times: float,
    plus_ms: float,
    errors_percent: float,
    warm_up: float,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Send the same requests at the same moments to both sides, and test that the new one is not
    slower and not wrong more often (exit code 1: it is, 5: not shown yet).

    --target names the service as users do, such as http://shop.example/cart: its host stands in the
    request, the sides' addresses are called.
    """
    asked = Asking.of(options)
    targets = asked.targets()
    hosts = [host_of(old, "--old"), host_of(new, "--new")]
    own = read_plan(plan)
    named = [targets[number % len(targets)] for number in range(own.requests)]
    both, sent = at_all(own, named, hosts)
    if dry_run:
        return _would(both, targets)
    here.assert_may_change("drill compare")
    speech = speech_of(here, lang)
    margin = Margin(times, plus_ms / 1000, errors_percent / 100)
    warm = min(warm_up, own.seconds / 2)
    whole = attack(both, sent, asked.settings, Looking(both, speech).look)
    records = [part(whole, number, len(hosts)) for number in range(len(hosts))]
    outcomes = [judged(each, named, (), asked.slow_s, warm) for each in records]
    verdicts = (outcomes[0].verdicts, outcomes[1].verdicts)
    found = [percentiles(records[0], records[1], verdicts, of, margin, warm) for of in _OF]
    wrong = errors(*verdicts, margin)
    word = _word(found, wrong, outcomes)
    told = [*_told(found, wrong, outcomes, own), said(f"drill.{word}")]
    return Answer(
        _plain(found, wrong, outcomes, word),
        [speech.say(each) for each in told],
        EXITS[word],
    )


def _would(both: Plan, targets: Sequence[Target]) -> Answer:
    routes = sorted({target.name for target in targets})
    told = f"{both.requests} requests in {both.seconds:g} s to both: {', '.join(routes[:_SHOWN])}"
    return would([told], {"requests": both.requests, "seconds": both.seconds})


def _word(found: Sequence[Compared], wrong: Errors, outcomes: Sequence[Outcome]) -> str:
    """p95 and the errors decide."""
    if any(outcome.doubts for outcome in outcomes):
        return "unsure"
    words = {wrong.word, *(each.word for each in found if each.of == 95)}
    for word in ("fail", "unsure"):
        if word in words:
            return word
    return "pass"


def _told(
    found: Sequence[Compared],
    wrong: Errors,
    outcomes: Sequence[Outcome],
    plan: Plan,
) -> Iterator[Said]:
    for side, outcome in zip(("old", "new"), outcomes, strict=True):
        yield said(f"drill.replay.{side}")
        yield from figures_told(outcome, plan)
    for each in found:
        yield said(
            "drill.compare.percentile",
            of=f"{each.of:g}",
            old=time_told(each.old),
            new=time_told(each.new),
            low=time_told(each.low),
            high=time_told(each.high),
            word=said(f"drill.compare.{each.word}"),
        )
    yield said(
        "drill.compare.errors",
        old=wrong.old,
        new=wrong.new,
        high=wrong.high,
        word=said(f"drill.compare.{wrong.word}"),
    )
    if wrong.word == "unsure":
        yield said("drill.compare.needed", needed=wrong.needed)
    for outcome in outcomes:
        yield from outcome.doubts


def _plain(
    found: Sequence[Compared],
    wrong: Errors,
    outcomes: Sequence[Outcome],
    word: str,
) -> dict[str, Any]:
    return {
        "verdict": word,
        "old": plain_of(outcomes[0]),
        "new": plain_of(outcomes[1]),
        "percentiles": [
            {
                "of": each.of,
                "old_ms": each.old * 1000,
                "new_ms": each.new * 1000,
                "difference_ms": [each.low * 1000, each.high * 1000],
                "verdict": each.word,
            }
            for each in found
        ],
        "errors": {
            "old": wrong.old,
            "new": wrong.new,
            "difference_at_most": wrong.high,
            "requests_needed": wrong.needed,
            "verdict": wrong.word,
        },
    }
