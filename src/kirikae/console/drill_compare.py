"""``kirikae drill compare``: is the new side slower, or wrong more often, than the old one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import click

from kirikae.console.drill_load import EXITS, Looking, figures_told, plain_of, speech_of, time_told
from kirikae.console.drill_options import Asking, asking
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, seconds
from kirikae.drill.asking import host_of
from kirikae.drill.engine import attack
from kirikae.drill.paired import (
    Compared,
    Errors,
    Group,
    Margin,
    errors,
    groups,
    percentiles,
    unlike,
)
from kirikae.drill.plan import Plan
from kirikae.drill.plan import read as read_plan
from kirikae.drill.replay import at_all, part
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Outcome, judged
from kirikae.model.errors import UsageProblem
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
@click.option(
    "--split-by",
    "header",
    default="",
    metavar="HEADER",
    help="Compare by what this header of answers says, such as the CPU model they came from.",
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
    header: str,
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
    if hosts[0] == hosts[1]:
        raise UsageProblem(f"--old and --new are both {old}: one side is not compared with itself")
    own = read_plan(plan)
    named = [targets[number % len(targets)] for number in range(own.requests)]
    both, sent = at_all(own, named, hosts)
    if dry_run:
        return _would(both, targets)
    here.assert_may_change("drill compare")
    speech = speech_of(here, lang)
    margin = Margin(times, plus_ms / 1000, errors_percent / 100)
    warm = min(warm_up, own.seconds / 2)
    settings = replace(asked.settings, told_by=_assert_header(header))
    whole = attack(both, sent, settings, Looking(both, speech).look)
    records = [part(whole, number, len(hosts)) for number in range(len(hosts))]
    outcomes = [judged(each, named, (), asked.slow_s, warm) for each in records]
    verdicts = (outcomes[0].verdicts, outcomes[1].verdicts)
    found = [percentiles(records[0], records[1], verdicts, of, margin, warm) for of in _OF]
    split = tuple(groups(records[0], records[1], verdicts, _OF, margin, warm))
    wrong = errors(*verdicts, margin)
    word = _word(found, wrong, outcomes)
    told = [
        *_told(found, wrong, outcomes, own),
        *_split_told(header, split),
        said(f"drill.{word}"),
    ]
    return Answer(
        {**_plain(found, wrong, outcomes, word), "split": [_group_plain(each) for each in split]},
        [speech.say(each) for each in told],
        EXITS[word],
    )


def _assert_header(name: str) -> str:
    """Raises UsageProblem for what is no name of a header."""
    if name and not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
        raise UsageProblem(f"--split-by {name!r}: write a header's name, such as X-Cpu-Model")
    return name


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
        yield _percentile_told(each)
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


def _split_told(header: str, split: Sequence[Group]) -> Iterator[Said]:
    """Nothing where nobody asked.  Answers of unlike CPUs are unlike: the mix is not the code."""
    if split and not any(each.value for each in split):
        yield said("drill.compare.no_header", header=header)
        return
    for each in split:
        value: object = each.value or said("drill.compare.not_told")
        against = said(f"drill.compare.{'like' if each.like else 'all'}")
        yield said(
            "drill.compare.group",
            header=header,
            value=value,
            requests=each.requests,
            against=against,
        )
        for one in each.found:
            yield _percentile_told(one)
    if apart := unlike(split):
        slow, quick, times = apart
        yield said("drill.compare.apart", slow=slow, quick=quick, times=times)


def _percentile_told(each: Compared) -> Said:
    return said(
        "drill.compare.percentile",
        of=f"{each.of:g}",
        old=time_told(each.old),
        new=time_told(each.new),
        low=time_told(each.low),
        high=time_told(each.high),
        word=said(f"drill.compare.{each.word}"),
    )


def _group_plain(each: Group) -> dict[str, Any]:
    return {
        "value": each.value or None,
        "requests": each.requests,
        "against": "like" if each.like else "all",
        "percentiles": [_percentile_plain(one) for one in each.found],
    }


def _percentile_plain(each: Compared) -> dict[str, Any]:
    return {
        "of": each.of,
        "old_ms": each.old * 1000,
        "new_ms": each.new * 1000,
        "difference_ms": [each.low * 1000, each.high * 1000],
        "verdict": each.word,
    }


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
        "percentiles": [_percentile_plain(each) for each in found],
        "errors": {
            "old": wrong.old,
            "new": wrong.new,
            "difference_at_most": wrong.high,
            "requests_needed": wrong.needed,
            "verdict": wrong.word,
        },
    }
