"""Pause containers: each holds one task's network while the task's own containers come and go.

Starting one takes half a second of bridge set-up, so a few are kept started in a pool.  Beside the
program that sleeps, their image holds one that does nothing: how long the engine takes to run it is
how long a health check takes at the least.
"""

from __future__ import annotations

import asyncio
import io
import logging
import platform
import re
import struct
import tarfile
import uuid
from collections.abc import Mapping, Sequence

from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, LocalError, StartFailed
from kirikae.local.plain import Plain
from kirikae.local.rows import HostPort, Pause, Task
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.ecs.pause")

IMAGE = "kirikae-pause:2"
NOTHING = "/nothing"
"""The program that ends at once."""
_CODE: Mapping[str, bytes] = {
    "pause": bytes.fromhex("b8220000000f05ebf7"),  # mov eax, 34 (pause); syscall; jump back
    "nothing": bytes.fromhex("b83c00000031ff0f05"),  # mov eax, 60 (exit); xor edi, edi; syscall
}
_ELF_X86_64 = 62
_BASE = 0x400000
_HEAD_BYTES = 64 + 56
_TAKEN = re.compile("port is already allocated|address already in use")
_ONLY_HERE = "127.0.0.1"
"""What a task publishes is for this machine's own programs."""


def elf(code: bytes, machine: str) -> bytes:
    """A static ELF program of this code.  Raises LocalError for anything but ``x86_64``."""
    if machine != "x86_64":
        raise LocalError(f"kirikae local has no pause program for {machine}; it runs on x86_64")
    size = _HEAD_BYTES + len(code)
    magic = b"\x7fELF\x02\x01\x01"
    entry = _BASE + _HEAD_BYTES
    one_program_header = (64, 0, 0, 64, 56, 1, 0, 0, 0)
    header = struct.pack("<16sHHIQQQIHHHHHH", magic, 2, _ELF_X86_64, 1, entry, *one_program_header)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


def pause_tar() -> bytes:
    """The image's whole file system, a tar archive of two programs.

    Raises LocalError on another machine than x86_64.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, code in _CODE.items():
            program = elf(code, platform.machine())
            entry = tarfile.TarInfo(name)
            entry.size = len(program)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(program))
    return out.getvalue()


def _exposed(port: HostPort) -> str:
    """In the engine's words."""
    return f"{port['containerPort']}/{port['protocol']}"


def _published(port: HostPort) -> Plain:
    """Any port that is free where none is said."""
    return {"HostIp": _ONLY_HERE, "HostPort": str(port["hostPort"] or "")}


class PausePool:
    """``take`` hands out a started pause container; what was taken stands in the store first."""

    def __init__(
        self,
        engine: Engine,
        state: State,
        names: EngineNames,
        size: int,
    ) -> None:
        """``size`` is how many are kept started ahead of tasks."""
        self._engine = engine
        self._state = state
        self._names = names
        self._size = size
        self._filling: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Make sure that the engine has the pause image; it may be called at every start.

        Raises EngineError.
        """
        try:
            await self._engine.image(IMAGE)
        except EngineError as error:
            if error.status != 404:
                raise
            repo, tag = IMAGE.split(":")
            await self._engine.import_image(pause_tar(), repo, tag, 'ENTRYPOINT ["/pause"]')

    async def address(self, name: str) -> str:
        """Its address on the instance's network.  Raises EngineError if it does not run."""
        seen = await self._engine.inspect(name)
        if seen is None or not seen["State"]["Running"]:
            raise EngineError(404, f"the pause container {name} is not running")
        return str(seen["NetworkSettings"]["Networks"][self._names.instance]["IPAddress"])

    async def take(self, task_id: str) -> str:
        """A started pause container for this task: its address.  Taking is written down before it
        is used.  One that publishes ports is made for its task."""
        ports = self._state.tasks[task_id].get("_ports", [])
        spare = next(iter(self._state.pauses.all()), None)
        if spare is not None and not ports:
            with self._state.together():
                self._state.pauses.drop(spare["name"])
                self._give(task_id, spare)
            self.fill()
            try:
                return await self.address(spare["name"])
            except EngineError:
                log.warning("a pooled pause container was gone", extra={"container": spare["name"]})
        name = self._new_name()
        row = self._state.tasks[task_id]
        self._state.tasks.put(
            task_id,
            {
                **row,
                "_pause": name,
            },
        )
        address = await self._make(name, ports)
        self._give(
            task_id,
            {
                "name": name,
                "address": address,
            },
        )
        return address

    def _give(self, task_id: str, pause: Pause) -> None:
        """Write down that this task has this pause container and its address."""
        row = self._state.tasks[task_id]
        given: Task = {
            **row,
            "_pause": pause["name"],
            "address": pause["address"],
        }
        self._state.tasks.put(task_id, given)

    def _new_name(self) -> str:
        """Written down by the caller before the engine hears it, or found by its label at the next
        start."""
        return self._names.pause(uuid.uuid4().hex[:12])

    async def bindings(self, name: str, ports: Sequence[HostPort]) -> dict[str, list[Plain]]:
        """Container -> its ports and those of this machine, as DescribeTasks shows them."""
        if not ports:
            return {}
        seen = await self._engine.inspect(name)
        published = ((seen or {}).get("NetworkSettings") or {}).get("Ports") or {}
        found: dict[str, list[Plain]] = {}
        for port in ports:
            for each in published.get(_exposed(port)) or []:
                binding = {
                    "bindIP": each["HostIp"],
                    "containerPort": port["containerPort"],
                    "hostPort": int(each["HostPort"]),
                    "protocol": port["protocol"],
                }
                found.setdefault(port["containerName"], []).append(binding)
        return found

    async def _make(self, name: str, ports: Sequence[HostPort] = ()) -> str:
        """Create and start one; the answer is its address."""
        body: Plain = {
            "Image": IMAGE,
            "Labels": {
                **self._names.labels,
                "kirikae.role": "pause",
            },
            "HostConfig": {
                "NetworkMode": self._names.instance,
                "PortBindings": {_exposed(each): [_published(each)] for each in ports},
            },
            "ExposedPorts": {_exposed(each): {} for each in ports},
        }
        try:
            await self._engine.create(name, body)
        except EngineError as error:
            if error.status != 404:
                raise
            await self.prepare()  # somebody has removed the image
            await self._engine.create(name, body)
        return await self.started(name, ports)

    async def started(self, name: str, ports: Sequence[HostPort]) -> str:
        """The address of one that was made; starting what runs is harmless.  Raises StartFailed for
        a port of this machine that somebody has."""
        try:
            await self._engine.start(name)
        except EngineError as error:
            if ports and _TAKEN.search(str(error)):
                raise StartFailed(f"CannotStartContainerError: {error}") from error
            raise
        return await self.address(name)

    def fill(self) -> None:
        """Top the pool up in the background; a filling that is under way is left alone."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        """Until the pool is full or the engine refuses; the next ``take`` tries again."""
        while len(self._state.pauses.all()) < self._size:
            name = self._new_name()
            try:
                address = await self._make(name)
            except EngineError as error:
                log.warning("the pool of pause containers cannot be filled: %s", error)
                return
            self._state.pauses.put(
                name,
                {
                    "name": name,
                    "address": address,
                },
            )
