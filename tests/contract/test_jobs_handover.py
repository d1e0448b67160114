"""A hand-over while both sides are alive: every firing has exactly one effect, counted from the
effects, whoever owned its job at which moment.

The old side is the real guard, started as cron starts it; the new side writes its firings down and
claims them over HTTP, as schedulers and workers do; the ledger is a real `kirikae jobs serve`; the
move is a real one, turned forth and back all the while.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.ledger import Claim, Ending, Hold, Wanted
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import Timed
from kirikae.jobs.thing import JobsThing
from kirikae.model.crontab.zones import Zone
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from tests.unit.test_guard import Place, served

__all__ = ["served"]
JOBS = 16
_UTC = Zone("UTC")


def _when(ago_min: int) -> str:
    """Due once within the last hours, so that both sides mean the same firing."""
    return time.strftime("%M %H * * *", time.gmtime(time.time() - ago_min * 60))


def _thing(place: Place, folder: Path) -> JobsThing:
    lines = [f"# kirikae: id=job{n}\n{_when(30 + 5 * n)} job {n}\n" for n in range(JOBS)]
    (folder / "tab").write_text("".join(lines))
    settings = {"kind": "jobs", "crontab": "tab", "ledger": place.url}
    journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
    read = JobsMove.model_validate(settings)
    return JobsThing(read, lambda: place.ledger, journal, time.time, folder)


def _due(timed: Timed) -> int:
    """The firing that both sides mean."""
    assert timed.entry.schedule is not None
    now = int(time.time() // 60)
    return list(_UTC.dues(timed.entry.schedule, now - 1440, now))[-1]


def _by_new_side(ledger: HttpLedger, firing: Firing, effects: Path) -> None:
    """A worker."""
    claimed = ledger.claim(Claim(firing.job, firing.due, Owner.NEW, "worker", start=True))
    if isinstance(claimed, Firing):
        with effects.open("a") as file:
            file.write(f"{firing.job}\n")
        hold = Hold(claimed.job, claimed.due, claimed.fence)
        assert ledger.finish(hold, Ending(State.SUCCEEDED, 0))


@pytest.fixture
def turning(served: Place, tmp_path: Path) -> Iterator[JobsThing]:
    """A move whose share goes up and down until the test is over."""
    thing = _thing(served, tmp_path)
    over = threading.Event()

    def turn() -> None:
        for share in itertools.cycle((*thing.plan(), 500, 0)):
            if over.is_set():
                return
            thing.shift("batch", share, None)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield thing
    finally:
        over.set()
        thread.join()


def test_every_firing_has_one_effect_while_the_share_goes_up_and_down(
    served: Place, turning: JobsThing, tmp_path: Path
) -> None:
    effects = tmp_path / "effects"
    effects.touch()
    conf = served.conf()
    firings = {timed.job.id: _due(timed) for timed in turning.moving}
    commands = {timed.job.id: timed.entry.when for timed in turning.moving}

    def old_side(job: str) -> int:
        line = f"echo {job} >>{effects}"
        return served.run("-w", commands[job], job, "-c", line, conf=conf).returncode

    def new_side(job: str) -> int:
        [admitted] = served.ledger.admit([Wanted(job, firings[job], "digest")])
        if admitted.firing.side is Owner.NEW:
            served.ledger.sent([admitted.firing])
            _by_new_side(served.ledger, admitted.firing, effects)
        return 0

    acts = [(side, job) for job in firings for side in (old_side, new_side, old_side)]
    random.Random("handover").shuffle(acts)
    with ThreadPoolExecutor(3) as pool:
        codes = list(pool.map(lambda act: act[0](act[1]), acts))
    assert set(codes) == {0}
    ran = Counter(effects.read_text().split())
    assert ran == Counter(list(firings)), "doubled or missing"
