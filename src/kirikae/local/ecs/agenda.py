"""Which services are to be looked at, and when.

Whoever changes something wakes the service here; whoever keeps services asks here what is due.
Waking one twice is harmless, and so is waking one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Seconds. Changes come in bursts; what comes within this time is looked at once.
_SOONEST_S = 0.02


class Agenda:
    """The services that somebody wants looked at; each stands here once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` answers Unix seconds; the moments given to ``at`` are of the same clock."""
        self._clock = clock
        self._wake = asyncio.Event()
        self._due: dict[str, float] = {}

    def wake(self, arn: str) -> None:
        """Look at this service soon; an empty name is nobody's."""
        if arn:
            self._due[arn] = 0.0
            self._wake.set()

    def at(self, arn: str, moment: float) -> None:
        """Look at this service at this moment; an earlier one stays."""
        self._due[arn] = min(moment, self._due.get(arn, moment))

    def take_due(self) -> list[str]:
        """Services whose moment has come; they are taken off the agenda."""
        now = self._clock()
        due = [arn for arn, moment in self._due.items() if moment <= now]
        for arn in due:
            del self._due[arn]
        return due

    def forget(self, arn: str) -> None:
        """Take a service off, as when it is gone; one that does not stand here is no error."""
        self._due.pop(arn, None)

    async def wait(self, until: float) -> None:
        """Until the next moment of the agenda, until something is woken, or until then."""
        nearest = min([*self._due.values(), until])
        try:
            left = max(_SOONEST_S, nearest - self._clock())
            await asyncio.wait_for(self._wake.wait(), left)
            # What else changes at this moment is looked at together.
            await asyncio.sleep(_SOONEST_S)
        except TimeoutError:
            pass
        self._wake.clear()
