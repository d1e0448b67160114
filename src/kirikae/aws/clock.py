"""The time by AWS's own clock, as its answers tell it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

_CLOCK_SAMPLES = 32
_CLOCK_SLACK_S = 2.0


class ServerClock:
    """What AWS's answers say of the time.

    A Date header names the second in which the answer was made, so the truth lies within the
    second after it.  A clock of this machine that agrees is believed, since it is finer.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._ahead: deque[float] = deque(maxlen=_CLOCK_SAMPLES)

    def hear(self, headers: Mapping[str, str]) -> None:
        try:
            said = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        self._ahead.append(said - self._steady())

    def now(self) -> float:
        here = self._clock()
        if not self._ahead:
            return here
        there = max(self._ahead) + self._steady()
        return here if abs(here - there) <= _CLOCK_SLACK_S else there

    def skew_s(self) -> float | None:
        """How far this clock is ahead of AWS's, to the second; None: nothing was heard yet."""
        if not self._ahead:
            return None
        return self._clock() - (max(self._ahead) + self._steady())
