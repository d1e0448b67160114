"""Run tasks on the container engine: one state machine per task with one step in flight.

Every step is written to the store before its effect, and container names derive from the task's ID,
so that a killed control plane finds and adopts what it began.  Only a task's own drive changes its
containers' rows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.containers import (
    DEFAULT_STOP_TIMEOUT_S,
    Then,
    engine_time,
    looked_at,
    task_health,
    with_overrides,
)
from kirikae.local.ecs.doubt import Doubt
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.logs import Logs
from kirikae.local.ecs.making import Maker
from kirikae.local.ecs.order import Gate, dependents, gate, launch_order
from kirikae.local.ecs.pace import Pace
from kirikae.local.ecs.pause import PausePool
from kirikae.local.ecs.targets import TaskTargets
from kirikae.local.ecs.taskrow import STARTING, service_of
from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, LocalError, StartFailed
from kirikae.local.forward.firelens import with_order
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Container,
    ContainerDefinition,
    ContainerSeen,
    Definition,
    Task,
    TaskChange,
)
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.tasks")


@dataclass(frozen=True, slots=True)
class Hands:
    """What a task's life needs of others."""

    engine: Engine
    names: EngineNames
    pool: PausePool
    maker: Maker
    targets: TaskTargets
    logs: Logs
    pace: Pace
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class _Looks:
    """A task's containers after one look at each.  ``ended``: essential ones.  ``again``: to be
    started (again)."""

    rows: list[Container]
    ended: list[Container]
    again: list[ContainerDefinition]


def _report(drive: asyncio.Task[None]) -> None:
    """Whoever awaits a drive is nobody: what it died of would be lost otherwise."""
    if not drive.cancelled() and (error := drive.exception()) is not None:
        log.error("a task's drive ended in an error; it is taken up again", exc_info=error)


class Tasks:
    """Drives each task from PROVISIONING to STOPPED.

    A drive ends when nothing is left to be done; whoever changes something pokes it.  It may be
    killed between any two lines: the next one reads the row and goes on from there.
    """

    def __init__(
        self,
        state: State,
        agenda: Agenda,
        hands: Hands,
    ) -> None:
        """No task is driven before it is poked; ``recover`` takes up those of before."""
        self._state = state
        self._agenda = agenda
        self._engine = hands.engine
        self._names = hands.names
        self._pool = hands.pool
        self._maker = hands.maker
        self._targets = hands.targets
        self._logs = hands.logs
        self._pace = hands.pace
        self._doubt = hands.doubt
        self._drives: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}

    async def close(self) -> None:
        """Drop all drives where they are; the next control plane goes on from the rows."""
        for drive in self._drives.values():
            drive.cancel()

    def poke(self, task_id: str) -> None:
        """See to this task now; while a step is in flight it is looked at again afterwards."""
        self._wakes.setdefault(task_id, asyncio.Event()).set()
        if not self._is_driven(task_id):
            self._drives[task_id] = drive = asyncio.create_task(self._drive(task_id))
            drive.add_done_callback(_report)

    def _is_driven(self, task_id: str) -> bool:
        """Is a drive of this task under way?"""
        drive = self._drives.get(task_id)
        return drive is not None and not drive.done()

    def poke_unfinished(self) -> None:
        """Look at whatever is on its way to RUNNING or to STOPPED, should a drive of it have ended
        in an error, and at whose checks are in doubt: of those the engine tells no more."""
        for task in self._state.tasks.all():
            if _is_unfinished(task) and not self._is_driven(task["id"]):
                self.poke(task["id"])
        self._drives = {key: drive for key, drive in self._drives.items() if not drive.done()}

    def stop(
        self,
        task_id: str,
        code: str,
        reason: str,
    ) -> None:
        """Ask for this task's end; the first reason given is the one that stays."""
        task = self._state.tasks.get(task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        asked: TaskChange = {
            "desiredStatus": "STOPPED",
            "stopCode": code,
            "stoppedReason": reason,
            "stoppingAt": time.time(),
        }
        self._change(task_id, asked)
        self.poke(task_id)

    def _change(self, task_id: str, change: TaskChange) -> Task:
        """Write the change down, with the next version number, and wake the task's service.

        Raises KeyError for a task that was forgotten.
        """
        row = self._state.tasks[task_id]
        changed: Task = {
            **row,
            **change,
            "version": row["version"] + 1,
        }
        task = self._state.tasks.put(task_id, changed)
        self._agenda.wake(service_of(task))
        return task

    def _wanted(self, task_id: str) -> Task | None:
        """The task, unless it is asked to stop meanwhile."""
        task = self._state.tasks.get(task_id)
        return None if task is None or task["desiredStatus"] == "STOPPED" else task

    def _step(self, task_id: str, change: TaskChange) -> Task | None:
        """Write the step down, unless the task is asked to stop meanwhile."""
        return None if self._wanted(task_id) is None else self._change(task_id, change)

    def definition(self, task: Task) -> Definition:
        """The task's definition with the overrides of its RunTask."""
        definition = self._state.definitions[task["taskDefinitionArn"]]
        return with_order(with_overrides(definition, task["overrides"]))

    def engine_name(self, task_id: str, container: str) -> str:
        """What the engine calls this container."""
        return self._names.container(task_id, container)

    # --- the drive

    async def _drive(self, task_id: str) -> None:
        """Step by step until the task is STOPPED or nothing is left to be done.

        What can never start ends the task; what only failed now is tried again after a second, as
        often as it takes.
        """
        wake = self._wakes[task_id]
        over = False
        while not over:
            wake.clear()
            task = self._state.tasks.get(task_id)
            if task is None or task["lastStatus"] == "STOPPED":
                self._wakes.pop(task_id, None)
                return
            try:
                over = await self._drive_on(task, wake)
            except StartFailed as failed:
                self.stop(task_id, "TaskFailedToStart", str(failed))
            except (EngineError, LocalError, OSError) as error:
                log.warning("task %s: %s; again in a second", task_id, error)
                await asyncio.sleep(1)

    async def _drive_on(self, task: Task, wake: asyncio.Event) -> bool:
        """The next step; True where nothing is left to be done until somebody wakes it."""
        if task["desiredStatus"] == "STOPPED":
            await self._end(task)
        elif task["lastStatus"] in STARTING:
            if await self._launch(task["id"]):
                await _a_second_or(wake)
        else:
            await self._look(task["id"])
            return not wake.is_set()
        return False

    # --- starting

    async def _launch(self, task_id: str) -> bool:
        """Go on with the start from where it stands; True while a container waits for another."""
        task = self._wanted(task_id)
        if task is not None and not task.get("_pulled"):
            async with self._pace.turn(lambda: self._wanted(task_id) is not None):
                await self._make(task_id)
                return await self._go_on(task_id)
        return await self._go_on(task_id)

    async def _make(self, task_id: str) -> None:
        """Network and containers; whoever asks it to stop meanwhile ends it."""
        task = self._wanted(task_id)
        if task is None:
            return
        definition = self.definition(task)
        address = await self._network(task)
        if not task.get("pullStartedAt"):
            begun: TaskChange = {
                "lastStatus": "PENDING",
                "pullStartedAt": time.time(),
            }
            if (
                self._step(
                    task_id,
                    {
                        **begun,
                        "address": address,
                    },
                )
                is None
            ):
                return
        await self._logs.prepare(definition)
        containers = await self._maker.with_images(self._state.tasks[task_id], definition)
        bound = await self._pool.bindings(
            self._state.tasks[task_id]["_pause"], task.get("_ports", [])
        )
        for container in containers:
            if container["name"] in bound:
                container["networkBindings"] = bound[container["name"]]
        known = self._step(task_id, {"containers": containers})
        if known is not None:
            await self._maker.make(known, definition)
            self._step(
                task_id,
                {
                    "pullStoppedAt": time.time(),
                    "_pulled": True,
                },
            )

    async def _network(self, task: Task) -> str:
        """The address of the task's pause container, which is taken from the pool or begun anew
        where the engine lost it."""
        pause = task.get("_pause")
        if not pause or await self._engine.inspect(pause) is None:
            return await self._pool.take(task["id"])
        return await self._pool.started(pause, task.get("_ports", []))

    async def _go_on(self, task_id: str) -> bool:
        """Start what may start; the task runs once all its containers were begun."""
        task = self._wanted(task_id)
        if task is None or not task.get("_pulled"):
            return False
        waits = await self._start_ready(task_id, self.definition(task))
        current = self._wanted(task_id)
        if current is None or any("_began" not in each for each in current["containers"]):
            return waits
        runs: TaskChange = {
            "lastStatus": "RUNNING",
            "connectivity": "CONNECTED",
            "startedAt": time.time(),
        }
        self._change(task_id, runs)
        await self._look(task_id)
        await self._targets.register(task_id)
        return False

    async def _start_ready(self, task_id: str, definition: Definition) -> bool:
        """Start every container whose dependencies are met; True if one still waits.  Raises
        StartFailed if one never can."""
        while True:
            task = self._wanted(task_id)
            if task is not None and any("_began" in each for each in task["containers"]):
                await self._look(task_id)
            started, waits = await self._start_some(task_id, definition)
            if not waits or not started:
                return waits

    async def _start_some(self, task_id: str, definition: Definition) -> tuple[bool, bool]:
        """One round over the containers: was one started, and does one wait?"""
        task = self._wanted(task_id)
        if task is None:
            return False, False
        rows = {each["name"]: each for each in task["containers"]}
        known = {each["name"]: each for each in definition["containerDefinitions"]}
        started = False
        waits = False
        for container in launch_order(definition["containerDefinitions"]):
            row = rows[container["name"]]
            if "_began" in row:
                continue
            now = time.time()
            may, why = gate(container, rows, known, now)
            if may is Gate.NEVER:
                self._never(task_id, container, why)
                return True, True
            if may is Gate.WAIT:
                waits = True
                continue
            rows[container["name"]] = {
                **row,
                "_began": now,
                "lastStatus": "RUNNING",
            }
            if self._step(task_id, {"containers": list(rows.values())}) is None:
                return False, False
            await self._start(task, container)
            started = True
        return started, waits

    async def _start(self, task: Task, container: ContainerDefinition) -> None:
        """Its start is written down before (``_began``): a crash in between leaves a container that
        was made, and the next look starts it."""
        try:
            await self._maker.start(task, container)
        except StartFailed as error:
            self._never(task["id"], container, str(error))
            return
        self._follow(task["id"], container)

    def _never(
        self,
        task_id: str,
        container: ContainerDefinition,
        why: str,
    ) -> None:
        """This container can never run.

        One that is not essential has only failed itself (API reference,
        ContainerDefinition.essential); raises StartFailed for an essential one.
        """
        if container["essential"]:
            raise StartFailed(why)
        failed: ContainerSeen = {
            "lastStatus": "STOPPED",
            "reason": why,
            "_finished": "never",
        }
        began = time.time()
        rows: list[Container] = [
            {**each, **failed, "_began": began} if each["name"] == container["name"] else each
            for each in self._state.tasks[task_id]["containers"]
        ]
        self._step(task_id, {"containers": rows, "healthStatus": task_health(rows)})

    def _follow(self, task_id: str, container: ContainerDefinition) -> None:
        """Deliver its output, where it has a log configuration."""
        name = self._names.container(task_id, container["name"])
        self._logs.follow(task_id, container, name)

    # --- what the engine tells

    async def noticed(self, event: Plain) -> None:
        """An event of the engine about one of our containers; hearing one twice is harmless."""
        labels = event["Actor"]["Attributes"]
        is_death = event["Action"] == "die"
        if labels.get("kirikae.role") == "pause" and is_death:
            await self._lost_network(labels["name"])
            return
        task = self._state.tasks.get(labels.get("kirikae.task", ""))
        if task is None:
            return
        if is_death and _is_essential(task, labels["com.amazonaws.ecs.container-name"]):
            await self._targets.take_out(task)
        self.poke(task["id"])

    async def _lost_network(self, pause: str) -> None:
        """Without its pause container a task has no network: it is out of the load balancer at
        once, and ends.  Before it ran, that counts as a failed start."""
        self._state.pauses.drop(pause)
        for task in self._state.tasks.all():
            if task.get("_pause") == pause and task["lastStatus"] != "STOPPED":
                await self._targets.take_out(task)
                began = task["lastStatus"] not in STARTING
                code = "EssentialContainerExited" if began else "TaskFailedToStart"
                reason = "CannotInspectContainerError: the task's network is gone"
                self.stop(task["id"], code, reason)

    async def _look(self, task_id: str) -> None:
        """Look at every container that was begun; restart what its policy restarts; an essential
        one's end is the task's end."""
        task = self._state.tasks.get(task_id)
        if task is None or task["lastStatus"] == "STOPPED":
            return
        looks = await self._look_at_all(task)
        if looks.rows != task["containers"]:
            seen: TaskChange = {"containers": looks.rows, "healthStatus": task_health(looks.rows)}
            self._change(task_id, seen)
        if task["desiredStatus"] != "RUNNING":
            return
        if looks.ended:
            await self._targets.take_out(task)
            reason = looks.ended[0].get("reason") or "Essential container in task exited"
            self.stop(task_id, "EssentialContainerExited", reason)
        else:
            await self._start_again(task, looks.again)

    async def _look_at_all(self, task: Task) -> _Looks:
        """One look at each container; nothing is written down or started here."""
        known = {each["name"]: each for each in self.definition(task)["containerDefinitions"]}
        looks = _Looks([], [], [])
        for row in task["containers"]:
            container = known[row["name"]]
            after, then = await self._look_at(task, row, container)
            looks.rows.append(after)
            if then is Then.END_TASK:
                looks.ended.append(after)
            elif then is Then.START:
                looks.again.append(container)
        return looks

    async def _look_at(
        self,
        task: Task,
        row: Container,
        container: ContainerDefinition,
    ) -> tuple[Container, Then]:
        """One look at a container, and what follows.

        One that never began, or whose end is known already, is not looked at.
        """
        if "_began" not in row or (row["lastStatus"] == "STOPPED" and "_finished" in row):
            return row, Then.NOTHING
        seen = await self._engine.inspect(self._names.container(task["id"], row["name"]))
        wanted = task["desiredStatus"] == "RUNNING"
        after, then = looked_at(row, seen, container, wanted, time.time())
        after = await self._doubt.weighed(task, container, row, after, seen)
        if then is Then.NOTHING and after["lastStatus"] == "RUNNING":
            self._follow(task["id"], container)
        return after, then

    async def _start_again(self, task: Task, containers: Sequence[ContainerDefinition]) -> None:
        """Start what its policy restarts; their restart is written down already.

        The targets are registered again, for a dead container's target was taken out.
        """
        for container in containers:
            await self._start(task, container)
        if containers and task["lastStatus"] == "RUNNING":
            await self._targets.register(task["id"])

    # --- stopping

    async def _end(self, task: Task) -> None:
        """Out of the load balancer first, then SIGTERM, then SIGKILL; the network goes last."""
        task_id = task["id"]
        definition = self.definition(task)
        await self._leave_balancer(task)
        self._change(task_id, {"lastStatus": "STOPPING"})
        await self._stop_containers(task_id, definition["containerDefinitions"])
        await self._look(task_id)
        await self._logs.finish(self._names.containers(task_id, definition))
        current = self._state.tasks[task_id]
        gone: TaskChange = {
            "lastStatus": "DEPROVISIONING",
            "executionStoppedAt": _last_end(current["containers"]),
        }
        self._change(task_id, gone)
        await self._remove(task, definition)
        containers: list[Container] = [
            {
                **each,
                "lastStatus": "STOPPED",
            }
            for each in current["containers"]
        ]
        stopped: TaskChange = {
            "lastStatus": "STOPPED",
            "stoppedAt": time.time(),
            "containers": containers,
            "connectivity": "DISCONNECTED",
        }
        self._change(task_id, stopped)

    async def _leave_balancer(self, task: Task) -> None:
        """Wait until no request of the load balancer is in flight to this task, or the delay is
        over.  Only then may it hear SIGTERM."""
        if task["lastStatus"] == "RUNNING":
            self._change(task["id"], {"lastStatus": "DEACTIVATING"})
        keys = await self._targets.begin_draining(task)
        if keys and not task.get("_draining"):
            self._change(task["id"], {"_draining": True})
            self._targets.tell_draining(task)
        await self._targets.drained(keys)

    async def _remove(self, task: Task, definition: Definition) -> None:
        """Containers, volumes of its own, then the network; volumes that stand for EFS stay.

        May be repeated: what is gone already is well.
        """
        for name in self._names.containers(task["id"], definition):
            await self._engine.remove(name)
        for volume in definition["volumes"]:
            if not volume.get("efsVolumeConfiguration"):
                await self._engine.remove_volume(self._names.volume(task["id"], volume))
        if pause := task.get("_pause"):
            await self._engine.remove(pause)

    async def _stop_containers(
        self, task_id: str, containers: Sequence[ContainerDefinition]
    ) -> None:
        """Each container after all that depend on it; those that do not depend on each other at the
        same time."""
        before = dependents(containers)
        stopping: dict[str, asyncio.Task[None]] = {}

        async def stop(container: ContainerDefinition) -> None:
            """SIGTERM, then SIGKILL after its stopTimeout, once all that depend on it have
            ended."""
            for other in before[container["name"]]:
                await stopping[other]
            engine_name = self._names.container(task_id, container["name"])
            seen = await self._engine.inspect(engine_name)
            if seen is not None and seen["State"]["Running"]:
                timeout_s = container.get("stopTimeout", DEFAULT_STOP_TIMEOUT_S)
                await self._engine.stop(engine_name, timeout_s)

        for container in reversed(launch_order(containers)):
            stopping[container["name"]] = asyncio.create_task(stop(container))
        await asyncio.gather(*stopping.values())

    # --- after a reset, or a restart

    async def forget_all(self) -> None:
        """Every task at once and without its SIGTERM: their rows are gone already, so whatever the
        engine still has of them was asked for by nobody."""
        drives = list(self._drives.values())
        for drive in drives:
            drive.cancel()
        await asyncio.gather(*drives, return_exceptions=True)
        self._drives.clear()
        self._wakes.clear()
        await self.recover()

    async def recover(self) -> None:
        """Join what the engine has with what the store says; remove what nobody asked for; go on
        with the rest."""
        tasks = self._state.tasks.all()
        live = {task["id"]: task for task in tasks if task["lastStatus"] != "STOPPED"}
        running = await self._running(live)
        for pause in self._state.pauses.all():
            if pause["name"] not in running and await self._is_away(pause["name"]):
                self._state.pauses.drop(pause["name"])
        for name in await self._engine.volumes(self._names.label):
            owner = self._names.task_of_volume(name)
            if owner is not None and owner not in live:
                await self._engine.remove_volume(name)
        for task in live.values():
            await self._take_up(task, task.get("_pause", "") in running)

    async def _running(self, live: dict[str, Task]) -> set[str]:
        """Names of our containers that run; those that nobody asked for are removed."""
        pauses = {task.get("_pause") for task in live.values()}
        pauses |= {pause["name"] for pause in self._state.pauses.all()}
        running = set()
        for seen in await self._engine.containers(self._names.label):
            name = seen["Names"][0].lstrip("/")
            if seen["State"] == "running":
                running.add(name)
            labels = seen["Labels"]
            is_pause = labels["kirikae.role"] == "pause"
            ours = name in pauses if is_pause else labels.get("kirikae.task") in live
            if not ours:
                log.info("removing a container that nobody asked for: %s", name)
                await self._is_away(name)
        return running

    async def _is_away(self, name: str) -> bool:
        """Remove a container of before; one whose removal does not come to an end keeps nobody from
        coming back, and is looked at again at the next start."""
        try:
            await self._engine.remove(name)
        except EngineError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            log.warning("a container of before does not go: %s", error)
            return False
        return True

    async def _take_up(self, task: Task, has_network: bool) -> None:
        """Go on with a task of before: its containers may have ended, and its network may be gone,
        while nobody looked."""
        if task.get("_pulled") and not has_network:
            reason = "the task's network ended while kirikae local was down"
            self.stop(task["id"], "EssentialContainerExited", reason)
        if task["lastStatus"] == "RUNNING":
            await self._look(task["id"])
            await self._targets.register(task["id"])
        self.poke(task["id"])


async def _a_second_or(wake: asyncio.Event) -> None:
    """Wait for a wake, but no longer than a second."""
    try:
        await asyncio.wait_for(wake.wait(), 1)
    except TimeoutError:
        pass


def _is_unfinished(task: Task) -> bool:
    """Is it on its way to RUNNING or to STOPPED, or are checks of it in doubt?"""
    if task["lastStatus"] == "STOPPED":
        return False
    in_doubt = any("_excused" in each for each in task["containers"])
    return task["lastStatus"] in STARTING or task["desiredStatus"] == "STOPPED" or in_doubt


def _is_essential(task: Task, container: str) -> bool:
    """False also for a container that the task has not."""
    return any(each["essential"] for each in task["containers"] if each["name"] == container)


def _last_end(containers: Sequence[Container]) -> float:
    """When the last of them ended; now where the engine does not say."""
    stamps = [each.get("_finished", "") for each in containers]
    ended = [engine_time(stamp) for stamp in stamps if stamp.startswith("2")]
    return max(ended, default=time.time())
