"""What a task may ask about itself: metadata v4 with stats, credentials of its role, its own
scale-in protection, faults of its own network.

Paths and keys follow the ECS developer guide, "Task metadata endpoint version 4" and "Task scale-in
protection endpoint"."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address

from aiohttp import web

from kirikae.local.callers import FROM_HEADER
from kirikae.local.ecs.containers import metadata_id
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.faults import Faults
from kirikae.local.ecs.protection import Protection
from kirikae.local.ecs.tags import Tags
from kirikae.local.ecs.taskrow import family_and_revision
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Container, ContainerDefinition, Definition, Task
from kirikae.local.state import State
from kirikae.local.wire import Operation

SESSION_S = 6 * 3600


def stamp(seconds: float) -> str:
    """Unix seconds as the agent writes times: RFC 3339, microseconds, ``Z``."""
    whole = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return whole.replace("+00:00", "Z")


class Metadata:
    """Answers at the paths that AWS's SDKs and agents ask from inside a task."""

    def __init__(
        self,
        state: State,
        engine: Engine,
        names: EngineNames,
        definition_of: Callable[[Task], Definition],
        region: str,
        protection: Protection,
        tags: Tags,
    ) -> None:
        """``definition_of`` answers the definition that a task runs."""
        self._state = state
        self._engine = engine
        self._names = names
        self._definition_of = definition_of
        self._region = region
        self._protection = protection
        self._tags = tags
        self._faults = Faults(engine, definition_of)

    def routes(self, app: web.Application) -> None:
        """Add every path to this application. v3 has the same answers as v4."""
        for version in ("v3", "v4"):
            app.router.add_get(f"/{version}/{{token}}", self._container)
            app.router.add_get(f"/{version}/{{token}}/task", self._task)
            app.router.add_get(f"/{version}/{{token}}/taskWithTags", self._task)
            app.router.add_get(f"/{version}/{{token}}/stats", self._stats)
            app.router.add_get(f"/{version}/{{token}}/task/stats", self._task_stats)
        app.router.add_get("/v2/credentials/{task}", self._credentials)
        app.router.add_get("/api/{token}/task-protection/v1/state", self._get_protection)
        app.router.add_put("/api/{token}/task-protection/v1/state", self._set_protection)
        self._faults.routes(app, self._find)

    def _find(self, request: web.Request) -> tuple[Task, Container]:
        """The task and container whose metadata address was asked.

        Raises HTTPNotFound for any other token, also for a task that was forgotten, and where
        another task asks.
        """
        token = request.match_info["token"]
        task = self._state.tasks.get(token.partition("-")[0])
        if task is not None and may_ask(task, request.headers.get(FROM_HEADER)):
            for container in task["containers"]:
                if metadata_id(task["id"], container["name"]) == token:
                    return task, container
        raise web.HTTPNotFound(text="there is no such task")

    # --- containers and tasks

    async def _container(self, request: web.Request) -> web.Response:
        """``/v4/TOKEN``: the container that asks."""
        return web.json_response(self._show_container(*self._find(request)))

    def _show_container(self, task: Task, container: Container) -> Plain:
        """One container in the metadata endpoint's own spelling (capitals, unlike the API's)."""
        definition = self._definition_of(task)
        own = next(
            each for each in definition["containerDefinitions"] if each["name"] == container["name"]
        )
        shown: Plain = {
            "DockerId": container.get("runtimeId", ""),
            "Name": container["name"],
            "DockerName": self._names.container(task["id"], container["name"]),
            "Image": container["image"],
            "ImageID": container.get("_imageId", ""),
            "Labels": _labels(task, container, own),
            "DesiredStatus": task["desiredStatus"],
            "KnownStatus": container["lastStatus"],
            "Limits": _limits(own),
            "CreatedAt": stamp(task["createdAt"]),
            "Type": "NORMAL",
            "ContainerARN": container["containerArn"],
            "Networks": _networks(task),
            "RestartCount": container.get("_restarts", 0),
        }
        if "_began" in container:
            shown["StartedAt"] = stamp(container["_began"])
        if "exitCode" in container:
            shown["ExitCode"] = container["exitCode"]
        if container["_checked"]:
            shown["Health"] = {"status": container["healthStatus"]}
        if (logs := own.get("logConfiguration")) is not None:
            shown |= {
                "LogDriver": logs["logDriver"],
                "LogOptions": logs.get("options", {}),
            }
        return shown

    async def _task(self, request: web.Request) -> web.Response:
        """``/v4/TOKEN/task`` and ``taskWithTags``: the task of the container that asks; its CPU
        limit in vCPU, its memory in MiB."""
        task, _ = self._find(request)
        family, revision = family_and_revision(task)
        shown: Plain = {
            "Cluster": task["clusterArn"],
            "TaskARN": task["taskArn"],
            "Family": family,
            "Revision": revision,
            "DesiredStatus": task["desiredStatus"],
            "KnownStatus": task["lastStatus"],
            "LaunchType": "FARGATE",
            "AvailabilityZone": f"{self._region}a",
            "Containers": [self._show_container(task, each) for each in task["containers"]],
            "Limits": {
                "CPU": int(task["cpu"]) / 1024,
                "Memory": int(task["memory"]),
            },
        }
        if "pullStartedAt" in task:
            shown["PullStartedAt"] = stamp(task["pullStartedAt"])
        if "pullStoppedAt" in task:
            shown["PullStoppedAt"] = stamp(task["pullStoppedAt"])
        if task["group"].startswith("service:"):
            shown["ServiceName"] = task["group"].removeprefix("service:")
        if request.path.endswith("WithTags"):
            tags = self._tags.of(task["taskArn"])
            shown["TaskTags"] = {tag["key"]: tag["value"] for tag in tags}
        return web.json_response(shown)

    async def _stats(self, request: web.Request) -> web.Response:
        """``/v4/TOKEN/stats``: the engine's figures of the container that asks."""
        task, container = self._find(request)
        return web.json_response(await self._stats_of(task, container))

    async def _task_stats(self, request: web.Request) -> web.Response:
        """``/v4/TOKEN/task/stats``: container's engine ID -> the engine's figures."""
        task, _ = self._find(request)
        containers = task["containers"]
        every = await asyncio.gather(*(self._stats_of(task, each) for each in containers))
        shown = {
            container.get("runtimeId", container["name"]): stats
            for container, stats in zip(containers, every, strict=True)
        }
        return web.json_response(shown)

    async def _stats_of(self, task: Task, container: Container) -> Plain | None:
        """The engine's own figures, as it gives them; null where the container does not run."""
        return await self._engine.stats(self._names.container(task["id"], container["name"]))

    # --- credentials

    async def _credentials(self, request: web.Request) -> web.Response:
        """Keys that last six hours; the stores take any keys, so these say only whose they are."""
        task = self._state.tasks.get(request.match_info["task"])
        if task is not None and not may_ask(task, request.headers.get(FROM_HEADER)):
            task = None
        role = self._definition_of(task).get("taskRoleArn") if task is not None else None
        if task is None or role is None or task["lastStatus"] == "STOPPED":
            raise web.HTTPNotFound(text="this task has no role")
        window = int(time.time() // SESSION_S)
        key = hashlib.sha256(f"{task['id']}/{role}/{window}".encode()).hexdigest()
        keys = {
            "RoleArn": role,
            "AccessKeyId": f"ASIA{key[:16].upper()}",
            "SecretAccessKey": key[16:56],
            "Token": key,
            "Expiration": stamp((window + 2) * SESSION_S).partition(".")[0] + "Z",
        }
        return web.json_response(keys)

    # --- scale-in protection

    async def _get_protection(self, request: web.Request) -> web.Response:
        """The agent's GET of task scale-in protection."""
        task, _ = self._find(request)
        return await _protected(task, self._protection.get, {})

    async def _set_protection(self, request: web.Request) -> web.Response:
        """The agent's PUT of task scale-in protection; ``ExpiresInMinutes`` is left to the API's
        default where it is not given."""
        task, _ = self._find(request)
        try:
            params = _asked_protection(await request.json())
        except (ValueError, RecursionError) as error:
            refusal = {
                "Arn": task["taskArn"],
                "Code": "InvalidParameterException",
                "Message": f"the request body is not understood: {error}",
            }
            return web.json_response({"error": refusal}, status=400)
        return await _protected(task, self._protection.update, params)


def may_ask(task: Task, came_from: str | None) -> bool:
    """A task is told of itself alone; programs of this machine may look at any.

    ``came_from`` is HAProxy's word; without it the request came over our own port on loopback.
    """
    if came_from is None or ip_address(came_from).is_loopback:
        return True
    return came_from == task.get("address")


def _labels(task: Task, container: Container, own: ContainerDefinition) -> dict[str, str]:
    """As the agent lists them; a definition's own labels win."""
    family, revision = family_and_revision(task)
    return {
        "com.amazonaws.ecs.cluster": task["clusterArn"],
        "com.amazonaws.ecs.container-name": container["name"],
        "com.amazonaws.ecs.task-arn": task["taskArn"],
        "com.amazonaws.ecs.task-definition-family": family,
        "com.amazonaws.ecs.task-definition-version": revision,
        **own.get("dockerLabels", {}),
    }


def _limits(own: ContainerDefinition) -> Plain:
    """CPU in units, memory in MiB; memory only where the container has a limit of its own."""
    limits: Plain = {"CPU": own.get("cpu", 0)}
    if "memory" in own:
        limits["Memory"] = own["memory"]
    return limits


def _networks(task: Task) -> list[Plain]:
    """None before the task has an address."""
    address = task.get("address")
    return (
        [
            {
                "NetworkMode": "bridge" if "_ports" in task else "awsvpc",
                "IPv4Addresses": [address],
            }
        ]
        if address
        else []
    )


def _asked_protection(asked: object) -> Plain:
    """The parameters of UpdateTaskProtection.  Raises ValueError for anything that the agent would
    not take."""
    if not isinstance(asked, dict):
        raise ValueError("a JSON object is needed")
    enabled = asked.get("ProtectionEnabled")
    minutes = asked.get("ExpiresInMinutes")
    if not isinstance(enabled, bool):
        raise ValueError("ProtectionEnabled: true or false")
    params: Plain = {"protectionEnabled": enabled}
    if minutes is not None:
        if type(minutes) is not int:
            raise ValueError("ExpiresInMinutes: a number of minutes")
        params["expiresInMinutes"] = minutes
    return params


async def _protected(task: Task, operation: Operation, params: Plain) -> web.Response:
    """The answer of GetTaskProtection or UpdateTaskProtection, as the agent gives it."""
    arn = task["taskArn"]
    try:
        told = await operation(
            {
                "cluster": task["clusterArn"],
                "tasks": [arn],
                **params,
            }
        )
    except AwsError as error:
        refusal = {
            "Arn": arn,
            "Code": error.code,
            "Message": error.message,
        }
        return web.json_response({"error": refusal}, status=error.status)
    for failure in told["failures"]:
        return web.json_response(
            {
                "failure": {
                    "Arn": failure["arn"],
                    "Reason": failure["reason"],
                }
            }
        )
    none: Plain = {
        "taskArn": arn,
        "protectionEnabled": False,
    }
    found = next(iter(told["protectedTasks"]), none)
    shown = {
        "TaskArn": found["taskArn"],
        "ProtectionEnabled": found["protectionEnabled"],
    }
    if "expirationDate" in found:
        shown["ExpirationDate"] = stamp(found["expirationDate"])
    return web.json_response({"protection": shown})
