"""How many tasks are started at once: no more than the engine can carry.

A start costs the machine more than anything else that a task does.  Starting all that are missing
at once makes every start slower, then the checks of those that run, then more are missing: so the
number follows what the engine shows it can carry, down to one a core, for a start keeps one core
busy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kirikae.local.pulse import Load

AT_ONCE_PER_CORE = 4
MOST_WHEN_OVERLOADED = 4
_LOOK_AGAIN_S = 1.0


def starts_at_once(load: Load, cores: int) -> int:
    """All that the cores can do on a machine that is quick; fewer as it slows; where it is
    overloaded one a core, at most four (ours)."""
    most = AT_ONCE_PER_CORE * cores
    return max(min(cores, MOST_WHEN_OVERLOADED), round(most * (1 - load.slowness)))


class Pace:
    """Hands out turns to start a task, first come, first served."""

    def __init__(self, load: Callable[[], Load], cores: int) -> None:
        """``load`` is asked anew at every turn."""
        self._load = load
        self._cores = cores
        self._queue: deque[object] = deque()
        self._starting = 0
        self._changed = asyncio.Event()

    @property
    def at_once(self) -> int:
        """Turns that the machine can carry at this moment."""
        return starts_at_once(self._load(), self._cores)

    @property
    def starting(self) -> int:
        """Turns that are taken now."""
        return self._starting

    @property
    def waiting(self) -> int:
        """Tasks that wait for a turn."""
        return len(self._queue)

    def room(self) -> int | None:
        """How many more tasks may be asked for; None: as many as are wanted."""
        if not self._load().overloaded:
            return None
        return max(0, self.at_once - self._starting - len(self._queue))

    @asynccontextmanager
    async def turn(self, wanted: Callable[[], bool]) -> AsyncIterator[None]:
        """Wait for a turn and keep it inside; nothing is waited for that is not wanted any more."""
        granted = await self._granted(wanted)
        try:
            yield
        finally:
            if granted:
                self._starting -= 1
            self._tell()

    async def _granted(self, wanted: Callable[[], bool]) -> bool:
        """True with a turn, False where the task was no longer wanted while it waited.

        First come, first served: only the head of the queue may take a turn.
        """
        ticket = object()
        self._queue.append(ticket)
        try:
            while self._queue[0] is not ticket or self._starting >= self.at_once:
                if not wanted():
                    return False
                await self._wait()
            self._starting += 1
            return True
        finally:
            self._queue.remove(ticket)
            self._tell()

    async def _wait(self) -> None:
        """Until somebody's turn is over, or the load may have changed."""
        try:
            await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
        except TimeoutError:
            pass

    def _tell(self) -> None:
        """Wake everybody that waits: each looks for itself whether it is its turn."""
        before = self._changed
        self._changed = asyncio.Event()
        before.set()
