"""The paired test: equal sides pass, slower and more wrong ones fail, too little says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kirikae.drill.columns import Error, Record
from kirikae.drill.paired import Margin, errors, groups, percentiles, requests_needed, unlike
from kirikae.drill.verdict import Verdict

RATE = 100


def side(seed, seconds=60, slower=1.0, lost=0.0):
    """Lognormal latencies about 20 ms; every tenth second hurts both sides."""
    random = np.random.default_rng(seed)
    due = np.arange(0, seconds, 1 / RATE)
    stall = np.where(np.floor(due) % 10 == 3, 3.0, 1.0)
    latency = random.lognormal(-4, 0.4, len(due)) * stall * slower
    gone = random.random(len(due)) < lost

    def ns(at):
        return 10**9 + (at * 1e9).astype(np.int64)

    record = Record(
        due=ns(due),
        sent=ns(due),
        first=ns(due + latency),
        done=ns(due + latency),
        status=np.where(gone, 0, 200).astype(np.int16),
        error=np.where(gone, Error.CLOSED, Error.NONE).astype(np.uint8),
        octets=np.zeros(len(due), np.int64),
        target=np.zeros(len(due), np.int64),
        began_ns=10**9,
        wall=0.0,
        cores=(0.1,),
    )
    return record, np.where(gone, Verdict.LOST, Verdict.OK).astype(np.uint8)


def word(old, new, of=95.0):
    return percentiles(old[0], new[0], (old[1], new[1]), of, Margin(), 2.0).word


@pytest.mark.parametrize("seed", range(3))
def test_equal_sides_pass_and_a_slower_one_fails(seed):
    """10% and 5 ms are allowed; half as much again is not."""
    old = side(seed)
    assert word(old, side(100 + seed)) == "pass"
    assert word(old, side(100 + seed, slower=1.5)) == "fail"


def test_the_interval_holds_the_true_difference():
    """A fifth slower, and the percentiles are those of the latencies."""
    old = side(1)
    new = side(2, slower=1.2)
    found = percentiles(old[0], new[0], (old[1], new[1]), 50.0, Margin(), 0.0)
    assert found.old == pytest.approx(np.percentile(old[0].latency_s, 50), rel=0.01)
    assert found.low < 0.2 * found.old < found.high


def test_a_few_seconds_say_nothing():
    """Seconds are what is drawn from."""
    assert word(side(1, seconds=6), side(2, seconds=6)) == "unsure"


def test_what_has_no_answer_is_slower_than_everything():
    """Six per cent lost: p95 is no answer, and that is worse."""
    assert word(side(1), side(2, lost=0.08)) == "fail"
    assert word(side(1, lost=0.08), side(2, lost=0.08)) == "pass"


def test_errors_are_worse_not_worse_or_not_shown_yet():
    """By two proportions; zero in few is no proof."""
    many = side(1, seconds=60)[1]
    few = side(1, seconds=2)[1]
    assert errors(many, many, Margin()).word == "pass"
    assert errors(few, few, Margin()).word == "unsure"
    assert errors(many, side(2, lost=0.02)[1], Margin()).word == "fail"
    assert errors(many, many[:0], Margin()).word == "unsure"


@pytest.mark.parametrize(
    ("usual", "more", "needed"),
    [(0.01, 0.01, 2_318), (0.005, 0.005, 4_673), (0.001, 0.001, 23_510)],
)
def test_how_many_requests_decide(usual, more, needed):
    """The usual table for alpha 0.05 and power 0.8."""
    assert requests_needed(more, usual) == pytest.approx(needed, abs=1)


def spoken(made, values, of):
    """The same side, whose answers say one of ``values``; ``of``: which, by the number."""
    record, verdicts = made
    told = np.array([of(number) for number in range(len(record.due))], np.int16)
    return replace(record, told=told, values=values), verdicts


def by_cpu(old, new):
    found = groups(old[0], new[0], (old[1], new[1]), (95.0,), Margin(), 2.0)
    return {each.value: each for each in found}


def test_a_slower_cpu_is_told_from_slower_code():
    """Half of the answers come from a CPU that is half as quick again, on both sides: each is like
    its own."""
    quick, slow = side(1), side(2, slower=1.6)

    def mixed(seed):
        made = (side(seed), side(seed, slower=1.6))
        odd = np.arange(len(made[0][0].due)) % 2 == 1
        done = np.where(odd, made[1][0].done, made[0][0].done)
        return spoken((replace(made[0][0], done=done), made[0][1]), ("A", "B"), lambda n: n % 2)

    found = by_cpu(mixed(3), mixed(4))
    assert {value: (each.like, each.found[0].word) for value, each in found.items()} == {
        "A": (True, "pass"),
        "B": (True, "pass"),
    }
    slowest, quickest, times = unlike(tuple(found.values()))
    assert (slowest, quickest) == ("B", "A")
    assert times == pytest.approx(1.6, rel=0.15)
    alone = by_cpu(quick, spoken(slow, ("B",), lambda _: 0))["B"]
    assert (alone.like, alone.found[0].word) == (False, "fail"), "the old side has no such CPU"


def test_answers_that_say_nothing_are_a_group_of_their_own_and_few_say_nothing():
    """Fifty of six thousand: unsure, and never 0 ms."""
    new = spoken(side(4), ("A", "B"), lambda n: -1 if n % 2 else int(n % 120 == 0))
    found = by_cpu(side(3), new)
    assert set(found) == {"", "A", "B"}
    assert found["B"].found[0].word == "unsure"
    assert found["B"].found[0].new > 0.001
    assert list(groups(side(3)[0], side(4)[0], (side(3)[1], side(4)[1]), (95.0,), Margin())) == []
