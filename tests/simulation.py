"""Traffic of two sides, second by second, with known rates: for tests of the judge and for
benchmarks against its peers.

Answers are lognormal (p50 100 ms, sigma 0.6) on the old side.  The new side's are the same, all
slower by ``times``, or a part ``slow_part`` of them slower by ``slow_times``.  Quantiles of a
minute are drawn as order statistics of uniforms, which is exact."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

from kirikae.move.judge import QUANTILES

MEDIAN_S = 0.1
SIGMA = 0.6
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Truth:
    """One side: its rate of errors, and how slow it is."""

    errors: float = 0.001
    times: float = 1.0
    slow_part: float = 0.0
    slow_times: float = 1.0

    def above(self, bound: float) -> float:
        """Part of the answers that take longer than so many seconds."""

        def beyond(factor: float) -> float:
            return 1 - _NORMAL.cdf(math.log(bound / (MEDIAN_S * factor)) / SIGMA)

        return (1 - self.slow_part) * beyond(self.times) + self.slow_part * beyond(
            self.times * self.slow_times
        )


SAME = Truth()
TAU = {metric: MEDIAN_S * math.exp(SIGMA * _NORMAL.inv_cdf(q)) for metric, q in QUANTILES.items()}
HARMS = {
    "errors 0.1 -> 1%": Truth(0.01),
    "errors 0.1 -> 5%": Truth(0.05),
    "p99 +50%": Truth(slow_part=0.03, slow_times=4.346),
    "p50 +20%": Truth(times=1.2),
}


@cache
def _table(truth: Truth) -> tuple[list[float], list[float]]:
    """Times and the part of answers within them: for reading quantiles off."""
    times = [0.002 * 1.01**k for k in range(1000)]
    return times, [1 - truth.above(t) for t in times]


def time_at(truth: Truth, part: float) -> float:
    """The time within which this part of the answers comes."""
    times, within = _table(truth)
    place = min(max(bisect_left(within, part), 1), len(times) - 1)
    low = within[place - 1]
    high = within[place]
    return times[place - 1] + (times[place] - times[place - 1]) * (
        (part - low) / (high - low) if high > low else 1.0
    )


def quantiles(rng: random.Random, truth: Truth, n: int) -> dict[str, float]:
    """What the p50, p95 and p99 of ``n`` answers come out as."""
    found = {}
    below = 0
    at = 0.0
    for metric, q in QUANTILES.items():
        k = max(below + 1, math.ceil(q * n)) if n else 0
        if not n or k > n:
            break
        at += (1 - at) * rng.betavariate(k - below, n + 1 - k)
        found[metric] = time_at(truth, at)
        below = k
    return found


def poisson(rng: random.Random, mean: float) -> int:
    if mean > 60:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count = 0
    limit = math.exp(-mean)
    product = rng.random()
    while product > limit:
        count = count + 1
        product = product * rng.random()
    return count


def binomial(rng: random.Random, n: int, p: float) -> int:
    if n * p > 40 and n * (1 - p) > 40:
        return min(n, max(0, round(rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if n * p < 3 and n > 30:
        return min(n, poisson(rng, n * p))
    return sum(rng.random() < p for _ in range(n))


class Counts(NamedTuple):
    """One side in one second.  ``over``: bounds, widest last -> answers above them."""

    n: int
    errors: int
    over: dict[float, int]


def count(rng: random.Random, mean: float, truth: Truth, bounds: tuple[float, ...]) -> Counts:
    """``bounds`` rise: what is above one is drawn from what is above the one before."""
    n = poisson(rng, mean)
    left = n
    before = 1.0
    over = {}
    for bound in bounds:
        part = _above(truth, bound)
        left = binomial(rng, left, part / before if before else 0.0)
        over[bound] = left
        before = part
    return Counts(n, binomial(rng, n, truth.errors), over)


@cache
def _above(truth: Truth, bound: float) -> float:
    return truth.above(bound)


class Second(NamedTuple):
    old: Counts
    new: Counts


def seconds(
    rng: random.Random, rps: float, share: int, new: Truth, old: Truth = SAME
) -> Iterator[Second]:
    """For ever, at one share (permille), counted at the old side's true quantiles."""
    bounds = tuple(TAU.values())
    while True:
        yield Second(
            count(rng, rps * (1000 - share) / 1000, old, bounds),
            count(rng, rps * share / 1000, new, bounds),
        )
