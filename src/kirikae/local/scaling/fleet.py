"""The services of ECS, as far as scaling needs them."""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.local.alarms.book import region_of
from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.taskrow import tasks_of
from kirikae.local.rows import Service
from kirikae.local.scaling.forms import place_of
from kirikae.local.scaling.rows import Target
from kirikae.local.state import State
from kirikae.local.wire import ACCOUNT


@dataclass(frozen=True, slots=True)
class Now:
    """A service at this moment.  ``running``: tasks that run and are not asked to stop."""

    running: int
    desired: int
    deploying: bool


class Fleet:
    """Of all regions."""

    def __init__(
        self,
        state: State,
        agenda: Agenda,
    ) -> None:
        self._state = state
        self._agenda = agenda

    def now(
        self,
        region: str,
        resource: str,
    ) -> Now | None:
        """None for a service that is not there, or goes."""
        service = self._service(region, resource)
        if service is None:
            return None
        return Now(
            self._running(service),
            service["desiredCount"],
            is_deploying(service),
        )

    def want(
        self,
        target: Target,
        desired: int,
    ) -> None:
        """Write it down; part of the transaction of whoever decided."""
        service = self._service(region_of(target["arn"]), target["resource"])
        if service is not None:
            arn = service["serviceArn"]
            self._state.services.put(arn, {**service, "desiredCount": desired})
            self._agenda.wake(arn)

    def _running(self, service: Service) -> int:
        tasks = tasks_of(service, self._state.tasks.all())
        return sum(
            task["lastStatus"] == "RUNNING" and task["desiredStatus"] == "RUNNING" for task in tasks
        )

    def _service(
        self,
        region: str,
        resource: str,
    ) -> Service | None:
        cluster, name = place_of(resource)
        arn = f"arn:aws:ecs:{region}:{ACCOUNT}:service/{cluster}/{name}"
        found = self._state.services.get(arn)
        return found if found is not None and found["status"] == "ACTIVE" else None


def is_deploying(service: Service) -> bool:
    """Does one deployment replace another, or has the first one not ended yet?"""
    deployments = service["deployments"]
    return len(deployments) > 1 or any(
        each["rolloutState"] == "IN_PROGRESS" for each in deployments
    )
