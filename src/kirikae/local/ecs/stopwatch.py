"""How long a container health check takes now that does nothing.

Tried only where a check ran out of time, for it costs as much as a check does."""

from __future__ import annotations

import asyncio
import time

from kirikae.local.ecs.pause import NOTHING
from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError
from kirikae.local.pulse import Measure, Pulse

# Half of the longest timeout that a check may have (60 s): ``Doubt`` need not know more.
_LONGEST_S = 30.0
_FRESH_S = 2.0


class Stopwatch:
    """All who ask at about the same time share one trial."""

    def __init__(self, engine: Engine, pulse: Pulse) -> None:
        """Nothing was tried yet, so the first who asks waits for a trial."""
        self._engine = engine
        self._pulse = pulse
        self._one = asyncio.Lock()
        self._took_s = 0.0
        self._tried_at: float | None = None

    async def empty_check_s(self, pause: str) -> float:
        """Seconds in this pause container; 30 where it did not end before."""
        async with self._one:
            now = time.monotonic()
            if self._tried_at is None or now - self._tried_at > _FRESH_S:
                self._took_s = await self._try(pause)
                self._tried_at = time.monotonic()
                self._pulse.measured(Measure.CHECK, self._took_s)
            return self._took_s

    async def _try(self, pause: str) -> float:
        """Seconds of one trial.

        A refusal counts like an answer: what is measured is how soon the engine comes to it.
        """
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._engine.run_inside(pause, [NOTHING]), _LONGEST_S)
        except TimeoutError:
            return _LONGEST_S
        except EngineError:
            # The container is gone, or of a former version: even a refusal takes as long as that.
            pass
        return time.monotonic() - began
