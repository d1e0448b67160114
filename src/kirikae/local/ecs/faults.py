"""The ECS agent's fault endpoints: trouble in a task's own network, asked for from inside of it.

Nothing is written down here: a fault lives in the task's network namespace and ends with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from aiohttp import web

from kirikae.local.ecs.faultplans import (
    KINDS,
    RUNS_ONLY_ONE,
    VERBS,
    Command,
    Fault,
    fault_of,
)
from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, FaultRefused
from kirikae.local.rows import Container, Definition, Task

_LONGEST_S = 5.0
"""For all commands of a request, as the agent has it."""
_ONE_IN_S = 5.0
"""One request of a kind in this time, as the agent has it."""
_NO_KIND = ("qdisc kind is unknown", "Failed to find specified qdisc", "No such file or directory")
"""What tc says where the kernel has not the module."""
_NEEDED = ("nsenter", "ip", "iptables", "tc")
_ADDRESS = ("ip", "-4", "-o", "address", "show")
Find = Callable[[web.Request], tuple[Task, Container]]


class Faults:
    """Answers at ``$ECS_AGENT_URI/fault/v1/KIND/start|stop|status``."""

    def __init__(
        self,
        engine: Engine,
        definition_of: Callable[[Task], Definition],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Only the times of requests are remembered, and those not for long."""
        self._engine = engine
        self._definition_of = definition_of
        self._clock = clock
        self._asked: dict[tuple[str, str, str], float] = {}
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def routes(
        self,
        app: web.Application,
        find: Find,
    ) -> None:
        """Add the paths.  ``find`` answers which task asks."""
        kinds = "|".join(KINDS)
        verbs = "|".join(VERBS)
        path = f"/api/{{token}}/fault/v1/{{kind:{kinds}}}/{{verb:{verbs}}}"

        async def answer(request: web.Request) -> web.Response:
            task, _ = find(request)
            return await self._answer(task, request)

        app.router.add_post(path, answer)

    async def _answer(
        self,
        task: Task,
        request: web.Request,
    ) -> web.Response:
        """In the agent's form."""
        kind = request.match_info["kind"]
        verb = request.match_info["verb"]
        try:
            self._check_pace(task, kind, verb)
            self._check_allowed(task)
            fault = fault_of(kind, verb, await _body(request))
            status = await asyncio.wait_for(
                self._carry_out(
                    task,
                    kind,
                    verb,
                    fault,
                ),
                _LONGEST_S,
            )
        except FaultRefused as error:
            return web.json_response({"Error": str(error)}, status=error.status)
        except (OSError, EngineError, TimeoutError) as error:
            why = str(error) or f"{verb} {kind}: request timed out"
            return web.json_response({"Error": why}, status=500)
        return web.json_response({"Status": status})

    def _check_pace(
        self,
        task: Task,
        kind: str,
        verb: str,
    ) -> None:
        """Raise FaultRefused for a request too soon after the one before."""
        now = self._clock()
        self._asked = {key: at for key, at in self._asked.items() if now - at < _ONE_IN_S}
        key = (task["id"], kind, verb)
        if key in self._asked:
            why = f"{verb} {kind}: one request in {_ONE_IN_S:.0f} seconds is taken"
            raise FaultRefused(why, 429)
        self._asked[key] = now

    def _check_allowed(self, task: Task) -> None:
        """Raise FaultRefused for a task whose definition allows no faults."""
        definition = self._definition_of(task)
        arn = task["taskArn"]
        if not definition.get("enableFaultInjection"):
            raise FaultRefused(f"enableFaultInjection is not enabled for task: {arn}")
        if definition["networkMode"] != "awsvpc":
            mode = definition["networkMode"]
            raise FaultRefused(f"{mode} mode is not supported. Please use either host or awsvpc")

    # --- in the task's network

    async def _carry_out(
        self,
        task: Task,
        kind: str,
        verb: str,
        fault: Fault,
    ) -> str:
        """The agent's word for how it is afterwards."""
        process = await self._process(task)
        async with self._busy[task["id"]]:
            runs = await _runs(process, fault)
            if verb == "status":
                return "running" if runs else "not-running"
            if verb == "stop":
                await _end(process, fault)
                return "stopped"
            for other in (fault, *RUNS_ONLY_ONE.get(kind, ())):
                if await _runs(process, other):
                    raise FaultRefused(f"a fault that excludes {kind} runs already", 409)
            await _begin(process, fault)
            return "running"

    async def _process(self, task: Task) -> int:
        """Of the container that holds the task's network.  Raises FaultRefused where no way leads
        there."""
        lacks = [name for name in _NEEDED if shutil.which(name) is None]
        if os.geteuid() != 0 or lacks:
            what = ", ".join(lacks) or "root"
            raise FaultRefused(
                f"kirikae local cannot make faults on this machine: {what} is missing; run it as "
                "root, with util-linux, iptables and iproute2",
                500,
            )
        seen = await self._engine.inspect(task.get("_pause", ""))
        process = int(seen["State"]["Pid"]) if seen is not None else 0
        said, _ = await _run(process, _ADDRESS) if process else ("", 1)
        # The number may be of another machine's process: an engine in a virtual machine.
        if f" {task.get('address')}/" not in said:
            raise FaultRefused(
                "the task's network cannot be entered: it has ended, or the engine is not on this "
                "machine",
                500,
            )
        return process


async def _body(request: web.Request) -> object:
    """Raises FaultRefused for what is no JSON."""
    try:
        body: object = await request.json()
    except (ValueError, RecursionError) as error:
        raise FaultRefused(f"failed to decode request body: {error}") from error
    return body


async def _begin(process: int, fault: Fault) -> None:
    """All of it or nothing; what an earlier try left half done goes first.  Raises OSError."""
    await _end(process, fault)
    for command in fault.begin:
        said, code = await _run(process, command)
        if code:
            await _end(process, fault)
            raise OSError(_in_words(command, said))


async def _end(process: int, fault: Fault) -> None:
    """What is not there any more is no error."""
    for command in fault.end:
        await _run(process, command)


async def _runs(process: int, fault: Fault) -> bool:
    """Is it there?"""
    said, code = await _run(process, fault.look)
    return code == 0 and fault.word in said


async def _run(process: int, command: Command) -> tuple[str, int]:
    """One command inside: what it said, and its exit code."""
    inside = ("nsenter", "--net", "--target", str(process), "--", *command)
    made = await asyncio.create_subprocess_exec(
        *inside,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = await made.communicate()
    finally:
        if made.returncode is None:
            made.kill()
    return said.decode(errors="replace"), made.returncode or 0


def _in_words(command: Sequence[str], said: str) -> str:
    """Why it did not go."""
    if command[0] == "tc" and any(sign in said for sign in _NO_KIND):
        return (
            "this machine's kernel cannot delay packets (sch_prio and sch_netem are missing): "
            "kirikae local cannot make latency here; network-packet-loss and "
            "network-blackhole-port need only iptables"
        )
    return f"{' '.join(command)}: {said.strip()}"
