"""The ledger port: one suite for every implementation."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from kirikae.aws.light import LightAws
from kirikae.jobs.book import Book
from kirikae.jobs.dynamo_rows import dynamo_ledger, make_table
from kirikae.jobs.errors import LedgerAway, LedgerOwned
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, Job, OnCrash, Overlap, Owner, Policy, State
from kirikae.jobs.law import KILL_GRACE_S
from kirikae.jobs.ledger import (
    BEAT_S,
    Claim,
    Ending,
    Hold,
    Ledger,
    Mark,
    Refused,
    Wanted,
    Why,
)
from kirikae.jobs.serving import Server
from kirikae.jobs.sqlite_rows import sqlite_ledger
from tests.keeper import KeeperProcess

NOON = 29_000_000
DONE = Ending(State.SUCCEEDED, 0)
FAILED = Ending(State.FAILED, 1, "exit status 1")


class Clock:
    """The ledger's clock, in the test's hand."""

    def __init__(self) -> None:
        self.now = NOON * 60.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def keeper(tmp_path_factory) -> Iterator[KeeperProcess]:
    """One for all tests; each has a table of its own."""
    found = KeeperProcess(tmp_path_factory.mktemp("keeper"))
    yield found
    found.kill()


def dynamo(keeper: KeeperProcess, clock: Clock) -> Book:
    """A ledger in a fresh table."""
    table = f"jobs-{uuid.uuid4().hex}"
    make_table(keeper.aws, table)
    return dynamo_ledger(keeper.aws, table, clock)


@pytest.fixture(params=["sqlite", "http", "dynamodb"])
def ledger(request, tmp_path, clock) -> Iterator[Ledger]:
    if request.param == "dynamodb":
        table = dynamo(request.getfixturevalue("keeper"), clock)
        yield table
        table.close()
        return
    made = sqlite_ledger(tmp_path / "deep" / "jobs.db", clock)
    if request.param == "sqlite":
        yield made
    else:
        with served(made) as url:
            yield HttpLedger(url, TOKEN)
    made.close()


TOKEN = "t" * 64


@contextmanager
def served(ledger: Ledger) -> Iterator[str]:
    """Its address."""
    server = Server(("127.0.0.1", 0), ledger, TOKEN)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def admit(ledger: Ledger, job: str = "a", due: int = NOON, **policy) -> Firing:
    """A firing of the new side whose message is in the queue."""
    ledger.own([job], Owner.NEW)
    wanted = Wanted(job, due, f"digest of {job}", 1, Policy(**policy))
    (admitted,) = ledger.admit([wanted])
    ledger.sent([admitted.firing])
    found = ledger.firing(job, due)
    assert found is not None
    return found


def claim(ledger: Ledger, job: str = "a", due: int = NOON, holder: str = "w1", **more) -> Firing:
    found = ledger.claim(Claim(job, due, Owner.NEW, holder, **more))
    assert isinstance(found, Firing), found
    return found


def refused(ledger: Ledger, job: str = "a", due: int = NOON, holder: str = "w2", **more) -> Why:
    found = ledger.claim(Claim(job, due, Owner.NEW, holder, **more))
    assert isinstance(found, Refused), found
    return found.why


def hold(firing: Firing) -> Hold:
    return Hold(firing.job, firing.due, firing.fence)


def stands(ledger: Ledger, job: str = "a", due: int = NOON) -> Firing:
    found = ledger.firing(job, due)
    assert found is not None
    return found


def test_a_firing_is_admitted_once(ledger):
    """Whoever comes second finds what the first wrote."""
    ledger.own(["a"], Owner.NEW)
    twice = ledger.admit([Wanted("a", NOON, "d", 1)] * 2)
    assert sorted(each.fresh for each in twice) == [False, True]
    (again,) = ledger.admit([Wanted("a", NOON, "another", 2)])
    assert not again.fresh and {each.firing for each in (*twice, again)} == {again.firing}
    assert again.firing.digest == "d"


def test_of_many_schedulers_each_firing_is_fresh_for_one(ledger):
    """Eight at once, twenty firings: twenty are fresh in all."""
    wanted = [Wanted("a", NOON + n, "d", 1) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ledger.admit(wanted), range(8)))
    fresh = [each.firing.due for answer in answers for each in answer if each.fresh]
    assert sorted(fresh) == [NOON + n for n in range(20)]


def test_of_many_workers_one_gets_the_lease(ledger):
    """Sixteen at once; the others are told that it is held."""
    admit(ledger)
    gate = threading.Barrier(16)

    def ask(n: int) -> Firing | Refused:
        gate.wait()
        return ledger.claim(Claim("a", NOON, Owner.NEW, f"w{n}"))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert [each.fence for each in found if isinstance(each, Firing)] == [1]
    assert {each.why for each in found if isinstance(each, Refused)} == {Why.HELD}


def test_a_claim_that_is_asked_again_by_the_same_holder_is_the_same(ledger):
    """Its answer was lost on the way: the fence does not rise."""
    admit(ledger)
    assert claim(ledger).fence == claim(ledger).fence == 1
    assert len(stands(ledger).runs) == 1


def test_a_run_is_recorded_from_claim_to_end(ledger, clock):
    """Who, when, how it ended, and the end of its output."""
    admit(ledger)
    mine = hold(claim(ledger))
    clock.go(1)
    assert ledger.start(mine)
    assert stands(ledger).state is State.RUNNING
    clock.go(5)
    assert ledger.finish(mine, Ending(State.SUCCEEDED, 0, tail="ok\n"))
    (run,) = stands(ledger).runs
    assert (run.holder, run.started - run.began, run.ended - run.started) == ("w1", 1, 5)
    assert (run.exit_code, run.tail) == (0, "ok\n")
    assert stands(ledger).state is State.SUCCEEDED


def test_what_has_ended_is_not_claimed_again(ledger):
    """A redelivered message is deleted, nothing runs."""
    admit(ledger)
    ledger.finish(hold(claim(ledger, start=True)), DONE)
    assert refused(ledger) is Why.OVER and Why.OVER.final


def test_an_ending_that_is_said_twice_counts_once(ledger):
    """Its answer was lost on the way."""
    admit(ledger)
    mine = hold(claim(ledger, start=True))
    assert ledger.finish(mine, DONE) and ledger.finish(mine, DONE)
    assert len(stands(ledger).runs) == 1
    assert not ledger.finish(mine, FAILED)


def test_an_old_fence_says_nothing(ledger, clock):
    """A worker that was paused longer than its lease can neither beat nor end it."""
    admit(ledger, on_crash=OnCrash.RERUN)
    old = hold(claim(ledger, start=True))
    clock.go(61)
    (settled,) = ledger.sweep()
    assert (settled.state, settled.attempt) == (State.ADMITTED, 2)
    ledger.sent([settled])
    new = hold(claim(ledger, holder="w2", attempt=2, start=True))
    assert not ledger.heartbeat(old) and not ledger.finish(old, DONE) and not ledger.start(old)
    assert ledger.finish(new, DONE)
    assert [run.holder for run in stands(ledger).runs] == ["w1", "w2"]


def test_a_heartbeat_lengthens_the_lease(ledger, clock):
    """Three quarters of a minute, twice."""
    admit(ledger)
    mine = hold(claim(ledger, start=True))
    for _ in range(2):
        clock.go(45)
        assert ledger.heartbeat(mine)
    assert ledger.sweep() == [] and refused(ledger) is Why.HELD


def test_a_worker_that_dies_before_the_start_costs_nothing(ledger, clock):
    """The same attempt is claimed again, whatever its policy."""
    admit(ledger, on_crash=OnCrash.FAIL)
    claim(ledger)
    clock.go(61)
    assert claim(ledger, holder="w2", attempt=1).fence == 2


@pytest.mark.parametrize(
    ("policy", "state", "attempt"),
    [(OnCrash.FAIL, State.LOST, 1), (OnCrash.RERUN, State.ADMITTED, 2)],
)
def test_a_worker_that_dies_in_the_middle_is_settled_by_the_policy(
    ledger, clock, policy, state, attempt
):
    """A redelivered message finds it settled already, though nobody swept."""
    admit(ledger, on_crash=policy)
    claim(ledger, start=True)
    clock.go(61)
    over = Why.OVER if policy is OnCrash.FAIL else Why.SUPERSEDED
    assert refused(ledger, attempt=1) is over
    found = stands(ledger)
    assert (found.state, found.attempt) == (state, attempt)
    assert found.runs[0].reason


def test_a_failure_is_retried_as_often_as_its_policy_says(ledger, clock):
    """With a longer wait each time; the last one stands."""
    admit(ledger, retries=2, backoff_s=10)
    for attempt, wait_s in ((1, 10), (2, 20)):
        assert ledger.finish(hold(claim(ledger, attempt=attempt, start=True)), FAILED)
        assert ledger.unsent() == [] and refused(ledger, attempt=attempt + 1) is Why.TOO_EARLY
        clock.go(wait_s)
        (again,) = ledger.unsent()
        assert again.attempt == attempt + 1
        ledger.sent([again])
    assert ledger.finish(hold(claim(ledger, attempt=3, start=True)), FAILED)
    found = stands(ledger)
    assert (found.state, [run.attempt for run in found.runs]) == (State.FAILED, [1, 2, 3])


def test_an_attempt_that_is_past_is_superseded(ledger):
    """Its message is deleted."""
    admit(ledger, retries=1, backoff_s=0)
    ledger.finish(hold(claim(ledger, start=True)), FAILED)
    assert refused(ledger, attempt=1) is Why.SUPERSEDED


def test_what_is_given_back_is_there_for_the_next(ledger):
    """A worker that has to stop."""
    admit(ledger)
    mine = hold(claim(ledger))
    assert ledger.finish(mine, Ending(State.NOT_STARTED, reason="stopped", give_back=True))
    assert claim(ledger, holder="w2", attempt=1).fence == 2


def test_too_late_is_missed_and_said(ledger, clock):
    """Neither claimed nor forgotten."""
    admit(ledger, start_within_s=120)
    clock.go(121)
    (settled,) = ledger.sweep()
    assert settled.state is State.MISSED and settled.reason
    assert refused(ledger) is Why.OVER


def test_what_no_message_carries_is_found_until_it_is_sent(ledger):
    """A queue that was away: the same firing, the same attempt."""
    ledger.own(["a"], Owner.NEW)
    ledger.admit([Wanted("a", NOON, "d", 1)])
    (waits,) = ledger.unsent()
    assert waits.state is State.ADMITTED and ledger.unsent() == [waits]
    ledger.sent([waits])
    assert ledger.unsent() == []


def test_a_message_that_nobody_claims_is_sent_once_more(ledger, clock):
    """It may be in the dead-letter queue, or gone with a purge; the same attempt."""
    admit(ledger)
    clock.go(899)
    assert ledger.sweep() == [] and ledger.unsent() == []
    clock.go(2)
    ledger.sweep()
    (waits,) = ledger.unsent()
    assert waits.attempt == 1
    ledger.sent([waits])
    assert claim(ledger, attempt=1)


def test_a_job_that_nobody_handed_over_is_the_old_sides(ledger):
    """Its firings are written down and never sent."""
    (admitted,) = ledger.admit([Wanted("a", NOON, "d", 1)])
    assert admitted.firing.state is State.RECORDED and ledger.unsent() == []
    assert refused(ledger) is Why.OTHER_SIDE
    guard = Claim("a", NOON, Owner.OLD, "vm1", start=True)
    assert isinstance(ledger.claim(guard), Firing)


def test_the_side_of_a_firing_is_settled_once(ledger):
    """However the hand-over and the claims fall: exactly one side runs it."""
    guard = Claim("a", NOON, Owner.OLD, "vm1", admit=Policy(), start=True)
    ledger.own(["a"], Owner.NEW)
    told = ledger.claim(guard)
    assert isinstance(told, Refused) and told.why is Why.OTHER_SIDE
    ledger.own(["a"], Owner.OLD)
    (admitted,) = ledger.admit([Wanted("a", NOON, "d", 1)])
    assert not admitted.fresh and admitted.firing.side is Owner.NEW
    assert [each.due for each in ledger.unsent()] == [NOON]
    assert isinstance(ledger.claim(guard), Refused)


def test_a_guards_firing_that_no_scheduler_knows_is_missed(ledger, clock):
    """It is not sent without a definition, and not forgotten."""
    ledger.own(["a"], Owner.NEW)
    ledger.claim(Claim("a", NOON, Owner.OLD, "vm1", admit=Policy()))
    assert ledger.unsent() == []
    clock.go(601)
    assert [each.state for each in ledger.sweep()] == [State.MISSED]


def test_owners_that_stand_are_left_alone_where_asked(ledger):
    """Only jobs that nobody owns are taken."""
    ledger.own(["a"], Owner.OLD)
    ledger.own(["a", "b"], Owner.NEW, only_new=True)
    assert ledger.owners() == {"a": Owner.OLD, "b": Owner.NEW}


def test_skip_leaves_out_what_was_due_while_the_earlier_ran(ledger, clock):
    """Its row says so; the one after it runs."""
    for n in range(3):
        admit(ledger, due=NOON + n, overlap=Overlap.SKIP)
    first = hold(claim(ledger, start=True))
    clock.go(90)
    ledger.heartbeat(first)
    assert ledger.finish(first, DONE)
    assert refused(ledger, due=NOON + 1) is Why.SKIPPED
    assert stands(ledger, due=NOON + 1).state is State.SKIPPED
    clock.go(30)
    assert claim(ledger, due=NOON + 2)


def test_queue_one_lets_one_wait_and_leaves_out_the_rest(ledger, clock):
    """Due while another one waited already: left out."""
    for n in range(4):
        admit(ledger, due=NOON + n, overlap=Overlap.QUEUE_ONE)
    first = hold(claim(ledger, start=True, lease_s=600))
    clock.go(150)
    assert refused(ledger, due=NOON + 1) is Why.OVERLAP
    ledger.finish(first, DONE)
    second = hold(claim(ledger, due=NOON + 1, start=True))
    ledger.finish(second, DONE)
    assert refused(ledger, due=NOON + 2) is Why.SKIPPED
    clock.go(30)
    assert claim(ledger, due=NOON + 3)


def test_kill_old_ends_the_earlier_run_before_the_later_begins(ledger, clock):
    """It waits until the earlier worker has noticed, or until it must have."""
    admit(ledger, overlap=Overlap.KILL_OLD)
    admit(ledger, due=NOON + 1, overlap=Overlap.KILL_OLD)
    first = hold(claim(ledger, start=True, lease_s=600))
    clock.go(60)
    assert refused(ledger, due=NOON + 1) is Why.OVERLAP
    assert not ledger.heartbeat(first)
    assert refused(ledger, due=NOON + 1) is Why.OVERLAP
    assert not ledger.finish(first, FAILED)
    assert claim(ledger, due=NOON + 1, holder="w2")
    assert stands(ledger).state is State.FAILED and "replaced" in stands(ledger).reason


def test_kill_old_does_not_wait_for_a_dead_worker(ledger, clock):
    """A heartbeat and a grace."""
    admit(ledger, overlap=Overlap.KILL_OLD)
    admit(ledger, due=NOON + 1, overlap=Overlap.KILL_OLD)
    claim(ledger, start=True, lease_s=600)
    clock.go(60)
    assert refused(ledger, due=NOON + 1) is Why.OVERLAP
    clock.go(BEAT_S + KILL_GRACE_S)
    assert claim(ledger, due=NOON + 1, holder="w2")


def test_jobs_of_one_lock_do_not_overlap(ledger):
    """Another job, the same lock."""
    admit(ledger, "a", overlap=Overlap.QUEUE_ONE, lock="db")
    admit(ledger, "b", overlap=Overlap.QUEUE_ONE, lock="db")
    first = hold(claim(ledger, "a", start=True))
    assert refused(ledger, "b") is Why.OVERLAP
    ledger.finish(first, DONE)
    assert claim(ledger, "b")


def test_overlap_is_allowed_as_cron_does(ledger):
    """By default."""
    admit(ledger)
    admit(ledger, due=NOON + 1)
    assert claim(ledger) and claim(ledger, due=NOON + 1, holder="w2")


def test_a_mark_never_falls(ledger):
    """Neither by a clock that went back nor by an older table."""
    assert ledger.mark("t") is None
    assert ledger.raise_mark("t", Mark(2, NOON)) == Mark(2, NOON)
    assert ledger.raise_mark("t", Mark(2, NOON - 2)) == Mark(2, NOON)
    assert ledger.raise_mark("t", Mark(1, NOON + 5)) == Mark(2, NOON)
    assert ledger.raise_mark("t", Mark(3, NOON + 1)) == ledger.mark("t") == Mark(3, NOON + 1)


def test_a_job_is_known_since_it_was_first_heard_of(ledger):
    """Later questions do not change it."""
    assert ledger.since(["a"], NOON) == {"a": NOON}
    assert ledger.since(["a", "b"], NOON + 9) == {"a": NOON, "b": NOON + 9}


def test_definitions_are_kept_by_digest(ledger):
    """Two versions of one job stand beside each other."""
    one = Job("a", "crontab:3", "debian", "* * * * *", "UTC", "date", environment={"A": "切"})
    two = Job("a", "crontab:3", "debian", "* * * * *", "UTC", "date -u", stdin="x\n")
    ledger.define([one, two])
    assert ledger.definition(one.digest) == one and ledger.definition(two.digest) == two
    assert ledger.definition("none") is None


def test_history_is_newest_first_and_can_be_asked_in_part(ledger):
    """By job and by time."""
    for n in range(4):
        admit(ledger, "a", NOON + n)
        admit(ledger, "a2", NOON + n)
    assert [each.due - NOON for each in ledger.history("a")] == [3, 2, 1, 0]
    part = ledger.history("a", NOON + 1, NOON + 3)
    assert [each.due - NOON for each in part] == [2, 1]
    everything = ledger.history(most=3)
    assert [(each.due - NOON, each.job) for each in everything] == [(3, "a"), (3, "a2"), (2, "a")]


def test_a_firing_older_than_its_rows_are_kept_is_never_run(ledger):
    """Its row may have been there and gone."""
    ledger.own(["a"], Owner.NEW)
    (told,) = ledger.admit([Wanted("a", NOON - 16 * 1440, "d", 1)])
    assert not told.fresh and told.firing.state is State.MISSED
    assert ledger.firing("a", NOON - 16 * 1440) is None


def test_rows_are_forgotten_after_fifteen_days(ledger, clock):
    """And not before."""
    admit(ledger)
    clock.go(14 * 86400)
    ledger.sweep()
    assert ledger.firing("a", NOON) is not None
    clock.go(2 * 86400)
    ledger.sweep()
    assert ledger.firing("a", NOON) is None


def test_one_process_owns_the_file(tmp_path):
    """The second is told what to do; when the first has let go, it may."""
    first = sqlite_ledger(tmp_path / "jobs.db")
    with pytest.raises(LedgerOwned, match="jobs serve"):
        sqlite_ledger(tmp_path / "jobs.db")
    first.own(["a"], Owner.NEW)
    first.close()
    with pytest.raises(LedgerAway):
        first.owners()
    again = sqlite_ledger(tmp_path / "jobs.db")
    assert again.owners() == {"a": Owner.NEW}
    again.close()


@pytest.mark.engine
def test_kirikae_local_answers_the_ledgers_table(local, clock):
    """Through its one port, beside all the other services."""
    aws = LightAws(local.status["region"], local.environment)
    table = f"jobs-{uuid.uuid4().hex}"
    assert make_table(aws, table) and not make_table(aws, table)
    ledger = dynamo_ledger(aws, table, clock)
    admit(ledger, retries=1, backoff_s=0)
    assert ledger.finish(hold(claim(ledger, start=True)), FAILED)
    (again,) = ledger.unsent()
    ledger.sent([again])
    assert ledger.finish(hold(claim(ledger, attempt=2, start=True)), DONE)
    assert [each.state for each in ledger.history()] == [State.SUCCEEDED]
    assert abs(dynamo_ledger(aws, table).now() - aws.now()) < 3600
    ledger.close()
