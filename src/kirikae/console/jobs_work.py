"""``kirikae jobs work``: one of any number of workers, small enough for a user's container."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from kirikae.console.here import Answer, Here, would
from kirikae.console.jobs_common import (
    LEDGER,
    QUEUE,
    STATS,
    TOKEN,
    address_of,
    aws_here,
    ended_by_signals,
    ledger_of,
    log_lines,
    print_line,
)
from kirikae.console.options import DRY, JSON, Number

if TYPE_CHECKING:
    from kirikae.jobs.job import State
    from kirikae.jobs.runner import Ended
    from kirikae.jobs.worker import Run, Worker


@click.command("work")
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
@STATS
@DRY
@JSON
@click.pass_obj
def work(
    here: Here,
    queue_named: str,
    ledger_named: str,
    token_file: str | None,
    at_once: int,
    stop_within: float,
    lease: float,
    passed: tuple[str, ...],
    stats: str | None,
    dry_run: bool,
) -> Answer:
    """Take firings from the queue and run them as cron would, each under a lease.

    Every line of a command's output is one JSON object on the standard output.
    """
    if dry_run:
        return would([f"would run at most {at_once} firings of {queue_named} at once"])
    here.assert_may_change("jobs work")
    from kirikae.aws.sqs import queue_named as queue_of
    from kirikae.jobs.reaping import adopt
    from kirikae.jobs.runner import PASSED
    from kirikae.jobs.worker import Hands, Settings, Worker

    log_lines()
    aws = aws_here()
    ledger = ledger_of(ledger_named, token_file, aws)
    settings = Settings(at_once, stop_within, lease, lease / 4, (*PASSED, *passed))
    hands = Hands(tell=_tell, log=_line)
    worker = Worker(ledger, queue_of(aws, queue_named), settings, hands)
    adopt()
    with ExitStack() as stack:
        if stats is not None:
            stack.callback(_stats(worker, stats))
        print_line({"event": "working", "at_once": at_once})
        _work(worker, ended_by_signals())
    return Answer({"counts": worker.counts.to_plain()}, ("stopped",))


def _stats(worker: Worker, listen: str) -> Callable[[], None]:
    from kirikae.jobs.stats import Stats

    v2 = worker.as_sqsjkr_v2
    pages = {
        "/stats/metrics": worker.as_sqsjkr,
        "/stats/metrics/v2": v2,
        "/v2": v2,
        "/metrics.json": worker.counts.to_plain,
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
    print_line({"event": "output", "firing": firing, "stream": stream, "line": line})


def _tell(run: Run, ended: Ended, state: State) -> None:
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
