"""Task sets of services with the controller EXTERNAL: somebody else says what runs, and how much of
it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.definitions import Definitions
from kirikae.local.ecs.deployments import new_deployment, new_revision
from kirikae.local.ecs.launching import check_launch_type
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import invalid, missing, unsupported
from kirikae.local.ecs.showndeployments import counts
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.ecs.taskrow import is_live
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Binding, Definition, Deployment, Service, Task, TaskSet
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_KEPT = ("platformVersion", "capacityProviderStrategy", "networkConfiguration")
_WHOLE = {
    "value": 100.0,
    "unit": "PERCENT",
}


class TaskSets:
    """What is asked ends in a row; ``Services`` keeps its tasks."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        definitions: Definitions,
        tags: Tags,
        lookup: Lookup,
        agenda: Agenda,
        bindings: Callable[[Sequence[Plain], Definition], list[Binding]],
    ) -> None:
        """Keeps nothing itself.  ``bindings`` checks load balancers, as those of services."""
        self._state = state
        self._clusters = clusters
        self._definitions = definitions
        self._tags = tags
        self._lookup = lookup
        self._agenda = agenda
        self._bindings = bindings

    def _service(self, params: Plain) -> Service:
        """Raises AwsError for a service that has no task sets."""
        service = self._lookup.active_service(params)
        if service.get("_controller", "ECS") != "EXTERNAL":
            raise invalid("Unable to use task sets: the deployment controller is not EXTERNAL.")
        return service

    async def create(self, params: Plain) -> Plain:
        """CreateTaskSet: a hundred per cent of the service unless it is said."""
        launch_type = params.get("launchType")
        check_launch_type(launch_type)
        service = self._service(params)
        definition = self._definitions.startable(params["taskDefinition"])
        if launch_type and params.get("capacityProviderStrategy"):
            raise invalid("Specify a launch type or a capacity provider strategy, not both.")
        own = f"ecs-svc/{uuid.uuid4().int % 10**19:019d}"
        place = service["serviceArn"].replace(":service/", ":task-set/")
        now = time.time()
        row = {
            "id": own,
            "taskSetArn": f"{place}/{own}",
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "status": "ACTIVE",
            "taskDefinition": definition["taskDefinitionArn"],
            "scale": {
                **_WHOLE,
                **params.get("scale", {}),
            },
            "externalId": params.get("externalId", ""),
            "loadBalancers": params.get("loadBalancers", []),
            "serviceRegistries": params.get("serviceRegistries", []),
            "createdAt": now,
            "updatedAt": now,
            "platformVersion": "LATEST",
            **{key: params[key] for key in _KEPT if key in params},
        }
        if "capacityProviderStrategy" not in params:
            row["launchType"] = launch_type or "EC2"
        bindings = self._bindings(params.get("loadBalancers", []), definition)
        with self._state.together():
            # Members that are not looked into are kept and told as they came.
            made = cast(TaskSet, row)
            made["_entry"] = self._entry(made, bindings)
            self._state.task_sets.put(made["taskSetArn"], made)
            save_tags(self._state, made["taskSetArn"], params.get("tags", []))
        self._agenda.wake(service["serviceArn"])
        return {"taskSet": self._show(made, True)}

    def _entry(
        self,
        row: TaskSet,
        bindings: list[Binding],
    ) -> Deployment:
        """By which its tasks are kept, as those of a deployment; it fixes what they run."""
        service = alone(self._state.services[row["serviceArn"]], row)
        fixed: Service = {
            **service,
            "loadBalancers": bindings,
        }
        revision = new_revision(
            self._state,
            fixed,
            None,
            False,
        )
        return {
            **new_deployment(revision, ""),
            "id": row["id"],
        }

    def _show(
        self,
        row: TaskSet,
        with_tags: bool,
    ) -> Plain:
        """As AWS shows it."""
        service = self._state.services.get(row["serviceArn"])
        shown = show_task_set(row, service, self._state.tasks.all())
        if with_tags:
            shown["tags"] = self._tags.of(row["taskSetArn"])
        return shown

    def _of(self, service: Service) -> list[TaskSet]:
        """All of this service, the oldest first."""
        arn = service["serviceArn"]
        rows = [row for row in self._state.task_sets.all() if row["serviceArn"] == arn]
        return sorted(rows, key=lambda row: row["createdAt"])

    def _one(
        self,
        params: Plain,
        key: str,
    ) -> TaskSet:
        """By ID or ARN.  Raises AwsError where the service has no such one."""
        found = self._find(self._service(params), params[key])
        if found is None:
            raise AwsError("TaskSetNotFoundException", "The specified task set does not exist.")
        return found

    def _find(
        self,
        service: Service,
        name: str,
    ) -> TaskSet | None:
        """None where the service has no such one."""
        rows = self._of(service)
        return next((row for row in rows if name in (row["taskSetArn"], row["id"])), None)

    async def describe(self, params: Plain) -> Plain:
        """DescribeTaskSets: all of the service, or those that were asked for."""
        service = self._service(params)
        with_tags = "TAGS" in params.get("include", [])
        names = params.get("taskSets") or [row["taskSetArn"] for row in self._of(service)]
        rows = {name: self._find(service, name) for name in names}
        return {
            "taskSets": [self._show(row, with_tags) for row in rows.values() if row is not None],
            "failures": [missing(name) for name, row in rows.items() if row is None],
        }

    async def update(self, params: Plain) -> Plain:
        """UpdateTaskSet: its scale."""
        row = self._one(params, "taskSet")
        if not 0 <= params["scale"].get("value", 100) <= 100:
            raise invalid("scale.value must be between 0 and 100.")
        changed: TaskSet = {
            **row,
            "scale": {
                **_WHOLE,
                **params["scale"],
            },
            "updatedAt": time.time(),
        }
        self._state.task_sets.put(row["taskSetArn"], changed)
        self._agenda.wake(row["serviceArn"])
        return {"taskSet": self._show(changed, False)}

    async def make_primary(self, params: Plain) -> Plain:
        """UpdateServicePrimaryTaskSet: the former one is ACTIVE then."""
        chosen = self._one(params, "primaryTaskSet")
        service = self._service(params)
        with self._state.together():
            for row in self._of(service):
                status = "PRIMARY" if row["id"] == chosen["id"] else "ACTIVE"
                self._state.task_sets.put(
                    row["taskSetArn"],
                    {
                        **row,
                        "status": status,
                    },
                )
            # What the primary one has goes over to the service.
            primary: Service = {
                **service,
                "taskDefinition": chosen["taskDefinition"],
            }
            self._state.services.put(service["serviceArn"], primary)
        return {"taskSet": self._show(self._state.task_sets[chosen["taskSetArn"]], False)}

    async def delete(self, params: Plain) -> Plain:
        """DeleteTaskSet.  Raises AwsError for one that is scaled above zero, unless it is
        forced."""
        row = self._one(params, "taskSet")
        if row["scale"]["value"] and not params.get("force"):
            raise invalid("The task set cannot be deleted while it is scaled above 0.")
        draining: TaskSet = {
            **row,
            "status": "DRAINING",
            "updatedAt": time.time(),
        }
        shown = self._show(draining, False)
        if any(is_live(task) for task in self._state.tasks.all() if task["startedBy"] == row["id"]):
            self._state.task_sets.put(row["taskSetArn"], draining)
            self._agenda.wake(row["serviceArn"])
        else:
            drop_task_set(self._state, row)
        return {"taskSet": shown}


def drop_task_set(state: State, row: TaskSet) -> None:
    """One whose tasks have gone."""
    state.task_sets.drop(row["taskSetArn"])
    state.tags.drop(row["taskSetArn"])


def wanted_by(row: TaskSet, service: Service | None) -> int:
    """How many tasks its scale makes of the service's number: always rounded up (API reference,
    TaskSet)."""
    wanted = service["desiredCount"] if service is not None else 0
    share: float = row["scale"]["value"]
    return math.ceil(round(wanted * share / 100, 6))


def alone(service: Service, row: TaskSet) -> Service:
    """The service as it would be if it were this task set alone: what runs, where, and how many.
    Whoever keeps task sets judges them himself: no circuit breaker."""
    changed: Service = {
        **service,
        "taskDefinition": row["taskDefinition"],
        "desiredCount": wanted_by(row, service),
        "deployments": [row["_entry"]] if "_entry" in row else [],
        "deploymentCircuitBreaker": {
            "enable": False,
            "rollback": False,
        },
    }
    changed.pop("launchType", None)
    changed.pop("capacityProviderStrategy", None)
    if "launchType" in row:
        changed["launchType"] = row["launchType"]
    if "capacityProviderStrategy" in row:
        changed["capacityProviderStrategy"] = row["capacityProviderStrategy"]
    if "networkConfiguration" in row:
        changed["networkConfiguration"] = row["networkConfiguration"]
    return changed


def show_task_set(
    row: TaskSet,
    service: Service | None,
    tasks: Iterable[Task],
) -> Plain:
    """As AWS shows it."""
    own = counts(task for task in tasks if task["startedBy"] == row["id"])
    wanted = wanted_by(row, service)
    is_steady = own["runningCount"] == wanted and not own["pendingCount"]
    shown = {key: value for key, value in row.items() if value != "" and key != "_entry"}
    return {
        **shown,
        "computedDesiredCount": wanted,
        **own,
        "stabilityStatus": "STEADY_STATE" if is_steady else "STABILIZING",
    }


def check_controller(controller: str) -> None:
    """Raise AwsError for a deployment controller that is not there."""
    if controller not in ("ECS", "EXTERNAL"):
        raise unsupported(
            f"kirikae local has the deployment controllers ECS and EXTERNAL, not {controller}"
        )


OPERATIONS: Handlers[TaskSets] = {
    "CreateTaskSet": TaskSets.create,
    "DescribeTaskSets": TaskSets.describe,
    "UpdateTaskSet": TaskSets.update,
    "DeleteTaskSet": TaskSets.delete,
    "UpdateServicePrimaryTaskSet": TaskSets.make_primary,
}
PARTLY = {
    "CreateTaskSet": "serviceRegistries are kept and told",
}
"""Operations of which something is missing, and what."""
