"""The rules of other tools, written after their documentation and source, for benchmarks on the
same traces.

- **Flagger**: every 60 s the last minute's success rate must be at least 99% (where asked for, its
  p99 below 500 ms).  A failed check
  adds one to a count that success never lowers; a later check rolls back once five have failed.
- **Argo Rollouts**: every 60 s the same condition; failureLimit 0, the default: the first failed
  measurement ends it.
- **Kayenta** (NetflixACAJudge): one point a minute and metric; every ten minutes over all points so
  far, metric by metric, a
  Mann-Whitney test with the 98% interval of the shift (Hodges-Lehmann).  High: the interval's lower
  end is above a quarter of the estimate.  Groups errors and latency (p50, p95, p99) weigh 50 each;
  below 75 it ends at once, and after 60 minutes below 95. ``fleet``: compared with the whole old
  side; ``equal``: with a part of it as large as the new side, as Kayenta recommends.
"""

from __future__ import annotations

import math
import random
from statistics import NormalDist

from tests.simulation import SAME, Second, Truth, binomial, poisson, quantiles

_Z = NormalDist().inv_cdf(0.99)


class Checked:
    """Flagger and Argo: a condition on the last minute of the new side, every 60 s; ``limit``
    failed checks are borne."""

    def __init__(
        self,
        limit: int,
        one_more_tick: bool,
        new: Truth | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``new`` and ``rng``: also ask for a p99 below 500 ms, of answers drawn so."""
        self._limit = limit
        self._late = one_more_tick
        self._failed = 0
        self._new = new
        self._rng = rng
        self._t = self._n = self._bad = 0

    def out(self, second: Second) -> bool:
        self._t = self._t + 1
        self._n = self._n + second.new.n
        self._bad = self._bad + second.new.errors
        if self._t % 60:
            return False
        if self._late and self._failed >= self._limit:
            return True  # looked at when the next check begins
        if not self._passed():
            self._failed += 1
        self._n = self._bad = 0
        return not self._late and self._failed > self._limit

    def _passed(self) -> bool:
        if not self._n or self._bad > 0.01 * self._n:
            return False
        return (
            self._new is None
            or self._rng is None
            or quantiles(self._rng, self._new, self._n).get("p99", 0) < 0.5
        )


def flagger(new: Truth | None = None, rng: random.Random | None = None) -> Checked:
    return Checked(5, True, new, rng)


def argo() -> Checked:
    return Checked(0, False)


class Kayenta:
    def __init__(self, rng: random.Random, new: Truth, rps: float, share: int, equal: bool) -> None:
        self._rng = rng
        self._new = new
        self._equal_n = 60 * rps * share / 1000 if equal else 0.0
        self._points: dict[str, tuple[list[float], list[float]]] = {
            m: ([], []) for m in ("errors", "p50", "p95", "p99")
        }
        self._t = 0
        self._minute = [0, 0, 0, 0]
        self.passed = False

    def out(self, second: Second) -> bool:
        self._t += 1
        for place, value in enumerate(
            (second.old.n, second.old.errors, second.new.n, second.new.errors)
        ):
            self._minute[place] += value
        if self._t % 60 or self.passed:
            return False
        self._point()
        minutes = self._t // 60
        if minutes % 10:
            return False
        score = self._score()
        self.passed = minutes >= 60 and score >= 95
        return score < 75 or (minutes >= 60 and score < 95)

    def _point(self) -> None:
        n_old, bad_old, n_new, bad_new = self._minute
        self._minute = [0, 0, 0, 0]
        if self._equal_n:
            n_old = poisson(self._rng, self._equal_n)
            bad_old = binomial(self._rng, n_old, SAME.errors)
        for side, n, bad, truth in ((0, n_old, bad_old, SAME), (1, n_new, bad_new, self._new)):
            if n:
                self._points["errors"][side].append(bad / n)
                for metric, value in quantiles(self._rng, truth, min(n, 4000)).items():
                    self._points[metric][side].append(value)

    def _score(self) -> float:
        errors = 0.0 if is_high(*self._points["errors"]) else 50.0
        return (
            errors
            + 50 * sum(not is_high(*self._points[metric]) for metric in ("p50", "p95", "p99")) / 3
        )


def is_high(control: list[float], experiment: list[float]) -> bool:
    """Kayenta's MannWhitneyClassifier, direction increase, allowedIncrease 1."""
    if (
        not control
        or not experiment
        or (len(set(control)) == 1 and set(control) == set(experiment))
    ):
        return False
    if _statistic(experiment, control, 0.0) <= _Z:
        return False  # the interval begins at or below 0
    low, estimate = _shift(experiment, control)
    if low <= 0.25 * abs(estimate):
        return False
    mean = sum(control) / len(control)
    return mean == 0 or sum(experiment) / len(experiment) / mean >= 1.0


def _shift(x: list[float], y: list[float]) -> tuple[float, float]:
    """Lower end of the 98% interval of x - y, and its estimate, as R's wilcox.test(exact=FALSE,
    conf.int=TRUE) inverts the test."""
    lowest = min(x) - max(y)
    highest = max(x) - min(y)

    def root(aim: float) -> float:
        low = lowest
        high = highest
        if _statistic(x, y, low) <= aim:
            return low
        if _statistic(x, y, high) >= aim:
            return high
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if _statistic(x, y, middle) > aim else (low, middle)
        return (low + high) / 2

    return root(_Z), root(0.0)


def _statistic(x: list[float], y: list[float], shift: float) -> float:
    """The rank sum of x - shift against y, standardised with correction for ties and continuity; it
    falls as the shift grows."""
    together = sorted([(value - shift, True) for value in x] + [(value, False) for value in y])
    rank_sum = 0.0
    ties = 0.0
    place = 0
    while place < len(together):
        end = place
        while end < len(together) and together[end][0] == together[place][0]:
            end += 1
        rank_sum += sum(mine for _, mine in together[place:end]) * (place + 1 + end) / 2
        ties += (end - place) ** 3 - (end - place)
        place = end
    m = len(x)
    n = len(y)
    away = rank_sum - m * (m + 1) / 2 - m * n / 2
    variance = m * n / 12 * ((m + n + 1) - ties / ((m + n) * (m + n - 1)))
    if variance <= 0:
        return 0.0
    return (away - math.copysign(0.5, away) * (away != 0)) / math.sqrt(variance)
