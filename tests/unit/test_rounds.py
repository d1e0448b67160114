"""Rounds of probes: a target that is broken is found in three of them, and trouble that both sides
share is nobody's fault, however it falls."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kirikae.model.said import said
from kirikae.move.judge import Margins
from kirikae.traffic.batches import Batch
from kirikae.traffic.probes import Probe
from kirikae.traffic.rounds import Rounds, rounds_of
from kirikae.traffic.trial import Guards, Trial

EVERY_S = 5.0
WRONG = said("traffic.probe.at", trouble="wrong", target="x")


class Side:
    def __init__(self, name: str, targets: int) -> None:
        self.healthy = [f"{name}{n}" for n in range(targets)]


class World:
    """Targets, and the part of the answers of each that fail."""

    class project:
        checks = ("a check",)

    def __init__(self, seed: int, old: int, new: int, failing: float) -> None:
        self._rng = random.Random(seed)
        self._sides = {"old": Side("old", old), "new": Side("new", new)}
        self.failing = {target: failing for side in self._sides.values() for target in side.healthy}
        self.asked: list[str] = []

    def members(self, side: str) -> Any:
        return self._sides[side]

    def probes(self, side: Side) -> list[Probe]:
        return [self._probe(target) for target in side.healthy]

    def _probe(self, target: str) -> Probe:
        self.asked.append(target)
        bad = self._rng.random() < self.failing[target]
        return Probe(target, WRONG if bad else None, None)


def failed_after(world: World, most: int, before: int = 0) -> int | None:
    """In how many rounds the trial fails; None: it does not.  ``before``: rounds while all is
    well."""
    clock = [0.0]
    rounds = Rounds(world, lambda: clock[0])
    trial = Trial(Margins(), (200, 1000), Guards()).at(1, 200)
    trouble = dict(world.failing)
    for n in range(before + most):
        world.failing = trouble if n >= before else dict.fromkeys(trouble, 0.0)
        look = trial.look(Batch(clock[0], EVERY_S, 200, {"": rounds.ask()}, 1))
        if look.verdict == "fail":
            return n - before + 1
        clock[0] += EVERY_S
    return None


@pytest.mark.parametrize(("old", "new"), [(2, 4), (1, 1), (4, 1), (20, 20)])
def test_a_target_that_is_broken_is_found_in_three_rounds(old: int, new: int) -> None:
    world = World(1, old, new, 0.0)
    world.failing["new0"] = 1.0
    assert failed_after(world, 10) == 3
    assert world.asked.count("old0") <= 3 + 2 * 24, "not for ever"


@pytest.mark.parametrize("failing", [0.02, 0.1, 0.31, 0.6])
@pytest.mark.parametrize(("old", "new"), [(2, 4), (1, 1), (1, 4)])
def test_trouble_that_both_sides_share_is_nobody_s_fault(
    failing: float, old: int, new: int
) -> None:
    """Ten minutes of it, before any figure tells of an incident."""
    failed = [failed_after(World(seed, old, new, failing), 120, 12) for seed in range(20)]
    assert failed == [None] * 20


def test_errors_that_were_always_there_are_not_harm_by_chance() -> None:
    """A day at 95% with a service of which five of a hundred answers fail, and twenty targets."""
    assert failed_after(World(3, 4, 20, 0.05), 17_280) is None


def test_a_broken_target_is_found_where_errors_were_always_there() -> None:
    """It takes a few rounds more."""
    world = World(4, 4, 4, 0.05)
    world.failing["new1"] = 1.0
    found = failed_after(world, 60)
    assert found is not None and found <= 20


def test_a_slow_old_side_is_not_pressed() -> None:
    """It is asked again for three seconds at the most, one question after another."""
    world = World(5, 1, 1, 0.0)
    world.failing["new0"] = 1.0
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    rounds = Rounds(world, clock)
    rounds.ask()
    asked = world.asked.count("old0")
    rounds.ask()
    assert world.asked.count("old0") - asked <= 1 + 3


def test_the_more_of_the_old_side_s_answers_fail_the_more_rounds_it_takes() -> None:
    parts = (0.0, 0.001, 0.01, 0.05, 0.31, 1.0)
    assert [rounds_of(part) for part in parts] == [3, 3, 4, 6, 15, 48]
