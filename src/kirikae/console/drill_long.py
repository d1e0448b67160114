"""``kirikae drill soak | overload | ceiling``: what only time shows, or too much load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import click

from kirikae.console.drill_load import (
    EXITS,
    Looking,
    figures_told,
    plain_of,
    speech_of,
    time_told,
    verdict_told,
)
from kirikae.console.drill_options import HTML, Asking, asking
from kirikae.console.drill_production import MEANS_PRODUCTION, assert_may_overload
from kirikae.console.drill_watch import around_of, watching
from kirikae.console.drill_written import Written, write_all
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, seconds
from kirikae.console.speech import Speech
from kirikae.drill import overload as over
from kirikae.drill import slo, symptoms
from kirikae.drill.columns import Record
from kirikae.drill.engine import attack
from kirikae.drill.plan import Plan, Stage, of_stages
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Outcome, judged
from kirikae.model.errors import Exit
from kirikae.model.finding import Finding
from kirikae.model.said import Said, said

_RATE = Number(min=0, min_open=True, max=over.MOST_RATE)
_SLO = click.option(
    "--slo", "limits", multiple=True, help="A limit, such as p99<300ms, errors<0.1%, lost==0."
)


@click.command("soak")
@click.argument("rate", type=_RATE)
@click.argument("lasts", callback=seconds)
@asking
@_SLO
@click.option("--warm-up", callback=seconds, default="30s", show_default=True)
@watching
@HTML
@DRY
@LANG
@JSON
@click.pass_obj
def soak(
    here: Here,
    /,
    rate: float,
    lasts: float,
    limits: tuple[str, ...],
    warm_up: float,
    html: Path | None,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Send RATE requests a second for LASTS (such as 2h) and look for what rises although the load
    does not: latency, requests in flight, memory (exit code 1: a limit is broken, 6: a finding, 5:
    no verdict)."""
    asked = Asking.of(options)
    targets = asked.targets()
    judge_by = [slo.read(limit) for limit in limits]
    plan = of_stages([Stage(rate, rate, lasts)])
    if dry_run:
        return _would(plan, targets)
    here.assert_may_change("drill soak")
    speech = speech_of(here, lang)
    around = around_of(here, options)
    record = attack(plan, targets, asked.settings, Looking(plan, speech).look)
    warm = min(warm_up, lasts / 4)
    outcome = judged(record, targets, judge_by, asked.slow_s, warm)
    found = [
        *symptoms.of_requests(record, warm, even=True),
        *symptoms.of_service(around(record)),
    ]
    wrote = _page(html, record, outcome, plan, found, speech)
    told = [*figures_told(outcome, plan), *verdict_told(outcome), *wrote.told()]
    return Answer(
        {**plain_of(outcome), "findings": [each.to_plain() for each in found], **wrote.to_plain()},
        [*(speech.say(each) for each in told), *findings_told(found, speech)],
        wrote.exit(_exit(EXITS[outcome.word], found)),
    )


def _page(
    html: Path | None,
    record: Record,
    outcome: Outcome,
    plan: Plan,
    found: Sequence[Finding],
    speech: Speech,
) -> Written:
    """If one was asked for."""
    if html is None:
        return Written()
    from kirikae.console.drill_page import page_of_load

    return write_all([(html, page_of_load(record, outcome, plan, speech, found))])


def _exit(verdict: Exit, found: Sequence[Finding]) -> Exit:
    """A broken limit is the graver word."""
    return Exit.FOUND if found and verdict is not Exit.REFUSED else verdict


def findings_told(found: Sequence[Finding], speech: Speech) -> Iterator[str]:
    """One line each."""
    for each in found:
        yield speech.finding(each)


def _would(plan: Plan, targets: Sequence[Target]) -> Answer:
    names = sorted({target.name for target in targets})
    told = f"{plan.requests} requests in {plan.seconds:g} s: {', '.join(names[:20])}"
    return would([told], {"requests": plan.requests, "seconds": plan.seconds})


@click.command("overload")
@click.argument("least", type=_RATE)
@click.argument("most", type=_RATE)
@asking
@click.option("--rises", callback=seconds, default="60s", show_default=True)
@click.option("--stays", callback=seconds, default="30s", show_default=True)
@click.option(
    "--falls", callback=seconds, default="60s", show_default=True, help="Watched so long."
)
@watching
@HTML
@MEANS_PRODUCTION
@DRY
@LANG
@JSON
@click.pass_obj
def overload(
    here: Here,
    /,
    least: float,
    most: float,
    rises: float,
    stays: float,
    falls: float,
    html: Path | None,
    means_production: bool,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Rise from LEAST to MOST requests a second, beyond what the service can do, and fall back:
    where it breaks, how, and whether it comes back (exit code 6: it does not, or a finding)."""
    asked = Asking.of(options)
    targets = asked.targets()
    shape = over.Shape(least, most, rises, stays, falls)
    plan = shape.plan
    if dry_run:
        return _would(plan, targets)
    here.assert_may_change("drill overload")
    assert_may_overload(here, targets, means_production)
    speech = speech_of(here, lang)
    around = around_of(here, options)
    record = attack(plan, targets, asked.settings, Looking(plan, speech).look)
    outcome = judged(record, targets, (), asked.slow_s)
    broke = over.overloaded(record, outcome.verdicts, shape)
    found = [
        *symptoms.not_back(broke.recovery_s, broke.bad_after),
        *symptoms.of_service(around(record)),
    ]
    wrote = _page(html, record, outcome, plan, found, speech)
    told = [
        *figures_told(outcome, plan),
        *outcome.doubts,
        *_broke_told(broke, shape),
        *wrote.told(),
    ]
    return Answer(
        {
            **plain_of(outcome),
            **_broke_plain(broke),
            "findings": [each.to_plain() for each in found],
            **wrote.to_plain(),
        },
        [*(speech.say(each) for each in told), *findings_told(found, speech)],
        wrote.exit(_exit(Exit.WAITING if outcome.doubts else Exit.DONE, found)),
    )


def _broke_plain(broke: over.Overloaded) -> dict[str, Any]:
    return {
        "knee_per_s": broke.knee,
        "recovery_s": broke.recovery_s,
        "bad_over": broke.bad_over,
        "bad_after": broke.bad_after,
    }


def _broke_told(broke: over.Overloaded, shape: over.Shape) -> Iterator[Said]:
    if broke.knee is None:
        yield said("drill.over.unbroken", rate=shape.most)
    else:
        yield said("drill.over.knee", rate=broke.knee, bad=broke.bad_over)
    if broke.recovery_s is None:
        yield said("drill.over.not_back")
    elif broke.bad_over or broke.bad_after:
        yield said("drill.over.back", seconds=broke.recovery_s)


@click.command("ceiling")
@click.argument("first", type=_RATE)
@asking
@click.option(
    "--slo",
    "limits",
    multiple=True,
    default=("p99<500ms", "errors<0.1%"),
    show_default=True,
    help="What must hold.",
)
@click.option("--each", callback=seconds, default="15s", show_default=True, help="Of one rate.")
@click.option("--repeats", type=click.IntRange(1, 9), default=3, show_default=True)
@click.option("--tasks", type=click.IntRange(min=1), help="Tasks that serve it, for a figure each.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the answer as JSON there.")
@MEANS_PRODUCTION
@DRY
@LANG
@JSON
@click.pass_obj
def ceiling(
    here: Here,
    /,
    first: float,
    limits: tuple[str, ...],
    each: float,
    repeats: int,
    tasks: int | None,
    out: Path | None,
    means_production: bool,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Find the highest rate at which the limits hold: double from FIRST until they do not, halve
    the gap, repeat, and take the middle one (exit code 5: the engine gave out first)."""
    asked = Asking.of(options)
    targets = asked.targets()
    judge_by = [slo.read(limit) for limit in limits]
    if dry_run:
        return would(
            [f"from {first:g}/s on, {each:g} s each rate, {repeats} times: {', '.join(limits)}"],
            {"first_per_s": first, "each_s": each, "repeats": repeats, "limits": list(limits)},
        )
    here.assert_may_change("drill ceiling")
    assert_may_overload(here, targets, means_production)
    speech = speech_of(here, lang)

    def attempt(rate: float) -> over.Tried:
        plan = of_stages([Stage(rate, rate, each)])
        record = attack(plan, targets, asked.settings)
        outcome = judged(record, targets, judge_by, asked.slow_s, min(2.0, each / 4))
        figures = outcome.figures
        tried = over.Tried(rate, outcome.word, figures.percentile(99), figures.rate)
        Looking(plan, speech).say(_tried_told(tried))
        return tried

    found = [over.ceiling(attempt, first) for _ in range(repeats)]
    chosen = over.middle_of(found)
    plain = _ceiling_plain(chosen, found, tasks, limits)
    wanted = [] if out is None else [(out, json.dumps(plain, indent=1) + "\n")]
    wrote = write_all(wanted)
    told = [
        *(_tried_told(tried) for tried in chosen.tried),
        *_ceiling_told(chosen, tasks),
        *wrote.told(),
    ]
    return Answer(
        {**plain, **wrote.to_plain()},
        [speech.say(line) for line in told],
        wrote.exit(Exit.DONE if chosen.bounded else Exit.WAITING),
    )


def _tried_told(tried: over.Tried) -> Said:
    word = said(f"drill.{tried.word}")
    return said("drill.over.tried", rate=tried.rate, word=word, p99=time_told(tried.p99_s))


def _ceiling_told(chosen: over.Ceiling, tasks: int | None) -> Iterator[Said]:
    key = "ceiling" if chosen.bounded else "at_least" if chosen.rate else "no_rate"
    yield said(f"drill.over.{key}", rate=chosen.rate)
    if tasks is not None:
        yield said("drill.over.by_task", rate=chosen.rate / tasks)


def _ceiling_plain(
    chosen: over.Ceiling,
    found: Sequence[over.Ceiling],
    tasks: int | None,
    limits: Sequence[str],
) -> Mapping[str, Any]:
    """Also the curve from rate to p99, in milliseconds."""
    return {
        "requests_per_s": chosen.rate,
        "requests_per_s_and_task": None if tasks is None else chosen.rate / tasks,
        "bounded": chosen.bounded,
        "limits": list(limits),
        "repeats": [each.rate for each in found],
        "curve": [
            {
                "rate": tried.rate,
                "verdict": tried.word,
                "p99_ms": tried.p99_s * 1000 if isfinite(tried.p99_s) else None,
                "right_answers_per_s": tried.reached,
            }
            for tried in sorted(chosen.tried, key=lambda each: each.rate)
        ],
    }
