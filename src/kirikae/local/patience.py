"""Waiting for another process, as long as it takes on a quiet machine.

What is counted is looks, not seconds: on a machine that has more to do than it can carry, the other
process gets its turns as rarely as we get ours, and a deadline of the clock would say no to one
that only had not been scheduled yet."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]


class Patience:
    """Asked before each new look: true after a pause, false once there were enough."""

    def __init__(
        self,
        longest_s: float,
        pause_s: float,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """``longest_s``: how long it takes at most on a quiet machine."""
        self._left = math.ceil(longest_s / pause_s)
        self._pause_s = pause_s
        self._sleep = sleep

    async def lasts(self) -> bool:
        """Rest, and look once more?"""
        if self._left <= 0:
            return False
        self._left -= 1
        await self._sleep(self._pause_s)
        return True
