"""The engine: one look, one act; people come first."""

from __future__ import annotations

import json
import threading
import time

import pytest

from kirikae.model.errors import AwsUnreachable, OutOfOrder
from kirikae.model.evidence import Verdict
from kirikae.model.move import Hold, Move, Order, Phase, Verb, Why
from kirikae.model.said import said, text
from kirikae.move.button import back_out
from kirikae.move.driver import Driver, Service, hold_without_lease
from kirikae.move.engine import Rules, Waits, held_in_words
from kirikae.move.errors import Beaten, Driven, LeaseLost, NewerFormat, UnknownMove
from kirikae.move.journal import Journal
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore
from tests.world import SAY, Bench

SMOKE = Hold(Why.BACKED_OUT, text("smoke"))


def drive_to_the_end(bench: Bench) -> Move:
    bench.plan()
    return bench.drive().move


def test_a_healthy_move_settles(tmp_path):
    """The whole way, and the world says what the journal says."""
    bench = Bench(tmp_path)
    assert drive_to_the_end(bench).phase is Phase.SETTLED
    assert bench.world.share == 1000
    shares = [int(line) for line in bench.world.file.read_text().split()]
    assert shares == [100, 500, 1000]


def test_harm_backs_out_by_itself_and_holds(tmp_path):
    """Fail at 50%: share 0, held, and the reason is kept."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.FAIL if m.share == 500 else Verdict.PASS)
    move = drive_to_the_end(bench)
    assert (move.share, bench.world.share) == (0, 0)
    assert move.held == Hold(Why.BACKED_OUT, said("world.judged", verdict="fail"))
    assert SAY(held_in_words(move)) == "backed out: judged fail"


def test_unsure_never_advances(tmp_path):
    """Waiting is an outcome."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        for _ in range(20):
            look = bench.engine.step("web")
    assert look.move.share == 100 and SAY(look.wait.says) == "judged unsure"
    assert look.wait.on is Waits.EVIDENCE


def test_a_hand_on_the_knob_is_respected(tmp_path):
    """Somebody turned the weight: hold with a message, and leave it as it is."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        for _ in range(10):
            bench.engine.step("web")
        bench.world.turn(300)
        move = bench.engine.step("web").move
    assert move.held.why is Why.HAND_ON_KNOB and bench.world.share == 300
    assert "somebody else set the share to 30%" in SAY(move.held.reason)


def test_a_hand_between_look_and_shift_is_respected_too(tmp_path):
    """The share is read once more right before it is set."""
    bench = Bench(tmp_path)

    def judge(move):
        if move.share == 100:
            bench.world.turn(40)  # after the look has read the share
        return Verdict.PASS

    bench.thing.judge = judge
    original = bench.thing.compare
    bench.thing.compare = lambda move: (
        original(move) if move.share != 100 else _with_share(original(move), 100)
    )
    move = drive_to_the_end(bench)
    assert bench.world.share == 40 and move.held.why is Why.HAND_ON_KNOB
    assert move.held.reason.blanks["found"] == 40


def _with_share(evidence, share):
    from dataclasses import replace

    return replace(evidence, found=share)


def test_resume_puts_the_share_back_and_goes_on(tmp_path):
    """After a hold a person decides; then the journal's share holds again."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        for _ in range(10):
            bench.engine.step("web")
        bench.world.turn(300)
        bench.engine.step("web")
        move = bench.engine.order("web", Order(Verb.RESUME))
    assert not move.held and bench.world.share == 100


def test_the_red_button_works_with_a_driver_a_dead_driver_and_none(tmp_path):
    """Share 0 within two seconds, whoever drives."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 500 else Verdict.PASS)
    bench.plan()
    thread = threading.Thread(
        target=lambda: Driver(bench.engine, bench.journal, bench.lease, "web").drive(
            lambda look: None
        ),
        daemon=True,
    )
    thread.start()
    deadline = time.monotonic() + 20
    while bench.world.share != 500 and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    other = Bench(tmp_path)
    move = back_out(other.journal, other.thing, other.lease, "web", text("smoke"))
    assert time.monotonic() - began < 2
    assert (move.share, other.world.share, move.held) == (0, 0, SMOKE)
    thread.join(5)
    assert not thread.is_alive()


def test_the_red_button_does_not_wait_for_a_hanging_driver(tmp_path):
    """A driver that holds the lease and does nothing: the button acts, and asserts its share until
    it is answered."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 500 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        for _ in range(12):
            bench.engine.step("web")
        other = Bench(tmp_path)
        thread = threading.Thread(
            target=lambda: back_out(other.journal, other.thing, other.lease, "web", text("smoke")),
            daemon=True,
        )
        thread.start()
        time.sleep(1.6)
        assert bench.world.share == 0
        bench.world.turn(500)  # a late act of the hanging driver
        time.sleep(1.0)
        assert bench.world.share == 0
    thread.join(5)
    assert bench.journal.read("web").held == SMOKE


def test_a_step_is_not_taken_unasked(tmp_path):
    """`advance: ask`: proven, but nobody said yes."""
    bench = Bench(tmp_path, rules=Rules(ask=True))
    bench.plan()
    with bench.lease.held():
        for _ in range(6):
            look = bench.engine.step("web")
        assert look.move.share == 0 and look.wait.on is Waits.APPROVAL
        bench.journal.approve(look.move)
        assert bench.engine.step("web").move.share == 100
        assert bench.engine.step("web").wait.on is Waits.APPROVAL


def test_a_hold_by_hand_stops_the_driver_where_it_is(tmp_path):
    """The share stays; nothing is undone."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    bench.plan()
    with bench.lease.held():
        for _ in range(10):
            bench.engine.step("web")
        hold_without_lease(bench.journal, "web", text("lunch"))
        assert bench.engine.step("web").move.held == Hold(Why.BY_HAND, text("lunch"))
    assert bench.world.share == 100


def test_a_rival_is_refused_and_a_dead_one_replaced(tmp_path):
    """One driver at a time; a lease of a process that is gone frees itself at once."""
    store = SqliteStore(tmp_path / "s.db")
    mine = Lease(store, "x")
    rival = Lease(store, "x")
    with mine.held(), pytest.raises(Driven, match="driven already"), rival.held():
        pass
    with rival.held():
        assert not mine.acquire()


def test_a_lease_that_ran_out_is_lost(tmp_path):
    """A driver that slept too long stops before its next act."""
    now = [1000.0]
    store = SqliteStore(tmp_path / "s.db")
    slow = Lease(store, "x", lambda: now[0])
    quick = Lease(store, "x", lambda: now[0])
    assert slow.acquire() and not quick.acquire()
    now[0] += 60
    assert quick.acquire()
    with pytest.raises(LeaseLost):
        slow.assert_held()


def test_an_entry_is_written_once(tmp_path):
    """Two writers of one number: the second is beaten, and nothing is overwritten."""
    bench = Bench(tmp_path)
    bench.plan()
    move = bench.journal.read("web").intending(Order(Verb.PREPARE))
    bench.journal.write(move)
    with pytest.raises(Beaten):
        bench.journal.write(move)


def test_a_journal_of_a_newer_kirikae_is_not_guessed_at(tmp_path):
    """Better to stop than to misread."""
    bench = Bench(tmp_path)
    store = SqliteStore(tmp_path / "state.db")
    store.create_if_absent("move/test/shop/web/00000001", '{"format": 99}')
    with pytest.raises(NewerFormat, match="upgrade kirikae"):
        bench.journal.read("web")
    with pytest.raises(UnknownMove, match="kirikae move start"):
        bench.journal.read("other")


def test_a_silent_aws_is_waited_for(tmp_path):
    """The driver says so each second and goes on when it answers again; after five minutes it ends
    unclear."""
    bench = Bench(tmp_path)
    bench.plan()
    silent = [3]
    told = []
    original = bench.thing.compare

    def compare(move):
        if silent[0]:
            silent[0] -= 1
            raise AwsUnreachable("no answer")
        return original(move)

    bench.thing.compare = compare
    look = bench.drive(told.append)
    assert look.move.phase is Phase.SETTLED
    waits = [look.wait for look in told if look.wait is not None]
    assert [SAY(w.says) for w in waits if w.on is Waits.ANSWER] == ["no answer"] * 3


def test_what_is_over_can_be_planned_anew_and_nothing_else(tmp_path):
    """A second move of the same name goes on in the same journal."""
    bench = Bench(tmp_path)
    drive_to_the_end(bench)
    with pytest.raises(OutOfOrder):
        bench.journal.read("web").anew((1000,))
    with bench.lease.held():
        retired = bench.engine.order("web", Order(Verb.RETIRE))
    again = bench.journal.write(retired.anew((500, 1000)))
    assert again.phase is Phase.PLANNED and again.seq == retired.seq + 1


def test_entries_of_an_older_journal_are_read(tmp_path):
    """A move that was begun by format 1 goes on: nothing of it is written anew, and its next entry
    follows."""
    bench = Bench(tmp_path)
    plain = {
        "name": "web",
        "plan": [100, 500, 1000],
        "phase": "running",
        "share": 100,
        "held": "",
        "intent": None,
        "seq": 5,
        "attempt": 3,
        "stepped": 5,
    }
    body = {
        "format": 1,
        "move": plain,
        "at": 1.0,
        "who": "me",
        "where": "here",
        "requests": [],
        "evidence": None,
    }
    SqliteStore(tmp_path / "state.db").create_if_absent(
        "move/test/shop/web/00000005", json.dumps(body)
    )
    bench.world.turn(100)
    assert bench.journal.last("web").move.share == 100
    assert (
        drive_to_the_end(bench).phase is Phase.SETTLED
        and bench.journal.entries("web")[0].who == "me"
    )


def test_a_driver_that_slept_stops_before_its_next_act(tmp_path):
    """Suspended for longer than the lease while another took over: it wakes up, and nothing of it
    reaches the world."""
    bench = Bench(tmp_path, judge=lambda m: Verdict.UNSURE if m.share == 100 else Verdict.PASS)
    rival = Bench(tmp_path)
    bench.plan()
    with pytest.raises(LeaseLost), bench.lease.held():
        while bench.engine.step("web").move.share != 100:
            pass
        bench.lease._clock = lambda: (
            time.time() + 60
        )  # what a suspended machine sees when it wakes up
        rival.lease._clock = bench.lease._clock
        assert rival.lease.acquire()
        bench.thing.judge = lambda m: Verdict.PASS
        bench.engine.step("web")
    assert bench.world.share == 100


def test_no_call_outlives_the_lease():
    """A call to AWS ends, one way or the other, before the lease that was checked right before it
    can run out."""
    from kirikae.aws import session
    from kirikae.move import lease

    assert session._CONNECT_S + session._READ_S < lease.ACT_S < lease.TERM_S


def test_a_step_waits_for_somebody_else(tmp_path):
    """`approver: another`: the driver's own yes does not count, a second person's does, and the
    journal keeps who it was."""
    bench = Bench(tmp_path, rules=Rules(ask=True, by_another=True))
    bench.plan()
    second = Journal(SqliteStore(tmp_path / "state.db"), "test", "shop", "she", "there")
    with bench.lease.held():
        for _ in range(4):
            look = bench.engine.step("web")
        bench.journal.approve(look.move)
        assert "somebody else than me" in SAY(bench.engine.step("web").wait.says)
        second.approve(look.move)
        second.approve(look.move)
        assert bench.engine.step("web").move.share == 100
    intent = next(
        e
        for e in bench.journal.entries("web")
        if e.move.intent is not None and e.move.intent.verb is Verb.SHIFT
    )
    assert intent.approver == "she"


def test_outside_of_its_window_a_step_waits_and_a_back_out_does_not(tmp_path):
    """Nobody wants a step at 03:00; everybody wants the way back."""
    closed = [None]
    bench = Bench(tmp_path, rules=Rules(closed=lambda: closed[0]))
    bench.plan()
    with bench.lease.held():
        while (look := bench.engine.step("web")).move.share != 100:
            pass
        closed[0] = text("outside of the windows; next Mon")
        for _ in range(5):
            look = bench.engine.step("web")
        assert (
            look.move.share == 100
            and SAY(look.wait.says)
            == "its window to shift to 50%: outside of the windows; next Mon"
        )
        bench.thing.judge = lambda m: Verdict.FAIL
        assert bench.engine.step("web").move.share == 0
    assert bench.world.share == 0


def test_a_service_rests_goes_on_beats_and_stops(tmp_path):
    """Held: it rests and beats.  Resumed: it drives.  Told to stop: it stops."""
    bench = Bench(tmp_path)
    looks = []
    beats = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 10
        if now[0] == 200:
            bench.plan()
            hold_without_lease(bench.journal, "web", text("lunch"))
        if now[0] == 600:
            move = bench.journal.read("web")
            bench.journal.write(bench.journal.write(move.intending(Order(Verb.RESUME))).done())

    Service(
        bench.driver(sleep, lambda: now[0]),
        looks.append,
        lambda: beats.append(now[0]),
        lambda: now[0] > 2000,
    ).serve()
    assert bench.journal.read("web").phase is Phase.SETTLED and bench.world.share == 1000
    assert 25 < len(beats) < 40 and "no move web was started" in SAY(looks[0].wait.says)
