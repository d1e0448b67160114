"""``kirikae drill replay``: an access log asked again at its own pace, at both sides at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from kirikae.console.drill_asked import FORM, ORIGIN, TIME_LABEL, Log, read_log
from kirikae.console.drill_load import (
    EXITS,
    Looking,
    figures_told,
    plain_of,
    speech_of,
    verdict_told,
)
from kirikae.console.drill_options import slow_of
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, seconds
from kirikae.drill import slo
from kirikae.drill.asking import Host, harmless, host_of, route_of
from kirikae.drill.columns import Record
from kirikae.drill.engine import Settings, attack
from kirikae.drill.plan import Plan
from kirikae.drill.replay import at_all, paced, part
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Outcome, judged
from kirikae.model.errors import UsageProblem
from kirikae.model.said import Said, said


@click.command("replay")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--new", required=True, help="The new side, such as http://10.0.1.9:8080.")
@click.option("--old", help="The old side, asked the same at the same moments.")
@FORM
@TIME_LABEL
@ORIGIN
@click.option("--speed", type=Number(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--slo", "limits", multiple=True, help="A limit of the new side: p99<300ms.")
@click.option("--slow", help="Answers later than this are slow, such as 500ms.")
@click.option(
    "--allow-unsafe", multiple=True, metavar="PATH", help="Also ask what is no GET or HEAD here."
)
@click.option("--timeout", callback=seconds, default="30s", show_default=True)
@click.option("--processes", type=click.IntRange(1, 64), help="Default: one for each core but one.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@DRY
@LANG
@JSON
@click.pass_obj
def replay(
    here: Here,
    log: Path,
    new: str,
    old: str | None,
    form: str,
    time_label: str,
    origin: str | None,
    speed: float,
    limits: tuple[str, ...],
    slow: str | None,
    allow_unsafe: tuple[str, ...],
    timeout: float,
    processes: int | None,
    insecure: bool,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Send the requests of the access log LOG again, in the times between its lines (exit code 1:
    a limit is broken, 5: no verdict).

    An answer is right if its status is the one in the log.
    """
    hosts = _hosts(new, old)
    judge_by = [slo.read(limit) for limit in limits]
    slow_s = slow_of(slow)
    found = read_log(log, form, origin or old or new, time_label)
    plan, targets, left_out = _paced(found, allow_unsafe, speed)
    both, sent = at_all(plan, targets, list(hosts.values()))
    if dry_run:
        return _would(both, targets, hosts)
    here.assert_may_change("drill replay")
    speech = speech_of(here, lang)
    settings = _settings(processes, timeout, insecure)
    record = attack(both, sent, settings, Looking(both, speech).look)
    outcomes = {
        side: _judged(record, targets, number, len(hosts), judge_by, slow_s)
        for number, side in enumerate(hosts)
    }
    told = [*_left_out(found, left_out), *_told(outcomes, plan)]
    plain = {side: plain_of(outcome) for side, outcome in outcomes.items()}
    return Answer(
        {"left_out": left_out, "unread_lines": found.unread, **plain},
        [speech.say(each) for each in told],
        EXITS[outcomes["new"].word],
    )


def _hosts(new: str, old: str | None) -> dict[str, Host]:
    """Raises TargetsProblem."""
    hosts = {"new": host_of(new, "--new")}
    return hosts if old is None else {**hosts, "old": host_of(old, "--old")}


def _settings(processes: int | None, timeout_s: float, insecure: bool) -> Settings:
    return Settings(
        processes=processes or max(1, (os.cpu_count() or 1) - 1),
        timeout_s=timeout_s,
        insecure=insecure,
    )


def _paced(log: Log, allowed: Sequence[str], speed: float) -> tuple[Plan, list[Target], int]:
    """And how many may change something.  Raises UsageProblem."""
    lines = [
        replace(each, target=replace(each.target, route=route_of(each.target)))
        for each in log.lines
        if harmless(each.target, allowed)
    ]
    if not any(each.at is not None for each in lines):
        raise UsageProblem(
            "nothing to replay: no line has both a time and a request that only reads; "
            "see to --time-label, and to --allow-unsafe PATH"
        )
    plan, targets = paced(lines, speed)
    return plan, targets, len(log.lines) - len(lines)


def _judged(
    record: Record,
    targets: Sequence[Target],
    number: int,
    hosts: int,
    limits: Sequence[slo.Limit],
    slow_s: float | None,
) -> Outcome:
    """Limits are the new side's, which is the first."""
    return judged(part(record, number, hosts), targets, () if number else limits, slow_s)


def _would(plan: Plan, targets: Sequence[Target], hosts: dict[str, Host]) -> Answer:
    routes = len({target.name for target in targets})
    told = (
        f"{plan.requests} requests of {routes} routes in {plan.seconds:g} s to {', '.join(hosts)}"
    )
    return would([told], {"requests": plan.requests, "routes": routes, "seconds": plan.seconds})


def _told(outcomes: dict[str, Outcome], plan: Plan) -> Iterator[Said]:
    """The old side first, and the verdict, which is the new side's, last."""
    for side in reversed(outcomes):
        yield said(f"drill.replay.{side}")
        yield from figures_told(outcomes[side], plan)
    yield from verdict_told(outcomes["new"])


def _left_out(log: Log, left_out: int) -> Iterator[Said]:
    untimed = sum(each.at is None for each in log.lines)
    if left_out:
        yield said("drill.diff.left_out", requests=left_out)
    if log.unread:
        yield said("drill.diff.unread", lines=log.unread)
    if untimed:
        yield said("drill.replay.untimed", lines=untimed)
