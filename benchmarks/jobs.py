#!/usr/bin/env python3
"""How many claims a second the ledger grants, and how long a thousand jobs of one minute take.

``python benchmarks/jobs.py``: SQLite on this disk with full sync; over HTTP as workers ask, who are
process of their own, as `kirikae jobs serve` is; a tick
of a scheduler with 1,000 due jobs up to the last accepted SendMessageBatch of kirikae local's SQS.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.queue_server import QueueServer

from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Owner, State
from kirikae.jobs.ledger import Claim, Ending, Hold, Ledger, Wanted
from kirikae.jobs.scheduler import Scheduler
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.tables import Jobs, jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone

JOBS = 1000
THREADS = 64
ROUNDS = 5


@contextmanager
def served(folder: Path) -> Iterator[HttpLedger]:
    """`kirikae jobs serve`, a process of its own."""
    command = [sys.executable, "-m", "kirikae", "jobs", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--ledger", str(folder / "served.db"), "--json"], stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        token = (folder / "served.db.token").read_text().strip()
        yield HttpLedger(url, token)
        running.terminate()


def per_second(ledger: Ledger, due: int) -> tuple[float, float]:
    """(claims a second, ends a second) of a thousand firings."""
    names = [f"job-{n}" for n in range(JOBS)]
    ledger.own(names, Owner.NEW)
    admitted = ledger.admit([Wanted(name, due, "d" * 64, 1) for name in names])
    ledger.sent([each.firing for each in admitted])
    with ThreadPoolExecutor(THREADS) as pool:
        began = time.perf_counter()
        found = list(
            pool.map(lambda n: ledger.claim(Claim(n, due, Owner.NEW, n, start=True)), names)
        )
        claimed = time.perf_counter()
        holds = [Hold(each.job, each.due, each.fence) for each in found]
        done = Ending(State.SUCCEEDED, 0)
        assert all(pool.map(lambda hold: ledger.finish(hold, done), holds))
        ended = time.perf_counter()
    return JOBS / (claimed - began), JOBS / (ended - claimed)


def table() -> Jobs:
    """A thousand jobs, all of them every minute."""
    text = "".join(f"# kirikae: id=j{n}\n* * * * * true\n" for n in range(JOBS))
    return jobs_of(read_table(text), text, "batch", Zone("Asia/Tokyo"))


def tick(folder: Path) -> float:
    """Seconds until the last message was accepted."""
    ledger = sqlite_ledger(folder / "tick.db")
    server = QueueServer(folder / "queues.db")
    jobs = table()
    ledger.own(jobs.ids, Owner.NEW)
    tables = [jobs]
    scheduler = Scheduler(lambda: tables.pop() if tables else None, ledger, server.queue())
    scheduler._announce(jobs, int(time.time() // 60))
    began = time.perf_counter()
    scheduler.look()
    took = time.perf_counter() - began
    assert scheduler.counts.sent == JOBS
    server.close()
    ledger.close()
    return took


def main() -> None:
    """The middle of five."""
    now = int(time.time() // 60)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = sqlite_ledger(folder / "jobs.db")
        direct = [per_second(ledger, now + n) for n in range(ROUNDS)]
        ledger.close()
        with served(folder) as asked:
            remote = [per_second(asked, now + 100 + n) for n in range(ROUNDS)]
        ticks = []
        for n in range(ROUNDS):
            place = folder / str(n)
            place.mkdir()
            ticks.append(tick(place))
    for what, found in (("in one process", direct), ("over HTTP", remote)):
        claims = statistics.median(claims for claims, _ in found)
        ends = statistics.median(ends for _, ends in found)
        print(f"{what}: {claims:,.0f} claims/s, {ends:,.0f} ends/s ({THREADS} at once)")
    print(f"{JOBS:,} jobs of one minute admitted and sent in {statistics.median(ticks):.2f} s")


if __name__ == "__main__":
    main()
