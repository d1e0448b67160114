"""Make the containers of a task: images, volumes, environment, and the engine's requests.

Raises StartFailed, with the prefix that the ECS agent gives, where a task can never start."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from kirikae.local.ecs.containers import binds, creation, environment_file, metadata_id
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.firelens import FireLens
from kirikae.local.ecs.images import Image, Images
from kirikae.local.ecs.names import short
from kirikae.local.ecs.order import creation_order
from kirikae.local.ecs.pause import IMAGE as PAUSE
from kirikae.local.ecs.taskrow import launch_type_of
from kirikae.local.engine import Engine
from kirikae.local.errors import EngineError, StartFailed
from kirikae.local.forward.firelens import environment as firelens_environment
from kirikae.local.forward.firelens import is_aws_image
from kirikae.local.plain import Plain
from kirikae.local.rows import Container, ContainerDefinition, Definition, Task, Volume
from kirikae.local.state import State
from kirikae.local.stores import Stores

_FAULT = 500
_LATE = re.compile(r"deadline exceeded|timed out", re.IGNORECASE)
"""What the engine says of a start that had to wait for too long ("failed to start shim: context
deadline exceeded")."""
_WITH_CREDENTIALS = "http://169.254.170.2"


@dataclass(frozen=True, slots=True)
class Told:
    """What every task is told.  ``metadata``: the beginning of its metadata's address."""

    environment: Mapping[str, str]
    metadata: str


class Maker:
    """Asks the engine for what a task needs; asking again for what is there is harmless."""

    def __init__(
        self,
        state: State,
        engine: Engine,
        stores: Stores,
        images: Images,
        names: EngineNames,
        told: Told,
        firelens: FireLens,
    ) -> None:
        """``told`` is what every task of this instance is told; the rest are the places where
        things are made and found."""
        self._state = state
        self._engine = engine
        self._stores = stores
        self._images = images
        self._names = names
        self._told = told
        self._firelens = firelens

    # --- images

    async def with_images(self, task: Task, definition: Definition) -> list[Container]:
        """The task's containers, each with the image that it will run."""
        revision = self._state.revisions.get(task["_revision"])
        settled = revision["_images"] if revision is not None else {}
        rows = []
        for container, row in zip(
            definition["containerDefinitions"], task["containers"], strict=True
        ):
            fixed = settled.get(container["name"])
            image = await self._image(definition, container, fixed)
            ready: Container = {
                **row,
                "_imageId": image.id,
            }
            if image.digest:
                ready["imageDigest"] = image.digest
            rows.append(ready)
        return rows

    async def _image(
        self, definition: Definition, container: ContainerDefinition, fixed: str | None
    ) -> Image:
        """AWS's own router of logs, where this engine has it not, is played: its container only
        stands there."""
        try:
            return await self._images.ready(container["image"], fixed if fixed != PAUSE else None)
        except StartFailed:
            if "firelensConfiguration" not in container or not is_aws_image(container["image"]):
                raise
            self._firelens.assert_played(definition)
            return Image(PAUSE, "")

    def settled_images(self, task: Task, definition: Definition) -> dict[str, str]:
        """Container -> image ID.  The first task of a deployment settles what a tag means for all
        of them (versionConsistency)."""
        own = {row["name"]: row["_imageId"] for row in task["containers"]}
        revision = self._state.revisions.get(task["_revision"])
        if revision is None:
            return own
        loose = {
            container["name"]
            for container in definition["containerDefinitions"]
            if container.get("versionConsistency") == "disabled"
        }
        fixed = {name: image for name, image in own.items() if name not in loose}
        images = fixed | revision["_images"]
        if images != revision["_images"]:
            key = revision["serviceRevisionArn"]
            self._state.revisions.put(
                key,
                {
                    **revision,
                    "_images": images,
                },
            )
        return own | images

    # --- containers

    async def make(self, task: Task, definition: Definition) -> None:
        """Every container of a task whose images are known."""
        volumes = {each["name"]: await self._volume(task, each) for each in definition["volumes"]}
        images = self.settled_images(task, definition)
        known = {each["name"]: each for each in definition["containerDefinitions"]}
        self._firelens.prepare(task, definition, images)
        for name in creation_order(definition["containerDefinitions"]):
            container = self._firelens.container(known[name], images)
            logs = self._firelens.host(task, definition, container, images)
            body = creation(
                container,
                definition,
                images[name],
                await self._environment(task, definition, container),
                self._labels(task, definition, container),
                _with_logs(self._host(task, container, volumes), logs),
            )
            await _or_failed(
                self._engine.create(self._names.container(task["id"], name), body),
                "CannotCreateContainerError",
            )

    async def start(self, task: Task, container: ContainerDefinition) -> None:
        """Start a container that was made.

        Raises StartFailed where the engine refuses, EngineError where it does not answer.
        """
        name = self._names.container(task["id"], container["name"])
        await _or_failed(self._engine.start(name), "CannotStartContainerError")

    async def _volume(self, task: Task, volume: Volume) -> str:
        """Make sure that the engine has this volume; the answer is its name there.

        A volume that stands for an EFS file system is shared, and outlives the task.
        """
        name = self._names.volume(task["id"], volume)
        await _or_failed(
            self._engine.create_volume(name, self._names.labels), "CannotCreateVolumeError"
        )
        return name

    def _labels(
        self,
        task: Task,
        definition: Definition,
        container: ContainerDefinition,
    ) -> dict[str, str]:
        """Labels by which this instance finds its containers again, and those that the ECS agent
        sets.  The definition's own ``dockerLabels`` are added in ``creation``, and these win over
        them."""
        return {
            **self._names.labels,
            "kirikae.role": "container",
            "kirikae.task": task["id"],
            "com.amazonaws.ecs.cluster": short(task["clusterArn"]),
            "com.amazonaws.ecs.container-name": container["name"],
            "com.amazonaws.ecs.task-arn": task["taskArn"],
            "com.amazonaws.ecs.task-definition-family": definition["family"],
            "com.amazonaws.ecs.task-definition-version": str(definition["revision"]),
        }

    def _host(
        self,
        task: Task,
        container: ContainerDefinition,
        volumes: Mapping[str, str],
    ) -> Plain:
        """Network and mounts."""
        host: Plain = {"NetworkMode": f"container:{task['_pause']}"}
        if mounts := binds(container, volumes):
            host["Binds"] = mounts
        if sources := container.get("volumesFrom"):
            host["VolumesFrom"] = [
                self._names.container(task["id"], source["sourceContainer"])
                + (":ro" if source.get("readOnly") else "")
                for source in sources
            ]
        return host

    async def _environment(
        self,
        task: Task,
        definition: Definition,
        container: ContainerDefinition,
    ) -> dict[str, str]:
        """What the task is told: the endpoint and its metadata, files, own values, secrets; the
        later ones win."""
        token = metadata_id(task["id"], container["name"])
        metadata = self._told.metadata
        told = {
            **self._told.environment,
            "AWS_EXECUTION_ENV": f"AWS_ECS_{launch_type_of(task)}",
            "ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/v4/{token}",
            "ECS_CONTAINER_METADATA_URI": f"{metadata}/v3/{token}",
            "ECS_AGENT_URI": f"{metadata}/api/{token}",
        }
        if definition.get("taskRoleArn") and metadata.startswith(_WITH_CREDENTIALS):
            told["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f"/v2/credentials/{task['id']}"
            del told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
        told |= firelens_environment(container)
        for file in container.get("environmentFiles", []):
            told |= environment_file(await self._stores.object_text(file["value"]))
        for given in container.get("environment", []):
            told[given["name"]] = given["value"]
        for secret in container.get("secrets", []):
            told[secret["name"]] = await self._stores.secret(secret["valueFrom"])
        return told


def _with_logs(host: Plain, logs: Plain) -> Plain:
    """Mounts are added."""
    mounts = [*host.get("Binds", ()), *logs.get("Binds", ())]
    return {**host, **logs, **({"Binds": mounts} if mounts else {})}


async def _or_failed(call: Awaitable[None], prefix: str) -> None:
    """What the engine refuses can never start; where it does not answer, or ran out of time itself,
    it is asked again."""
    try:
        await call
    except EngineError as error:
        if error.status == 0 or ran_out_of_time(error):
            raise
        raise StartFailed(f"{prefix}: {error}") from error


def ran_out_of_time(error: EngineError) -> bool:
    """Did the engine not come to it in time?  That says something of this machine, and nothing of
    the container."""
    return error.status >= _FAULT and _LATE.search(error.message) is not None
