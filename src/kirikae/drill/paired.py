"""Is the new side slower, or wrong more often, than the old one?  The same requests at the same
moments at both sides, and a test of non-inferiority.

Not slower means: the percentile of the new side is at most ``times`` that of the old one, and
``plus_s``.  How sure that is tells a bootstrap over seconds, which both sides share: what one
second did to both cancels.  This is a test of a run whose length was fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Record
from kirikae.drill.verdict import Verdict

Values = NDArray[np.float64]
ALPHA = 0.05
_POWER = 0.8
_DRAWS = 1000
_SEED = 20
_FINEST_S = 1e-5
_LONGEST_S = 100.0
_EACH = 1.005
"""A bin of a histogram is so many times as long as the one before: half a per cent."""
_BINS = ceil(np.log(_LONGEST_S / _FINEST_S) / np.log(_EACH)) + 1
_FEWEST_S = 10
_FEWEST = 100
"""Requests of a side below which a percentile says nothing."""
_JUDGED = 95.0
_APART = 1.1
_BAD = (Verdict.WRONG, Verdict.LOST)


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse is still as good.  ``errors``: share of the requests."""

    times: float = 1.10
    plus_s: float = 0.005
    errors: float = 0.005

    def allowed(self, old: Values) -> Values:
        """Seconds of the new side, at most."""
        return old * self.times + self.plus_s


@dataclass(frozen=True, slots=True)
class Compared:
    """One percentile of both sides, in seconds.  ``low``, ``high``: of new minus old, 90% of it
    lies between.  ``word``: pass, fail or unsure."""

    of: float
    old: float
    new: float
    low: float
    high: float
    word: str


@dataclass(frozen=True, slots=True)
class Errors:
    """Shares of wrong and lost requests.  ``high``: the difference is at most so large (95%).
    ``needed``: requests of each side that would decide."""

    old: float
    new: float
    high: float
    needed: int
    word: str


def percentiles(
    old: Record,
    new: Record,
    verdicts: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    of: float,
    margin: Margin,
    warm_s: float = 0.0,
) -> Compared:
    """What has no answer is slower than everything."""
    tables = [
        _by_second(record, mine, warm_s)
        for record, mine in zip(
            (old, new),
            verdicts,
            strict=True,
        )
    ]
    seconds = min(len(table) for table in tables)
    tables = [table[:seconds] for table in tables]
    whole = [_percentile(table.sum(axis=0)[None, :], of)[0] for table in tables]
    if seconds < _FEWEST_S or min(table.sum() for table in tables) < _FEWEST:
        return Compared(
            of,
            whole[0],
            whole[1],
            -np.inf,
            np.inf,
            "unsure",
        )
    draws = _drawn(seconds)
    drawn = [_percentile(draws @ table, of) for table in tables]
    with np.errstate(invalid="ignore"):
        apart = np.nan_to_num(drawn[1] - drawn[0], nan=0.0)
        beyond = np.nan_to_num(drawn[1] - margin.allowed(drawn[0]), nan=0.0)
    low, high = _edges(apart)
    least, most = _edges(beyond)
    word = "pass" if most <= 0 else "fail" if least > 0 else "unsure"
    return Compared(
        of,
        whole[0],
        whole[1],
        low,
        high,
        word,
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Answers of the new side that say the same in a header, such as the CPU they came from.

    ``like``: the old side has answers that say it, too, and only those are compared with; else
    with all of the old side.  ``found``: the percentiles.
    """

    value: str
    requests: int
    like: bool
    found: tuple[Compared, ...]


def groups(
    old: Record,
    new: Record,
    verdicts: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    of: Sequence[float],
    margin: Margin,
    warm_s: float = 0.0,
) -> Iterator[Group]:
    """The new side's answers by what the header says; those without it are the value "".

    Empty where no header was looked at.
    """
    if new.told is None:
        return
    for place in np.unique(new.told).tolist():
        value = "" if place < 0 else new.values[place]
        mine = new.told == place
        same = _saying(old, value)
        like = bool(value) and int(same.sum()) >= _FEWEST
        only = (_without(verdicts[0], ~same) if like else verdicts[0], _without(verdicts[1], ~mine))
        found = tuple(percentiles(old, new, only, each, margin, warm_s) for each in of)
        yield Group(value, int(mine.sum()), like, found)


def unlike(split: Sequence[Group]) -> tuple[str, str, float] | None:
    """(the slowest, the quickest, how many times) where p95 of the new side differs by more than a
    tenth between answers of different values; None: it does not, or too little is known."""
    at = {
        each.value: one.new
        for each in split
        for one in each.found
        if each.value and one.of == _JUDGED and each.requests >= _FEWEST
    }
    if len(at) < 2:
        return None
    slow = max(at, key=at.__getitem__)
    quick = min(at, key=at.__getitem__)
    times = at[slow] / at[quick]
    return (slow, quick, times) if times > _APART else None


def _saying(record: Record, value: str) -> NDArray[np.bool_]:
    if record.told is None or value not in record.values:
        return np.zeros(len(record.due), np.bool_)
    saying: NDArray[np.bool_] = record.told == record.values.index(value)
    return saying


def _without(verdicts: NDArray[np.uint8], others: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """As if the others had not been sent."""
    left = verdicts.copy()
    left[others] = Verdict.STOPPED
    return left


def _by_second(record: Record, verdicts: NDArray[np.uint8], warm_s: float) -> Values:
    """A histogram of latencies for each second of the plan, the last bin without an answer."""
    due = (record.due - record.began_ns) / 1e9
    counted = (due >= warm_s) & ~np.isin(verdicts, (Verdict.NOT_SENT, Verdict.STOPPED))
    latency = np.where(
        np.isnan(record.latency_s),
        np.inf,
        record.latency_s,
    )[counted]
    second = np.floor(due[counted] - warm_s).astype(np.int64)
    steps = np.log(np.maximum(latency, _FINEST_S) / _FINEST_S) / np.log(_EACH)
    place = np.minimum(steps, _BINS - 1).astype(np.int64)
    table = np.zeros((int(second.max(initial=-1)) + 1, _BINS))
    np.add.at(table, (second, place), 1)
    return table


def _drawn(seconds: int) -> Values:
    """How often each second is drawn, in each of the draws; the same ones for both sides."""
    random = np.random.default_rng(_SEED)
    return random.multinomial(
        seconds,
        np.full(seconds, 1 / seconds),
        _DRAWS,
    ).astype(np.float64)


def _percentile(tables: Values, of: float) -> Values:
    """Of each row, in seconds: the upper edge of the bin.  Infinite where nothing was counted."""
    reached = np.cumsum(tables, axis=1)
    wanted = np.ceil(reached[:, -1:] * of / 100)
    place = np.argmax(reached >= wanted, axis=1)
    found: Values = np.where(
        (place >= _BINS - 1) | (reached[:, -1] == 0),
        np.inf,
        _FINEST_S * _EACH ** (place + 1.0),
    )
    return found


def _edges(values: Values) -> tuple[float, float]:
    """The middle 90%; without interpolation, which infinities do not have."""
    ordered = np.sort(values)
    low = ordered[int(len(ordered) * ALPHA)]
    high = ordered[ceil(len(ordered) * (1 - ALPHA)) - 1]
    return float(low), float(high)


def errors(
    old: NDArray[np.uint8],
    new: NDArray[np.uint8],
    margin: Margin,
) -> Errors:
    """Two proportions: worse by more than chance is a fail; surely within the margin is a pass."""
    many = [_counted(each) for each in (old, new)]
    bad = [int(np.isin(each, _BAD).sum()) for each in (old, new)]
    needed = requests_needed(margin.errors)
    if 0 in many:
        return Errors(
            0.0,
            0.0,
            1.0,
            needed,
            "unsure",
        )
    shares = [each / of for each, of in zip(bad, many, strict=True)]
    apart = shares[1] - shares[0]
    sure = NormalDist().inv_cdf(1 - ALPHA)
    # One is added on each side (Agresti and Caffo): no errors in n are not a rate of 0.
    softened = [(each + 1) / (of + 2) for each, of in zip(bad, many, strict=True)]
    spread = sqrt(sum(p * (1 - p) / (of + 2) for p, of in zip(softened, many, strict=True)))
    high = softened[1] - softened[0] + sure * spread
    word = "unsure"
    if high <= margin.errors:
        word = "pass"
    elif apart > margin.errors / 2 and _pooled_z(bad, many) > sure:
        word = "fail"
    return Errors(
        shares[0],
        shares[1],
        high,
        needed,
        word,
    )


def _counted(verdicts: NDArray[np.uint8]) -> int:
    return int((~np.isin(verdicts, (Verdict.NOT_SENT, Verdict.STOPPED))).sum())


def _pooled_z(bad: list[int], many: list[int]) -> float:
    """Standard deviations by which the new side has more."""
    pooled = sum(bad) / sum(many)
    spread = sqrt(pooled * (1 - pooled) * (1 / many[0] + 1 / many[1]))
    return (bad[1] / many[1] - bad[0] / many[0]) / spread if spread else 0.0


def requests_needed(more: float, usual: float | None = None) -> int:
    """Of each side, to tell a share ``usual`` from one that is ``more`` larger (alpha 0.05 on both
    sides, power 0.8); ``usual`` None: as large as ``more``."""
    first = more if usual is None else usual
    second = first + more
    middle = (first + second) / 2
    alpha = NormalDist().inv_cdf(1 - ALPHA / 2)
    beta = NormalDist().inv_cdf(_POWER)
    spread = alpha * sqrt(2 * middle * (1 - middle)) + beta * sqrt(
        first * (1 - first) + second * (1 - second)
    )
    return ceil((spread / more) ** 2)
