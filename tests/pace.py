"""How slow this machine is now, and waiting that follows it.

Every wait of the suite says how long a thing takes at most on a quiet machine.  On a busy one that
is multiplied by how much slower the machine was found to be, and it begins anew whenever something
moves.  A hang still ends: ``timeout`` in ``pyproject.toml``, multiplied likewise.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

COUNT_S = 0.06
"""What ``_count`` takes on a quiet machine of the kind that the suite is written on."""
START_S = 0.40
"""The same for ``docker run`` of the test image."""
ANEW_S = 5.0
POLL_S = 0.1
MOST = 30.0


def _count() -> float:
    """Seconds that a little counting takes."""
    began = time.perf_counter()
    total = 0
    for number in range(2_000_000):
        total += number
    return time.perf_counter() - began


class Pace:
    """``counting``, ``starting``: times slower than a quiet machine; at least 1.

    Counting is measured again and again, the start of a container once: it costs one.
    """

    def __init__(self) -> None:
        self.counting = 1.0
        self.starting = 1.0
        self.worst = 1.0
        self._measured = -ANEW_S

    def measure_counting(self) -> None:
        """The middle one of three."""
        took = sorted(_count() for _ in range(3))[1]
        self.counting = max(1.0, took / COUNT_S)
        self._measured = time.monotonic()
        self.worst = max(self.worst, self.now)

    def measure_starting(self, image: str) -> None:
        command = ["docker", "run", "--rm", "--network", "none", image, "true"]
        took = []
        for _ in range(3):
            began = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            took.append(time.monotonic() - began)
        self.starting = max(1.0, sorted(took)[1] / START_S)
        self.worst = max(self.worst, self.now)

    @property
    def now(self) -> float:
        return min(MOST, max(self.counting, self.starting))

    def slowness(self) -> float:
        """Times slower than a quiet machine, as it is at this moment."""
        if time.monotonic() - self._measured > ANEW_S:
            self.measure_counting()
        return self.now

    def told(self) -> str:
        return (
            f"counting takes {self.counting:.1f} times, a container start {self.starting:.1f} times"
            f" as long as on a quiet machine (at the worst {self.worst:.1f} times); waits follow"
        )


PACE = Pace()


def slowly(seconds: float) -> float:
    """So many seconds of a quiet machine on this one, now."""
    return seconds * PACE.slowness()


def eventually(
    condition: Callable[[], Any],
    what: str | Callable[[], str],
    timeout_s: float = 60,
    watch: Callable[[], Any] | None = None,
    poll_s: float = POLL_S,
) -> Any:
    """The condition's answer as soon as it is true.

    ``timeout_s``: how long it takes at most on a quiet machine, from the last time that what
    ``watch`` sees has moved.
    """
    spent_s = 0.0
    looked = time.monotonic()
    seen = watch() if watch is not None else None
    while not (found := condition()):
        now = time.monotonic()
        spent_s += (now - looked) / PACE.slowness()
        looked = now
        if watch is not None and (after := watch()) != seen:
            seen = after
            spent_s = 0.0
        assert spent_s <= timeout_s, _in_vain(what, timeout_s, seen)
        time.sleep(poll_s)
    return found


def _in_vain(what: str | Callable[[], str], timeout_s: float, seen: Any) -> str:
    told = what if isinstance(what, str) else what()
    last = "" if seen is None else f"; last seen: {seen}"
    return f"waited {timeout_s:.0f} s of a quiet machine in vain: {told}{last} ({PACE.told()})"


def ended(process: subprocess.Popen[Any], timeout_s: float = 60) -> int:
    """The exit code of a process that ends by itself."""
    eventually(lambda: process.poll() is not None, f"{process.args} ends", timeout_s)
    return int(process.returncode)
