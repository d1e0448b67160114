"""The ECS API: all its parts over one store."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.local.ecs import (
    clusters,
    definitions,
    deploymentapi,
    execapi,
    instances,
    protection,
    providers,
    running,
    serviceapi,
    settings,
    tags,
    tasksets,
)
from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.grounds import Grounds
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.newtasks import NewTasks
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.taskrow import is_live
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.ecs.tokens import Tokens
from kirikae.local.elb.targets import Targets
from kirikae.local.state import State
from kirikae.local.wire import ACCOUNT, Operation, bound

# AWS shows a stopped task for about an hour (botocore, ecs ListTasks).
STOPPED_KEPT_S = 3600
_PARTS = (
    clusters,
    instances,
    providers,
    settings,
    definitions,
    tags,
    running,
    protection,
    serviceapi,
    tasksets,
    deploymentapi,
    execapi,
)
NAMES: frozenset[str] = frozenset(name for part in _PARTS for name in part.OPERATIONS)
"""Every operation that is carried out."""
PARTLY: Mapping[str, str] = {
    **definitions.PARTLY,
    **running.PARTLY,
    **serviceapi.PARTLY,
    **clusters.PARTLY,
    **settings.PARTLY,
    **instances.PARTLY,
    **providers.PARTLY,
    **tasksets.PARTLY,
    **execapi.PARTLY,
}
"""Operations of which something is missing, and what."""


class Ecs:
    """The parts of the ECS API, each made once and given what it needs.

    ``tags``, ``protection`` and ``new_tasks`` are asked by others, too.
    """

    def __init__(
        self,
        state: State,
        tasks: Tasks,
        targets: Targets,
        agenda: Agenda,
        region: str,
        outside: Outside | None = None,
    ) -> None:
        """Only puts the parts together: nothing is read, started or written here."""
        grounds = Grounds(outside)
        networking = outside.networking if outside is not None else None
        prefix = f"arn:aws:ecs:{region}:{ACCOUNT}:"
        self._state = state
        self._tasks = tasks
        self._tokens = Tokens(state)
        self.tags = tags.Tags(state)
        self._clusters = clusters.Clusters(state, self.tags, prefix)
        self._instances = instances.Instances(state, self._clusters, self.tags, prefix, networking)
        self._providers = providers.Providers(state, self.tags, prefix)
        self._definitions = definitions.Definitions(state, self.tags, prefix)
        self._settings = settings.AccountSettings(state)
        self.new_tasks = NewTasks(state, self._definitions, self.tags, tasks)
        lookup = Lookup(state, self._clusters, prefix)
        self.protection = protection.Protection(state, self._clusters, lookup, agenda)
        self._running = running.Running(
            state,
            self._clusters,
            self._definitions,
            self.tags,
            lookup,
            self._tokens,
            tasks,
            self.new_tasks,
            self._instances,
            grounds,
        )
        self._services = serviceapi.ServiceApi(
            state,
            self._clusters,
            self._definitions,
            self.tags,
            lookup,
            self._tokens,
            targets,
            agenda,
            grounds,
        )
        self._task_sets = tasksets.TaskSets(
            state,
            self._clusters,
            self._definitions,
            self.tags,
            lookup,
            agenda,
            self._services.bindings,
        )
        self._deployments = deploymentapi.DeploymentApi(
            state, self._clusters, self._definitions, lookup, agenda
        )
        self._exec = execapi.ExecApi(self._clusters, lookup, tasks.engine_name)

    def operations(self) -> dict[str, Operation]:
        """Operation's name (as botocore spells it) -> what carries it out; its keys are
        ``NAMES``."""
        return {
            **bound(clusters.OPERATIONS, self._clusters),
            **bound(instances.OPERATIONS, self._instances),
            **bound(providers.OPERATIONS, self._providers),
            **bound(settings.OPERATIONS, self._settings),
            **bound(definitions.OPERATIONS, self._definitions),
            **bound(tags.OPERATIONS, self.tags),
            **bound(running.OPERATIONS, self._running),
            **bound(protection.OPERATIONS, self.protection),
            **bound(serviceapi.OPERATIONS, self._services),
            **bound(tasksets.OPERATIONS, self._task_sets),
            **bound(deploymentapi.OPERATIONS, self._deployments),
            **bound(execapi.OPERATIONS, self._exec),
        }

    def forget(self, now: float) -> None:
        """Drop what was visible long enough: stopped tasks, client tokens, deleted definitions and
        services."""
        for task in self._state.tasks.all():
            stopped = task.get("stoppedAt")
            if task["lastStatus"] == "STOPPED" and stopped and now - stopped > STOPPED_KEPT_S:
                self._state.tasks.drop(task["id"])
                self._state.tags.drop(task["taskArn"])
        self._tokens.forget(now)
        self._clusters.forget_deleted(now)
        used = {task["taskDefinitionArn"] for task in self._state.tasks.all()}
        used |= {service["taskDefinition"] for service in self._state.services.all()}
        self._definitions.forget_deleted(used)

    # --- trouble on purpose

    def interrupt_spot(self, percent: int, dry_run: bool = False) -> list[str]:
        """Take this part of the running FARGATE_SPOT tasks away, as AWS does, the oldest first; the
        answer is their ARNs."""
        spot = [
            task
            for task in self._state.tasks.all()
            if is_live(task) and task.get("capacityProviderName") == "FARGATE_SPOT"
        ]
        part = -(-len(spot) * percent // 100)
        chosen = sorted(spot, key=lambda task: task["createdAt"])[:part]
        if not dry_run:
            for task in chosen:
                reason = "Your Spot Task was interrupted."
                self._tasks.stop(task["id"], "SpotInterruption", reason)
        return [task["taskArn"] for task in chosen]
