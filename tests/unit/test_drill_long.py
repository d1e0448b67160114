"""What only time shows, or too much load: trends, the knee, the ceiling, findings."""

from __future__ import annotations

import numpy as np
import pytest

from kirikae.drill import symptoms
from kirikae.drill.columns import Error, Record
from kirikae.drill.overload import Ceiling, Shape, Tried, ceiling, middle_of, overloaded
from kirikae.drill.symptoms import Around, Ended
from kirikae.drill.trend import in_flight, medians, steps_of, trend_of
from kirikae.drill.verdict import Verdict

STEPS = np.arange(60.0)


def noise(seed):
    return np.random.default_rng(seed).normal(0, 5, len(STEPS))


@pytest.mark.parametrize("seed", range(5))
def test_what_rises_is_told_and_noise_is_not(seed):
    """By a third and more, in spite of noise and of one wild value."""
    rises = 100 + STEPS + noise(seed)
    rises[7] = 5_000
    found = trend_of(rises, 0.3)
    assert found is not None
    assert found.part == pytest.approx(0.59, abs=0.25)
    assert trend_of(100 + noise(seed), 0.05) is None
    assert trend_of(100 - STEPS + noise(seed), 0.05) is None


def test_what_comes_to_rest_is_no_leak():
    """A cache that fills up, then stays."""
    fills = 100 * (1 - np.exp(-STEPS / 6)) + 100 + noise(1) / 10
    assert trend_of(fills, 0.1) is None


def test_few_or_missing_values_tell_nothing():
    """No trend is better than a guessed one."""
    assert trend_of(np.arange(8.0), 0.1) is None
    assert trend_of(np.full(60, np.nan), 0.1) is None
    assert trend_of(np.full(60, 3.0), 0.0) is None


def record(rate_by_second, latency_s, lost=lambda at: False) -> Record:
    """``latency_s`` and ``lost`` by the second at which a request was due."""
    due = np.concatenate(
        [second + np.arange(many) / many for second, many in enumerate(rate_by_second)]
    )
    gone = np.array([lost(at) for at in due])
    done = due + np.array([latency_s(at) for at in due])

    def ns(seconds):
        return 10**9 + (seconds * 1e9).astype(np.int64)

    return Record(
        due=ns(due),
        sent=ns(due),
        first=ns(done),
        done=ns(done),
        status=np.where(gone, 0, 200).astype(np.int16),
        error=np.where(gone, Error.CLOSED, Error.NONE).astype(np.uint8),
        octets=np.zeros(len(due), np.int64),
        target=np.zeros(len(due), np.int64),
        began_ns=10**9,
        wall=0.0,
        cores=(0.1,),
    )


def test_a_leak_of_time_and_of_connections_are_findings():
    """Answers take 10 ms more each second: latency and requests in flight rise together."""
    slower = record([50] * 60, lambda at: 0.02 + 0.01 * at)
    assert [each.code for each in symptoms.of_requests(slower, 2.0, even=True)] == ["DR06", "DR07"]
    even = record([50] * 60, lambda at: 0.02 + 0.001 * (at % 3))
    assert not list(symptoms.of_requests(even, 2.0, even=True))
    assert not list(symptoms.of_requests(slower, 2.0, even=False))


def test_medians_and_requests_in_flight_are_counted():
    """50 a second of 0.1 s each: five at a time."""
    found = record([50] * 10, lambda at: 0.1)
    edges = steps_of(found, 1.0)
    assert np.median(in_flight(found, edges)) == pytest.approx(5, abs=1)
    assert medians(found, edges) == pytest.approx(np.full(len(edges) - 1, 0.1))


SHAPE = Shape(10, 110, 10, 5, 15)


def broken(lost):
    rates = [round(SHAPE.rate(at)) for at in range(30)]
    found = record(rates, lambda at: 0.01, lost)
    verdicts = np.where(
        found.error == Error.NONE,
        Verdict.OK,
        Verdict.LOST,
    ).astype(np.uint8)
    return overloaded(found, verdicts, SHAPE)


def test_the_knee_is_the_rate_at_which_it_began_to_break():
    """From the sixth second on, 70/s; two seconds after the load fell it is back."""
    found = broken(lambda at: 6 <= at < 17)
    assert found.knee == pytest.approx(70)
    assert found.recovery_s == pytest.approx(2, abs=0.2)
    assert list(symptoms.not_back(found.recovery_s, found.bad_after)) == []


def test_a_service_that_does_not_come_back_is_a_finding():
    """Bad ones to the end."""
    found = broken(lambda at: at >= 6)
    assert found.recovery_s is None
    assert [each.code for each in symptoms.not_back(None, found.bad_after)] == ["DR08"]


def test_what_does_not_break_has_no_knee():
    """A single bad second is none."""
    assert broken(lambda at: 6 <= at < 7).knee is None
    assert broken(lambda at: False) == broken(lambda at: False)


def attempts(limit, unsure_from=1e9):
    asked = []

    def attempt(rate):
        asked.append(rate)
        word = "unsure" if rate >= unsure_from else "pass" if rate <= limit else "fail"
        return Tried(rate, word, 0.1, rate)

    return attempt, asked


@pytest.mark.parametrize("limit", [7, 55, 130, 999])
def test_the_ceiling_is_found_within_a_tenth(limit):
    """Doubling, then halving the gap."""
    attempt, asked = attempts(limit)
    found = ceiling(attempt, 10)
    assert found.bounded
    assert limit * 0.89 <= found.rate <= limit
    assert len(asked) < 20


def test_where_the_engine_gives_out_the_ceiling_is_at_least():
    """No verdict is none on the service."""
    attempt, _ = attempts(10_000, unsure_from=500)
    found = ceiling(attempt, 100)
    assert (found.rate, found.bounded) == (400, False)


def test_of_three_searches_the_middle_one_counts():
    """One may have met a busy minute."""
    assert middle_of([Ceiling(rate, True, ()) for rate in (5, 90, 80)]).rate == 80


LINES = [
    "FATAL: sorry, too many clients already",
    "Error: EMFILE, too many open files '/tmp/x'",
    "ERROR: deadlock detected",
    "OSError: [Errno 24] Too many open files",
    "GET /deadlock 200",
    "ok",
]


def test_what_logs_figures_and_tasks_say_becomes_findings():
    """One of each kind, with how many lines there were."""
    around = Around(
        service="web",
        cpu=[40.0, 99.2],
        memory=list(40 + np.arange(30.0)),
        lines=LINES,
        ended=[Ended("arn/t1", "OutOfMemoryError: container killed", 137)],
    )
    found = {each.code: each for each in symptoms.of_service(around)}
    assert set(found) == {"DR01", "DR02", "DR03", "DR04", "DR05", "DR09"}
    assert "(2 lines of its log)" in found["DR03"].says
    assert "137" in str(found["DR09"])


def test_what_was_not_told_is_no_finding():
    """Missing is not zero, and not bad either."""
    assert list(symptoms.of_service(Around())) == []
    assert list(symptoms.of_service(Around(cpu=[30.0], memory=[50.0] * 30, lines=["ok"]))) == []
