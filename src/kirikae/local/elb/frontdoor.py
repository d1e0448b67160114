"""HAProxy as the load balancer and as the gate of the AWS endpoint: its process, and changes while
it runs.

Beware: a reload forgets what was changed at run time, so the files always say what the running
process does: weights, addresses and states are written to the files first and then set over the
runtime socket."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from kirikae.hosts.files import write_durably
from kirikae.local.elb.configuration import (
    SLOTS,
    Configuration,
    Places,
    Server,
    servers,
    weights,
)
from kirikae.local.elb.runtime import Runtime
from kirikae.local.errors import LocalError
from kirikae.local.files import OURS_ALONE, Daemon
from kirikae.local.patience import Patience
from kirikae.local.rows import Group
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.elb.frontdoor")

_LONGEST_START_S = 10
_COMMANDS_AT_ONCE = 50
_LOOKS_AFTER_RELOAD = 200
_MOST_ALERTS = 3
_NOT_THERE = Server("", "")
_NOT_WANTED = Server("", "maint")


class FrontDoor:
    """One change at a time; each may be asked for again."""

    def __init__(
        self,
        state: State,
        directory: Path,
        places: Places,
    ) -> None:
        """``directory`` is the instance's state directory.  Nothing runs before ``assert_all``."""
        self._state = state
        self._directory = directory
        self._places = places
        self._configuration = Configuration(state, places)
        self._runtime = Runtime(places.run)
        self._busy = asyncio.Lock()
        self._config = directory / "haproxy.cfg"
        self._errors = directory / "haproxy.err"
        self._daemon = Daemon(directory / "haproxy.pid", str(self._config))
        self.left_out = ""
        """Why HAProxy does not do all that the store says; empty: it does."""

    # --- making it so

    async def assert_all(self) -> None:
        """Files, then the process, then its run-time state: afterwards HAProxy does what the store
        says."""
        async with self._busy:
            wanted = self._configuration.rendered()
            before = self._config.read_text() if self._config.exists() else ""
            self._write_map()
            if before.partition("\n")[0] == wanted.mark and await self.is_running():
                self._write(wanted.text)
                await self._set_servers(self._state.groups.all())
                await self._set_map()
            else:
                await self._check(wanted.text)
                self._write(wanted.text)
                await self._begin_anew()
            self.left_out = ""

    async def assert_what_goes(self) -> None:
        """All, or where HAProxy does not take that, at least the gate of the AWS endpoint: whoever
        asked for what is not taken can take it back then.  A process that runs goes on as it is."""
        try:
            await self.assert_all()
        except LocalError as error:
            log.error("%s", error)
            async with self._busy:
                self.left_out = str(error)
                if not await self.is_running():
                    self._write(self._configuration.gate().text)
                    await self._begin_anew()

    async def _begin_anew(self) -> None:
        """The process reads the file that was written."""
        if self._daemon.pid() is None:
            await self._launch()
        else:
            await self._reload()

    async def set_weights(self) -> None:
        """One atomic exchange of all thresholds; files first."""
        async with self._busy:
            self._write_map()
            await self._set_map()

    async def set_targets(self, group_id: str) -> None:
        """Addresses and states of one target group's servers."""
        async with self._busy:
            group = self._state.groups.get(group_id)
            if group is None or not await self.is_running():
                return
            self._write(self._configuration.rendered().text)
            await self._set_servers([group])

    async def repair(self) -> None:
        """Set again whatever the running process has otherwise than the store says."""
        async with self._busy:
            await self._set_servers(self._state.groups.all())

    async def in_flight(self, group_id: str, slot: int) -> int:
        """Requests that this server is answering now."""
        group = self._state.groups.get(group_id)
        return 0 if group is None else await self._runtime.in_flight(group, slot)

    async def cut(self, group_id: str, slot: int) -> None:
        """End what this server still answers: websockets and the like would never end by
        themselves.  Raises OSError where HAProxy does not answer."""
        group = self._state.groups.get(group_id)
        if group is not None:
            await self._runtime.cut(group, slot)

    async def connections(self) -> dict[str, int]:
        """Listener's ID -> open connections."""
        return await self._runtime.connections()

    def _write(self, config: str) -> None:
        """The configuration file, whole or not at all."""
        write_durably(self._config, config, OURS_ALONE)

    def _write_map(self) -> None:
        """The file of the draws' thresholds: a HAProxy that starts reads them from there."""
        ends = sorted(weights(self._state.rules.all()).items())
        lines = "".join(f"{key} {end}\n" for key, end in ends)
        write_durably(self._places.weights, lines, OURS_ALONE)

    async def _set_map(self) -> None:
        """The thresholds of the running process.  Raises OSError where it does not answer."""
        await self._runtime.set_map(self._places.weights, weights(self._state.rules.all()))

    async def _set_servers(self, groups: Iterable[Group]) -> None:
        """Make every slot of these groups as the store says, and ask for nothing that is so
        already.  Raises OSError where HAProxy does not answer."""
        commands: list[str] = []
        for group in groups:
            wanted = servers(group, self._state.targets.all())
            found = await self._runtime.servers(group)
            for slot in range(1, SLOTS + 1):
                name = f"tg-{group['id']}/s{slot}"
                now = found.get(slot, _NOT_THERE)
                commands += _changes(name, now, wanted.get(slot, _NOT_WANTED))
        for start in range(0, len(commands), _COMMANDS_AT_ONCE):
            some = commands[start : start + _COMMANDS_AT_ONCE]
            answer = await self._runtime.command("; ".join(some))
            told = [line for line in answer.splitlines() if line.strip() and " chang" not in line]
            if told:
                log.warning("HAProxy answered: %s", " / ".join(told))

    # --- the process

    async def is_running(self) -> bool:
        """Does the process live, and does it answer?"""
        if self._daemon.pid() is None:
            return False
        try:
            await self._runtime.command("show info")
        except OSError:
            return False
        return True

    async def _check(self, config: str) -> None:
        """Raise LocalError where HAProxy would not take this configuration: nothing is written yet
        then, and the running process goes on as before."""
        trial = self._directory / "haproxy.trial.cfg"
        trial.write_text(config)
        process = await asyncio.create_subprocess_exec(
            "haproxy",
            *("-c", "-f", str(trial)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        trial.unlink()
        if process.returncode:
            words = _words(said.decode(errors="replace"))
            raise LocalError(f"HAProxy refuses the configuration: {words}")

    async def _launch(self) -> None:
        """Start the process and wait for its answer.  Raises LocalError with what it said."""
        process = self._start()
        patience = Patience(_LONGEST_START_S, 0.05)
        while not await self.is_running():
            if process.poll() is not None or not await patience.lasts():
                said = self._errors.read_text()[-400:]
                raise LocalError(f"HAProxy did not start: {said.strip()}")

    def _start(self) -> subprocess.Popen[bytes]:
        """It outlives us on purpose."""
        pipe = self._directory / "haproxy.log.pipe"
        if not pipe.exists():
            os.mkfifo(pipe, 0o600)
        master = f"{self._places.run}/master.sock,mode,600"
        command = ["haproxy", "-W", "-S", master, "-f", str(self._config)]
        # Opened for reading and writing: HAProxy neither waits for a reader nor dies when the
        # reader does.
        out = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            with self._errors.open("ab") as errors:
                return self._daemon.start(command, out, errors)
        finally:
            os.close(out)

    async def _reload(self) -> None:
        """A new worker takes over; requests in flight are finished by the former one.

        Waits a few seconds until no former worker takes anything new any more: one that does might
        still answer by the old rules.  Raises LocalError where no new worker comes.
        """
        before = await self._runtime.worker()
        await self._runtime.master("reload")
        patience = Patience(_LONGEST_START_S, 0.02)
        while await self._runtime.worker() == before:
            if not await patience.lasts():
                raise LocalError(f"HAProxy did not reload; see {self._errors}")
        for _ in range(_LOOKS_AFTER_RELOAD):
            if await self._runtime.former_take_nothing_new():
                return
            await asyncio.sleep(0.02)


def _words(said: str) -> str:
    """HAProxy's own words for what it refuses; all that it said where none is an alert."""
    alerts = [line.partition(" : ")[2] for line in said.splitlines() if line.startswith("[ALERT]")]
    return "; ".join(alerts[:_MOST_ALERTS]) or said.strip() or "it does not say why"


def _changes(name: str, now: Server, wanted: Server) -> Iterator[str]:
    """Commands that make a server so; a new address is set while it serves nobody."""
    state = now.state
    if wanted.address and now.address != wanted.address:
        host, _, port = wanted.address.rpartition(":")
        yield f"set server {name} state maint"
        yield f"set server {name} addr {host} port {port}"
        state = "maint"
    if state != wanted.state:
        yield f"set server {name} state {wanted.state}"
