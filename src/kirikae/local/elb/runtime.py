"""What HAProxy is asked while it runs: its runtime socket, and its master's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from kirikae.local.elb.configuration import Server
from kirikae.local.patience import Patience
from kirikae.local.rows import Group

_ANSWER_S = 5
_PATIENCE_S = 3
_IN_MAINTENANCE = 0x01 | 0x02 | 0x20
"""Bits of srv_admin_state (HAProxy management guide, "show servers state").  0x04 says only that
the configuration file began with ``disabled``; it stays set while the server serves."""
_STATE_FIELDS = 19
_SESSIONS = 4
"""Place of the open sessions in a line of "show stat"."""


class Runtime:
    """Every question opens its own connection, as HAProxy wants it."""

    def __init__(self, run: Path) -> None:
        """``run`` is the folder of HAProxy's sockets."""
        self._run = run

    async def command(self, line: str) -> str:
        """Ask the runtime socket; right after a reload it may refuse for a moment."""
        patience = Patience(_PATIENCE_S, 0.05)
        while True:
            try:
                return await self._exchange("haproxy.sock", line)
            except OSError:
                if not await patience.lasts():
                    raise

    async def master(self, line: str) -> str:
        """Ask the master process, or one of its workers with ``@!pid``."""
        return await self._exchange("master.sock", line)

    async def _exchange(self, socket: str, line: str) -> str:
        """One command and its answer.  Raises OSError, also when no answer comes in time (a worker
        that is about to end)."""
        reader, writer = await asyncio.open_unix_connection(str(self._run / socket))
        try:
            writer.write(line.encode() + b"\n")
            await writer.drain()
            writer.write_eof()  # the master keeps the line open otherwise
            return (await asyncio.wait_for(reader.read(), _ANSWER_S)).decode()
        finally:
            writer.close()

    # --- processes

    async def worker(self) -> str:
        """Process ID of the worker that serves; empty where it does not say."""
        found = re.search(r"^Pid: (\d+)", await self.command("show info"), re.M)
        return found[1] if found else ""

    async def former_workers(self) -> list[str]:
        """Process IDs of workers that a reload has replaced and that still answer requests."""
        told = await self.master("show proc")
        old = told.partition("# old workers")[2].partition("# programs")[0]
        return [line.split()[0] for line in old.splitlines() if line.strip()[:1].isdigit()]

    async def former_take_nothing_new(self) -> bool:
        """Have all workers of before the reload stopped listening?  Until then one of them may
        answer by the old rules."""
        try:
            told = [await self.master(f"@!{pid} show info") for pid in await self.former_workers()]
        except OSError:
            return False  # the master begins anew just now
        return not any("Stopping: 0" in text for text in told)

    # --- figures

    async def in_flight(self, group: Group, slot: int) -> int:
        """Requests that this server is answering now, also in former workers."""
        asked = f"show stat {group['number']} 4 {slot}"
        former = await self.former_workers()
        answers = [
            await self.command(asked),
            *[await self.master(f"@!{pid} {asked}") for pid in former],
        ]
        return sum(map(_current_sessions, answers))

    async def cut(self, group: Group, slot: int) -> None:
        """End every connection to this server, also those of former workers."""
        asked = f"shutdown sessions server tg-{group['id']}/s{slot}"
        await self.command(asked)
        for pid in await self.former_workers():
            await self.master(f"@!{pid} {asked}")

    async def connections(self) -> dict[str, int]:
        """Listener's ID -> open connections (of the worker that runs now)."""
        lines = (await self.command("show stat -1 1 -1")).splitlines()
        rows = [line.split(",") for line in lines if line]
        return {row[0]: int(row[_SESSIONS]) for row in rows[1:]}

    # --- servers and weights

    async def servers(self, group: Group) -> dict[int, Server]:
        """Slot -> what the running process has there."""
        found = {}
        answer = await self.command(f"show servers state tg-{group['id']}")
        for line in answer.splitlines():
            field = line.split()
            if len(field) < _STATE_FIELDS or not field[0].isdigit():
                continue
            state = "maint" if int(field[6]) & _IN_MAINTENANCE else "ready"
            slot = int(field[3].removeprefix("s"))
            found[slot] = Server(f"{field[4]}:{field[18]}", state)
        return found

    async def set_map(self, file: Path, ends: Mapping[str, int]) -> None:
        """Exchange all weights at once."""
        told = await self.command(f"prepare map {file}")
        version = re.search(r"New version created: (\d+)", told)
        if version is None:
            # No rule draws between groups yet, so HAProxy has not loaded the map; the file is in
            # place for when it does.
            return
        lines = [f"add map @{version[1]} {file} {key} {end}" for key, end in ends.items()]
        await self.command("; ".join([*lines, f"commit map @{version[1]} {file}"]))


def _current_sessions(stat: str) -> int:
    """Open sessions in an answer to "show stat" about one server; 0 where it has no such server."""
    lines = [line for line in stat.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or lines[0].count(",") <= _SESSIONS:
        return 0
    return int(lines[0].split(",")[_SESSIONS])
