"""A part of a page that changes by itself: the server sends it anew by server-sent events.

However many look on, a part is made once, by few threads of its own: who presses the red button
never stands in one queue with those who only watch.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response, StreamingResponse

from kirikae.console.web.pages import Reader

_BEATS = 15
"""So many looks without news until a line says that the connection still stands."""
_AT_ONCE = 8
_PARTS_AT_MOST = 500


@dataclass(slots=True)
class Part:
    """What everybody sees who reads the same address in the same language."""

    html: str = ""
    made: float = float("-inf")
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Followed:
    """``parts``: by address and language, those that were begun last."""

    parts: OrderedDict[tuple[str, str], Part] = field(default_factory=OrderedDict)
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_AT_ONCE))

    async def newest(
        self,
        key: tuple[str, str],
        make: Callable[[], str],
        fresh_s: float,
    ) -> str:
        """Made by the first who asks, and the others take it."""
        part = self.parts.setdefault(key, Part())
        if len(self.parts) > _PARTS_AT_MOST:
            self.parts.popitem(last=False)
        async with part.busy:
            if time.monotonic() - part.made >= fresh_s:
                part.html = await to_thread.run_sync(
                    make,
                    limiter=self.threads,
                )
                part.made = time.monotonic()
            return part.html


def events(read: Reader, part: Callable[[], str], every_s: float) -> Response:
    """``part``: the same HTML that the page had at first."""
    return StreamingResponse(
        _events(read, part, every_s),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(read: Reader, part: Callable[[], str], every_s: float) -> AsyncIterator[str]:
    """Until the browser goes or the session ends."""
    followed: Followed = read.site.kept.setdefault("followed", Followed())
    key = (str(read.request.url), read.speech.language)
    last = ""
    quiet = 0
    while not await read.request.is_disconnected():
        session = read.session
        if session is None or read.site.sessions.find(session.id) is None:
            return
        now = await followed.newest(key, part, every_s / 2)
        quiet = 0 if now != last else quiet + 1
        if now != last:
            yield "".join(f"data: {line}\n" for line in now.splitlines()) + "\n"
        elif quiet % _BEATS == 0:
            yield ": still here\n\n"
        last = now
        await asyncio.sleep(every_s)
