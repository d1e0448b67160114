"""How slow this machine is now: how long the container engine takes to answer, and how late our own
loop is.

On a machine that has more to do than it can carry, nothing that took too long proves anything about
a task: the engine runs its checks late, our loop hears of answers late.  Whoever judges a task asks
here first.  Figures are of the last seconds, and None where nothing was measured."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

KEPT_S = 600
BEAT_S = 0.5
_WINDOW_S = 10
_LATEST_WORD_S = 2
"""A measure that was under way ends, and is known, so much later at the most."""


class Measure(StrEnum):
    """What is measured, in seconds."""

    ANSWER = "engine_answers_s"
    """The engine's answer to the cheapest question, asked each second."""
    START = "container_starts_s"
    """The start of one container."""
    CHECK = "empty_check_s"
    """A container health check that does nothing; tried where a check ran out of time."""
    LOOP = "loop_late_s"
    """How late our own loop comes."""


MUCH: Mapping[Measure, float] = {
    Measure.ANSWER: 0.1,
    Measure.START: 5.0,
    Measure.CHECK: 1.0,
    Measure.LOOP: 0.5,
}
"""From here on it is overloaded (ours; on an idle machine: 0.01, 0.4, 0.05 and 0)."""


@dataclass(frozen=True, slots=True)
class Load:
    """How slow it is now; what was not measured lately is missing."""

    seconds: Mapping[Measure, float]

    @property
    def slowness(self) -> float:
        """The worst figure as a part of what is much; 0 where nothing was measured."""
        return max((took / MUCH[what] for what, took in self.seconds.items()), default=0.0)

    @property
    def overloaded(self) -> bool:
        """Is any figure as large as is much?"""
        return self.slowness >= 1

    def of(self, what: Measure) -> float | None:
        """To the millisecond; None where it was not measured lately."""
        took = self.seconds.get(what)
        return None if took is None else round(took, 3)


QUIET = Load({})


@dataclass(frozen=True, slots=True)
class _Measured:
    """At which moment something was known to have taken so long."""

    at: float
    what: Measure
    seconds: float


class Pulse:
    """Takes measures, and answers how slow it is, and whether it was at a certain time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """``clock`` answers Unix seconds, as the engine stamps its checks."""
        self._clock = clock
        self._known: deque[_Measured] = deque()
        self._began = clock()

    def measured(self, what: Measure, seconds: float) -> None:
        """Known since now; what is older than ten minutes is dropped."""
        now = self._clock()
        self._known.append(_Measured(now, what, seconds))
        while self._known[0].at < now - KEPT_S:
            self._known.popleft()

    def heard(self, call: str, seconds: float) -> None:
        """The engine answered this call after so many seconds."""
        if call == "GET /version":
            self.measured(Measure.ANSWER, seconds)
        elif call.startswith("POST /containers/") and call.endswith("/start"):
            self.measured(Measure.START, seconds)

    def load(self) -> Load:
        """Medians of the last ten seconds: one hiccup is no overload."""
        since = self._clock() - _WINDOW_S
        found: dict[Measure, list[float]] = {}
        for one in reversed(self._known):
            if one.at < since:
                break
            found.setdefault(one.what, []).append(one.seconds)
        return _load(found)

    def was_late(self, began: float, ended: float) -> bool:
        """Was it overloaded in this time?  True also for a time of which nothing is known: before
        this control plane lived."""
        if began < self._began:
            return True
        found: dict[Measure, list[float]] = {}
        for one in self._known:
            if one.at >= began and one.at - one.seconds <= ended + _LATEST_WORD_S:
                found.setdefault(one.what, []).append(one.seconds)
        late = sum(found.pop(Measure.LOOP, []))
        return late >= MUCH[Measure.LOOP] or _load(found).overloaded

    async def beat(self) -> None:
        """Measure the lateness of the loop, for ever."""
        while True:
            due = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.measured(Measure.LOOP, max(0.0, time.monotonic() - due))


def _load(found: Mapping[Measure, Sequence[float]]) -> Load:
    """The median of each measure."""
    return Load({what: median(took) for what, took in found.items()})
