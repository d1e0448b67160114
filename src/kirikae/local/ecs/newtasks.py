"""New tasks: their rows, written down before anything happens."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from kirikae.local.ecs.capacity import PROVIDERS
from kirikae.local.ecs.constraints import Wish, checked
from kirikae.local.ecs.containers import with_overrides
from kirikae.local.ecs.definitions import Definitions
from kirikae.local.ecs.names import short
from kirikae.local.ecs.placing import chosen
from kirikae.local.ecs.ports import of_host
from kirikae.local.ecs.shifting import bindings_of
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Container,
    ContainerDefinition,
    Definition,
    Deployment,
    Instance,
    Overrides,
    Service,
    Tag,
    Task,
)
from kirikae.local.state import State

_NO_CHECK = ["NONE"]


class NewTasks:
    """A task begins as a row: whatever kills the control plane, it is made once."""

    def __init__(
        self,
        state: State,
        definitions: Definitions,
        tags: Tags,
        tasks: Tasks,
    ) -> None:
        """A task's ARN begins as its cluster's does."""
        self._state = state
        self._definitions = definitions
        self._tags = tags
        self._tasks = tasks

    def blank(
        self,
        cluster_arn: str,
        definition: Definition,
        group: str,
        overrides: Overrides | None = None,
    ) -> Task:
        """A task's row; nothing has happened yet, and nothing is written down."""
        task_id = uuid.uuid4().hex
        sized = with_overrides(definition, overrides or {})
        place = f"{short(cluster_arn)}/{task_id}"
        prefix = cluster_arn.partition("cluster/")[0]
        task: Task = {
            "id": task_id,
            "taskArn": f"{prefix}task/{place}",
            "clusterArn": cluster_arn,
            "taskDefinitionArn": definition["taskDefinitionArn"],
            "group": group,
            "startedBy": "",
            "desiredStatus": "RUNNING",
            "lastStatus": "PROVISIONING",
            "healthStatus": "UNKNOWN",
            "connectivity": "DISCONNECTED",
            "version": 1,
            "containers": [
                _blank(f"{prefix}container/{place}", each) for each in sized["containerDefinitions"]
            ],
            "overrides": overrides or {},
            "cpu": sized.get("cpu", "0"),
            "memory": sized.get("memory", "0"),
            "stopCode": "",
            "stoppedReason": "",
            "createdAt": time.time(),
            "_bindings": [],
            "_revision": "",
        }
        if definition["networkMode"] == "bridge":
            task["_ports"] = of_host(definition["containerDefinitions"])
        return task

    def save(self, tasks: Sequence[Task], tags: Sequence[Tag]) -> None:
        """Write tasks and their tags down in one transaction; only a poke sets them in motion."""
        with self._state.together():
            for task in tasks:
                self._state.tasks.put(task["id"], task)
                save_tags(self._state, task["taskArn"], tags)

    def instances(self, cluster_arn: str) -> list[Instance]:
        """Those of this cluster."""
        return [each for each in self._state.instances.all() if each["clusterArn"] == cluster_arn]

    def place(self, task: Task, beside: Sequence[Task], wish: Wish) -> Instance | None:
        """Where it goes, with these others that are not written down yet."""
        tasks = [*self._state.tasks.all(), *beside]
        return chosen(self.instances(task["clusterArn"]), task, tasks, wish)

    def _beside(self, task: Task) -> Iterator[Task]:
        """The living tasks of its service."""
        for other in self._state.tasks.all():
            same = (other["group"], other["clusterArn"]) == (task["group"], task["clusterArn"])
            if same and other["desiredStatus"] == "RUNNING":
                yield other

    def start_of_service(
        self,
        service: Service,
        deployment: Deployment,
        provider: str,
    ) -> Task | None:
        """One task of this deployment; it is written down and on its way.  None where it wants a
        container instance, and none has room."""
        revision = self._state.revisions[deployment["_revision"]]
        definition = self._definitions.find(deployment["taskDefinition"])
        group = f"service:{service['serviceName']}"
        task: Task = {
            **self.blank(service["clusterArn"], definition, group),
            "startedBy": deployment["id"],
            "enableExecuteCommand": service.get("enableExecuteCommand", False),
            "_bindings": bindings_of(revision),
            "_revision": revision["serviceRevisionArn"],
        }
        with_subnet(task, revision.get("networkConfiguration", {}), self._beside(task))
        if provider:
            task["capacityProviderName"] = provider
        if on_instances(service.get("launchType"), provider):
            wish = checked(cast(Plain, service), definition.get("placementConstraints", []))
            instance = self.place(task, [], wish)
            if instance is None:
                return None
            task["containerInstanceArn"] = instance["containerInstanceArn"]
        tags = self._tags.propagated(
            service.get("propagateTags"), service["serviceArn"], definition
        )
        self.save([task], tags)
        self._tasks.poke(task["id"])
        return task


def with_subnet(task: Task, network: Plain, beside: Iterable[Task] = ()) -> None:
    """Keep where the task was asked to be; it has its address on this machine all the same.

    ``beside``: the service's other tasks, which AWS spreads over zones: the subnet with the fewest
    of them is taken.
    """
    subnets = network.get("awsvpcConfiguration", {}).get("subnets", [])
    if subnets:
        taken = Counter(other.get("_subnet", "") for other in beside)
        task["_subnet"] = min(subnets, key=lambda subnet: taken[subnet])


def on_instances(launch_type: str | None, provider: str) -> bool:
    """Does it go to a container instance?  Fargate's tasks have none."""
    return provider not in PROVIDERS if provider else launch_type == "EC2"


def _blank(arn: str, definition: ContainerDefinition) -> Container:
    """A container's row; ``arn`` begins its own.

    ``_checked`` says whether the definition has a health check that counts; the image's own
    HEALTHCHECK never does.
    """
    check = definition.get("healthCheck")
    container: Container = {
        "name": definition["name"],
        "image": definition["image"],
        "lastStatus": "PENDING",
        "healthStatus": "UNKNOWN",
        "essential": definition["essential"],
        "containerArn": f"{arn}/{uuid.uuid4()}",
        "_checked": check is not None and check.get("command", _NO_CHECK) != _NO_CHECK,
    }
    for key in ("cpu", "memory", "memoryReservation"):
        if key in definition:
            container[key] = str(definition[key])
    return container
