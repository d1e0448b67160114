"""DynamoDB as kirikae local answers it: conditional writes under threads and SIGKILL."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kirikae.jobs.dynamo_rows import dynamo_ledger, make_table
from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.job import Firing, Owner, Policy, State
from kirikae.jobs.ledger import Claim, Ending, Hold, Wanted
from tests.keeper import KeeperProcess
from tests.pace import eventually

NOON = 29_000_000
WRITERS = 6
ROUNDS = 4


@pytest.fixture
def keeper(tmp_path) -> Iterator[KeeperProcess]:
    found = KeeperProcess(tmp_path)
    yield found
    found.kill()


class Worker:
    """Claims one firing again and again, fails, and notes which fences it was told are its own."""

    def __init__(self, keeper: KeeperProcess, name: str) -> None:
        self.ledger = dynamo_ledger(keeper.aws, "jobs", lambda: NOON * 60.0)
        self.name = name
        self.fences: list[int] = []
        self.ended = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        turn = 0
        while not self.stopped.is_set():
            turn += 1
            try:
                self._once(f"{self.name}:{turn}")
            except LedgerAway:
                self.stopped.wait(0.05)

    def _once(self, holder: str) -> None:
        found = self._until_known(Claim("a", NOON, Owner.NEW, holder, start=True))
        if not isinstance(found, Firing):
            return
        self.fences.append(found.fence)
        hold = Hold("a", NOON, found.fence)
        while not self.stopped.is_set():
            try:
                assert self.ledger.finish(hold, Ending(State.FAILED, 1, holder))
            except LedgerAway:
                self.stopped.wait(0.05)
                continue
            self.ended += 1
            return

    def _until_known(self, claim: Claim) -> object:
        """The same claim again, until somebody answers."""
        while not self.stopped.is_set():
            try:
                return self.ledger.claim(claim)
            except LedgerAway:
                self.stopped.wait(0.05)
        return None


def test_no_fence_is_given_twice_and_no_ending_is_lost_while_the_keeper_is_killed(keeper):
    """Six writers on one item, four SIGKILLs: what was answered is there afterwards."""
    make_table(keeper.aws, "jobs")
    ledger = dynamo_ledger(keeper.aws, "jobs", lambda: NOON * 60.0)
    ledger.own(["a"], Owner.NEW)
    ledger.admit([Wanted("a", NOON, "d", 1, Policy(retries=10**6, backoff_s=0))])
    workers = [Worker(keeper, f"w{n}") for n in range(WRITERS)]
    for _ in range(ROUNDS):
        before = sum(worker.ended for worker in workers)
        eventually(
            lambda before=before: sum(worker.ended for worker in workers) >= before + 5,
            "five more runs end",
            watch=lambda: sum(worker.ended for worker in workers),
        )
        keeper.kill()
        keeper.start()
    for worker in workers:
        worker.stopped.set()
    for worker in workers:
        worker.thread.join()
    told = sorted(fence for worker in workers for fence in worker.fences)
    assert len(told) == len(set(told))
    firing = ledger.firing("a", NOON)
    assert firing is not None
    ended = [run for run in firing.runs if run.reason]
    assert len(ended) >= sum(worker.ended for worker in workers)
    assert [run.fence for run in firing.runs] == list(range(1, firing.fence + 1))
