"""Figures that rise and fall, looked up when somebody asks: how full the queue is, what nobody
could work on, and for how long the oldest firing has waited.

SQS tells the age of its oldest message to CloudWatch alone; the ledger knows it as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.ledger import Ledger
from kirikae.model.errors import KirikaeError

BACK_MIN = 60
"""A process that was just started looks back so far."""
_MOST = 5000
_WAITING = (State.ADMITTED, State.SENT)


class Counted(Protocol):
    """A queue that says how many messages it has."""

    def waiting(self) -> int:
        """Messages that nobody has in hand.  Raises AwsRefused, AwsUnreachable."""
        ...

    def dead_letters(self) -> int | None:
        """Those of its dead-letter queue; None: it has none.  Raises as ``waiting``."""
        ...


class Levels:
    """Of the new side's firings.  May be asked by several threads."""

    def __init__(self, ledger: Ledger, queue: Counted) -> None:
        self._ledger = ledger
        self._queue = queue
        self._lock = threading.Lock()
        self._oldest: Firing | None = None
        self._since: int | None = None

    def figures(self) -> dict[str, float]:
        """What cannot be asked is left out: missing is not zero."""
        found: dict[str, float | None] = {
            "queue_depth": _known(self._queue.waiting),
            "dead_letters": _known(self._queue.dead_letters),
            "oldest_age_s": _known(self.oldest_age_s),
        }
        return {name: float(value) for name, value in found.items() if value is not None}

    def oldest_age_s(self) -> float:
        """0: nothing waits.  Raises LedgerAway."""
        with self._lock:
            now = self._ledger.now()
            oldest = self._found(now)
            return 0.0 if oldest is None else now - _asked(oldest)

    def _found(self, now: float) -> Firing | None:
        """One row is read while the same one waits; else all since the last that did."""
        known = self._oldest
        if known is not None:
            known = self._ledger.firing(known.job, known.due)
            if known is not None and _waits(known, now):
                self._oldest = known
                return known
        minute = int(now // 60)
        since = minute - BACK_MIN if self._since is None else self._since
        rows = self._ledger.history(None, since, minute + 1, _MOST)
        self._oldest = min((row for row in rows if _waits(row, now)), key=_asked, default=None)
        self._since = minute if self._oldest is None else self._oldest.due
        return self._oldest


def _known(ask: Callable[[], float | None]) -> float | None:
    """None: no permission, or no answer."""
    try:
        return ask()
    except (KirikaeError, KeyError, ValueError):
        return None


def _asked(firing: Firing) -> float:
    """When it should have begun: at its minute, or after the pause before another attempt."""
    return max(firing.due * 60.0, firing.not_before)


def _waits(firing: Firing, now: float) -> bool:
    return firing.side is Owner.NEW and firing.state in _WAITING and _asked(firing) <= now
