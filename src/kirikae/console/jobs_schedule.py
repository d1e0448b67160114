"""``kirikae jobs scheduler``: one of any number of schedulers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kirikae.console.here import Answer, Here, would
from kirikae.console.jobs_common import (
    EMF,
    LEDGER,
    QUEUE,
    STATS,
    TELL,
    TOKEN,
    address_of,
    aws_here,
    ended_by_signals,
    ledger_of,
    log_lines,
    print_line,
    teller_of,
)
from kirikae.console.jobs_options import ANY_DIALECT, AWS
from kirikae.console.options import DRY, JSON, Number
from kirikae.model.crontab.fields import Dialect

if TYPE_CHECKING:
    from kirikae.jobs.job import Firing
    from kirikae.jobs.levels import Levels
    from kirikae.jobs.metrics import Figures
    from kirikae.jobs.notices import Teller
    from kirikae.jobs.scheduler import Counts, Scheduler
    from kirikae.jobs.tables import Jobs


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options, by their names."""

    crontab: str
    queue_named: str
    ledger_named: str
    token_file: str | None
    name: str | None
    dialect: str
    zone: str
    system: bool | None
    offset: float
    release: str
    take_unowned: bool
    ways: tuple[str, ...]
    stats: str | None
    emf: bool
    dry_run: bool


@click.command("scheduler")
@click.argument("crontab", type=click.Path())
@QUEUE
@LEDGER
@TOKEN
@click.option("--name", help="Name of the table (default: the file's); generated IDs begin so.")
@ANY_DIALECT
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="The zone that cron ran in.",
)
@click.option(
    "--system/--user",
    "system",
    default=None,
    help="With a column of users, or without.",
)
@click.option(
    "--offset",
    type=Number(0, 30),
    default=0.0,
    show_default=True,
    help="Seconds after the minute; 0, 1, 2 for several, so that the later ones send less.",
)
@click.option(
    "--release",
    default="",
    help="Run @reboot entries once for this release.",
)
@click.option(
    "--take-unowned",
    is_flag=True,
    help="Jobs that nobody owns become the new side's.",
)
@TELL
@STATS
@EMF
@DRY
@JSON
@click.pass_obj
def schedule(here: Here, /, **given: Any) -> Answer:
    """Admit each due firing of CRONTAB once to the ledger, and send it to the queue.

    Any number of them may run at once. Jobs of the old side are written down and not sent.
    """
    asked = _Asked(**given)
    crontab = asked.crontab
    name = asked.name or Path(crontab).name
    load = loader(crontab, name, asked.dialect, asked.system, asked.zone)
    if asked.dry_run:
        found = load()
        count = 0 if found is None else len(found.timed)
        return would([f"would schedule {count} jobs of {crontab} through {asked.queue_named}"])
    here.assert_may_change("jobs scheduler")
    from kirikae.aws.sqs import queue_named
    from kirikae.jobs.job import Owner
    from kirikae.jobs.levels import Levels
    from kirikae.jobs.scheduler import Clocks, Scheduler, asked_anew

    log_lines()
    teller = teller_of(asked.ways)
    aws = aws_here()
    ledger = ledger_of(asked.ledger_named, asked.token_file, aws)
    queue = queue_named(aws, asked.queue_named)
    scheduler = Scheduler(
        load,
        ledger,
        queue,
        Clocks(skews=(asked_anew(aws.skew_s, queue.waiting),)),
        lambda says, firing: _tell(teller, scheduler.jobs, says, firing),
        asked.offset,
        asked.release,
    )
    if asked.take_unowned:
        ledger.own(scheduler.jobs.ids, Owner.NEW, only_new=True)
    _until_stopped(scheduler, Levels(ledger, queue), asked.stats, asked.emf)
    return Answer({"counts": scheduler.counts.to_plain()}, ("stopped",))


def _until_stopped(scheduler: Scheduler, levels: Levels, stats: str | None, emf: bool) -> None:
    """``stats``: where figures are answered; ``emf``: they are printed each minute."""
    from kirikae.jobs.metrics import each_minute

    counts = scheduler.counts

    def figures() -> dict[str, float]:
        return {**counts.to_plain(), **levels.figures()}

    with ExitStack() as stack:
        if stats is not None:
            stack.callback(_stats(counts, figures, stats))
        if emf:
            stack.callback(each_minute("scheduler", figures, print_line, time.time))
        print_line({"event": "scheduling", "jobs": counts.registered})
        scheduler.run(ended_by_signals())


def _stats(counts: Counts, figures: Callable[[], Figures], listen: str) -> Callable[[], None]:
    from kirikae.jobs.metrics import prometheus
    from kirikae.jobs.stats import Stats

    pages = {
        "/stats/metrics": counts.as_sqsjfr,
        "/metrics.json": figures,
        "/metrics": lambda: prometheus("scheduler", figures()),
    }
    return Stats(address_of(listen), pages).close


def loader(
    crontab: str, name: str, dialect: str, system: bool | None, zone: str
) -> Callable[[], Jobs | None]:
    """Reads the file; None where it has not changed since the last time."""
    from kirikae.jobs.aws_table import aws_jobs
    from kirikae.jobs.errors import NoTable
    from kirikae.jobs.files import read_text, table_of, zone_of
    from kirikae.jobs.tables import jobs_of
    from kirikae.jobs.wrapping import without_guards

    clock = zone_of(zone)
    known: list[str] = []

    def load() -> Jobs | None:
        text = read_text(crontab)
        if known == [text]:
            return None
        if dialect == AWS:
            expressed = aws_jobs(text, name, clock, crontab)
            known[:] = [text]
            return expressed
        plain, table = without_guards(
            text,
            crontab,
            lambda text: table_of(crontab, text, Dialect(dialect), system),
        )
        if table.ignored:
            lines = ", ".join(str(fault.line) for fault in table.faults)
            raise NoTable(
                f"{crontab}: cron ignores this file as a whole because of line {lines}; "
                "`kirikae jobs lint` says why"
            )
        found = jobs_of(
            table,
            plain,
            name,
            clock,
            crontab,
        )
        known[:] = [text]
        return found

    return load


def _tell(teller: Teller, jobs: Jobs, says: str, firing: Firing | None) -> None:
    """``says``: an event, of a firing; else what is wrong."""
    from kirikae.jobs.notices import Event, Notice
    from kirikae.jobs.watching import waits

    now = time.time()
    teller.look(now)
    if firing is None:
        print_line(
            {
                "event": "trouble",
                "says": says,
            }
        )
        return
    about = {
        "firing": firing.id,
        "state": str(firing.state),
        "reason": firing.reason,
    }
    print_line(
        {
            "event": says,
            **about,
        }
    )
    if says == Event.LATE:
        notice = waits(firing, now)
    else:
        notice = Notice(Event(says), firing.job, firing.id, firing.reason)
    job = jobs.get(firing.job)
    teller.tell(notice, () if job is None else job.notify, now)
