"""Run tasks on the container engine: one state machine per task with one step in flight.

Every step is written to the store before its effect, and container names derive from the task's ID, so that
a killed control plane finds and adopts what it began.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp

from kirikae.local.ecs.pause import PausePool
from kirikae.local.elb.api import Balancer
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError, EngineError
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.ecs.tasks")

STOP_TIMEOUT_S = 30
_SECRETS = {"ssm": "AmazonSSM.GetParameter", "secretsmanager": "secretsmanager.GetSecretValue"}


class StartFailed(Exception):
    """The task cannot be started; the text is its stoppedReason."""


def short(arn: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn.rpartition("/")[2]


def is_live(task: Row) -> bool:
    """Does it count in a deployment's arithmetic?  PENDING or RUNNING and not asked to stop."""
    return bool(task["desiredStatus"] == "RUNNING" and task["lastStatus"] != "STOPPED")


def launch_order(containers: list[Row]) -> list[Row]:
    """Containers so that each comes after those it depends on.  Raises ValueError on a cycle."""
    left, placed, ordered = {c["name"]: c for c in containers}, set[str](), list[Row]()
    while left:
        ready = [c for c in left.values() if all(d["containerName"] in placed for d in c.get("dependsOn", []))]
        if not ready:
            raise ValueError(f"dependsOn goes round in a circle between {', '.join(sorted(left))}")
        for container in ready:
            ordered.append(container)
            placed.add(container["name"])
            del left[container["name"]]
    return ordered


class Tasks:
    def __init__(
        self,
        state: State,
        engine: Engine,
        pool: PausePool,
        balancer: Balancer,
        prefix: str,
        environment: Mapping[str, str],
        stores_url: str,
    ):
        self._state, self._engine, self._pool, self._balancer = state, engine, pool, balancer
        self._prefix, self._environment, self._stores_url = prefix, dict(environment), stores_url
        self._drives: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self.on_change: Callable[[Row], None] = lambda task: None

    async def close(self) -> None:
        for drive in self._drives.values():
            drive.cancel()
        await self._http.close()

    def poke(self, task_id: str) -> None:
        """See to this task now; while a step is in flight it is looked at again afterwards."""
        drive = self._drives.get(task_id)
        if drive is None or drive.done():
            self._drives[task_id] = asyncio.create_task(self._drive(task_id))
        else:
            self._again.add(task_id)

    def stop(self, task_id: str, code: str, reason: str) -> None:
        """Ask for this task's end; the first reason given is the one that stays."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        self._change(task_id, desiredStatus="STOPPED", stopCode=code, stoppedReason=reason, stoppingAt=time.time())
        self.poke(task_id)

    def _change(self, task_id: str, **fields: Any) -> Row:
        task = self._state.get("task", task_id)
        assert task is not None
        task = self._state.change("task", task_id, **fields, version=task["version"] + 1)
        self.on_change(task)
        return task

    async def _drive(self, task_id: str) -> None:
        while True:
            self._again.discard(task_id)
            task = self._state.get("task", task_id)
            if task is None or task["lastStatus"] == "STOPPED":
                return
            try:
                if task["desiredStatus"] == "STOPPED":
                    await self._end(task)
                elif task["lastStatus"] in ("PROVISIONING", "PENDING", "ACTIVATING"):
                    await self._launch(task)
                elif task_id not in self._again:
                    return
            except StartFailed as failed:
                self.stop(task_id, "TaskFailedToStart", str(failed))
            except (EngineError, OSError) as error:
                log.warning("task %s: the engine or HAProxy said: %s; again in a second", task_id, error)
                await asyncio.sleep(1)

    # --- starting -------------------------------------------------------------------------------------------------

    async def _launch(self, task: Row) -> None:
        task_id = task["id"]
        definition = self._state.get("definition", task["taskDefinitionArn"])
        assert definition is not None
        if not task.get("pause") or await self._engine.inspect(task["pause"]) is None:
            name, address = await self._pool.take(task_id)
        else:
            name = task["pause"]
            await self._engine.start(name)
            address = await self._pool.address(name)
        if self._wanted(task_id, lastStatus="PENDING", address=address, pullStartedAt=time.time()) is None:
            return
        ordered = launch_order(definition["containerDefinitions"])
        for container in ordered:
            await self._create(task, definition, container, name)
        if self._wanted(task_id, pullStoppedAt=time.time()) is None:
            return
        for container in ordered:
            try:
                await self._engine.start(self.container_name(task_id, container["name"]))
            except EngineError as error:
                if error.status == 0:
                    raise
                raise StartFailed(f"CannotStartContainerError: {error}") from error
            if self._wanted(task_id) is None:
                return
        self._state.put("started", task_id, {"id": task_id})
        if self._wanted(task_id, lastStatus="RUNNING", connectivity="CONNECTED", startedAt=time.time()) is None:
            return
        await self._note_exits(task_id)
        await self.register_targets(task_id)

    def _wanted(self, task_id: str, **fields: Any) -> Row | None:
        """Write the step down, unless the task is asked to stop meanwhile."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return None
        return self._change(task_id, **fields) if fields else task

    def container_name(self, task_id: str, container: str) -> str:
        return f"{self._prefix}-task-{task_id}-{container}"

    async def _create(self, task: Row, definition: Row, container: Row, pause: str) -> None:
        try:
            await self._engine.image(container["image"])
        except EngineError as error:
            if error.status == 404:
                raise StartFailed(
                    f"CannotPullContainerError: {container['image']} is not among this engine's images; kirikae local pulls nothing"
                ) from error
            raise
        environment = self._environment | {e["name"]: e["value"] for e in container.get("environment", [])}
        for secret in container.get("secrets", []):
            environment[secret["name"]] = await self._secret(secret["valueFrom"])
        body: Row = {
            "Image": container["image"],
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Labels": {
                "kirikae.instance": self._prefix,
                "kirikae.role": "container",
                "kirikae.task": task["id"],
                "com.amazonaws.ecs.cluster": short(task["clusterArn"]),
                "com.amazonaws.ecs.container-name": container["name"],
                "com.amazonaws.ecs.task-arn": task["taskArn"],
                "com.amazonaws.ecs.task-definition-family": definition["family"],
                "com.amazonaws.ecs.task-definition-version": str(definition["revision"]),
            },
            "HostConfig": {"NetworkMode": f"container:{pause}"} | limits(container, definition),
        }
        for ours, theirs in (("command", "Cmd"), ("entryPoint", "Entrypoint"), ("workingDirectory", "WorkingDir"), ("user", "User")):
            if container.get(ours):
                body[theirs] = container[ours]
        body["Healthcheck"] = health_check(container["healthCheck"]) if "healthCheck" in container else {"Test": ["NONE"]}
        try:
            await self._engine.create(self.container_name(task["id"], container["name"]), body)
        except EngineError as error:
            if error.status == 0:
                raise
            raise StartFailed(f"CannotCreateContainerError: {error}") from error

    async def _secret(self, value_from: str) -> str:
        """A parameter's or a secret's value, asked of the stores."""
        kind = "secretsmanager" if ":secretsmanager:" in value_from else "ssm"
        name, json_key = value_from, ""
        if kind == "secretsmanager" and value_from.count(":") > 6:
            name, json_key = ":".join(value_from.split(":")[:7]), value_from.split(":")[7]
        elif kind == "ssm" and ":parameter/" in value_from:
            name = "/" + value_from.partition(":parameter/")[2]
        asked = {"Name": name, "WithDecryption": True} if kind == "ssm" else {"SecretId": name}
        region = self._environment["AWS_REGION"]
        headers = {
            "X-Amz-Target": _SECRETS[kind],
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=kirikae/20260101/{region}/{kind}/aws4_request, SignedHeaders=host, Signature=0",
        }
        try:
            async with self._http.post(self._stores_url, data=json.dumps(asked), headers=headers) as answer:
                told = json.loads(await answer.text())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StartFailed(f"ResourceInitializationError: unable to pull secrets: {value_from}: {error}") from error
        if answer.status != 200:
            raise StartFailed(f"ResourceInitializationError: unable to pull secrets: {value_from}: {told.get('message', told)}")
        value = told["Parameter"]["Value"] if kind == "ssm" else told["SecretString"]
        return str(json.loads(value)[json_key]) if json_key else str(value)

    async def register_targets(self, task_id: str) -> None:
        """Put the task into its service's target groups; what is registered already stays."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        for binding in task["bindings"]:
            try:
                group = self._balancer.group(binding["targetGroupArn"])
                self._balancer.register(group, task["address"], binding["containerPort"])
                await self._balancer.door.set_targets(group["id"])
            except (AwsError, OSError) as error:
                log.warning("task %s cannot be registered yet: %s", task_id, error)
        self._balancer.health.assert_all()

    def target_keys(self, task: Row) -> list[str]:
        return [f"{short(b['targetGroupArn'])}|{task.get('address')}:{b['containerPort']}" for b in task["bindings"]]

    # --- exits ----------------------------------------------------------------------------------------------------

    async def noticed(self, event: Row) -> None:
        """An event of the engine about one of our containers; hearing one twice is harmless."""
        labels = event["Actor"]["Attributes"]
        if labels.get("kirikae.role") == "pause" and event["Action"] == "die":
            name = labels["name"]
            self._state.drop("pause", name)
            for task in self._state.all("task"):
                if task.get("pause") == name and task["lastStatus"] != "STOPPED":
                    self.stop(task["id"], "TaskFailedToStart", "CannotInspectContainerError: the task's network is gone")
            return
        task_id = labels.get("kirikae.task")
        if task_id is None or self._state.get("task", task_id) is None:
            return
        if event["Action"] == "die":
            await self._take_out_dead(task_id, labels["com.amazonaws.ecs.container-name"])
            await self._note_exits(task_id)
        elif event["Action"].startswith("health_status: "):
            self._note_health(task_id, labels["com.amazonaws.ecs.container-name"], event["Action"].partition(": ")[2].upper())

    async def _take_out_dead(self, task_id: str, container: str) -> None:
        """A dead process needs no draining: out of the load balancer at once, before anything else is looked at."""
        task = self._state.get("task", task_id)
        if task is None or task["desiredStatus"] == "STOPPED" or self._state.get("started", task_id) is None:
            return
        if any(c["essential"] for c in task["containers"] if c["name"] == container):
            for key in self.target_keys(task):
                self._balancer.forget_target(key)
            for binding in task["bindings"]:
                await self._balancer.door.set_targets(short(binding["targetGroupArn"]))

    def _note_health(self, task_id: str, name: str, health: str) -> None:
        task = self._state.get("task", task_id)
        if task is None:
            return
        containers = [{**c, "healthStatus": health} if c["name"] == name else c for c in task["containers"]]
        checked = [c["healthStatus"] for c in containers if c["essential"] and c["healthStatus"] != "NONE"]
        worst = next((h for h in ("UNHEALTHY", "STARTING", "HEALTHY") if h in checked), "UNKNOWN").replace("STARTING", "UNKNOWN")
        self._change(task_id, containers=containers, healthStatus=worst)

    async def _note_exits(self, task_id: str) -> None:
        """Look at every container of the task; the end of an essential one is the task's end."""
        task = self._state.get("task", task_id)
        if task is None or task["lastStatus"] == "STOPPED" or self._state.get("started", task_id) is None:
            return
        containers, ended = [], []
        for container in task["containers"]:
            seen = await self._engine.inspect(self.container_name(task_id, container["name"]))
            after = {**container, **exit_of(seen)}
            containers.append(after)
            if after["lastStatus"] == "STOPPED" and container["essential"]:
                ended.append(after)
        current = self._state.get("task", task_id)
        if current is None or current["lastStatus"] == "STOPPED":
            return
        if containers != task["containers"]:
            self._change(task_id, containers=containers)
        if ended and current["desiredStatus"] == "RUNNING":
            await self._take_out_dead(task_id, ended[0]["name"])
            reason = ended[0].get("reason", "")
            self.stop(task_id, "EssentialContainerExited", reason or "Essential container in task exited")

    # --- stopping -------------------------------------------------------------------------------------------------

    async def _end(self, task: Row) -> None:
        """Out of the load balancer first, then SIGTERM, then SIGKILL; the network goes last."""
        task_id = task["id"]
        definition = self._state.get("definition", task["taskDefinitionArn"])
        assert definition is not None
        if task["lastStatus"] == "RUNNING":
            task = self._change(task_id, lastStatus="DEACTIVATING")
        for key in self.target_keys(task):
            await self._balancer.deregister(key)
        for key in self.target_keys(task):
            await self._balancer.drained(key)
        task = self._change(task_id, lastStatus="STOPPING")
        for container in reversed(launch_order(definition["containerDefinitions"])):
            name = self.container_name(task_id, container["name"])
            seen = await self._engine.inspect(name)
            if seen is not None and seen["State"]["Running"]:
                await self._engine.stop(name, container.get("stopTimeout", STOP_TIMEOUT_S))
        await self._note_exits(task_id)
        self._change(task_id, lastStatus="DEPROVISIONING", executionStoppedAt=time.time())
        for container in definition["containerDefinitions"]:
            await self._engine.remove(self.container_name(task_id, container["name"]))
        if task.get("pause"):
            await self._engine.remove(task["pause"])
        self._state.drop("started", task_id)
        self._change(task_id, lastStatus="STOPPED", stoppedAt=time.time())

    # --- after a restart ------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Join what the engine has with what the store says; remove what nobody asked for; go on with the rest."""
        used = {t["pause"] for t in self._state.all("task") if t.get("pause") and t["lastStatus"] != "STOPPED"}
        live = {t["id"] for t in self._state.all("task") if t["lastStatus"] != "STOPPED"}
        spare = {p["name"] for p in self._state.all("pause")}
        present = {}
        for seen in await self._engine.containers(f"kirikae.instance={self._prefix}"):
            name, labels = seen["Names"][0].lstrip("/"), seen["Labels"]
            present[name] = seen["State"] == "running"
            ours = name in used or name in spare if labels["kirikae.role"] == "pause" else labels.get("kirikae.task") in live
            if not ours:
                log.info("removing a container that nobody asked for: %s", name)
                await self._engine.remove(name)
        for name in spare:
            if not present.get(name):
                await self._engine.remove(name)
                self._state.drop("pause", name)
        for task in self._state.all("task"):
            if task["lastStatus"] == "STOPPED":
                continue
            if task.get("pause") and self._state.get("started", task["id"]) and not present.get(task["pause"]):
                self.stop(task["id"], "EssentialContainerExited", "the task's network ended while kirikae local was down")
            await self._note_exits(task["id"])
            if task["lastStatus"] == "RUNNING":
                await self.register_targets(task["id"])
            self.poke(task["id"])


def limits(container: Row, definition: Row) -> Row:
    """The container's limits in the engine's terms (memory in MiB, shares of 1024 per vCPU)."""
    out: Row = {"CpuShares": max(2, container.get("cpu") or 0)}
    memory = container.get("memory") or definition.get("memory")
    if memory:
        out["Memory"] = int(memory) * 1024 * 1024
    if container.get("memoryReservation"):
        out["MemoryReservation"] = container["memoryReservation"] * 1024 * 1024
    if container.get("readonlyRootFilesystem"):
        out["ReadonlyRootfs"] = True
    if container.get("ulimits"):
        out["Ulimits"] = [{"Name": u["name"], "Soft": u["softLimit"], "Hard": u["hardLimit"]} for u in container["ulimits"]]
    linux = container.get("linuxParameters") or {}
    if linux.get("tmpfs"):
        out["Tmpfs"] = {t["containerPath"]: ",".join([*t.get("mountOptions", []), f"size={t['size']}m"]) for t in linux["tmpfs"]}
    if linux.get("initProcessEnabled"):
        out["Init"] = True
    return out


def health_check(check: Row) -> Row:
    """An ECS container health check for the engine, which runs it (durations in ns; ECS's defaults)."""
    second = 1_000_000_000
    return {
        "Test": check["command"], "Interval": check.get("interval", 30) * second, "Timeout": check.get("timeout", 5) * second,
        "Retries": check.get("retries", 3), "StartPeriod": check.get("startPeriod", 0) * second,
    }  # fmt: skip


def exit_of(seen: Mapping[str, Any] | None) -> Row:
    """Status fields of a container from what the engine says of it (None: it is gone)."""
    if seen is None:
        return {"lastStatus": "STOPPED", "reason": "CannotInspectContainerError: the container was removed"}
    now = seen["State"]
    if now["Running"] or now["Status"] == "created":
        return {"lastStatus": "RUNNING" if now["Running"] else "PENDING", "runtimeId": seen["Id"]}
    reason = "OutOfMemoryError: Container killed due to memory usage" if now["OOMKilled"] else ""
    return {"lastStatus": "STOPPED", "exitCode": now["ExitCode"], "runtimeId": seen["Id"]} | ({"reason": reason} if reason else {})


def live_tasks(tasks: Iterable[Row]) -> list[Row]:
    return [task for task in tasks if is_live(task)]
