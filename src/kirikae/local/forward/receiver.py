"""Listens on a socket of this machine to whoever speaks the Forward protocol: the engine's log
driver ``fluentd``, and any Fluentd or Fluent Bit.

A chunk is acknowledged after its lines are kept; who is not answered sends it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgpack

from kirikae.local.errors import AwsError, ForwardError, LocalError
from kirikae.local.forward.messages import (
    Message,
    acknowledgement,
    message_of,
    unpacker,
)

log = logging.getLogger("kirikae.local.forward")

_READ = 1 << 16
_AGAIN_S = 1.0
_SELDOM_S = 30.0
Keep = Callable[[Message], Awaitable[None]]
"""Raises OSError, AwsError or LocalError where the lines cannot be kept now."""


class Receiver:
    """``run`` never ends."""

    def __init__(self, socket: Path, keep: Keep, again_s: float = _AGAIN_S) -> None:
        """``again_s``: so long after lines could not be kept they are tried again."""
        self._socket = socket
        self._keep = keep
        self._again_s = again_s

    async def run(self) -> None:
        """A socket that a killed process left is taken away."""
        self._socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self._socket)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, message by message."""
        messages = unpacker()
        try:
            while data := await reader.read(_READ):
                messages.feed(data)
                for value in messages:
                    await self._take(message_of(value), writer)
        except (ForwardError, ValueError, msgpack.UnpackException) as error:
            log.warning("a client of the Forward protocol is dropped: %s", error)
        except OSError as error:
            log.info("a client of the Forward protocol is gone: %s", error)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _take(self, message: Message | None, writer: asyncio.StreamWriter) -> None:
        """Kept, however long that takes: the client's own buffer holds what follows."""
        if message is None:
            return
        again_s = self._again_s
        while True:
            try:
                await self._keep(message)
                break
            except (OSError, AwsError, LocalError) as error:
                log.warning("lines of %s are not kept yet: %s", message.tag, error)
                await asyncio.sleep(again_s)
                again_s = min(_SELDOM_S, 2 * again_s)
        if message.chunk is not None:
            writer.write(acknowledgement(message.chunk))
            await writer.drain()
