"""RunTask and what is asked of tasks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from kirikae.local.ecs.capacity import PROVIDERS, Strategy, check_strategy, next_provider
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.constraints import Wish, checked
from kirikae.local.ecs.containers import with_overrides
from kirikae.local.ecs.definitions import Definitions
from kirikae.local.ecs.grounds import Grounds
from kirikae.local.ecs.instances import Instances
from kirikae.local.ecs.launching import check_launch, check_launch_type, check_mode, wants_instance
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import invalid, missing, refuse, short, unsupported
from kirikae.local.ecs.newtasks import NewTasks, on_instances, with_subnet
from kirikae.local.ecs.placing import lacks
from kirikae.local.ecs.shown import show_task
from kirikae.local.ecs.tags import Tags
from kirikae.local.ecs.taskrow import family_and_revision, launch_type_of
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.ecs.tokens import Tokens
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Cluster, Definition, Instance, Overrides, Task
from kirikae.local.state import State
from kirikae.local.wire import Handlers
from kirikae.model.fargate import size_problem

# botocore's model: RunTask starts 1 to 10 tasks, DescribeTasks takes up to 100.
_MOST_STARTED = 10
_MOST_DESCRIBED = 100
_LONGEST_OVERRIDES = 8192
"""Formatting included (API reference, RunTask.overrides)."""
_LONGEST_REFERENCE = 1024
_STARTED_BY = re.compile(r"[A-Za-z0-9 /_-]{0,128}")
"""The API reference names no blank, and ecs-deploy sends one ("ECS Deploy") that AWS takes."""
_REFUSED = ("volumeConfigurations",)


def strategy_of(params: Plain, cluster: Cluster, known: Collection[str]) -> Strategy:
    """What was asked, else the cluster's default where no launch type was asked; ``known``: every
    capacity provider that there is."""
    asked: Strategy = params.get("capacityProviderStrategy", [])
    launch_type = params.get("launchType")
    if asked and launch_type:
        raise invalid(
            "Specifying both a launch type and capacity provider strategy is not "
            "supported. Remove one and try again."
        )
    check_launch_type(launch_type)
    strategy = asked
    if not asked and not launch_type:
        strategy = cluster["defaultCapacityProviderStrategy"]
    check_strategy(strategy, cluster["capacityProviders"] or (PROVIDERS if asked else []), known)
    return strategy


class Running:
    """Tasks that somebody asks for by name, beside those that services keep."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        definitions: Definitions,
        tags: Tags,
        lookup: Lookup,
        tokens: Tokens,
        tasks: Tasks,
        new: NewTasks,
        instances: Instances,
        grounds: Grounds,
    ) -> None:
        """``new`` writes rows down, ``tasks`` sets them in motion; ``tokens`` answers repeated
        requests."""
        self._state = state
        self._clusters = clusters
        self._definitions = definitions
        self._tags = tags
        self._lookup = lookup
        self._tokens = tokens
        self._tasks = tasks
        self._new = new
        self._instances = instances
        self._grounds = grounds

    async def run(self, params: Plain) -> Plain:
        """RunTask: up to ten tasks of a startable definition.

        With a ``clientToken`` it may be asked again: the tasks of the first time are answered, and
        none is started.  Rows and token are written in one transaction before anything is started,
        so a crash starts none twice and loses none.  Raises AwsError for what AWS refuses and for
        what is not carried out.
        """
        check_launch_type(params.get("launchType"))
        await self._grounds.check(params)
        cluster = self._clusters.find(params.get("cluster"))
        definition = self._definitions.startable(params["taskDefinition"])
        count = params.get("count", 1)
        if not 1 <= count <= _MOST_STARTED:
            raise invalid(f"count must be between 1 and {_MOST_STARTED}.")
        refuse(params, _REFUSED, "RunTask")
        _check_texts(params)
        if (known := self._tokens.known("RunTask", params)) is not None:
            again = [self._state.tasks.get(task_id) for task_id in known]
            return self._ran([task for task in again if task is not None], [])
        _check_overrides(definition, params.get("overrides", {}))
        asked = self._asked(params, count, cluster, definition)
        check_launch(params, definition)
        wish = checked(params, definition.get("placementConstraints", []))
        launch_type = params.get("launchType")
        if not launch_type and wants_instance(definition, wish):
            launch_type = "EC2"
        tasks, failures = self._placed(asked, launch_type, wish)
        self._begin("RunTask", tasks, params, definition)
        return self._ran(tasks, failures)

    def _begin(
        self,
        operation: str,
        tasks: Sequence[Task],
        params: Plain,
        definition: Definition,
    ) -> None:
        """Written down, and only then set in motion."""
        tags = self._tags.propagated(params.get("propagateTags"), "", definition)
        with self._state.together():
            self._new.save(tasks, tags + params.get("tags", []))
            self._tokens.remember(operation, params, [task["id"] for task in tasks])
        for task in tasks:
            self._tasks.poke(task["id"])

    def _asked(
        self,
        params: Plain,
        count: int,
        cluster: Cluster,
        definition: Definition,
    ) -> list[Task]:
        """The rows of the tasks that a RunTask asks for."""
        strategy = strategy_of(params, cluster, self._clusters.known_providers())
        placed: Counter[str] = Counter()
        tasks = []
        for _ in range(count):
            task = self._one(params, cluster, definition)
            if provider := next_provider(strategy, placed):
                task["capacityProviderName"] = provider
            if platform := params.get("platformVersion"):
                task["platformVersion"] = platform
            placed[provider] += 1
            tasks.append(task)
        return tasks

    def _one(self, params: Plain, cluster: Cluster, definition: Definition) -> Task:
        """A row as RunTask and StartTask ask for it."""
        group = params.get("group") or f"family:{definition['family']}"
        overrides = params.get("overrides", {})
        task = self._new.blank(cluster["clusterArn"], definition, group, overrides)
        task["startedBy"] = params.get("startedBy", "")
        task["enableExecuteCommand"] = bool(params.get("enableExecuteCommand"))
        with_subnet(task, params.get("networkConfiguration", {}))
        return task

    def _placed(
        self,
        asked: Sequence[Task],
        launch_type: str | None,
        wish: Wish,
    ) -> tuple[list[Task], list[Plain]]:
        """Those that have a place, and for the others why each instance does not take them.

        Where nobody says a launch type, they go to instances if the cluster has any (as on AWS),
        else they run as on Fargate (ours).
        """
        placed: list[Task] = []
        failures: list[Plain] = []
        for task in asked:
            instances = self._new.instances(task["clusterArn"])
            wanted = launch_type or ("EC2" if instances else "FARGATE")
            if not on_instances(wanted, task.get("capacityProviderName", "")):
                placed.append(task)
                continue
            if not instances:
                raise invalid("No Container Instances were found in your cluster.")
            place = self._new.place(task, placed, wish)
            if place is None:
                failures += self._reasons(instances, task, placed, wish)
                continue
            task["containerInstanceArn"] = place["containerInstanceArn"]
            placed.append(task)
        return placed, failures

    def _reasons(
        self,
        instances: Iterable[Instance],
        task: Task,
        beside: Sequence[Task],
        wish: Wish,
    ) -> Iterable[Plain]:
        """Why each of them does not take the task."""
        tasks = [*self._state.tasks.all(), *beside]
        for instance in instances:
            yield {
                "arn": instance["containerInstanceArn"],
                "reason": lacks(instance, task, tasks, wish),
            }

    def _ran(self, tasks: Iterable[Task], failures: list[Plain]) -> Plain:
        """The answer of a RunTask or StartTask: tasks as they are now."""
        rows = [self._state.tasks.get(task["id"]) or task for task in tasks]
        return {
            "tasks": [{**show_task(row), "tags": self._tags.of(row["taskArn"])} for row in rows],
            "failures": failures,
        }

    async def start(self, params: Plain) -> Plain:
        """StartTask: one task on each of the named container instances."""
        cluster = self._clusters.find(params.get("cluster"))
        definition = self._definitions.startable(params["taskDefinition"])
        names = params["containerInstances"]
        if not names:
            raise invalid("Container Instances cannot be empty.")
        if len(names) > _MOST_STARTED:
            raise invalid(f"Container Instances cannot be more than {_MOST_STARTED}.")
        refuse(params, _REFUSED, "StartTask")
        _check_texts(params)
        _check_overrides(definition, params.get("overrides", {}))
        check_mode(definition, params.get("networkConfiguration"))
        tasks: list[Task] = []
        failures: list[Plain] = []
        for name in names:
            task = self._one(params, cluster, definition)
            instance = self._instances.find(cluster, name)
            if instance is None:
                failures.append(missing(self._instances.arn(cluster, name)))
            elif reason := lacks(instance, task, [*self._state.tasks.all(), *tasks]):
                failures.append({"arn": instance["containerInstanceArn"], "reason": reason})
            else:
                task["containerInstanceArn"] = instance["containerInstanceArn"]
                tasks.append(task)
        self._begin("StartTask", tasks, params, definition)
        return self._ran(tasks, failures)

    async def stop(self, params: Plain) -> Plain:
        """StopTask.

        Raises AwsError for a task that is not there; one that is already stopping keeps its first
        reason.
        """
        cluster = self._clusters.find(params.get("cluster"))
        task = self._lookup.task(cluster, params["task"])
        if task is None:
            raise invalid("The referenced task was not found.")
        reason = params.get("reason", "Task stopped by user")
        self._tasks.stop(task["id"], "UserInitiated", reason)
        return {"task": show_task(self._state.tasks[task["id"]])}

    async def describe(self, params: Plain) -> Plain:
        """DescribeTasks: at most 100; what is not there stands in ``failures`` as MISSING."""
        self._clusters.find(params.get("cluster"))
        if not params["tasks"]:
            raise invalid("Tasks cannot be empty.")
        found, failures = self._lookup.tasks(params, _MOST_DESCRIBED)
        shown = [show_task(task) for task in found]
        if "TAGS" in params.get("include", []):
            for task in shown:
                task["tags"] = self._tags.of(task["taskArn"])
        return {
            "tasks": shown,
            "failures": failures,
        }

    async def list_tasks(self, params: Plain) -> Plain:
        """ListTasks: one page of ARNs, by default of tasks that are wanted to run."""
        cluster = self._clusters.find(params.get("cluster"))
        if params.get("serviceName"):
            self._lookup.known_service(cluster, params["serviceName"])
        arns = [
            task["taskArn"] for task in self._state.tasks.all() if _listed(task, cluster, params)
        ]
        return page("taskArns", arns, params, 100)


def _check_texts(params: Plain) -> None:
    """Raise AwsError for texts that ECS does not take."""
    if not _STARTED_BY.fullmatch(params.get("startedBy", "")):
        raise invalid(
            "startedBy: up to 128 letters, numbers, hyphens, slashes and underscores are allowed."
        )
    if params.get("group", "").startswith("service:"):
        raise invalid("The group name 'service:' is reserved.")
    if params.get("propagateTags") == "SERVICE":
        raise invalid("propagateTags: SERVICE is for tasks of services.")
    if len(json.dumps(params.get("overrides", {}))) > _LONGEST_OVERRIDES:
        raise invalid(f"overrides can have at most {_LONGEST_OVERRIDES} characters.")
    if len(params.get("referenceId", "")) > _LONGEST_REFERENCE:
        raise invalid(f"referenceId can have at most {_LONGEST_REFERENCE} characters.")


def _listed(task: Task, cluster: Cluster, params: Plain) -> bool:
    """Does ListTasks name it?  What is not asked for does not matter."""
    family, _ = family_and_revision(task)
    service = params.get("serviceName")
    same = (
        task["clusterArn"] == cluster["clusterArn"]
        and task["desiredStatus"] == params.get("desiredStatus", "RUNNING")
        and params.get("family") in (None, "", family)
        and params.get("startedBy") in (None, "", task["startedBy"])
        and params.get("launchType") in (None, launch_type_of(task))
    )
    instance = params.get("containerInstance")
    if instance and short(instance) != short(task.get("containerInstanceArn", "")):
        return False
    return same and (not service or task["group"] == f"service:{short(service)}")


def _check_overrides(definition: Definition, overrides: Overrides) -> None:
    """Raise AwsError for overrides of containers that the definition has not, for accelerators, and
    for a size that Fargate has not."""
    containers = overrides.get("containerOverrides", [])
    wants_more = any("resourceRequirements" in each for each in containers)
    if overrides.get("inferenceAcceleratorOverrides") or wants_more:
        raise unsupported("RunTask: kirikae local has no accelerators")
    try:
        changed = with_overrides(definition, overrides)
    except KeyError as error:
        raise invalid(
            f"Override for container named {error.args[0]} is not a container in the "
            "TaskDefinition."
        ) from error
    if "FARGATE" in definition.get("requiresCompatibilities", []):
        problem = size_problem(int(changed["cpu"]), int(changed["memory"]))
        if problem:
            raise invalid(f"No Fargate configuration exists for given values: {problem}")


OPERATIONS: Handlers[Running] = {
    "RunTask": Running.run,
    "StartTask": Running.start,
    "StopTask": Running.stop,
    "DescribeTasks": Running.describe,
    "ListTasks": Running.list_tasks,
}
PARTLY = {
    "StartTask": "as RunTask",
    "RunTask": "launch types FARGATE and EC2 (on container instances, which are records: all tasks "
    "run on this machine); `networkConfiguration` is required where the request says "
    "Fargate, and kept without effect; refused: "
    f"{', '.join(_REFUSED)}",
}
"""Operations of which something is missing, and what."""
