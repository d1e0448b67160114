"""No late act: a call that takes effect after the red button never decides where users are."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kirikae.model.errors import AwsUnreachable, KirikaeError, StoreBroken
from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Order, Phase, Verb, Why
from kirikae.model.said import text
from kirikae.move import lease as leases
from kirikae.move.button import Finger, back_out
from kirikae.move.driver import UNREACHABLE_S
from kirikae.move.engine import Waits
from kirikae.move.errors import Driven, LeaseLost, LeftAlone
from kirikae.move.late import Patience
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore
from tests.world import PLAN, SAY, Bench

QUICK = Finger(late_s=0.0)


def waiting_at(folder: Path, share: int, **given) -> Bench:
    """A move that has come to this share and goes no further."""
    bench = Bench(folder, judge=lambda m: _until(m, share), **given)
    bench.plan()
    with bench.lease.held():
        while bench.engine.step("web").move.share != share:
            pass
    return bench


def _until(move: Move, share: int) -> Verdict:
    return Verdict.UNSURE if move.share == share else Verdict.PASS


def button(folder: Path, finger: Finger = QUICK) -> Move:
    other = Bench(folder)
    return back_out(other.journal, other.thing, other.lease, "web", text("smoke"), finger)


def test_who_was_beaten_after_an_act_takes_it_back(tmp_path):
    """Stopped inside its step to 50% (laptop lid), the button pressed, woken up: its call lands,
    and its own hand sets 0 again."""
    bench = waiting_at(tmp_path, 100)
    bench.thing.judge = lambda move: Verdict.PASS
    real = bench.thing.shift

    def asleep(name, share, expected):
        bench.thing.shift = real
        if share == 500:
            bench.lease.release()
            button(tmp_path)
            assert bench.world.share == 0
            bench.world.turn(500)
            return
        real(name, share, expected)

    bench.thing.shift = asleep
    with bench.lease.held():
        look = bench.engine.step("web")
    assert look.move.held.why is Why.BACKED_OUT and bench.world.share == 0


def test_who_lost_the_lease_clears_up_behind_himself(tmp_path):
    """Its call was not answered, another took over and backed out: what lands late is taken
    back."""
    now = [time.time()]

    def sleep(seconds):
        now[0] += seconds
        if bench.world.share == 0 and now[0] - begun[0] > 14:
            late.append(bench.world.turn(500))
            begun[0] = now[0] + 100

    late: list[None] = []
    begun = [now[0]]
    patience = Patience(30.0, lambda: now[0], sleep)
    bench = waiting_at(tmp_path, 100, patience=patience)
    bench.thing.judge = lambda move: Verdict.PASS

    def lost(name, share, expected):
        bench.lease.release()
        button(tmp_path)
        raise AwsUnreachable("no answer")

    bench.thing.shift = lost
    bench.thing.found = lambda: bench.world.share

    def back(name, share, expected):
        bench.world.turn(share)

    with pytest.raises(AwsUnreachable), bench.lease.held():
        bench.engine.step("web")
    bench.thing.shift = back
    begun[0] = now[0]
    bench.engine.clear_up("web")
    assert late and bench.world.share == 0


def test_a_back_out_over_an_open_step_is_looked_after(tmp_path):
    """The call takes effect 14 s after the button: 0 again, by the button itself."""
    bench = waiting_at(tmp_path, 100)
    bench.journal.write(bench.journal.read("web").intending(Order(Verb.SHIFT, 500)))
    now = [time.time()]
    landed = []
    told = []

    def sleep(seconds):
        now[0] += seconds
        if not landed and now[0] - began > 14:
            landed.append(bench.world.turn(500))

    began = now[0]
    finger = Finger(lambda says: told.append(SAY(says)), lambda: now[0], sleep, now=lambda: now[0])
    move = button(tmp_path, finger)
    assert landed and bench.world.share == 0 and move.held.why is Why.BACKED_OUT
    assert 25 < now[0] - began < 40
    assert any("a call of a former step may still be under way" in line for line in told)


def test_a_back_out_over_a_prompt_step_ends_at_once(tmp_path):
    """Nothing is under way: nobody waits."""
    waiting_at(tmp_path, 100)
    began = time.monotonic()
    assert button(tmp_path, Finger()).held.why is Why.BACKED_OUT
    assert time.monotonic() - began < 2


def test_whoever_goes_on_ends_the_looking(tmp_path):
    """A person resumes: the share belongs to the journal again."""
    bench = waiting_at(tmp_path, 100)
    bench.journal.write(bench.journal.read("web").intending(Order(Verb.SHIFT, 500)))
    now = [time.time()]

    def sleep(seconds):
        now[0] += seconds
        move = bench.journal.read("web")
        if move.held is not None and move.intent is None:
            with bench.lease.held():
                bench.engine.order("web", Order(Verb.RESUME))
            bench.world.turn(0)

    began = now[0]
    button(tmp_path, Finger(clock=lambda: now[0], sleep=sleep, now=lambda: now[0]))
    assert now[0] - began < 5


def test_the_driver_too_looks_after_its_back_out(tmp_path):
    """Its step was answered late only; harm follows at once: the late call of the first try is set
    back, and the waiting is told."""
    now = [time.time()]

    def sleep(seconds):
        now[0] += seconds
        if bench.world.share == 0 and tries[0] == 2:
            tries[0] = 3
            bench.world.turn(100)

    tries = [0]
    patience = Patience(30.0, lambda: now[0], sleep)
    bench = Bench(
        tmp_path,
        judge=lambda m: Verdict.FAIL if m.share == 100 else Verdict.PASS,
        patience=patience,
    )
    bench.plan()
    real = bench.thing.shift

    def shift(name, share, expected):
        if share == 100:
            tries[0] += 1
            if tries[0] == 1:
                raise AwsUnreachable("no answer")
        real(name, share, expected)

    bench.thing.shift = shift
    looks = []
    bench.drive(looks.append)
    assert tries[0] == 3 and bench.world.share == 0
    assert "may still be under way" in SAY(looks[-1].wait.says)


# --- looks that lag


def test_a_look_right_after_an_own_change_may_lag(tmp_path):
    """DescribeRules is 3 s behind: no false hand on the knob, and the move settles."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    bench = Bench(tmp_path, patience=Patience(0.0, lambda: now[0], sleep))
    changed = []
    real_turn = bench.world.turn

    def turn(share):
        changed.append((now[0], bench.world.share))
        real_turn(share)

    def found():
        if changed and now[0] - changed[-1][0] < 3:
            return changed[-1][1]
        return bench.world.share

    compare = bench.thing.compare
    bench.world.turn = turn
    bench.thing.found = found
    bench.thing.compare = lambda move: replace(compare(move), found=found())
    bench.plan()
    move = bench.drive().move
    assert move.phase is Phase.SETTLED and bench.world.share == 1000


def test_the_button_s_0_is_no_hand_on_the_knob(tmp_path):
    """The driver looks between the weights and the entry: it waits for the entry."""
    bench = waiting_at(tmp_path, 100)
    slept = []

    def sleep(seconds):
        if not slept:
            move = bench.journal.read("web")
            bench.journal.write(move.intending(Order(Verb.BACK_OUT, reason=text("smoke"))))
        slept.append(seconds)

    ticks = iter(range(10**6))
    bench.engine._patience = Patience(0.0, lambda: next(ticks) / 100, sleep)
    bench.world.turn(0)
    with bench.lease.held():
        bench.engine.step("web")
        move = bench.engine.step("web").move
    assert move.held.why is Why.BACKED_OUT
    reasons = [e.move.held.why for e in bench.journal.entries("web") if e.move.held]
    assert Why.HAND_ON_KNOB not in reasons


# --- the lease


def test_a_lease_of_a_clock_that_is_ahead_runs_out_all_the_same(tmp_path):
    """The holder is gone and his clock was a day ahead: one term after it was first seen."""
    steady = [0.0]
    store = SqliteStore(tmp_path / "s.db")
    gone = Lease(store, "x", clock=lambda: time.time() + 86400)
    gone._me |= {"boot": "another machine", "host": "far"}
    assert gone.acquire()

    def sleep(seconds):
        steady[0] += seconds

    mine = Lease(store, "x", steady=lambda: steady[0], sleep=sleep)
    with pytest.raises(Driven), mine.held(patient=False):
        pass
    with mine.held():
        assert leases.TERM_S <= steady[0] < leases.TERM_S + 3
    rival = Lease(store, "x")
    assert rival.acquire(), "it was released"


def test_a_clock_that_is_ahead_is_no_reason_to_take_over(tmp_path):
    """The holder lives and renews: it is driven already."""
    steady = [0.0]
    store = SqliteStore(tmp_path / "s.db")
    holder = Lease(store, "x", clock=lambda: time.time() + 86400)
    holder._me |= {"boot": "another machine", "host": "far"}
    assert holder.acquire()

    def sleep(seconds):
        steady[0] += seconds
        holder.renew()

    mine = Lease(store, "x", steady=lambda: steady[0], sleep=sleep)
    with pytest.raises(Driven), mine.held():
        pass
    assert steady[0] < 5


def test_one_failed_beat_does_not_end_the_heart(tmp_path, monkeypatch):
    """A 503 on a renewal: the next beat renews, and nobody takes over."""
    monkeypatch.setattr(leases, "_BEAT_S", 0.02)
    store = SqliteStore(tmp_path / "s.db")
    lease = Lease(store, "x")
    beats = []
    real = lease.renew

    def renew():
        beats.append(1)
        if len(beats) in (1, 2):
            raise AwsUnreachable("503")
        if len(beats) == 3:
            raise StoreBroken("locked")
        real()

    lease.renew = renew
    with lease.held():
        deadline = time.monotonic() + 20
        while len(beats) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(beats) >= 6


def test_a_renewal_whose_answer_was_lost_is_no_rival(tmp_path):
    """It is our own body that stands there."""
    store = SqliteStore(tmp_path / "s.db")
    lease = Lease(store, "x")
    assert lease.acquire()
    body, _ = lease._body()
    store.replace_if_match("lease/x", body, lease._tag)
    lease.renew()
    lease.renew()


def test_a_clock_that_was_set_back_does_not_lengthen_a_lease(tmp_path):
    """By the clock that nobody sets, it has run out."""
    steady = [0.0]
    wall = [1000.0]
    store = SqliteStore(tmp_path / "s.db")
    mine = Lease(store, "x", lambda: wall[0], lambda: steady[0])
    assert mine.acquire()
    steady[0] += leases.TERM_S
    wall[0] -= 3600
    renewed = []
    mine.renew = lambda: renewed.append(1)
    mine.assert_held()
    assert renewed


def test_the_driver_asserts_its_lease_at_each_look(tmp_path):
    """Another took over while this one only looked: it ends at its next look."""
    bench = waiting_at(tmp_path, 100)
    looks = []
    rival = Bench(tmp_path)

    def tell(look):
        looks.append(look)
        if len(looks) == 2:
            bench.lease._clock = lambda: time.time() + 60
            rival.lease._clock = bench.lease._clock
            assert rival.lease.acquire()

    with pytest.raises(LeaseLost):
        bench.driver().drive(tell)
    assert len(looks) == 2


# --- a live move is not left alone


class Refused(KirikaeError):
    """Exit code 1: nothing was changed."""


@pytest.mark.parametrize(
    "error", [Refused("AccessDenied"), StoreBroken("full"), AwsUnreachable("")]
)
def test_a_live_move_waits_out_what_it_meets(tmp_path, error):
    """For minutes, told; then it goes on."""
    bench = waiting_at(tmp_path, 100)
    bench.thing.judge = lambda move: Verdict.PASS
    real = bench.thing.compare
    failures = [5]

    def compare(move):
        if failures[0]:
            failures[0] -= 1
            raise error
        return real(move)

    bench.thing.compare = compare
    looks = []
    assert bench.drive(looks.append).move.phase is Phase.SETTLED
    assert sum(look.wait is not None and look.wait.on is Waits.ANSWER for look in looks) == 5


def test_a_live_move_never_ends_with_exit_code_1(tmp_path):
    """After five minutes: 3, where it stands, who takes over, and the way back."""
    bench = waiting_at(tmp_path, 100)

    def compare(move):
        raise Refused("AccessDenied")

    bench.thing.compare = compare
    now = [0.0]

    def sleep(seconds):
        now[0] += 1

    with pytest.raises(LeftAlone, match=r"left at 10%.*kirikae back-out web") as caught:
        bench.driver(sleep, lambda: now[0]).drive(lambda look: None)
    assert caught.value.exit == 3 and now[0] >= UNREACHABLE_S


def test_before_it_is_live_a_refusal_is_one(tmp_path):
    """Nothing was changed: exit code 1 at once."""
    bench = Bench(tmp_path)
    bench.plan()

    def prepare(move):
        raise Refused("no")

    bench.thing.prepare = prepare
    with pytest.raises(Refused):
        bench.drive()


def test_two_hands_on_the_button(tmp_path):
    """Both end, at 0."""
    waiting_at(tmp_path, 100)
    ended: list[Move] = []
    threads = [threading.Thread(target=lambda: ended.append(button(tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ended) == 2 and Bench(tmp_path).world.share == 0
    assert PLAN[0] == 100
