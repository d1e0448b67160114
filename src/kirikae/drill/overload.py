"""Beyond what a service can do: where it breaks, how, and does it come back when the load falls?

Also the search for the highest rate at which its limits hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Record
from kirikae.drill.plan import Plan, Stage, of_stages
from kirikae.drill.verdict import Verdict

_BAD = (Verdict.SLOW, Verdict.WRONG, Verdict.LOST)
_BROKEN = 0.05
"""Of a second's requests: so many bad ones, and the second after it likewise, are the knee."""
_QUIET_S = 1.0
MOST_RATE = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """From ``least`` to ``most`` requests a second in ``rises_s``, there for ``stays_s``, and back
    at ``least`` for ``falls_s``."""

    least: float
    most: float
    rises_s: float
    stays_s: float
    falls_s: float

    @property
    def plan(self) -> Plan:
        """Raises PlanProblem."""
        return of_stages(
            [
                Stage(self.least, self.most, self.rises_s),
                Stage(self.most, self.most, self.stays_s),
                Stage(self.least, self.least, self.falls_s),
            ]
        )

    @property
    def fell_s(self) -> float:
        """When the load is small again."""
        return self.rises_s + self.stays_s

    def rate(self, at: float) -> float:
        """Requests a second at this second of the plan."""
        if at >= self.fell_s:
            return self.least
        part = min(1.0, at / self.rises_s)
        return self.least + (self.most - self.least) * part


@dataclass(frozen=True, slots=True)
class Overloaded:
    """``knee``: requests a second at which it began to break; None: it did not.  ``recovery_s``:
    from the fall of the load to the last bad request; None: it did not come back."""

    knee: float | None
    recovery_s: float | None
    bad_over: int
    bad_after: int


def overloaded(record: Record, verdicts: NDArray[np.uint8], shape: Shape) -> Overloaded:
    """What was found."""
    due = (record.due - record.began_ns) / 1e9
    bad = np.isin(verdicts, _BAD)
    after = due >= shape.fell_s
    return Overloaded(
        knee=_knee(due, bad, shape),
        recovery_s=_recovery(due, bad & after, shape),
        bad_over=int((bad & ~after).sum()),
        bad_after=int((bad & after).sum()),
    )


def _knee(due: NDArray[np.float64], bad: NDArray[np.bool_], shape: Shape) -> float | None:
    """By whole seconds: a single bad one may be anything."""
    seconds = np.floor(due).astype(np.int64)
    many = np.bincount(seconds)
    shares = np.bincount(seconds, weights=bad) / np.maximum(many, 1)
    broken = shares > _BROKEN
    twice = np.flatnonzero(broken[:-1] & broken[1:])
    if not len(twice) or twice[0] >= shape.fell_s:
        return None
    return shape.rate(float(twice[0]))


def _recovery(due: NDArray[np.float64], bad: NDArray[np.bool_], shape: Shape) -> float | None:
    if not bad.any():
        return 0.0
    last = float(due[bad].max())
    return None if last > float(due.max()) - _QUIET_S else last - shape.fell_s


@dataclass(frozen=True, slots=True)
class Tried:
    """One rate.  ``word``: pass, fail or unsure."""

    rate: float
    word: str
    p99_s: float
    reached: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The highest rate that passed, and whether the next one failed (else the engine gave out)."""

    rate: float
    bounded: bool
    tried: tuple[Tried, ...]


def ceiling(
    attempt: Callable[[float], Tried],
    first: float,
    near: float = 0.1,
) -> Ceiling:
    """Double until it fails, then halve the gap until it is within ``near`` of the rate.

    A rate of which nothing can be said is as far as this goes.
    """
    tried: list[Tried] = []
    passed = 0.0
    rate = first
    while rate <= MOST_RATE:
        tried.append(attempt(rate))
        if tried[-1].word != "pass":
            break
        passed = rate
        rate *= 2
    failed = tried[-1].rate
    while tried[-1].word != "unsure" and failed - passed > near * failed:
        middle = (passed + failed) / 2
        tried.append(attempt(middle))
        if tried[-1].word == "pass":
            passed = middle
        else:
            failed = middle
    return Ceiling(
        passed,
        all(each.word != "unsure" for each in tried),
        tuple(tried),
    )


def middle_of(found: Sequence[Ceiling]) -> Ceiling:
    """Of several searches the middle one."""
    return sorted(found, key=lambda each: each.rate)[len(found) // 2]
