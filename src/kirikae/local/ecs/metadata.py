"""What a task may ask about itself: metadata v4 with stats, credentials of its role, its own
scale-in protection.

Paths and keys follow the ECS developer guide, "Task metadata endpoint version 4" and "Task scale-in
protection endpoint"."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kirikae.local.ecs.containers import metadata_id
from kirikae.local.ecs.names import short
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError
from kirikae.local.state import Row, State
from kirikae.local.wire import Operation

SESSION_S = 6 * 3600
_MIB = 1024 * 1024


def stamp(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


class Metadata:
    def __init__(
        self,
        state: State,
        engine: Engine,
        name_of: Callable[[str, str], str],
        definition_of: Callable[[Row], Row],
        region: str,
        protection: tuple[Operation, Operation],
        tags_of: Callable[[str], list[Row]],
    ):
        self._state = state
        self._engine = engine
        self._name_of = name_of
        self._definition_of = definition_of
        self._region = region
        self._tags_of = tags_of
        self._get_protection, self._put_protection = protection

    def routes(self, app: web.Application) -> None:
        for version in ("v3", "v4"):
            app.router.add_get(f"/{version}/{{token}}", self._container)
            app.router.add_get(f"/{version}/{{token}}/task", self._task)
            app.router.add_get(f"/{version}/{{token}}/taskWithTags", self._task)
            app.router.add_get(f"/{version}/{{token}}/stats", self._stats)
            app.router.add_get(f"/{version}/{{token}}/task/stats", self._task_stats)
        app.router.add_get("/v2/credentials/{task}", self._credentials)
        app.router.add_get("/api/{token}/task-protection/v1/state", self._protection)
        app.router.add_put("/api/{token}/task-protection/v1/state", self._set_protection)

    def _find(self, request: web.Request) -> tuple[Row, Row]:
        token = request.match_info["token"]
        task = self._state.get("task", token.partition("-")[0])
        for container in (task or {"containers": []})["containers"]:
            if task is not None and metadata_id(task["id"], container["name"]) == token:
                return task, container
        raise web.HTTPNotFound(text="there is no such task")

    async def _container(self, request: web.Request) -> web.Response:
        return web.json_response(self._show_container(*self._find(request)))

    def _show_container(self, task: Row, container: Row) -> Row:
        definition = self._definition_of(task)
        own = next(c for c in definition["containerDefinitions"] if c["name"] == container["name"])
        family, _, revision = short(task["taskDefinitionArn"]).partition(":")
        shown: Row = {
            "DockerId": container.get("runtimeId", ""),
            "Name": container["name"],
            "DockerName": self._name_of(task["id"], container["name"]),
            "Image": container["image"],
            "ImageID": container.get("_imageId", ""),
            "Labels": {
                "com.amazonaws.ecs.cluster": task["clusterArn"],
                "com.amazonaws.ecs.container-name": container["name"],
                "com.amazonaws.ecs.task-arn": task["taskArn"],
                "com.amazonaws.ecs.task-definition-family": family,
                "com.amazonaws.ecs.task-definition-version": revision,
                **own.get("dockerLabels", {}),
            },
            "DesiredStatus": task["desiredStatus"],
            "KnownStatus": container["lastStatus"],
            "Limits": {
                "CPU": own.get("cpu", 0),
                **({"Memory": own["memory"]} if "memory" in own else {}),
            },
            "CreatedAt": stamp(task["createdAt"]),
            "Type": "NORMAL",
            "ContainerARN": container["containerArn"],
            "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [task["address"]]}]
            if task.get("address")
            else [],
            "RestartCount": container.get("_restarts", 0),
        }
        if "_began" in container:
            shown["StartedAt"] = stamp(container["_began"])
        if "exitCode" in container:
            shown["ExitCode"] = container["exitCode"]
        if container["_checked"]:
            shown["Health"] = {"status": container["healthStatus"]}
        if options := own.get("logConfiguration", {}).get("options"):
            shown |= {"LogDriver": "awslogs", "LogOptions": options}
        return shown

    async def _task(self, request: web.Request) -> web.Response:
        task, _ = self._find(request)
        family, _, revision = short(task["taskDefinitionArn"]).partition(":")
        shown: Row = {
            "Cluster": task["clusterArn"],
            "TaskARN": task["taskArn"],
            "Family": family,
            "Revision": revision,
            "DesiredStatus": task["desiredStatus"],
            "KnownStatus": task["lastStatus"],
            "LaunchType": "FARGATE",
            "AvailabilityZone": f"{self._region}a",
            "Containers": [self._show_container(task, c) for c in task["containers"]],
            "Limits": {"CPU": int(task["cpu"]) / 1024, "Memory": int(task["memory"])},
            **{
                k: stamp(task[v])
                for k, v in (("PullStartedAt", "pullStartedAt"), ("PullStoppedAt", "pullStoppedAt"))
                if v in task
            },
        }
        if task["group"].startswith("service:"):
            shown["ServiceName"] = task["group"].removeprefix("service:")
        if request.path.endswith("WithTags"):
            shown["TaskTags"] = {t["key"]: t["value"] for t in self._tags_of(task["taskArn"])}
        return web.json_response(shown)

    async def _stats(self, request: web.Request) -> web.Response:
        task, container = self._find(request)
        return web.json_response(
            await self._engine.stats(self._name_of(task["id"], container["name"]))
        )

    async def _task_stats(self, request: web.Request) -> web.Response:
        task, _ = self._find(request)
        every = await asyncio.gather(
            *(self._engine.stats(self._name_of(task["id"], c["name"])) for c in task["containers"])
        )
        return web.json_response(
            {
                c.get("runtimeId", c["name"]): s
                for c, s in zip(task["containers"], every, strict=True)
            }
        )

    async def _credentials(self, request: web.Request) -> web.Response:
        """Keys that last six hours; the stores take any keys, so these say only whose they are."""
        task = self._state.get("task", request.match_info["task"])
        role = self._definition_of(task).get("taskRoleArn") if task else None
        if task is None or role is None or task["lastStatus"] == "STOPPED":
            raise web.HTTPNotFound(text="this task has no role")
        window = int(time.time() // SESSION_S)
        key = hashlib.sha256(f"{task['id']}/{role}/{window}".encode()).hexdigest()
        return web.json_response(
            {
                "RoleArn": role,
                "AccessKeyId": f"ASIA{key[:16].upper()}",
                "SecretAccessKey": key[16:56],
                "Token": key,
                "Expiration": stamp((window + 2) * SESSION_S).partition(".")[0] + "Z",
            }
        )

    async def _protection(self, request: web.Request) -> web.Response:
        task, _ = self._find(request)
        return await self._answer(task, self._get_protection, {})

    async def _set_protection(self, request: web.Request) -> web.Response:
        task, _ = self._find(request)
        asked: Any = await request.json()
        params: Row = {"protectionEnabled": bool(asked.get("ProtectionEnabled"))}
        if "ExpiresInMinutes" in asked:
            params["expiresInMinutes"] = asked["ExpiresInMinutes"]
        return await self._answer(task, self._put_protection, params)

    async def _answer(self, task: Row, operation: Operation, params: Row) -> web.Response:
        try:
            told = await operation(
                {"cluster": task["clusterArn"], "tasks": [task["taskArn"]], **params}
            )
        except AwsError as error:
            return web.json_response(
                {"error": {"Arn": task["taskArn"], "Code": error.code, "Message": error.message}},
                status=error.status,
            )
        if told["failures"]:
            failure = told["failures"][0]
            return web.json_response(
                {"failure": {"Arn": failure["arn"], "Reason": failure["reason"]}}
            )
        found = (
            told["protectedTasks"] or [{"taskArn": task["taskArn"], "protectionEnabled": False}]
        )[0]
        shown = {"TaskArn": found["taskArn"], "ProtectionEnabled": found["protectionEnabled"]}
        if "expirationDate" in found:
            shown["ExpirationDate"] = stamp(found["expirationDate"])
        return web.json_response({"protection": shown})


class Usage:
    """CPU and memory use per service by the minute: used ÷ reserved × 100 (ECS developer guide,
    "Service utilization metrics")."""

    def __init__(self, state: State, engine: Engine, name_of: Callable[[str, str], str]) -> None:
        self._state = state
        self._engine = engine
        self._name_of = name_of
        self._before: dict[str, tuple[float, float]] = {}

    async def measure(self, now: float) -> None:
        """One point for each service with running tasks: the sum over its tasks, written at this
        minute."""
        totals: dict[str, list[float]] = {}
        seen = set()
        for task in self._state.all("task"):
            if task["lastStatus"] != "RUNNING" or not task["group"].startswith("service:"):
                continue
            names = [self._name_of(task["id"], c["name"]) for c in task["containers"]]
            cpu_s = 0.0
            memory = 0.0
            fresh = True
            for name in names:
                stats = await self._engine.stats(name)
                if not stats or not stats.get("memory_stats"):
                    continue
                seen.add(name)
                used_s = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
                before = self._before.get(name)
                self._before[name] = (now, used_s)
                if before is None or now <= before[0]:
                    fresh = False
                else:
                    cpu_s += (used_s - before[1]) / (now - before[0])
                cache = stats["memory_stats"].get("stats", {}).get("total_inactive_file", 0)
                memory += (stats["memory_stats"].get("usage", 0) - cache) / _MIB
            if fresh and names:
                subject = f"{short(task['clusterArn'])}/{task['group'].removeprefix('service:')}"
                total = totals.setdefault(subject, [0.0, 0.0, 0.0, 0.0])
                for place, value in enumerate(
                    (cpu_s * 1024, float(task["cpu"]), memory, float(task["memory"]))
                ):
                    total[place] += value
        self._before = {name: value for name, value in self._before.items() if name in seen}
        for subject, (cpu, cpu_reserved, memory, memory_reserved) in totals.items():
            body = {
                **({"CPUUtilization": 100 * cpu / cpu_reserved} if cpu_reserved else {}),
                **(
                    {"MemoryUtilization": 100 * memory / memory_reserved} if memory_reserved else {}
                ),
            }
            self._state.put_figure(f"ecs/{subject}", int(now) - int(now) % 60, body)
