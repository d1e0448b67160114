"""``kirikae jobs history``, ``show`` and ``own``: what the ledger knows, and whose a job is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kirikae.console.here import Answer, Here, would
from kirikae.console.jobs_common import LEDGER, TOKEN, ledger_of
from kirikae.console.options import DRY, JSON
from kirikae.model.errors import Exit, UsageProblem

if TYPE_CHECKING:
    from kirikae.jobs.job import Firing, Run


def _time(seconds: float | None) -> str:
    if not seconds:
        return "-"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _line(firing: Firing) -> str:
    took = ""
    run = firing.last_run()
    if run is not None and run.ended is not None:
        took = f"{run.ended - (run.started or run.began):.1f} s"
    parts = [firing.id, f"{firing.state:<11}", f"{firing.side:<3}", f"attempt {firing.attempt}"]
    return "  ".join(filter(None, [*parts, took, firing.reason]))


@click.command("history")
@click.argument("job", required=False)
@LEDGER
@TOKEN
@click.option(
    "--most",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
)
@JSON
@click.pass_obj
def history(
    here: Here, job: str | None, ledger_named: str, token_file: str | None, most: int
) -> Answer:
    """Firings of JOB, or of all jobs, the newest first: also those that were missed or skipped."""
    found = ledger_of(ledger_named, token_file).history(job, most=most)
    lines = [_line(firing) for firing in found] or ["the ledger holds no such firing"]
    return Answer({"firings": [firing.to_plain() for firing in found]}, lines)


@click.command("show")
@click.argument("firing")
@LEDGER
@TOKEN
@JSON
@click.pass_obj
def show(here: Here, firing: str, ledger_named: str, token_file: str | None) -> Answer:
    """Everything about one FIRING (job@20260308T0700Z): each attempt, who ran it, how it ended."""
    from kirikae.jobs.job import read_firing_id

    try:
        job, due = read_firing_id(firing)
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    found = ledger_of(ledger_named, token_file).firing(job, due)
    if found is None:
        message = f"the ledger holds no {firing}; `kirikae jobs history {job}` shows what there is"
        return Answer(
            {"message": message},
            (),
            Exit.REFUSED,
            "",
            (message,),
        )
    return Answer(_plain(found), _lines(found))


def _plain(firing: Firing) -> dict[str, Any]:
    return {
        "firing": firing.id,
        **firing.to_plain(),
    }


def _lines(firing: Firing) -> list[str]:
    lines = [
        f"{firing.id}: {firing.state}, of the {firing.side} side",
        f"written down {_time(firing.created)}, sent {_time(firing.sent_at)}",
    ]
    if firing.reason:
        lines.append(firing.reason)
    for run in firing.runs:
        lines += _run_lines(run)
    return lines


def _run_lines(run: Run) -> list[str]:
    ended = "under way" if run.ended is None else f"ended {_time(run.ended)}"
    code = "" if run.exit_code is None else f", exit status {run.exit_code}"
    why = f", {run.reason}" if run.reason and run.reason not in code else ""
    lines = [
        f"attempt {run.attempt} (fence {run.fence}) by {run.holder}: "
        f"started {_time(run.started)}, {ended}{code}{why}"
    ]
    return lines + [f"  | {line}" for line in run.tail.splitlines()]


@click.command("own")
@click.argument("owner", type=click.Choice(["old", "new"]))
@click.argument(
    "jobs",
    nargs=-1,
    required=True,
)
@LEDGER
@TOKEN
@DRY
@JSON
@click.pass_obj
def own(
    here: Here,
    owner: str,
    jobs: tuple[str, ...],
    ledger_named: str,
    token_file: str | None,
    dry_run: bool,
) -> Answer:
    """Give JOBS to the OWNER (old or new); firings that are written down stay where they are."""
    if dry_run:
        return would([f"would give {job} to the {owner} side" for job in jobs])
    here.assert_may_change("jobs own")
    from kirikae.jobs.job import Owner

    ledger_of(ledger_named, token_file).own(list(jobs), Owner(owner))
    lines = [f"{job} is the {owner} side's" for job in jobs]
    return Answer(
        {
            "owner": owner,
            "jobs": list(jobs),
        },
        lines,
    )
