"""The realistic benchmark itself: its traffic is what it says, and the peers' rules are theirs."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import mean, pvariance

import pytest
from benchmarks.bound import at_most, line_of, measure
from benchmarks.climbers import (
    PEERS,
    ArgoExample,
    ArgoFirst,
    Climb,
    Climber,
    End,
    Flagger,
    Kayenta,
    climb,
)
from benchmarks.kept import Kept
from benchmarks.realistic import OURS, row_of, run
from benchmarks.scenarios import PLAN, Scenario, everything
from benchmarks.worlds import (
    Alone,
    Answers,
    Minute,
    Outages,
    Sessions,
    Stand,
    Times,
    Traffic,
    Users,
    World,
    binomial,
)


def answers(requests: int, errors: int, median_s: float = 0.1, seed: str = "") -> Answers:
    return Answers(requests, errors, 0, (Times(requests, median_s),), seed)


def minute(errors: int, of: int = 1000, median_s: float = 0.1) -> Minute:
    return Minute(answers(10_000, 10), answers(of, errors, median_s))


def ends(climber: Climber, minutes: list[Minute]) -> list[End | None]:
    return [climber.take(t, each) for t, each in enumerate(minutes)]


@pytest.mark.parametrize(("n", "p"), [(20, 0.3), (6000, 0.001), (6000, 0.02), (900, 0.9)])
def test_counts_are_binomial(n: int, p: float) -> None:
    """Mean and variance of 4,000 draws, whichever way they are drawn."""
    rng = random.Random(f"{n}/{p}")
    drawn = [binomial(rng, n, p) for _ in range(4000)]
    spread = n * p * (1 - p)
    assert abs(mean(drawn) - n * p) < 5 * (spread / 4000) ** 0.5
    assert 0.9 < pvariance(drawn) / spread < 1.1


def test_a_world_is_drawn_by_its_seed_alone() -> None:
    """Minutes asked for again, and by another tool, are the same minutes."""
    for scenario in everything():
        one, other = (World("7", scenario.traffic) for _ in range(2))
        later = one.minute(9, Stand(50, 3))
        again = other.minute(9, Stand(50, 3))
        assert later == again
        assert later.new.quantiles() == again.new.quantiles()


def test_answers_within_a_bound_are_in_accord_with_the_quantiles() -> None:
    """What ours and the peers read of a minute is one and the same minute."""
    for requests in (3, 60, 6000):
        side = answers(requests, 0, seed=str(requests))
        for metric, part in (("p50", 0.5), ("p95", 0.95)):
            bound = side.quantiles()[metric]
            within = side.within([bound * 0.999, bound * 1.001])
            below, above = sorted(within.values())
            assert below <= part * requests + 1 and above >= part * requests


def test_an_outage_of_a_target_takes_its_part_of_the_side() -> None:
    """A tenth of a second in 7,200 of four targets: about 0.14% of the requests, in bursts."""
    world = World("1", Traffic(Alone((Users(failing=0.0),)), outages=Outages(4, 4)))
    minutes = [world.minute(t, Stand(500, t)).old for t in range(3000)]
    part = sum(each.errors for each in minutes) / sum(each.requests for each in minutes)
    assert 0.0009 < part < 0.0019
    assert sum(each.errors > 0 for each in minutes) < 300


def test_a_session_fails_as_a_whole_on_its_side() -> None:
    """Sticky: ten requests a minute of one session are all on one side."""
    world = World("1", Traffic(Sessions(sticky=True, failing=0.01)))
    counted = [world.minute(t, Stand(250, t)) for t in range(200)]
    assert all(side.errors % 10 == 0 for each in counted for side in each)
    assert any(each.new.errors for each in counted)


def test_flagger_never_forgets_a_failed_check() -> None:
    """Five failed checks, with passed ones between them, and it rolls back one check later."""
    bad, good = minute(20), minute(1)
    flagger = Flagger(PLAN)
    assert ends(flagger, [bad, good, bad, bad, bad, bad]) == [None] * 6
    assert flagger.share == 50
    assert flagger.take(6, good) is End.OUT
    assert ends(Flagger(PLAN, 10), [bad] * 11) == [None] * 10 + [End.OUT]
    slow = minute(0, median_s=0.2)
    assert ends(Flagger(PLAN, 5, 0.5), [slow] * 6)[-1] is End.OUT
    assert ends(Flagger(PLAN), [minute(0, of=0)] * 6)[-1] is End.OUT
    assert ends(Flagger(PLAN), [good] * 4) == [None, None, None, End.DONE]


def test_argo_ends_with_the_first_failure_or_with_the_fourth_of_its_example() -> None:
    """failureLimit 0 at 99% of a minute; failureLimit 3 at 95% of five minutes."""
    assert ends(ArgoFirst(PLAN), [minute(10), minute(11)]) == [None, End.OUT]
    assert ends(ArgoExample(PLAN), [minute(60)] * 20)[-1] is End.OUT
    assert End.OUT not in ends(ArgoExample(PLAN), [minute(60)] * 15 + [minute(40)] * 25)


def test_kayenta_compares_the_points_of_both_sides() -> None:
    """Errors of ten minutes that all lie above the old side's: below 75 it ends at once."""
    rng = random.Random(1)
    worse = [
        Minute(
            answers(10_000, rng.randrange(5, 16), seed=f"{t}/old"),
            answers(1000, rng.randrange(30, 50), seed=f"{t}/new"),
        )
        for t in range(10)
    ]
    assert ends(Kayenta(PLAN), worse) == [None] * 9 + [End.OUT]


@pytest.mark.parametrize("tool", PEERS)
def test_every_peer_is_promoted_on_calm_traffic(tool: str) -> None:
    """No errors, the same times: nobody rolls back."""
    calm = Traffic(Alone((Users(50.0, 0.0),)))
    ended = climb(PEERS[tool](PLAN), World("3", calm), 400)
    assert (ended.end, ended.reached) == (End.DONE, 500)


def test_a_long_table_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was measured is read again and not measured anew; without time nothing begins."""
    file = tmp_path / "climbs.jsonl"
    first = Climb(End.OUT, 14, 852, 10, "traffic.harm")
    assert Kept(file).climb("a", lambda: first) == first
    again = Kept(file, until=0.0)
    assert again.climb("a", pytest.fail) == first
    assert again.climb("b", pytest.fail) is None


def named(name: str) -> Scenario:
    return next(scenario for scenario in everything() if scenario.name == name)


@pytest.mark.parametrize(
    "name",
    [
        "sessions of 50, sticky",
        "4+4 targets fail 10 s in 2 h",
        "median wobbles 10%",
        "shared bursts, 10 s of 50% each 10 min",
        "2 ms service, 0.3 ms more",
        "1% errors in the first minute",
    ],
)
def test_a_healthy_side_in_real_traffic_is_left_alone(name: str) -> None:
    """Ten hours of a ladder that the judge of independent requests backs out of."""
    assert run(OURS, named(name), "slice", 10).end is not End.OUT


@pytest.mark.parametrize(
    "name",
    [
        "independent: errors x10",
        "independent: p50 +20%",
        "retries x3: errors x10",
        "4+4 targets fail 10 s in 2 h: new ten times as often",
        "median wobbles 10%: p50 +30%",
        "5% hang (504)",
        "30/s: 5% errors",
    ],
)
def test_harm_in_real_traffic_is_found_early(name: str) -> None:
    """Below a quarter of the traffic."""
    ended = run(OURS, named(name), "slice")
    assert ended.end is End.OUT and ended.reached < 250


@pytest.mark.parametrize("name", ["bots on old only", "bots on new only: errors x5"])
def test_where_the_sides_are_asked_otherwise_it_holds_and_says_so(name: str) -> None:
    """A comparison of other things is no harm, and no proof."""
    scenario = named(name)
    ended = run(OURS, scenario, "slice", 6)
    assert ended.end is End.OPEN and ended.reason in scenario.holds


@pytest.mark.prove
@pytest.mark.parametrize("name", [scenario.name for scenario in everything()])
def test_every_realistic_scenario(name: str) -> None:
    """Ten runs each: no healthy side is backed out, all harm is found or held with its reason."""
    scenario = named(name)
    row = row_of(scenario, OURS, [run(OURS, scenario, f"prove/{n}") for n in range(10)])
    held = sum(n for reason, n in row.reasons.items() if reason in scenario.holds)
    assert not row.false, row
    assert not scenario.harmful or row.out + held == row.runs, row


@pytest.mark.parametrize(
    ("out", "runs", "rate"),
    [(0, 300, 0.00994), (0, 20, 0.1391), (1, 60, 0.0767), (3, 300, 0.0256), (5, 5, 1.0)],
)
def test_what_so_many_runs_do_not_exclude(out: int, runs: int, rate: float) -> None:
    """Clopper and Pearson's one-sided bounds of 95%, such as R's binom.test gives them."""
    assert at_most(out, runs) == pytest.approx(rate, rel=0.01)


def test_kinds_are_measured_in_turn_and_go_on(tmp_path: Path) -> None:
    """What is kept is not run again; how near a run came is told."""
    scenarios = [each for each in everything() if each.name in ("independent", "30/s")]
    kept = tmp_path / "kept"
    found = measure(scenarios, range(2), "t", 1, Kept(kept))
    again = measure(scenarios, range(2), "t", 1, Kept(kept, until=0.0))
    assert found == again and [len(each) for each in found.values()] == [2, 2]
    names = [line.split('"')[1] for line in kept.read_text().splitlines()]
    assert [name.split("/")[-2] for name in names] == ["0", "0", "1", "1"]
    near = [Climb(End.OUT, 9, 9, 10, peak=4.7), Climb(End.DONE, 9, 9, 10, peak=2.4)]
    assert "1 of 2 out, at most 97.47%; 2 reached 10, the largest 110" in line_of("x", near)
