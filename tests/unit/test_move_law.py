"""The law of a move, walked through exhaustively."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kirikae.model.errors import OutOfOrder
from kirikae.model.move import Hold, Move, Order, Phase, Verb, Why
from kirikae.model.share import WHOLE

PLAN = (100, 500, WHOLE)
HELD = Hold(Why.BY_HAND)
ORDERS = [Order(v) for v in Verb if v is not Verb.SHIFT] + [
    Order(Verb.SHIFT, s) for s in (0, *PLAN)
]


def key(move: Move) -> Move:
    return replace(move, seq=0, attempt=0, stepped=0, held=HELD if move.held else None)


def walk() -> tuple[set[Move], list[tuple[Move, Order, Move]]]:
    first = Move("web", PLAN)
    seen = {first}
    todo = [first]
    edges = []
    while todo:
        here = todo.pop()
        after = [(Order(Verb.HOLD, reason="done"), key(here.done()))] if here.intent else []
        for order in ORDERS:
            try:
                after.append((order, key(here.intending(order))))
            except OutOfOrder:
                continue
        for order, there in after:
            edges.append((here, order, there))
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return seen, edges


STATES, EDGES = walk()


def test_the_walk_reaches_every_phase():
    """The exhaustive walk really goes everywhere."""
    assert {s.phase for s in STATES} == set(Phase)
    assert len(STATES) > 60


def test_backing_out_is_lawful_from_every_live_state_unless_it_retires():
    """The red button works wherever a share is in the outside world."""
    for state in STATES:
        open_verb = state.intent.verb if state.intent else None
        if state.live and open_verb not in (Verb.RETIRE, Verb.BACK_OUT):
            assert state.intending(Order(Verb.BACK_OUT)).done().share == 0, state


def test_nothing_leaves_a_move_that_is_over():
    """Retired and abandoned are ends."""
    assert not [e for e in EDGES if e[0].over]


def test_the_share_rises_only_along_the_plan_and_never_while_held():
    """No step is skipped, and a hold holds."""
    for before, _, after in EDGES:
        if after.share > before.share:
            assert after.share == before.next_share and not before.held, (before, after)


def test_a_move_is_settled_only_at_the_whole():
    """Settled and retired mean all of it."""
    assert all(s.share == WHOLE for s in STATES if s.phase in (Phase.SETTLED, Phase.RETIRED))


def test_every_state_survives_the_journal():
    """What is written can be read back, to the same value."""
    for state in STATES:
        assert Move.from_plain(state.to_plain()) == state


def test_a_step_after_backing_out_is_judged_afresh():
    """Evidence against a release that was repaired must not condemn the next attempt."""
    failed = Move("web", PLAN, Phase.RUNNING, 100, seq=7, attempt=5, stepped=7)
    back = failed.intending(Order(Verb.BACK_OUT)).done()
    again = back.intending(Order(Verb.RESUME)).done()
    assert again.attempt > failed.attempt and again.stepped == again.seq


@pytest.mark.parametrize("plan", [(), (0, 1000), (500, 100, 1000), (100, 100, 1000), (100, 500)])
def test_a_plan_must_rise_to_the_whole(plan):
    """A plan that would never end, or go backwards, is refused at once."""
    with pytest.raises(ValueError, match="must rise to 100%"):
        Move("web", plan)


def test_a_hold_may_stop_a_shift_but_not_a_back_out():
    """A hand on the knob ends a step; nothing ends the red button."""
    running = Move("web", PLAN, Phase.RUNNING, 0)
    assert running.intending(Order(Verb.SHIFT, 100)).intending(Order(Verb.HOLD)).intent == Order(
        Verb.HOLD
    )
    with pytest.raises(OutOfOrder):
        running.intending(Order(Verb.BACK_OUT)).intending(Order(Verb.HOLD))
