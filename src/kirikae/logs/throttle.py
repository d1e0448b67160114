"""Not faster than asked for: requests and bytes a second, halved where S3 says to slow down.

S3 takes at least 3,500 writing and 5,500 reading requests a second for each partitioned prefix, and
answers 503 while it adapts (S3 user guide, "Optimizing Amazon S3 performance").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FASTEST = 3000.0
_LEAST = 1.0
_RISE = 0.02


@dataclass
class Throttle:
    """``rate``: requests a second at most; ``bytes_s``: None for no bound."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    rate: float = FASTEST
    bytes_s: float | None = None
    now_rate: float = field(init=False)
    slowed: int = 0
    _free_at: float = 0.0

    def __post_init__(self) -> None:
        self.now_rate = self.rate

    def before(
        self,
        requests: int,
        size: int,
    ) -> None:
        """Wait until so much may be asked for."""
        now = self.clock()
        if self._free_at > now:
            self.sleep(self._free_at - now)
        begin = max(now, self._free_at)
        takes = requests / self.now_rate
        if self.bytes_s is not None:
            takes = max(takes, size / self.bytes_s)
        self._free_at = begin + takes

    def passed(self) -> None:
        """A little faster."""
        self.now_rate = min(self.rate, self.now_rate + self.rate * _RISE)

    def refused(self) -> None:
        """Half as fast."""
        self.slowed += 1
        self.now_rate = max(_LEAST, self.now_rate / 2)
