"""Alarms and scaling, moment by moment of the clock: every five seconds are one moment, in order,
also those that the clock has jumped over or in which nobody lived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kirikae.local.alarms.evaluating import Evaluator
from kirikae.local.alarms.telling import Teller
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.scaling.autoscaler import Autoscaler
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.scaling")
STEP_S = 5
MOST_BACK_S = 3 * 3600
"""Figures are kept for so long."""
_LOOK_S = 1.0
_MARK = "rounds"


class Rounds:
    """``run`` never ends."""

    def __init__(
        self,
        state: State,
        clock: Callable[[], float],
        evaluator: Evaluator,
        autoscaler: Autoscaler,
        teller: Teller,
    ) -> None:
        self._state = state
        self._clock = clock
        self._evaluator = evaluator
        self._autoscaler = autoscaler
        self._teller = teller

    async def run(self) -> None:
        """Each second."""
        while True:
            try:
                await self.look()
            except (AwsError, LocalError, OSError) as error:
                log.warning("alarms and scaling wait: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Every moment since the last one.  Raises OSError where somebody who is to hear of an
        alarm does not answer: then he hears of it the next time."""
        for moment in moments(self._last(), self._clock()):
            await self._evaluator.at(moment)
            await self._autoscaler.at(moment)
            self._state.marks.put(_MARK, {"since": float(moment)})
            await asyncio.sleep(0)
        await self._teller.tell()

    def _last(self) -> float | None:
        mark = self._state.marks.get(_MARK)
        return mark["since"] if mark is not None else None


def moments(last: float | None, now: float) -> range:
    """After the last one, and until now.  A clock that was moved back begins anew."""
    newest = int(now) // STEP_S * STEP_S
    if last is None or last > now:
        return range(
            newest,
            newest + 1,
            STEP_S,
        )
    first = max(int(last), newest - MOST_BACK_S) + STEP_S
    return range(
        first,
        newest + 1,
        STEP_S,
    )
