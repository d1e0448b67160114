"""The test mode's reset: whatever clients made is gone, and the endpoint is as it was when it was
new.

moto's own tests, and suites that were written against it, call ``POST /moto-api/reset`` between
two tests.  Outside of the test mode it is refused: one request would lose everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kirikae.local.errors import AwsError
from kirikae.local.keeper import RESET
from kirikae.local.sqs.queues import Queues
from kirikae.local.state import State

__all__ = ["PATH", "RESET", "Reset", "refused"]

PATH = "/moto-api/"
Effect = Callable[[], Awaitable[None]]


def refused() -> AwsError:
    """The error (not raised yet) for a reset outside of the test mode."""
    return AwsError(
        "AccessDeniedException",
        "kirikae local forgets nothing unless it was started for tests: `kirikae local down`, "
        "then `kirikae local up --test-mode`",
        403,
    )


class Reset:
    """Rows first, then what stood behind them: whoever fails in between does it again."""

    def __init__(
        self,
        state: State,
        queues: Queues,
        changing: asyncio.Lock,
        *effects: Effect,
    ) -> None:
        """``changing`` is held by whoever might put former rows back; ``effects`` make the load
        balancer and the engine as empty as the store is then."""
        self._state = state
        self._queues = queues
        self._changing = changing
        self._effects = effects

    async def __call__(self) -> None:
        """May be repeated."""
        async with self._changing:
            self._state.forget_all()
            self._queues.forget_all()
            for effect in self._effects:
                await effect()
