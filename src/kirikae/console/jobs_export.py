"""``kirikae jobs export``: a crontab as schedules of AWS, with what is refused and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.jobs_options import DIALECT, FILE, NAME, SYSTEM, ZONE, live, speech_of
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.jobs.conversion import Export, Wish
from kirikae.jobs.conversion import export as exported
from kirikae.jobs.files import zone_of
from kirikae.jobs.replica import Replica, created
from kirikae.jobs.tables import jobs_of
from kirikae.model.crontab.aws import Service
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import Words, said


@click.command("export")
@FILE
@click.option(
    "--target",
    type=click.Choice([str(each) for each in Service]),
    required=True,
    help="EventBridge Scheduler (a zone for each schedule), or rules of an event bus (UTC).",
)
@click.option(
    "--worker",
    is_flag=True,
    help="kirikae's worker runs the commands.",
)
@click.option(
    "--queue",
    help="ARN of the jobs' FIFO queue: schedules become one more scheduler before the same ledger "
    "(with --target scheduler); --json has CreateSchedule's parameters.",
)
@click.option("--role", help="With --queue: ARN of the role that may send to it.")
@NAME
@DIALECT
@ZONE
@SYSTEM
@LANG
@JSON
@click.pass_obj
def export(
    here: Here,
    file: str,
    target: str,
    worker: bool,
    queue: str | None,
    role: str | None,
    name: str | None,
    dialect: str,
    zone: str,
    system: bool | None,
    lang: str | None,
) -> Answer:
    """The jobs of the crontab FILE as schedule expressions of AWS (exit code 6: some are refused).

    It prints and changes nothing, so it has no --dry-run.  The minutes are exactly cron's, but for
    those that are told.
    """
    replica = _replica(target, queue, role)
    speech = speech_of(here, lang)
    crontab = live(file, dialect, system, speech)
    now = int(time.time() // 60)
    wish = Wish(Service(target), zone_of(zone), now, worker or replica is not None)
    found = exported(crontab.table.entries, wish)
    lines = [line for one in found for line in _lines(one, speech)]
    plain: dict[str, Any] = {
        "file": file,
        "target": target,
        "jobs": [_plain(one) for one in found],
    }
    if replica is not None:
        jobs = jobs_of(crontab.table, crontab.text, name or Path(file).name, wish.zone, file)
        plain["create"] = list(created(found, jobs, replica))
        lines.append(speech.say(said("jobs.export.replica", n=len(plain["create"]))))
    refused = any(one.refused is not None for one in found)
    return Answer(plain, lines, Exit.FOUND if refused else Exit.DONE)


def _replica(target: str, queue: str | None, role: str | None) -> Replica | None:
    """Raises UsageProblem."""
    if queue is None and role is None:
        return None
    if queue is None or role is None:
        raise UsageProblem("--queue and --role belong together")
    if target != str(Service.SCHEDULER):
        raise UsageProblem(
            "--queue needs --target scheduler: a rule does not tell its target for which minute it "
            "fires, only when its event was made, and knows no zone"
        )
    return Replica(queue, role)


def _lines(one: Export, speech: Speech) -> Iterator[str]:
    when = said(
        "jobs.export.line",
        line=one.entry.line,
        when=one.entry.when,
    )
    yield f"{speech.say(when)}  {one.entry.command}"
    if one.refused is not None:
        yield "    " + speech.say(said("jobs.export.refused", why=one.refused))
    for expression in one.expressions:
        yield f"    {expression}" + (f"  {one.zone}" if one.zone else "")
    for warning in one.warnings:
        yield "    " + speech.say(warning)
    if one.until is not None:
        yield "    " + speech.say(said("jobs.export.until", year=one.until))


def _plain(one: Export) -> dict[str, Any]:
    """``schedules``: with the names that EventBridge Scheduler and rules have for them."""
    english = Words.of("kirikae.jobs")
    schedules = []
    for expression in one.expressions:
        schedule = {"ScheduleExpression": expression}
        if one.zone is not None:
            schedule["ScheduleExpressionTimezone"] = one.zone
        schedules.append(schedule)
    return {
        "line": one.entry.line,
        "when": one.entry.when,
        "command": one.entry.command,
        "schedules": schedules,
        "until": one.until,
        "warnings": [
            {
                "says": each.to_plain(),
                "sentence": english.say(each),
            }
            for each in one.warnings
        ],
        "refused": None
        if one.refused is None
        else {
            "says": one.refused.to_plain(),
            "sentence": english.say(one.refused),
        },
    }
