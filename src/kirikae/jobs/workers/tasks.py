"""The new side's consumers: tasks of an ECS service that has no load balancer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs, logs
from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws
from kirikae.jobs.workers.units import Count, Counted
from kirikae.model.errors import AwsUnreachable

_DEFAULT_STOP_S = 30
"""ECS's stopTimeout where a container gives none (API reference, ContainerDefinition)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The service as it is: tasks that are wanted, that run, that are on their way."""

    desired: int
    running: int
    pending: int
    definition: str
    balanced: bool


@dataclass(frozen=True, slots=True)
class Definition:
    """What matters of a task definition.  ``groups``: where its containers log to."""

    groups: tuple[str, ...]
    stop_s: int


class Service:
    """The service, by its name."""

    def __init__(self, aws: Aws, cluster: str, name: str) -> None:
        self._aws = aws
        self.cluster = cluster
        self.name = name

    def look(self) -> Wanted:
        """Raises NotThere, AwsUnreachable."""
        found = ecs.service(self._aws, self.cluster, self.name)
        if found is None:
            raise NotThere(
                "DescribeServices",
                "ServiceNotFoundException",
                f"there is no service {self.name} in {self.cluster}; create it with 0 tasks first",
            )
        return Wanted(
            found["desiredCount"],
            found["runningCount"],
            found["pendingCount"],
            found["taskDefinition"],
            bool(found.get("loadBalancers")),
        )

    def want(self, tasks: int) -> None:
        """Set, don't add: asking again for the same changes nothing."""
        ecs.update_service(self._aws, self.cluster, self.name, {"desiredCount": tasks})

    def ending(self) -> int:
        """Tasks that were told to stop and still end what they have begun."""
        told = ecs.tasks(self._aws, self.cluster, self.name, "STOPPED")
        return sum(each.get("lastStatus") != "STOPPED" for each in told)

    def why_not(self) -> str:
        """Why the last task stopped, in AWS's words; empty where it is not known."""
        try:
            stopped = ecs.tasks(self._aws, self.cluster, self.name, "STOPPED")
        except (AwsRefused, AwsUnreachable):
            return ""
        reasons = [each.get("stoppedReason", "") for each in sorted(stopped, key=_stopped_at)]
        return next((reason for reason in reversed(reasons) if reason), "")

    def definition(self, arn: str) -> Definition:
        """Raises AwsRefused, AwsUnreachable."""
        containers = ecs.task_definition(self._aws, arn)["containerDefinitions"]
        groups = sorted({group for each in containers if (group := _group_of(each))})
        stops = [each.get("stopTimeout") or _DEFAULT_STOP_S for each in containers]
        return Definition(tuple(groups), min(stops))

    def counted(
        self,
        groups: Iterable[str],
        since: float,
        until: float,
        count: Count,
    ) -> Counted:
        """What the tasks logged in [since, until).  Raises NotThere, AwsUnreachable."""
        told = (count(logs.lines(self._aws, group, since, until)) for group in groups)
        return sum(told, Counted())


def _stopped_at(task: dict[str, Any]) -> float:
    at = task.get("stoppedAt")
    return float(at.timestamp()) if at is not None else 0.0


def _group_of(container: dict[str, Any]) -> str:
    """The group of a container that logs by awslogs; empty: it logs elsewhere."""
    configured = container.get("logConfiguration") or {}
    if configured.get("logDriver") != "awslogs":
        return ""
    return str(configured.get("options", {}).get("awslogs-group", ""))
