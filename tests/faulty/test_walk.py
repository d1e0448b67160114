"""Hundreds of moves through a faulty AWS in this process: the world equals the journal, the button
always wins, no harm passes."""

from __future__ import annotations

import pytest

from kirikae.model.evidence import Verdict
from kirikae.move import lease as leases
from kirikae.traffic.batches import recorded
from tests.faulty.cloud import Faults
from tests.faulty.walk import Walk

_AT_ONCE = 20


@pytest.fixture(autouse=True)
def no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clock, and one thread: leases are renewed by who asserts them."""
    monkeypatch.setattr(leases, "_BEAT_S", 1e6)


@pytest.mark.parametrize("first", range(0, 300, _AT_ONCE))
def test_a_move_through_a_faulty_world(first):
    """Every mixture of faults, a button in half of them, drivers that die."""
    for seed in range(first, first + _AT_ONCE):
        Walk(seed).go().check()


def test_figures_that_come_later_than_lateness_are_counted_all_the_same():
    """5XX points 6 s late, lateness 2 s, 20% errors: backed out, never settled (S8)."""
    walk = Walk(7, Faults(late_errors_s=6.0), 0.2).without_button().go()
    walk.check()
    assert walk.quiet().held is not None and walk.cloud.share == 0
    batches = recorded(walk.quiet_journal(), walk.tried())
    assert any(batch.corrects for batch in batches), "what came late stands in the record"


def test_late_figures_give_the_same_looks_when_they_are_read_again():
    """The record holds what the driver saw: its evidence is found again."""
    walk = Walk(8, Faults(late_errors_s=6.0), 0.2).without_button().go()
    evidence = [look.evidence for look in walk.looks if look.evidence is not None]
    failed = next(each for each in evidence if each.verdict is Verdict.FAIL)
    again = walk.judged_again()
    assert (again.verdict, again.reason) == (failed.verdict, failed.reason)


def test_figures_that_cloudwatch_cannot_read_let_nothing_pass():
    """The 5XX series of the new side is InternalError for ever: told, and no step (B1)."""
    walk = Walk(9, Faults(incomplete=8.0), 0.2).without_button()
    walk.horizon_s = 120.0
    walk.go()
    assert walk.quiet().share == 100 and walk.cloud.share == 100
    keys = {look.evidence.reason.key for look in walk.looks if look.evidence is not None}
    assert "traffic.figures_incomplete" in keys


@pytest.mark.parametrize("wrong_s", [90.0, -3600.0])
def test_a_wrong_clock_blinds_nobody(wrong_s):
    """The driver's machine is off; AWS's time counts, and harm is found as soon as without (S9)."""
    right = Walk(10, Faults(), 0.2).without_button().go()
    wrong = Walk(10, Faults(), 0.2).without_button()
    wrong.off_s = wrong_s
    wrong.go().check()
    assert wrong.cloud.exposed() <= right.cloud.exposed() * 1.5 + 100


@pytest.mark.prove
def test_three_hundred_more_moves():
    """The long proof."""
    for seed in range(10_000, 10_300):
        Walk(seed).go().check()
    print("300 moves through a faulty AWS: each world as its journal says, the button always won")
