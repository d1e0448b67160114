"""Pause containers: each holds one task's network while the task's own containers come and go.

Starting one takes half a second of bridge set-up, so a few are kept started in a pool.
"""

from __future__ import annotations

import asyncio
import io
import logging
import platform
import struct
import tarfile
import uuid

from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, LocalError
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.ecs.pause")

IMAGE = "kirikae-pause:1"
_CODE = bytes.fromhex("b8220000000f05ebf7")  # mov eax, 34 (pause); syscall; jump back
_ELF_X86_64 = 62


def pause_program(machine: str) -> bytes:
    """A static ELF program of 129 bytes that sleeps for ever.  Raises LocalError for anything but
    ``x86_64``."""
    if machine != "x86_64":
        raise LocalError(f"kirikae local has no pause program for {machine}; it runs on x86_64")
    base = 0x400000
    head = 64 + 56
    size = head + len(_CODE)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        2,
        _ELF_X86_64,
        1,
        base + head,
        64,
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + _CODE


def pause_tar() -> bytes:
    out = io.BytesIO()
    program = pause_program(platform.machine())
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size = len(program)
        entry.mode = 0o755
        tar.addfile(entry, io.BytesIO(program))
    return out.getvalue()


class PausePool:
    """``take`` hands out a started pause container; what was taken stands in the store first."""

    def __init__(self, engine: Engine, state: State, prefix: str, network: str, size: int) -> None:
        self._engine = engine
        self._state = state
        self._prefix = prefix
        self._network = network
        self._size = size
        self._filling: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        try:
            await self._engine.image(IMAGE)
        except EngineError as error:
            if error.status != 404:
                raise
            repo, tag = IMAGE.split(":")
            await self._engine.import_image(pause_tar(), repo, tag, 'ENTRYPOINT ["/pause"]')

    async def make(self, name: str) -> str:
        """Create and start one; the answer is its address on the network."""
        await self._engine.create(
            name,
            {
                "Image": IMAGE,
                "Labels": {"kirikae.instance": self._prefix, "kirikae.role": "pause"},
                "HostConfig": {"NetworkMode": self._network},
            },
        )
        await self._engine.start(name)
        return await self.address(name)

    async def address(self, name: str) -> str:
        seen = await self._engine.inspect(name)
        if seen is None or not seen["State"]["Running"]:
            raise EngineError(404, f"the pause container {name} is not running")
        return str(seen["NetworkSettings"]["Networks"][self._network]["IPAddress"])

    async def take(self, task_id: str) -> tuple[str, str]:
        """A started pause container's name and address for this task; taking is written down before
        it is used."""
        ready = self._state.all("pause")
        if ready:
            spare = ready[0]
            name = spare["name"]
            address = spare["address"]
            with self._state.together():
                self._state.drop("pause", name)
                self._state.change("task", task_id, _pause=name, address=address)
            self.fill()
            try:
                return name, await self.address(name)
            except EngineError:
                log.warning("a pooled pause container was gone", extra={"container": name})
        name = f"{self._prefix}-pause-{uuid.uuid4().hex[:12]}"
        self._state.change("task", task_id, _pause=name)
        address = await self.make(name)
        self._state.change("task", task_id, address=address)
        return name, address

    def fill(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        while len(self._state.all("pause")) < self._size:
            name = f"{self._prefix}-pause-{uuid.uuid4().hex[:12]}"
            try:
                address = await self.make(name)
            except EngineError as error:
                log.warning("the pool of pause containers cannot be filled: %s", error)
                return
            self._state.put("pause", name, {"name": name, "address": address})
