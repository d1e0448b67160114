"""The time by which Firehose files what it gets: this machine's, or as far from it as a test wants.

Only the test mode moves it (``POST /_kirikae/clock?ahead_s=3600``); it stands still for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Call it for Unix seconds."""

    def __init__(self, machine: Callable[[], float] = time.time) -> None:
        """``machine``: the clock that it is ahead of."""
        self._machine = machine
        self.ahead_s = 0.0
        """Behind it where negative."""

    def __call__(self) -> float:
        return self._machine() + self.ahead_s
