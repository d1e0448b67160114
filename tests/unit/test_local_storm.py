"""A machine that has more to do than it can carry: what kirikae local measures, what it does not
believe then, and how many tasks it starts at once.  Every clock is the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.local import _overload
from kirikae.local.ecs.checks import LONGEST_EXCUSE_S, Run, failed_runs, judged
from kirikae.local.ecs.doubt import Doubt
from kirikae.local.ecs.pace import (
    AT_ONCE_PER_CORE,
    MOST_WHEN_OVERLOADED,
    Pace,
    starts_at_once,
)
from kirikae.local.elb.health import TIMEOUT, is_excused
from kirikae.local.pulse import MUCH, QUIET, Load, Measure, Pulse
from kirikae.local.status import _load_status


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


# --- measuring


def pulse_with(clock: Clock, what: Measure, *seconds: float) -> Pulse:
    """One measure a second."""
    pulse = Pulse(clock)
    for took in seconds:
        clock.now += 1
        pulse.measured(what, took)
    return pulse


def test_nothing_measured_is_no_overload():
    """Missing is not zero, and no reason to slow down."""
    load = Pulse(Clock()).load()
    assert load == QUIET and not load.overloaded and load.of(Measure.START) is None


@pytest.mark.parametrize("what", list(Measure))
def test_each_figure_alone_can_tell_of_an_overload(what):
    """From its own limit on."""
    assert Load({what: MUCH[what]}).overloaded
    assert not Load({what: MUCH[what] * 0.99}).overloaded


def test_one_hiccup_is_no_overload():
    """A median of ten seconds; what is older is forgotten."""
    clock = Clock()
    pulse = pulse_with(clock, Measure.ANSWER, 0.01, 0.01, 3.0, 0.01, 0.01)
    assert not pulse.load().overloaded
    pulse = pulse_with(clock, Measure.ANSWER, *[0.01] * 60, *[0.5] * 10)
    assert pulse.load().overloaded and pulse.load().of(Measure.ANSWER) == 0.5
    clock.now += 11
    assert pulse.load() == QUIET


def test_the_engine_s_answers_are_heard():
    """The cheapest question and starts; other calls say nothing by their length."""
    pulse = Pulse(Clock())
    pulse.heard("GET /version", 0.2)
    pulse.heard("POST /containers/x/start", 9.0)
    pulse.heard("POST /containers/x/stop", 30.0)
    assert pulse.load().seconds == {Measure.ANSWER: 0.2, Measure.START: 9.0}


def test_whether_it_was_late_at_a_certain_time():
    """Late while it was, not before and not after; unknown before this control plane lived."""
    clock = Clock(0.0)
    pulse = Pulse(clock)
    for second in range(1, 61):
        clock.now = float(second)
        pulse.measured(Measure.ANSWER, 0.5 if 20 < second <= 40 else 0.01)
    assert not pulse.was_late(5, 10) and not pulse.was_late(50, 55)
    assert pulse.was_late(25, 30)
    assert pulse.was_late(-5, -1), "nothing is known of that time"


def test_a_loop_that_stood_still_was_late():
    """However long it ran well around it."""
    clock = Clock()
    pulse = pulse_with(clock, Measure.LOOP, 0.0, 0.0, 2.5, 0.0, 0.0)
    assert pulse.was_late(clock.now - 3, clock.now - 1)


# --- pacing


@given(st.floats(0, 50), st.integers(1, 64))
def test_starts_follow_what_the_machine_carries(slowness, cores):
    """All on a quick machine, fewer as it slows, never none: a dead task is always replaced."""
    load = Load({Measure.ANSWER: slowness * MUCH[Measure.ANSWER]})
    now = starts_at_once(load, cores)
    assert 1 <= now <= AT_ONCE_PER_CORE * cores
    worse = Load({Measure.ANSWER: (slowness + 1) * MUCH[Measure.ANSWER]})
    assert starts_at_once(worse, cores) == min(cores, MOST_WHEN_OVERLOADED) <= now
    assert starts_at_once(QUIET, cores) == AT_ONCE_PER_CORE * cores


@dataclass
class Machine:
    """A machine of two cores on which a start takes the longer, the more of them there are."""

    load: Load = QUIET
    running: int = 0
    most: int = 0
    order: list[int] = field(default_factory=list)

    async def start(self, pace: Pace, number: int, wanted: bool = True) -> None:
        async with pace.turn(lambda: wanted):
            if not wanted:
                return
            self.running += 1
            self.most = max(self.most, self.running)
            self.order.append(number)
            self.load = Load({Measure.START: 0.7 * self.running})
            await asyncio.sleep(0)
            self.running -= 1
            self.load = Load({Measure.START: 0.7 * self.running})


def test_thirty_tasks_at_once_are_started_one_after_the_other():
    """Never more at once than the machine shows it can carry, first come, first served, all of
    them."""

    async def storm() -> Machine:
        machine = Machine()
        pace = Pace(lambda: machine.load, cores=2)
        await asyncio.gather(*(machine.start(pace, number) for number in range(30)))
        assert (pace.starting, pace.waiting) == (0, 0)
        return machine

    machine = asyncio.run(storm())
    assert machine.most <= AT_ONCE_PER_CORE * 2
    assert machine.order == list(range(30))


def test_a_task_that_is_not_wanted_any_more_does_not_wait():
    """It leaves the queue, and whoever stands behind it goes on."""

    async def gone() -> list[int]:
        overloaded = Load({Measure.START: 100.0})
        machine = Machine(overloaded)
        pace = Pace(lambda: overloaded, cores=1)
        async with pace.turn(lambda: True):
            assert pace.room() == 0
            unwanted = asyncio.create_task(machine.start(pace, 1, wanted=False))
            waiting = asyncio.create_task(machine.start(pace, 2))
            await unwanted
        await waiting
        assert pace.room() == 1
        return machine.order

    assert asyncio.run(gone()) == [2]


def test_room_is_bounded_only_on_an_overloaded_machine():
    """A quick machine starts as many as are wanted."""
    assert Pace(lambda: QUIET, 2).room() is None
    assert Pace(lambda: Load({Measure.ANSWER: 1.0}), 2).room() == 2


# --- container checks

CHECK = {"command": ["CMD", "x"], "retries": 2, "timeout": 2}
BEGAN = 1_795_219_200.0  # 2026-11-21T00:00:00Z


def engine_says(*codes: int, streak: int | None = None, first: int = 0) -> dict:
    """One run each ten seconds, two long; -1 is a run that the engine stopped."""
    runs = [
        {
            "Start": f"2026-11-21T00:{(first + n) // 6:02}:{(first + n) % 6}0Z",
            "End": f"2026-11-21T00:{(first + n) // 6:02}:{(first + n) % 6}2Z",
            "ExitCode": code,
        }
        for n, code in enumerate(codes)
    ]
    failed = len(list(itertools.takewhile(bool, reversed(codes))))
    return {"Status": "unhealthy", "FailingStreak": streak or failed, "Log": runs[-5:]}


def always(run: Run) -> bool:
    return True


def never(run: Run) -> bool:
    return False


def test_runs_are_read_from_the_engine():
    """Only the failures in a row; -1 is out of time."""
    runs = failed_runs(engine_says(-1, 0, 1, -1))
    assert [run.in_time for run in runs] == [True, False]
    assert (runs[0].began, runs[0].ended) == (BEGAN + 20, BEGAN + 22)


def test_late_checks_of_a_late_engine_do_not_count():
    """They could not have run in time; on a machine that is on time they prove a hung process."""
    late = judged(engine_says(0, -1, -1), CHECK, None, always, BEGAN + 30)
    assert not late.unhealthy and late.excused == {
        "runs": 2,
        "since": BEGAN + 12,
        "until": BEGAN + 22,
    }
    assert judged(engine_says(0, -1, -1), CHECK, None, never, BEGAN + 30).unhealthy


def test_a_check_that_came_to_an_end_counts_however_slow_the_machine_is():
    """It ran and said no."""
    assert judged(engine_says(0, 1, 1), CHECK, None, always, BEGAN + 30).unhealthy
    mixed = judged(engine_says(1, -1, 1), CHECK, None, always, BEGAN + 30)
    assert mixed.unhealthy, "two of three said no"
    assert not judged(engine_says(-1, 1), CHECK, None, always, BEGAN + 30).unhealthy


def test_each_late_run_is_excused_once():
    """However often the container is looked at, also when the engine has forgotten the first."""
    excused = None
    for count in range(2, 12):
        health = engine_says(*[-1] * count)
        for _ in range(3):
            found = judged(health, CHECK, excused, always, BEGAN + 10 * count)
            assert not found.unhealthy
            excused = found.excused
        assert excused["runs"] == min(count, excused["runs"])
    assert excused["runs"] == 11
    over = judged(engine_says(*[-1] * 13), CHECK, excused, never, BEGAN + 130)
    assert over.unhealthy, "two runs out of time on a machine that is on time again"


def test_an_excuse_does_not_last_for_ever():
    """A process that really hangs is found on a slow machine, too."""
    found = judged(engine_says(-1, -1), CHECK, None, always, BEGAN + 20)
    later = BEGAN + 2 + LONGEST_EXCUSE_S
    assert not judged(engine_says(-1, -1), CHECK, found.excused, always, later).unhealthy
    assert judged(engine_says(-1, -1), CHECK, found.excused, always, later + 1).unhealthy


class FakeStopwatch:
    """How long a check that does nothing takes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    async def empty_check_s(self, pause: str) -> float:
        self.asked += 1
        return self.seconds


def weighed(stopwatch: FakeStopwatch, before: dict, codes: tuple[int, ...]) -> dict:
    pulse = Pulse(Clock(0.0))
    container = {"name": "web", "healthCheck": CHECK}
    after = before | {"healthStatus": "UNHEALTHY"}
    seen = {"State": {"Health": engine_says(*codes)}}
    doubt = Doubt(pulse, stopwatch, Clock(BEGAN + 20))
    return asyncio.run(doubt.weighed({"id": "t", "_pause": "p"}, container, before, after, seen))


def test_the_engine_is_tried_before_it_is_believed():
    """Where nothing else was slow, a check that does nothing shows whether checks are."""
    healthy = {"name": "web", "healthStatus": "HEALTHY"}
    slow = FakeStopwatch(1.5)
    doubted = weighed(slow, healthy, (-1, -1))
    assert doubted["healthStatus"] == "HEALTHY" and slow.asked == 1
    assert doubted["_excused"]["runs"] == 2
    quick = FakeStopwatch(0.05)
    assert weighed(quick, healthy, (-1, -1))["healthStatus"] == "UNHEALTHY" and quick.asked == 1


def test_a_check_that_said_no_costs_no_trial():
    """And one that was believed before is not asked about again."""
    stopwatch = FakeStopwatch(9.0)
    healthy = {"name": "web", "healthStatus": "HEALTHY"}
    assert weighed(stopwatch, healthy, (1, 1))["healthStatus"] == "UNHEALTHY"
    believed = {"name": "web", "healthStatus": "UNHEALTHY"}
    assert weighed(stopwatch, believed, (-1, -1))["healthStatus"] == "UNHEALTHY"
    assert stopwatch.asked == 0


# --- checks of targets

HEALTHY = {"state": "healthy", "reason": "", "passes": 5, "failures": 0}


@pytest.mark.parametrize(
    ("failure", "was_late", "excused"),
    [
        (TIMEOUT, True, True),
        (TIMEOUT, False, False),
        ("Target.FailedHealthChecks", True, False),
        ("Target.ResponseCodeMismatch", True, False),
        ("", True, False),
    ],
)
def test_only_what_ran_out_of_time_on_a_busy_machine_is_excused(failure, was_late, excused):
    """A refused connection and a wrong code prove something however busy it is."""
    assert is_excused(HEALTHY, failure, was_late, 1000.0) is excused


def test_a_target_s_excuse_ends():
    """Five minutes after the first check that was excused."""
    doubted = HEALTHY | {"doubted": 1000.0}
    assert is_excused(doubted, TIMEOUT, True, 1300.0)
    assert not is_excused(doubted, TIMEOUT, True, 1301.0)


# --- the storm itself


def storm(honest: bool, seconds: int, seed_task: int | None = None) -> Counter[str]:
    """Thirty healthy tasks with checks each five seconds on a machine that is overloaded: every
    check runs out of time.  ``seed_task``: one that really hangs.  ``honest``: with what this
    module tests, else as the engine says it."""
    counts: Counter[str] = Counter()
    excused: dict[int, dict | None] = dict.fromkeys(range(30))
    dead: set[int] = set()
    codes: dict[int, list[int]] = {task: [0] for task in range(30)}
    for now in range(0, seconds, 10):
        overloaded = now < 120
        for task in set(range(30)) - dead:
            hangs = task == seed_task
            codes[task].append(-1 if overloaded or hangs else 0)
            if codes[task][-1] == 0:
                excused[task] = None
                continue
            failed = len(list(itertools.takewhile(bool, reversed(codes[task]))))
            if failed < CHECK["retries"]:
                continue
            first = max(0, len(codes[task]) - 5)
            health = engine_says(*codes[task][-5:], streak=failed, first=first)

            def late(run: Run) -> bool:
                return run.ended < BEGAN + 132

            found = judged(
                health, CHECK, excused[task], late if honest else never, BEGAN + 10 + now
            )
            excused[task] = found.excused
            if found.unhealthy:
                dead.add(task)
                counts["hung" if hangs else "well"] += 1
                counts["found after"] = now
    return counts


def test_a_storm_of_two_minutes_replaces_nobody():
    """As the engine tells it, all thirty would go."""
    assert storm(honest=False, seconds=180)["well"] == 30
    assert storm(honest=True, seconds=600)["well"] == 0


def test_a_hung_task_is_found_in_the_storm_s_wake():
    """Soon after the machine is on time again; the others stay."""
    found = storm(honest=True, seconds=600, seed_task=7)
    assert found["hung"] == 1 and found["well"] == 0
    assert found["found after"] <= 120 + 10 * (CHECK["retries"] + 1)


# --- what status says


def test_status_says_that_the_engine_is_overloaded():
    """With the figures that make it so, and what follows; silent figures are null."""
    load = Load({Measure.ANSWER: 0.42, Measure.LOOP: 0.01})
    plain = _load_status(load, Pace(lambda: load, 2), 3)
    assert plain["overloaded"] and plain["container_starts_s"] is None
    line = _overload(plain)
    assert line == (
        "the engine is overloaded: it answers in 0.42 s (0.1 is much); tasks are started 2 at a "
        "time, 0 wait; checks of 3 tasks could not run in time and do not count"
    )
    assert not _load_status(QUIET, Pace(lambda: QUIET, 2), 0)["overloaded"]
