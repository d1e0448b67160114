"""Over-dispersion: seen in the past, known before it is used, and none where there is none."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from kirikae.model.evidence import Verdict
from kirikae.model.said import Words
from kirikae.move.dispersion import (
    Dispersion,
    long_run,
    of_one_side,
    on_fewer_targets,
    per_request,
)
from kirikae.move.judge import Judge, Margins, Outcome
from kirikae.traffic import telling
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.trial import Guards, Trial
from tests.simulation import binomial, poisson


def bursts(rng: random.Random, n: int, rate: float, part: float, often: float) -> int:
    """Errors of a minute: independent ones, and now and then a part of all."""
    errors = binomial(rng, n, rate)
    return min(n, errors + (binomial(rng, n, part) if rng.random() < often else 0))


def test_independent_requests_have_none():
    """Of one side, and of the difference of two."""
    rng = random.Random(1)
    minutes = [(n := poisson(rng, 6000), binomial(rng, n, 0.001)) for _ in range(720)]
    assert of_one_side(minutes) < 1.5
    dispersion = Dispersion()
    for _ in range(240):
        dispersion.add(60, 3000, binomial(rng, 3000, 0.002), 3000, binomial(rng, 3000, 0.002))
    assert dispersion.phi < 2


def test_drift_that_both_sides_share_is_none():
    """Errors between 0.1 and 0.3% over a day."""
    rng = random.Random(2)
    dispersion = Dispersion()
    for minute in range(480):
        rate = 0.002 + 0.001 * math.sin(minute / 76)
        dispersion.add(60, 3000, binomial(rng, 3000, rate), 3000, binomial(rng, 3000, rate))
    assert dispersion.phi < 2.5


def test_one_burst_in_the_same_minute_is_chance_and_not_shared_trouble():
    """Targets of both sides that fail by themselves do so together now and then: what the past
    told of bursts still counts, until three have come together."""
    rng = random.Random(4)
    dispersion = Dispersion()
    dispersion.tell(0.027, False)
    phi = []
    for minute in range(60):
        rate = 0.045 if minute % 12 == 11 else 0.0005
        dispersion.add(60, 4500, binomial(rng, 4500, rate), 1500, binomial(rng, 1500, rate))
        phi.append(dispersion.phi)
    assert min(phi[11:23]) > 15
    assert phi[36] < 10


def test_incidents_that_both_sides_share_are_none():
    """Half of the requests of both fail for ten seconds each ten minutes."""
    rng = random.Random(3)
    dispersion = Dispersion()
    for minute in range(240):
        rate = 0.08 if minute % 10 == 5 else 0.001
        dispersion.add(60, 3000, binomial(rng, 3000, rate), 3000, binomial(rng, 3000, rate))
    assert dispersion.phi < 3


def test_bursts_of_one_side_are_counted():
    """Twenty at once instead of one by one: about twenty."""
    rng = random.Random(4)
    minutes = [(6000.0, 20.0 * poisson(rng, 0.3)) for _ in range(720)]
    assert 12 < of_one_side(minutes) < 30
    assert per_request(minutes) == pytest.approx(20 / 6000, rel=0.6)


def test_it_lasts_longer_than_a_minute_is_counted_too():
    """A median that wobbles by itself: neighbours are alike."""
    rng = random.Random(5)
    wobble = 0.0
    values = []
    for _ in range(2000):
        wobble = 0.8 * wobble + 0.6 * rng.gauss(0, 1)
        values.append(wobble)
    assert long_run(values) > 3 * statistics.pvariance(values)


def test_what_wanders_for_many_minutes_is_not_underestimated():
    """A median that wanders by itself (0.8 of it is left a minute later): what a day of it shows is
    near the truth, (1 + 0.8) / (1 - 0.8) times what minutes by themselves would show."""
    excess = []
    for seed in range(6):
        rng = random.Random(seed)
        now = 0.0
        counted = []
        for _ in range(1440):
            now = 0.8 * now + rng.gauss(0, 0.018)
            counted.append((6000, binomial(rng, 6000, min(0.9, max(0.1, 0.5 + now)))))
        excess.append(per_request(counted, wanders=True))
    truth = 9 * 0.018**2 / (1 - 0.8**2) / 0.25
    assert 0.75 * truth < sum(excess) / len(excess) < 1.3 * truth


def test_what_wanders_alike_for_a_quarter_of_an_hour_may_do_so_by_chance():
    """Two sides whose times wander by themselves: that they went together for twenty minutes does
    not take away what a day has told."""
    wanders = Dispersion(wanders=True)
    bursts_ = Dispersion()
    for dispersion in (wanders, bursts_):
        dispersion.tell(0.03, sticky=False)
        rng = random.Random(4)
        now = 0.0
        for _ in range(20):
            now = 0.8 * now + rng.gauss(0, 0.02)
            slow = 0.05 + min(0.04, max(-0.04, now))
            n_new = binomial(rng, 300, slow)
            dispersion.expect(60.0, 5700, 300)
            dispersion.add(60.0, 5700, binomial(rng, 5700, slow), 300, n_new)
    assert wanders.phi > 8 > bursts_.phi


def test_a_side_with_fewer_targets_has_larger_bursts():
    """One target of four on the old side, and the only one of the new side."""
    past = {"errors": 0.02}
    assert on_fewer_targets(past, 4, 4) == past
    assert on_fewer_targets(past, 4, 1) == {"errors": 0.08}
    assert on_fewer_targets(past, 4, 8) == past, "more of them: never less careful"
    assert on_fewer_targets(past, 4, 0) == past, "not known"


def test_harm_that_lasts_is_no_dispersion():
    """Ten times the errors from the first minute on: each side by its own rate."""
    rng = random.Random(6)
    dispersion = Dispersion()
    for _ in range(120):
        dispersion.add(60, 5940, binomial(rng, 5940, 0.001), 60, binomial(rng, 60, 0.01))
    assert dispersion.phi < 2


def test_what_is_divided_by_was_known_before():
    """Predictable: the outcome of a batch does not touch what its own evidence is divided by."""

    def phi_after(last_bad: int) -> float:
        judge = Judge(Margins(), (10, 1000))
        for _ in range(40):
            judge.observe(60, 5000, 100, {"errors": Outcome(5, 0, 5, 0)})
        judge.tell({}, False)
        before = judge.dispersion("errors")
        judge.observe(60, 5000, 100, {"errors": Outcome(5, last_bad, 5, last_bad)})
        return before

    assert phi_after(0) == phi_after(90)


@pytest.mark.parametrize("share", [10, 250, 500])
def test_targets_that_fail_for_ten_seconds_are_not_called_harm(share):
    """On both sides, each by itself, as every two hours in the past: a seeded slice."""
    failed = 0
    for seed in range(6):
        rng = random.Random(f"{share}/{seed}")
        past = [(6000, bursts(rng, 6000, 0.0005, 0.04, 1 / 30)) for _ in range(720)]
        trial = Trial(Margins(), (10, 250, 500, 1000), Guards())
        for minute in range(360):
            n_new = 6000 * share // 1000
            arms = [Arm(n, bursts(rng, n, 0.0005, 0.04, 1 / 30)) for n in (6000 - n_new, n_new)]
            sides = {"old": arms[0], "new": arms[1]}
            batch = Batch(
                60.0 * minute, 60.0, share, {"": sides}, 3, dispersion={"errors": per_request(past)}
            )
            failed += trial.look(batch).verdict is Verdict.FAIL
    assert failed == 0


def test_bursts_are_shown_where_they_divide_evidence():
    """In the line that status and watch show; nothing is said where requests fail one by one."""
    known = {"new_requests": 100.0, "new_errors": 1.0, "old_requests": 900.0, "old_errors": 3.0}
    bars = {"log_harm": 1.0, "bar_harm": 4.6}
    say = Words.of("kirikae.traffic").say
    line = telling.told({**known, **bars, "dispersion_errors": 7.2}).line
    assert "errors come in bursts of about 7" in say(line)
    assert "bursts" not in say(telling.told({**known, **bars, "dispersion_errors": 1.2}).line)
