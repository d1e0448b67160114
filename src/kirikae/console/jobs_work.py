"""``kirikae jobs worker``: one of any number of workers, small enough for a user's container."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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
from kirikae.console.options import DRY, JSON, Number
from kirikae.model.errors import UsageProblem

_SHORTEST_PERIOD_S = 60.0

if TYPE_CHECKING:
    from kirikae.aws.light import LightAws
    from kirikae.jobs.job import State
    from kirikae.jobs.ledger import Ledger
    from kirikae.jobs.notices import Notice, Teller
    from kirikae.jobs.own_task import TaskRun, Tasks
    from kirikae.jobs.runner import Ended
    from kirikae.jobs.worker import Hands, Run, Settings, Starts, Worker


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options, by their names."""

    queue_named: str
    ledger_named: str
    token_file: str | None
    at_once: int
    stop_within: float
    lease: float
    passed: tuple[str, ...]
    cluster: str | None
    task_definition: str | None
    container: str
    subnets: tuple[str, ...]
    groups: tuple[str, ...]
    spot: bool
    mail_output: bool
    ways: tuple[str, ...]
    stats: str | None
    emf: bool
    dry_run: bool

    def settings(self) -> Settings:
        from kirikae.jobs.runner import PASSED
        from kirikae.jobs.worker import Settings

        passed = (*PASSED, *self.passed)
        return Settings(self.at_once, self.stop_within, self.lease, self.lease / 4, passed)


@click.command("worker")
@QUEUE
@LEDGER
@TOKEN
@click.option(
    "--at-once", type=click.IntRange(1, 1000), default=4, show_default=True, help="So many runs."
)
@click.option(
    "--stop-within",
    type=Number(1, 7200),
    default=30.0,
    show_default=True,
    help="Seconds between SIGTERM and SIGKILL here: stopTimeout of the task definition.",
)
@click.option(
    "--lease",
    type=Number(2, 3600),
    default=60.0,
    show_default=True,
    help="Seconds without a heartbeat after which a run counts as dead; four are sent in it.",
)
@click.option(
    "--pass",
    "passed",
    multiple=True,
    metavar="PATTERN",
    help="Variables of this container that commands get, too, such as 'DB_*'.",
)
@click.option("--cluster", help="Jobs with runs-in=own-task: the cluster of their tasks.")
@click.option("--task-definition", help="Family or ARN that those tasks are of.")
@click.option(
    "--container",
    default="job",
    show_default=True,
    help="Whose command is replaced.",
)
@click.option(
    "--subnet",
    "subnets",
    multiple=True,
    help="Of those tasks; may be repeated.",
)
@click.option(
    "--security-group",
    "groups",
    multiple=True,
    help="Of those tasks.",
)
@click.option(
    "--spot",
    is_flag=True,
    help="FARGATE_SPOT for jobs with on-crash=rerun.",
)
@click.option(
    "--mail-output",
    is_flag=True,
    help="Mail what a job wrote to its MAILTO, as cron does, by /usr/sbin/sendmail.",
)
@TELL
@STATS
@EMF
@DRY
@JSON
@click.pass_obj
def work(here: Here, /, **given: Any) -> Answer:
    """Take firings from the queue and run them as cron would, each under a lease.

    Every line of a command's output is one JSON object on the standard output.
    """
    asked = _Asked(**given)
    _assert_both(asked.cluster, asked.task_definition)
    if asked.dry_run:
        what = f"would run at most {asked.at_once} firings of {asked.queue_named} at once"
        return would([what])
    here.assert_may_change("jobs worker")
    from kirikae.aws.sqs import queue_named
    from kirikae.jobs.worker import Worker

    log_lines()
    aws = aws_here()
    ledger = ledger_of(asked.ledger_named, asked.token_file, aws)
    hands = _hands(asked, aws, ledger)
    worker = Worker(ledger, queue_named(aws, asked.queue_named), asked.settings(), hands)
    _until_stopped(worker, asked.at_once, asked.stats, asked.emf)
    return Answer({"counts": worker.counts.to_plain()}, ("stopped",))


def _hands(asked: _Asked, aws: LightAws, ledger: Ledger) -> Hands:
    from kirikae.jobs.own_task import Tasks
    from kirikae.jobs.worker import Hands

    in_task: Starts | None = None
    if asked.cluster is not None and asked.task_definition is not None:
        tasks = Tasks(
            asked.cluster,
            asked.task_definition,
            asked.container,
            asked.subnets,
            asked.groups,
            asked.spot,
        )
        in_task = partial(_in_task, aws, tasks, ledger)
    teller = teller_of(asked.ways)
    tell = partial(_tell, teller, ledger, asked.mail_output)
    return Hands(in_task, tell, partial(_see, teller), _line)


def _assert_both(cluster: str | None, task_definition: str | None) -> None:
    """Jobs with runs-in=own-task need both; with one of them they would be refused one by one."""
    if (cluster is None) != (task_definition is None):
        missing = "--cluster" if cluster is None else "--task-definition"
        raise UsageProblem(f"jobs with runs-in=own-task need {missing}, too; name both, or none")


def _until_stopped(worker: Worker, at_once: int, stats: str | None, emf: bool) -> None:
    """``stats``: where figures are answered; ``emf``: they are printed each minute."""
    from kirikae.jobs.metrics import each_minute
    from kirikae.jobs.reaping import adopt

    adopt()
    with ExitStack() as stack:
        if stats is not None:
            stack.callback(_stats(worker, stats))
        if emf:
            stack.callback(each_minute("worker", worker.figures, print_line, time.time))
        print_line({"event": "working", "at_once": at_once})
        _work(worker, ended_by_signals())


def _in_task(
    aws: LightAws, tasks: Tasks, ledger: Ledger, run: Run, extra: dict[str, str]
) -> TaskRun:
    from kirikae.jobs.own_task import TaskRun

    def is_over() -> bool:
        found = ledger.firing(run.firing.job, run.firing.due)
        return found is not None and found.state.over

    return TaskRun(
        aws,
        tasks,
        run.job,
        run.firing,
        extra,
        is_over,
    )


def _stats(worker: Worker, listen: str) -> Callable[[], None]:
    from kirikae.jobs.metrics import prometheus
    from kirikae.jobs.stats import Stats

    v2 = worker.as_sqsjkr_v2
    pages = {
        "/stats/metrics": worker.as_sqsjkr,
        "/stats/metrics/v2": v2,
        "/v2": v2,
        "/metrics.json": worker.counts.to_plain,
        "/metrics": lambda: prometheus("worker", worker.figures()),
    }
    return Stats(address_of(listen), pages).close


def _work(worker: Worker, ended: threading.Event) -> None:
    """A signal is obeyed outside of its handler: what it stops has locks."""

    def stop() -> None:
        ended.wait()
        worker.stop()

    threading.Thread(target=stop, daemon=True).start()
    worker.run()


def _line(firing: str, stream: str, line: str) -> None:
    print_line(
        {
            "event": "output",
            "firing": firing,
            "stream": stream,
            "line": line,
        }
    )


def _tell(
    teller: Teller, ledger: Ledger, mail_output: bool, run: Run, ended: Ended, state: State
) -> None:
    print_line(
        {
            "event": "ended",
            "firing": run.firing.id,
            "attempt": run.firing.attempt,
            "state": str(state),
            "exit": ended.exit_code,
            "reason": ended.reason,
            "matches": ended.matches,
        }
    )
    if mail_output:
        _mail(run, ended)
    now = time.time()
    notice = _notice(
        ledger,
        run,
        ended,
        state,
    )
    if notice is not None:
        teller.tell(
            notice,
            run.job.notify,
            now,
        )
    teller.look(now)


def _see(teller: Teller, run: Run) -> None:
    """Called again and again while it runs: each thing is told once."""
    from kirikae.jobs.watching import Seen, next_due, seen

    now = time.time()
    lasts = now - run.started > _SHORTEST_PERIOD_S and run.job.overrun_s is None
    due = next_due(run.job, run.firing) if lasts and "overrun" not in run.told else None
    matched = ((), 0) if run.running is None else run.running.matched()
    for notice in seen(Seen(run.job, run.firing, run.started, now, *matched, due)):
        if notice.event not in run.told:
            run.told.add(notice.event)
            print_line({"event": str(notice.event), "firing": notice.firing, "says": notice.says})
            teller.tell(notice, run.job.notify, now)


def _mail(run: Run, ended: Ended) -> None:
    """MAILTO's meaning: any output."""
    from kirikae.jobs import notices

    found = notices.of_output(run.job, run.firing, ended.tail)
    if found is not None:
        notices.mail(*found)


def _notice(ledger: Ledger, run: Run, ended: Ended, state: State) -> Notice | None:
    """What is told of this run; a success after a failure, too."""
    from kirikae.jobs import notices
    from kirikae.jobs.errors import LedgerAway
    from kirikae.jobs.notices import Event

    if ended.let_go:
        return None
    found = notices.of_ending(
        run.firing, state, ended.reason, ended.matched, ended.matches, ended.tail
    )
    if found is not None and (found.event is not Event.STDERR or Event.STDERR not in run.told):
        return found
    try:
        return notices.of_recovery(run.firing, ledger.history(run.firing.job, most=10))
    except LedgerAway:
        return None
