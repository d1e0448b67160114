"""Run tasks on the container engine: one state machine per task with one step in flight.

Every step is written to the store before its effect, and container names derive from the task's ID,
so that a killed control plane finds and adopts what it began.  Only a task's own drive changes its
containers' rows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from kirikae.local.ecs.containers import (
    DEFAULT_STOP_TIMEOUT_S,
    Gate,
    binds,
    creation,
    creation_order,
    dependents,
    engine_time,
    environment_file,
    gate,
    metadata_id,
    ran_for_s,
    seen_as,
    should_restart,
    task_health,
    with_overrides,
)
from kirikae.local.ecs.definitions import launch_order
from kirikae.local.ecs.images import Images
from kirikae.local.ecs.logs import Logs
from kirikae.local.ecs.names import short
from kirikae.local.ecs.pause import PausePool
from kirikae.local.elb.api import Balancer
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError, EngineError, LocalError, StartFailed
from kirikae.local.state import Row, State
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local.tasks")

_STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")


def _report(drive: asyncio.Task[None]) -> None:
    if not drive.cancelled() and (error := drive.exception()) is not None:
        log.error("a task's drive ended in an error; it is taken up again", exc_info=error)


class Tasks:
    def __init__(
        self,
        state: State,
        engine: Engine,
        pool: PausePool,
        balancer: Balancer,
        stores: Stores,
        images: Images,
        logs: Logs,
        prefix: str,
        environment: Mapping[str, str],
        metadata: str,
    ):
        self._state = state
        self._engine = engine
        self._pool = pool
        self._balancer = balancer
        self._stores = stores
        self._images = images
        self._logs = logs
        self._prefix = prefix
        self._environment = dict(environment)
        self._metadata = metadata
        self._drives: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self.on_change: Callable[[Row], None] = lambda task: None
        self.on_event: Callable[[Row, str], None] = lambda task, message: None

    async def close(self) -> None:
        for drive in self._drives.values():
            drive.cancel()
        await self._logs.close()

    def poke(self, task_id: str) -> None:
        """See to this task now; while a step is in flight it is looked at again afterwards."""
        self._wakes.setdefault(task_id, asyncio.Event()).set()
        drive = self._drives.get(task_id)
        if drive is None or drive.done():
            self._drives[task_id] = drive = asyncio.create_task(self._drive(task_id))
            drive.add_done_callback(_report)

    def poke_unfinished(self) -> None:
        """Whatever is on its way to RUNNING or to STOPPED is looked at, should a drive of it have
        ended in an error."""
        for task in self._state.all("task"):
            on_its_way = task["lastStatus"] in _STARTING or task["desiredStatus"] == "STOPPED"
            if (
                on_its_way
                and task["lastStatus"] != "STOPPED"
                and (task["id"] not in self._drives or self._drives[task["id"]].done())
            ):
                self.poke(task["id"])
        self._drives = {key: drive for key, drive in self._drives.items() if not drive.done()}

    def stop(self, task_id: str, code: str, reason: str) -> None:
        """Ask for this task's end; the first reason given is the one that stays."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        self._change(
            task_id,
            desiredStatus="STOPPED",
            stopCode=code,
            stoppedReason=reason,
            stoppingAt=time.time(),
        )
        self.poke(task_id)

    def _change(self, task_id: str, **fields: Any) -> Row:
        task = self._state.get("task", task_id)
        assert task is not None
        task = self._state.change("task", task_id, **fields, version=task["version"] + 1)
        self.on_change(task)
        return task

    def definition(self, task: Row) -> Row:
        """The task's definition with the overrides of its RunTask."""
        definition = self._state.get("definition", task["taskDefinitionArn"])
        assert definition is not None
        return with_overrides(definition, task["overrides"])

    async def _drive(self, task_id: str) -> None:
        wake = self._wakes[task_id]
        while True:
            wake.clear()
            task = self._state.get("task", task_id)
            if task is None or task["lastStatus"] == "STOPPED":
                self._wakes.pop(task_id, None)
                return
            waiting = False
            try:
                if task["desiredStatus"] == "STOPPED":
                    await self._end(task)
                elif task["lastStatus"] in _STARTING:
                    waiting = await self._launch(task)
                else:
                    await self._look(task_id)
                    if not wake.is_set():
                        return
            except StartFailed as failed:
                self.stop(task_id, "TaskFailedToStart", str(failed))
            except (EngineError, LocalError, OSError) as error:
                log.warning("task %s: %s; again in a second", task_id, error)
                await asyncio.sleep(1)
            if waiting:
                try:
                    await asyncio.wait_for(wake.wait(), 1)
                except TimeoutError:
                    pass

    # --- starting

    async def _launch(self, task: Row) -> bool:
        """Go on with the start from where it stands; True while a container waits for another."""
        task_id = task["id"]
        definition = self.definition(task)
        if not task.get("_pulled"):
            address = await self._network(task)
            begun = (
                {}
                if task.get("pullStartedAt")
                else {"lastStatus": "PENDING", "pullStartedAt": time.time()}
            )
            if begun and self._wanted(task_id, address=address, **begun) is None:
                return False
            await self._create_all(task, definition)
            if self._wanted(task_id, pullStoppedAt=time.time(), _pulled=True) is None:
                return False
        waits = await self._start_ready(task_id, definition)
        current = self._wanted(task_id)
        if current is None or any("_began" not in c for c in current["containers"]):
            return waits
        if (
            self._wanted(
                task_id, lastStatus="RUNNING", connectivity="CONNECTED", startedAt=time.time()
            )
            is None
        ):
            return False
        await self._look(task_id)
        await self.register_targets(task_id)
        return False

    async def _network(self, task: Row) -> str:
        if not task.get("_pause") or await self._engine.inspect(task["_pause"]) is None:
            return (await self._pool.take(task["id"]))[1]
        await self._engine.start(task["_pause"])
        return await self._pool.address(task["_pause"])

    async def _create_all(self, task: Row, definition: Row) -> None:
        task = self._state.get("task", task["id"]) or task
        await self._logs.prepare(definition)
        volumes = {v["name"]: await self._volume(task, v) for v in definition["volumes"]}
        rows = []
        for container, row in zip(
            definition["containerDefinitions"], task["containers"], strict=True
        ):
            settled = (self._state.get("revision", task["_revision"]) or {"_images": {}})["_images"]
            image, digest = await self._images.ready(
                container["image"], settled.get(container["name"])
            )
            rows.append({**row, "_imageId": image, **({"imageDigest": digest} if digest else {})})
        if self._wanted(task["id"], containers=rows) is None:
            return
        settled = self._settle_images(task, definition, rows)
        known = {c["name"]: c for c in definition["containerDefinitions"]}
        for name in creation_order(definition["containerDefinitions"]):
            await self._create(task, definition, known[name], settled[name], volumes)

    def _settle_images(self, task: Row, definition: Row, rows: list[Row]) -> dict[str, str]:
        """Container -> image ID.  The first task of a deployment settles what a tag means for all
        of them (versionConsistency)."""
        own = {row["name"]: str(row["_imageId"]) for row in rows}
        revision = self._state.get("revision", task["_revision"])
        if revision is None:
            return own
        loose = {
            c["name"]
            for c in definition["containerDefinitions"]
            if c.get("versionConsistency") == "disabled"
        }
        images = {name: image for name, image in own.items() if name not in loose} | revision[
            "_images"
        ]
        if images != revision["_images"]:
            self._state.change("revision", task["_revision"], _images=images)
        settled: dict[str, str] = own | images
        return settled

    async def _start_ready(self, task_id: str, definition: Row) -> bool:  # noqa: C901
        """Start every container whose dependencies are met; True if one still waits.  Raises
        StartFailed if one never can."""
        waits = True
        while waits:
            task = self._wanted(task_id)
            if task is None:
                return False
            if any("_began" in c for c in task["containers"]):
                await self._look(task_id)
            task = self._wanted(task_id)
            if task is None:
                return False
            rows = {c["name"]: c for c in task["containers"]}
            known = {c["name"]: c for c in definition["containerDefinitions"]}
            now = time.time()
            waits = False
            started = False
            for container in launch_order(definition["containerDefinitions"]):
                name = container["name"]
                if "_began" in rows[name]:
                    continue
                may, why = gate(container, rows, known, now)
                if may is Gate.NEVER:
                    raise StartFailed(why)
                if may is Gate.WAIT:
                    waits = True
                    continue
                rows[name] = {**rows[name], "_began": now, "lastStatus": "RUNNING"}
                if self._wanted(task_id, containers=list(rows.values())) is None:
                    return False
                await self._start(task, container)
                started = True
            if waits and not started:
                return True
        return False

    async def _start(self, task: Row, container: Row) -> None:
        try:
            await self._engine.start(self.container_name(task["id"], container["name"]))
        except EngineError as error:
            if error.status == 0:
                raise
            raise StartFailed(f"CannotStartContainerError: {error}") from error
        self._logs.follow(task, container, self.container_name(task["id"], container["name"]))

    def _wanted(self, task_id: str, **fields: Any) -> Row | None:
        """Write the step down, unless the task is asked to stop meanwhile."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return None
        return self._change(task_id, **fields) if fields else task

    def container_name(self, task_id: str, container: str) -> str:
        return f"{self._prefix}-task-{task_id}-{container}"

    def _volume_name(self, task_id: str, volume: Row) -> str:
        if efs := volume.get("efsVolumeConfiguration"):
            place = efs.get("authorizationConfig", {}).get("accessPointId") or efs.get(
                "rootDirectory", "/"
            ).strip("/").replace("/", ".")
            return "-".join(p for p in (self._prefix, efs["fileSystemId"], place) if p)
        return f"{self._prefix}-volume-{task_id}-{volume['name']}"

    async def _volume(self, task: Row, volume: Row) -> str:
        """A volume of the task's own, or the one that stands for an EFS file system and lasts."""
        name = self._volume_name(task["id"], volume)
        try:
            await self._engine.create_volume(name, {"kirikae.instance": self._prefix})
        except EngineError as error:
            if error.status == 0:
                raise
            raise StartFailed(f"CannotCreateVolumeError: {error}") from error
        return name

    async def _create(
        self, task: Row, definition: Row, container: Row, image: str, volumes: Mapping[str, str]
    ) -> None:
        labels = {
            "kirikae.instance": self._prefix,
            "kirikae.role": "container",
            "kirikae.task": task["id"],
            "com.amazonaws.ecs.cluster": short(task["clusterArn"]),
            "com.amazonaws.ecs.container-name": container["name"],
            "com.amazonaws.ecs.task-arn": task["taskArn"],
            "com.amazonaws.ecs.task-definition-family": definition["family"],
            "com.amazonaws.ecs.task-definition-version": str(definition["revision"]),
        }
        host: Row = {"NetworkMode": f"container:{task['_pause']}"}
        if mounts := binds(container, volumes):
            host["Binds"] = mounts
        if container.get("volumesFrom"):
            host["VolumesFrom"] = [
                self.container_name(task["id"], v["sourceContainer"])
                + (":ro" if v.get("readOnly") else "")
                for v in container["volumesFrom"]
            ]
        body = creation(
            container,
            definition,
            image,
            await self._environment_of(task, definition, container),
            labels,
            host,
        )
        try:
            await self._engine.create(self.container_name(task["id"], container["name"]), body)
        except EngineError as error:
            if error.status == 0:
                raise
            raise StartFailed(f"CannotCreateContainerError: {error}") from error

    async def _environment_of(self, task: Row, definition: Row, container: Row) -> dict[str, str]:
        """What the task is told: the endpoint and its metadata, files, own values, secrets; the
        later ones win."""
        token = metadata_id(task["id"], container["name"])
        told = self._environment | {
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "ECS_CONTAINER_METADATA_URI_V4": f"{self._metadata}/v4/{token}",
            "ECS_CONTAINER_METADATA_URI": f"{self._metadata}/v3/{token}",
            "ECS_AGENT_URI": f"{self._metadata}/api/{token}",
        }
        if definition.get("taskRoleArn") and self._metadata.startswith("http://169.254.170.2"):
            told["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f"/v2/credentials/{task['id']}"
            del told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
        for file in container.get("environmentFiles", []):
            told |= environment_file(await self._stores.object_text(file["value"]))
        told |= {e["name"]: e["value"] for e in container.get("environment", [])}
        for secret in container.get("secrets", []):
            told[secret["name"]] = await self._stores.secret(secret["valueFrom"])
        return told

    async def register_targets(self, task_id: str) -> None:
        """Put the task into its service's target groups; what is registered already stays."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        for binding in task["_bindings"]:
            try:
                group = self._balancer.group(binding["targetGroupArn"])
                key, fresh = self._balancer.register(
                    group, task["address"], binding["containerPort"]
                )
                if fresh:
                    self.on_event(
                        task, f"registered 1 targets in (target-group {binding['targetGroupArn']})"
                    )
                    log.info("target %s registered", key)
                    await self._balancer.door.set_targets(group["id"])
            except (AwsError, OSError) as error:
                log.warning("task %s cannot be registered yet: %s", task_id, error)
        self._balancer.health.assert_all()

    def target_keys(self, task: Row) -> list[str]:
        return [
            f"{short(b['targetGroupArn'])}|{task.get('address')}:{b['containerPort']}"
            for b in task["_bindings"]
        ]

    # --- exits

    async def noticed(self, event: Row) -> None:
        """An event of the engine about one of our containers; hearing one twice is harmless."""
        labels = event["Actor"]["Attributes"]
        if labels.get("kirikae.role") == "pause" and event["Action"] == "die":
            name = labels["name"]
            self._state.drop("pause", name)
            for task in self._state.all("task"):
                if task.get("_pause") == name and task["lastStatus"] != "STOPPED":
                    await self._take_out_dead(task, None)
                    code = (
                        "TaskFailedToStart"
                        if task["lastStatus"] in _STARTING
                        else "EssentialContainerExited"
                    )
                    self.stop(
                        task["id"], code, "CannotInspectContainerError: the task's network is gone"
                    )
            return
        task_of_it = self._state.get("task", labels.get("kirikae.task", ""))
        if task_of_it is None:
            return
        if event["Action"] == "die":
            await self._take_out_dead(task_of_it, labels["com.amazonaws.ecs.container-name"])
        self.poke(task_of_it["id"])

    async def _take_out_dead(self, task: Row, container: str | None) -> None:
        """A dead process needs no draining: out of the load balancer at once, before anything else
        is looked at."""
        if (
            task["desiredStatus"] == "STOPPED"
            or task["lastStatus"] != "RUNNING"
            or not task["_bindings"]
        ):
            return
        if container is None or any(
            c["essential"] for c in task["containers"] if c["name"] == container
        ):
            for key in self.target_keys(task):
                self._balancer.forget_target(key)
            for binding in task["_bindings"]:
                await self._balancer.door.set_targets(short(binding["targetGroupArn"]))

    async def _look(self, task_id: str) -> None:  # noqa: C901
        """Look at every container that was begun; restart what its policy restarts; an essential
        one's end is the task's end."""
        task = self._state.get("task", task_id)
        if task is None or task["lastStatus"] == "STOPPED":
            return
        known = {c["name"]: c for c in self.definition(task)["containerDefinitions"]}
        wanted = task["desiredStatus"] == "RUNNING"
        rows = []
        ended = list[Row]()
        again = list[str]()
        for row in task["containers"]:
            if "_began" not in row or (row["lastStatus"] == "STOPPED" and "_finished" in row):
                rows.append(row)
                continue
            name = row["name"]
            seen = await self._engine.inspect(self.container_name(task_id, name))
            after = {**row, **seen_as(seen)}
            if after["lastStatus"] == "STOPPED" and wanted and seen is not None:
                begun_again = (
                    row.get("_handled") == after["_finished"]
                )  # written down, but killed before the engine heard of it
                if begun_again or should_restart(known[name], ran_for_s(seen), after["exitCode"]):
                    again.append(name)
                    count = row.get("_restarts", 0) + (0 if begun_again else 1)
                    rows.append(
                        {
                            **row,
                            "_handled": after["_finished"],
                            "_restarts": count,
                            "healthStatus": "UNKNOWN",
                            "_began": time.time(),
                        }
                    )
                    continue
            if after["lastStatus"] == "STOPPED" and row["essential"]:
                ended.append(after)
            if after["lastStatus"] == "PENDING":
                again.append(name)
                after["lastStatus"] = "RUNNING"
            rows.append(after)
            if after["lastStatus"] == "RUNNING":
                self._logs.follow(task, known[name], self.container_name(task_id, name))
        if rows != task["containers"]:
            self._change(task_id, containers=rows, healthStatus=task_health(rows))
        if ended and wanted:
            await self._take_out_dead(task, ended[0]["name"])
            self.stop(
                task_id,
                "EssentialContainerExited",
                ended[0].get("reason", "") or "Essential container in task exited",
            )
        elif wanted:
            for name in again:
                await self._start(task, known[name])
            if again and task["lastStatus"] == "RUNNING":
                await self.register_targets(task_id)

    # --- stopping

    async def _end(self, task: Row) -> None:
        """Out of the load balancer first, then SIGTERM, then SIGKILL; the network goes last."""
        task_id = task["id"]
        definition = self.definition(task)
        if task["lastStatus"] == "RUNNING":
            task = self._change(task_id, lastStatus="DEACTIVATING")
        keys = [k for k in self.target_keys(task) if self._state.get("target", k) is not None]
        for key in keys:
            await self._balancer.deregister(key)
        if keys and not task.get("_draining"):
            task = self._change(task_id, _draining=True)
            self.on_event(task, "has begun draining connections on 1 tasks.")
            for binding in task["_bindings"]:
                self.on_event(
                    task, f"deregistered 1 targets in (target-group {binding['targetGroupArn']})"
                )
        for key in keys:
            await self._balancer.drained(key)
        task = self._change(task_id, lastStatus="STOPPING")
        await self._stop_containers(task_id, definition["containerDefinitions"])
        await self._look(task_id)
        names = [
            self.container_name(task_id, c["name"]) for c in definition["containerDefinitions"]
        ]
        await self._logs.finish(names)
        current = self._state.get("task", task_id) or task
        ended = [
            engine_time(c["_finished"])
            for c in current["containers"]
            if c.get("_finished", "")[:1] == "2"
        ]
        self._change(
            task_id, lastStatus="DEPROVISIONING", executionStoppedAt=max(ended, default=time.time())
        )
        for name in names:
            await self._engine.remove(name)
        for volume in definition["volumes"]:
            if not volume.get("efsVolumeConfiguration"):
                await self._engine.remove_volume(self._volume_name(task_id, volume))
        if task.get("_pause"):
            await self._engine.remove(task["_pause"])
        containers = [{**c, "lastStatus": "STOPPED"} for c in current["containers"]]
        self._change(
            task_id,
            lastStatus="STOPPED",
            stoppedAt=time.time(),
            containers=containers,
            connectivity="DISCONNECTED",
        )

    async def _stop_containers(self, task_id: str, containers: list[Row]) -> None:
        """Each container after all that depend on it; those that do not depend on each other at the
        same time."""
        before = dependents(containers)
        timeouts = {c["name"]: c.get("stopTimeout", DEFAULT_STOP_TIMEOUT_S) for c in containers}
        stopping: dict[str, asyncio.Task[None]] = {}

        async def stop(name: str) -> None:
            for other in before[name]:
                await stopping[other]
            engine_name = self.container_name(task_id, name)
            seen = await self._engine.inspect(engine_name)
            if seen is not None and seen["State"]["Running"]:
                await self._engine.stop(engine_name, timeouts[name])

        for container in reversed(launch_order(containers)):
            stopping[container["name"]] = asyncio.create_task(stop(container["name"]))
        await asyncio.gather(*stopping.values())

    # --- after a restart

    async def recover(self) -> None:
        """Join what the engine has with what the store says; remove what nobody asked for; go on
        with the rest."""
        live = {t["id"]: t for t in self._state.all("task") if t["lastStatus"] != "STOPPED"}
        used = {t["_pause"] for t in live.values() if t.get("_pause")}
        spare = {p["name"] for p in self._state.all("pause")}
        present = {}
        for seen in await self._engine.containers(f"kirikae.instance={self._prefix}"):
            name = seen["Names"][0].lstrip("/")
            labels = seen["Labels"]
            present[name] = seen["State"] == "running"
            ours = (
                name in used or name in spare
                if labels["kirikae.role"] == "pause"
                else labels.get("kirikae.task") in live
            )
            if not ours:
                log.info("removing a container that nobody asked for: %s", name)
                await self._engine.remove(name)
        for name in spare:
            if not present.get(name):
                await self._engine.remove(name)
                self._state.drop("pause", name)
        await self._remove_volumes(live)
        for task in live.values():
            if task.get("_pulled") and not present.get(task.get("_pause", "")):
                self.stop(
                    task["id"],
                    "EssentialContainerExited",
                    "the task's network ended while kirikae local was down",
                )
            if task["lastStatus"] == "RUNNING":
                await self._look(task["id"])
                await self.register_targets(task["id"])
            self.poke(task["id"])

    async def _remove_volumes(self, live: Mapping[str, Row]) -> None:
        begin = f"{self._prefix}-volume-"
        for name in await self._engine.volumes(f"kirikae.instance={self._prefix}"):
            if name.startswith(begin) and name.removeprefix(begin)[:32] not in live:
                await self._engine.remove_volume(name)
