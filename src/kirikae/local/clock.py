"""The time by which Firehose files what it gets, by which figures are kept, alarms ring and
services scale: this machine's, or as far from it as a test wants.

Only the test mode moves it (``POST /_kirikae/clock?ahead_s=3600``); it stands still for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kirikae.local.state import State

_MARK = "clock"


class Clock:
    """Call it for Unix seconds."""

    def __init__(self, machine: Callable[[], float] = time.time, ahead_s: float = 0.0) -> None:
        """``machine``: the clock that it is ahead of."""
        self._machine = machine
        self.ahead_s = ahead_s
        """Behind it where negative."""

    def __call__(self) -> float:
        return self._machine() + self.ahead_s


def clock_of(state: State) -> Clock:
    """As far ahead as it was moved last, also by a process that was killed since."""
    mark = state.marks.get(_MARK)
    return Clock(ahead_s=mark["since"] if mark is not None else 0.0)


def keep_ahead(state: State, ahead_s: float) -> None:
    """Write down how far it was moved."""
    state.marks.put(_MARK, {"since": ahead_s})
