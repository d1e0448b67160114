"""How much more the figures vary than chance would, if requests failed independently: errors come
in bursts, medians wobble by themselves.

The e-values of ``judge`` are true where requests of a side fail independently of each other.  Where
they do not, their logarithm is divided by the over-dispersion ``phi``: the long-run variance of the
standardised difference of both sides, estimated from batches that are over, so that it is known
before what it is used for (asymptotic e-processes: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
Annals of Statistics 2024; the estimate: Newey and West, Econometrica 1987).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import sub
from typing import NamedTuple

BLOCK_S = 60.0
"""Bursts are shorter than some blocks, and blocks are many within an hour."""
START = 1.5
"""Where nothing is known of the past."""
_BLOCKS = 120
_LAGS = 12
_BEGIN_BURSTS = 5
_TOLD_BURSTS = 60
"""The start value weighs as much as so many bursts on the side that has fewer of them.  Of what
wanders, one that a day of the past has told weighs more as long as the move sees less: what lasts
for many minutes is underestimated by the few that a step has."""
_WHOLE_SESSIONS = 1.5
"""A session that fails as a whole is one event, and few are seen: more than is estimated."""
_LEAST_OLD = 20
_OLD_EVERY = 5
_LATER = 30
_LATER_EVERY = 4
"""A minute more or less changes little once half an hour is known."""
_LEAST_CARRIED = 10
_LEAST_SHARED = 60
"""In fewer minutes two sides that wander by themselves may seem to do so together."""
_LEAST_BURSTS = 3
"""Two sides may well have one burst in the same minute by chance, but not three of three."""
_NOISE = 1.0
"""What an estimate from a few blocks may lie above 1 by chance."""
_TELLING = 3.0
"""Less cannot be told from chance."""
_AROUND = 60
_LONG = 600
"""From so many blocks on more lags can be told apart."""
_STRONGEST = 1e6


class Block(NamedTuple):
    """Requests and bad ones of both sides in a minute."""

    n_old: float = 0
    bad_old: float = 0
    n_new: float = 0
    bad_new: float = 0

    def plus(
        self,
        n_old: float,
        bad_old: float,
        n_new: float,
        bad_new: float,
    ) -> Block:
        return Block(
            self.n_old + n_old,
            self.bad_old + bad_old,
            self.n_new + n_new,
            self.bad_new + bad_new,
        )


def long_run(values: Sequence[float], lags: int = _LAGS) -> float:
    """The long-run variance about their own mean: Bartlett's weights, as sums over neighbours."""
    count = len(values)
    lags = max(1, min(lags, count // 4))
    if count <= lags:
        return 1.0
    mean = sum(values) / count
    sums = list(accumulate(values, lambda so_far, value: so_far + value - mean, initial=0.0))
    spans = [(sums[k + lags] - sums[k]) ** 2 for k in range(count - lags + 1)]
    return sum(spans) / len(spans) / lags / (1 - lags / count)


def of_one_side(counted: Sequence[tuple[float, float]], wanders: bool = False) -> float:
    """Over-dispersion of (requests, bad ones) a minute about what is usual around it: slow drift,
    which both sides share, is none.

    ``wanders``: as times do, for many minutes; errors come in bursts that are over in a few.
    """
    requests = list(accumulate([n for n, _ in counted], initial=0.0))
    bad = list(accumulate([x for _, x in counted], initial=0.0))
    count = len(counted)
    in_all = bad[-1] / (requests[-1] or 1)
    if not 0 < in_all < 1:
        return 1.0
    around = zip(counted, _around(bad), _around(requests), strict=True)
    left = 1 - in_all
    found = [
        (x - n * (bad_there / (there or 1))) / (n * in_all * left) ** 0.5
        for (n, x), bad_there, there in around
        if n
    ]
    short = long_run(found) / _left_of(_LAGS)
    if not wanders or count < _LONG:
        return max(1.0, short)
    # What lasts for many minutes is underestimated by Bartlett's weights, by half as much where
    # lags are twice as many: what is left then is known (Politis and Romano, 1995).
    longer = long_run(found, 2 * _LAGS) / _left_of(2 * _LAGS)
    return max(1.0, short, 2 * longer - short)


def bursts_in(counted: Sequence[tuple[float, float]]) -> float:
    """About how many minutes of (requests, bad ones) make up what varies: n where n of them stand
    out alike, a third of all where none does."""
    requests = sum(n for n, _ in counted)
    usual = sum(x for _, x in counted) / (requests or 1)
    squares = [(x - n * usual) ** 2 for n, x in counted]
    fourth = sum(square * square for square in squares)
    return sum(squares) ** 2 / fourth if fourth else 0.0


def _around(sums: Sequence[float]) -> list[float]:
    """By minute, the sum over it and an hour before and after, where there are such; ``sums``: of
    what came before each minute, and of all."""
    count = len(sums) - 1
    ends = [*sums[_AROUND + 1 :], *[sums[-1]] * min(_AROUND, count)]
    begins = [*[sums[0]] * min(_AROUND, count), *sums[: max(count - _AROUND, 0)]]
    return list(map(sub, ends, begins))


def _left_of(lags: int) -> float:
    """What is left of a long-run variance where the mean around is taken off."""
    return 1 - lags / (2 * _AROUND + 1)


def per_request(counted: Sequence[tuple[float, float]], wanders: bool = False) -> float:
    """By how much one side's over-dispersion grows with each request a minute: bursts of a target
    or of a neighbour take a part of what is asked meanwhile.

    This is what a move keeps of the old side's past.
    """
    asked = [each for each in counted if each[0]]
    if len(asked) < _LEAST_OLD:
        return 0.0
    return (of_one_side(asked, wanders) - 1) / (sum(n for n, _ in asked) / len(asked))


def on_fewer_targets(past: Mapping[str, float], old: int, new: int) -> dict[str, float]:
    """What the old side's past says of both sides where the new one has fewer targets: what befalls
    one of them takes more of that side.

    As many times as it has fewer: so much more of it one burst takes at once.  The variance of the
    difference grows less, by half of it, but few bursts are no bell curve: what is called harm is
    the rare row of two or three of them, and that goes by their size.
    """
    times = max(1.0, old / new) if old and new else 1.0
    return {metric: excess * times for metric, excess in past.items()}


def at_share(excess: float, per_s: float, share: float) -> float:
    """The over-dispersion of the difference of both sides at this part (0 to 1) of so many requests
    a second, by what the past says of each request a minute."""
    n_new = per_s * BLOCK_S * share
    return 1 + excess * _both_sides(Block(per_s * BLOCK_S - n_new, 0, n_new, 0))


class Dispersion:
    """The over-dispersion of one metric, learnt block by block.

    ``wanders``: as times do (``of_one_side``).
    """

    def __init__(self, wanders: bool = False) -> None:
        self._wanders = wanders
        self._open = Block()
        self._open_s = 0.0
        self._old: deque[tuple[float, float]] = deque(maxlen=_BLOCKS)
        self._both: deque[Block] = deque(maxlen=_BLOCKS)
        self._told: float | None = None
        self._learnt: float | None = None
        self._carried = 0.0
        self._sticky = False
        self._closed = 0
        self._expected: Block | None = None
        """A minute of this step, by its first batch; None: it has not come."""
        self.phi = START

    def tell(self, past: float | None, sticky: bool) -> None:
        """``past``: ``per_request`` of the old side before the move; None: not known.

        ``sticky``: clients stay on a side, so that a session's requests are all on one.
        """
        self._told = past
        self._sticky = sticky

    def begin_step(self) -> None:
        """Another share: the difference of the sides has another dispersion."""
        if len(self._both) >= _LEAST_CARRIED:
            total = self._total()
            excess = max(0.0, self._of_both(total) - 1 - _NOISE)
            self._carried = excess / _both_sides(self._mean(total))
        self._both.clear()
        self._open = Block()
        self._open_s = 0.0
        self._expected = None

    def expect(self, seconds: float, n_old: float, n_new: float) -> None:
        """The first batch of a step has come, or a part of it: how many requests it has is known
        before how many of them failed."""
        if not self._both and not self._open_s:
            minutes = seconds / BLOCK_S
            self._expected = Block(
                n_old / minutes,
                0,
                n_new / minutes,
                0,
            )
            self._set()

    def add(
        self,
        seconds: float,
        n_old: float,
        bad_old: float,
        n_new: float,
        bad_new: float,
    ) -> None:
        self._open = self._open.plus(
            n_old,
            bad_old,
            n_new,
            bad_new,
        )
        self._open_s += seconds
        if self._open_s >= BLOCK_S:
            self._close()

    def _close(self) -> None:
        block = self._open
        self._open = Block()
        self._open_s = 0.0
        self._closed += 1
        self._both.append(block)
        if block.n_old:
            self._old.append((block.n_old, block.bad_old))
            if len(self._old) >= _LEAST_OLD and self._closed % _OLD_EVERY == 0:
                self._learnt = per_request(self._old)
        if len(self._both) < _LATER or self._closed % _LATER_EVERY == 0:
            self._set()

    def _total(self) -> Block:
        """Of all minutes that are kept of this step."""
        return Block(*map(sum, zip(*self._both, strict=True)))

    def _mean(self, total: Block) -> Block:
        blocks = len(self._both)
        if not blocks:
            return self._expected or Block()
        return Block(*[column / blocks for column in total])

    def _set(self) -> None:
        """What is known now, to two digits, holds until the next block is over."""
        blocks = len(self._both)
        total = self._total()
        mean = self._mean(total)
        begin = self._begin(mean)
        found = begin
        if blocks:
            estimated = max(1.0, self._of_both(total))
            begin = 1 + (begin - 1) * (1 - self._shared(mean, begin, estimated))
            seen = min(blocks, _bad_expected(total) / begin)
            told = self._wanders and self._told is not None and estimated < begin
            weight = _TOLD_BURSTS if told else _BEGIN_BURSTS
            found = (weight * begin + seen * estimated) / (weight + seen)
        self.phi = float(f"{min(max(found, 1.0), _STRONGEST):.1e}")

    def _begin(self, mean: Block) -> float:
        """By the old side's past, and by the steps before."""
        known = [each for each in (self._told, self._learnt) if each is not None]
        if not known:
            return START
        both = _both_sides(mean)
        grows_with = both
        if self._sticky:
            grows_with = _WHOLE_SESSIONS * (mean.n_old + mean.n_new)
        return 1.0 + max(max(known) * grows_with, self._carried * both)

    def _shared(self, mean: Block, begin: float, estimated: float) -> float:
        """The part of the old side's bursts that the new side had as well: what fails on both
        cancels.

        Bursts of the old side alone are seen in the difference too; where it is calm while the old
        side is not, they were shared.
        """
        least = _LEAST_SHARED if self._wanders else _LEAST_CARRIED
        if begin < _TELLING or len(self._both) < least:
            return 0.0
        counted = [(block.n_old, block.bad_old) for block in self._both if block.n_old]
        if bursts_in(counted) < _LEAST_BURSTS:
            return 0.0
        old = of_one_side(counted)
        alone = (old - 1) * mean.n_new / (mean.n_old + mean.n_new or 1)
        if alone < _TELLING:
            return 0.0
        return min(1.0, max(0.0, 1 - (estimated - 1) / alone))

    def _of_both(self, total: Block) -> float:
        """Of the standardised difference, each side by its own rate: harm that lasts is none."""
        if not total.n_old:
            return self._of_new(total)
        old = (total.bad_old + 0.5) / (total.n_old + 1)
        new = (total.bad_new + 0.5) / (total.n_new + 0.5 / old)
        found = []
        for n_old, bad_old, n_new, bad_new in self._both:
            if n_old and n_new:
                spread = old * (1 - old) / n_old + new * (1 - new) / n_new
                found.append((bad_new / n_new - bad_old / n_old) / max(spread, 1e-12) ** 0.5)
        return long_run(found)

    def _of_new(self, total: Block) -> float:
        """At 100%: of the new side about its own mean."""
        usual = (total.bad_new + 0.5) / (total.n_new + 1)
        spread = usual * (1 - usual)
        return long_run(
            [
                (b.bad_new - b.n_new * usual) / (b.n_new * spread) ** 0.5
                for b in self._both
                if b.n_new
            ]
        )


def _bad_expected(total: Block) -> float:
    """How many bad ones the side with fewer requests should have had at this step: where they are
    few, that none came in bursts says nothing."""
    both = total.n_old + total.n_new
    rate = (total.bad_old + total.bad_new + 0.5) / (both + 1)
    fewer = min(total.n_old, total.n_new) if total.n_old else total.n_new
    return rate * fewer


def _both_sides(mean: Block) -> float:
    """Requests a minute that count for the difference: the smaller side's, up to twice."""
    both = mean.n_old + mean.n_new
    if not mean.n_old:
        return mean.n_new
    return 2 * mean.n_old * mean.n_new / both if both else 0.0
