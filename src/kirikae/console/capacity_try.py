"""``kirikae capacity simulate | tune | nat``: rules on a trace of load, and money."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kirikae.capacity import cost
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.simulate import Change, Run
from kirikae.capacity.simulate import simulate as simulated
from kirikae.capacity.trace import Trace
from kirikae.capacity.trace import read as read_trace
from kirikae.capacity.tune import Tried, split
from kirikae.capacity.tune import tune as tuned
from kirikae.capacity.writing import text_of, write
from kirikae.console.here import Answer, Here
from kirikae.console.options import DRY, JSON, LANG, Number
from kirikae.console.progress import Progress
from kirikae.console.speech import Speech
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import Said, said, words_of
from kirikae.model.scaling import PUBLISHED_AFTER_S

FILE = click.argument("file", type=click.Path(path_type=Path), default=Path("capacity.yml"))
TRACE = click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path),
    required=True,
    help="Requests over time, a CSV file: `kirikae capacity trace` writes one.",
)
_SHOWN = 20


def speech_of(here: Here, lang: str | None) -> Speech:
    """With the words of the room ``capacity``."""
    common = Speech(here.language(lang))
    return Speech(common.language, words=common.words.plus(words_of("kirikae.capacity")))


@click.command("simulate")
@FILE
@TRACE
@LANG
@JSON
@click.pass_obj
def simulate(here: Here, file: Path, trace_file: Path, lang: str | None) -> Answer:
    """Run the rules of FILE (capacity.yml) through a trace: slow requests, tasks, money (exit code
    6: more than the limit allows)."""
    rules = read_rules(file)
    trace = read_trace(trace_file)
    run = simulated(
        (trace,),
        rules.one_task(),
        rules.rules(trace.begins),
        rules.limit_ms / 1000,
        rules.tasks.base if rules.tasks.spot else 0,
    )
    band = cost.of_run(run, _hour(rules), rules.tasks.spot)[0][0]
    speech = speech_of(here, lang)
    told = [*_told(rules, trace, run, band), *_changes(trace, run.log)]
    over = float(run.bad[0]) > rules.bad_percent / 100
    return Answer(
        _plain(rules, trace, run, band),
        [speech.say(each) for each in (*told, *_beware(rules, run))],
        Exit.FOUND if over else Exit.DONE,
    )


def _hour(rules: CapacityFile) -> cost.Price:
    return cost.task_hour(rules.region, rules.task.cpu, rules.task.memory)


def _told(rules: CapacityFile, trace: Trace, run: Run, band: cost.Band) -> Iterator[Said]:
    yield said(
        "capacity.simulated",
        days=trace.minutes / 1440,
        requests=float(trace.rates.sum() * 60),
        peak=float(trace.rates.max()),
        filled=trace.filled,
    )
    yield said(
        "capacity.bad",
        bad=float(run.bad[0]),
        limit_ms=rules.limit_ms,
        allowed=rules.bad_percent,
    )
    yield said("capacity.lost", lost=float(run.lost[0]))
    yield said(
        "capacity.tasks",
        mean=float(run.task_s[0]) / (trace.minutes * 60),
        most=float(run.most_tasks[0]),
        changes=int(run.changes[0]),
    )
    key = "capacity.costs" if rules.tasks.spot else "capacity.costs_plain"
    yield said(key, least=band.least, most=band.most, seen=band.seen)


def _changes(trace: Trace, log: tuple[Change, ...]) -> Iterator[Said]:
    for change in log[:_SHOWN]:
        yield said(
            "capacity.change",
            at=_when(trace.begins + change.at),
            former=change.former,
            desired=change.desired,
            by=change.by or said("capacity.schedule"),
        )
    if len(log) > _SHOWN:
        yield said("capacity.more", n=len(log) - _SHOWN)


def _beware(rules: CapacityFile, run: Run) -> Iterator[Said]:
    if any(change.desired >= rules.tasks.max for change in run.log):
        yield said("capacity.at_most", most=rules.tasks.max)
    slow = 3 * 60 + PUBLISHED_AFTER_S[60]
    fast = 3 * 20 + PUBLISHED_AFTER_S[20]
    if not any(policy.metric == "cpu_20s" for policy in rules.policies):
        yield said("capacity.floor", slow=slow, fast=fast, start=rules.task.start_s)
    yield said(
        "capacity.assumed",
        slow=PUBLISHED_AFTER_S[60],
        fast=PUBLISHED_AFTER_S[20],
    )


def _when(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")


def _plain(rules: CapacityFile, trace: Trace, run: Run, band: cost.Band) -> dict[str, Any]:
    return {
        "minutes": trace.minutes,
        "filled_minutes": trace.filled,
        "bad_share": float(run.bad[0]),
        "lost_share": float(run.lost[0]),
        "limit_share": rules.bad_percent / 100,
        "task_hours": float(run.task_s[0]) / 3600,
        "most_tasks": int(run.most_tasks[0]),
        "usd": {"least": band.least, "most": band.most, "prices_seen": band.seen},
        "changes": [
            {
                "at": _when(trace.begins + change.at),
                "from": change.former,
                "to": change.desired,
                "by": change.by or None,
            }
            for change in run.log
        ],
        "tasks_by_minute": [int(tasks) for tasks in run.tasks],
    }


@click.command("tune")
@FILE
@TRACE
@click.option("--take", type=click.IntRange(1, 99), help="Write the rules found with this number.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True)
@DRY
@LANG
@JSON
@click.pass_obj
def tune(
    here: Here,
    file: Path,
    trace_file: Path,
    take: int | None,
    seed: int,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Search the numbers of FILE's rules (targets, floors, thresholds, hours) on a trace of two
    weeks or more, and judge them on the last one, which took no part in the search.

    It writes nothing without --take; the same seed finds the same rules (exit code 6: none of them
    holds the limit in that week).
    """
    rules = read_rules(file)
    weeks = split(read_trace(trace_file))
    speech = speech_of(here, lang)
    progress = Progress()

    def tell(done: int, of: int) -> None:
        progress.step(speech.say(said("capacity.tune.searching", done=done, of=of)))

    tried = tuned(rules, weeks, _hour(rules), seed, tell)
    lines = [speech.say(each) for each in _rows(rules, tried)]
    plain = {"tried": [_tried(each) for each in tried], "limit_share": rules.bad_percent / 100}
    if take is None:
        limit = rules.bad_percent / 100
        held = any(each.bad <= limit for each in tried[1:])
        return Answer(plain, lines, Exit.DONE if held else Exit.FOUND)
    if take >= len(tried):
        raise UsageProblem(f"--take {take}: {len(tried) - 1} were found; take one of those")
    text = text_of(tried[take].rules)
    if dry_run:
        return Answer({**plain, "would": [text]}, [*lines, text], outcome="dry run")
    here.assert_may_change("capacity tune --take")
    kept = write(file, text)
    lines.append(speech.say(said("capacity.tune.taken", file=str(file), kept=str(kept))))
    return Answer({**plain, "wrote": str(file), "kept": str(kept)}, lines)


def _rows(rules: CapacityFile, tried: list[Tried]) -> Iterator[Said]:
    yield said("capacity.tune.judged")
    for number, each in enumerate(tried):
        yield said(
            "capacity.tune.row",
            name=said("capacity.tune.found", n=number) if number else said("capacity.tune.own"),
            usd=each.usd,
            bad=each.bad,
            louder_bad=each.louder_bad,
            most=each.most_tasks,
            changes=each.changes,
        )
        if each.bad > rules.bad_percent / 100:
            yield said("capacity.tune.over", allowed=rules.bad_percent)
    if all(each.bad > rules.bad_percent / 100 for each in tried[1:]):
        yield said("capacity.tune.none", allowed=rules.bad_percent)
    yield said("capacity.tune.write")


def _tried(each: Tried) -> dict[str, Any]:
    return {
        "usd_a_week": each.usd,
        "bad_share": each.bad,
        "bad_share_at_1_3_times_the_load": each.louder_bad,
        "changes": each.changes,
        "most_tasks": each.most_tasks,
        "rules": each.rules.model_dump(by_alias=True, exclude_none=True),
    }


@click.command("nat")
@click.option("--gb", type=Number(0, 1e9), required=True, help="GB a month out of the network.")
@click.option("--zones", type=click.IntRange(1, 6), default=2, show_default=True)
@click.option("--region", default="ap-northeast-1", show_default=True)
@LANG
@JSON
@click.pass_obj
def nat(here: Here, gb: float, zones: int, region: str, lang: str | None) -> Answer:
    """NAT gateways against interface endpoints, in dollars a month."""
    found = cost.way_out(region, gb, zones)
    speech = speech_of(here, lang)
    saved = "saved" if found.saved_if_nat_goes >= 0 else "dearer"
    told = [
        said("capacity.nat.gateway"),
        said("capacity.nat.nat", zones=zones, gb=gb, usd=found.nat),
        said(
            "capacity.nat.endpoints",
            n=len(cost.ENDPOINTS),
            zones=zones,
            usd=found.endpoints,
        ),
        said(f"capacity.nat.{saved}", usd=abs(found.saved_if_nat_goes)),
        said("capacity.nat.stays", gb=found.break_even_gb),
        said("capacity.nat.prices", seen=found.seen),
    ]
    return Answer(
        {
            "nat_usd": found.nat,
            "endpoints_usd": found.endpoints,
            "saved_usd_if_nat_goes": found.saved_if_nat_goes,
            "break_even_gb_if_nat_stays": found.break_even_gb,
            "endpoints": list(cost.ENDPOINTS),
            "prices_seen": found.seen,
        },
        [speech.say(each) for each in told],
    )
