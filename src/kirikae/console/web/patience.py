"""How long the server waits for somebody who connects and then says nothing, or little."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""The head of a request is a few hundred bytes."""


class Impatient(H11Protocol):
    """uvicorn waits for ever for the first request's head; many who send a byte now and then would
    take every file descriptor, and nobody could reach the red button."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_S, self._close_unless_asked, None)

    def on_response_complete(self) -> None:
        """The next request on this connection has as long."""
        seen = self.cycle  # a request that was sent ahead is taken up within the next line
        super().on_response_complete()
        self.loop.call_later(HEAD_S, self._close_unless_asked, seen)

    def _close_unless_asked(self, seen: Any) -> None:
        """Another cycle: a request has come meanwhile."""
        if self.cycle is seen and not self.transport.is_closing():
            self.transport.close()
