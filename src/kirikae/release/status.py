"""What was deployed, and what each member says it runs now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError
from kirikae.model.project import Project
from kirikae.release.ledger import Deployed, Ledger


@dataclass(frozen=True, slots=True)
class ServiceNow:
    """The ECS service of the new fleet, as AWS sees it."""

    task_definition: str
    running: int
    desired: int

    def to_plain(self) -> dict[str, Any]:
        """With the API's own keys."""
        return {
            "taskDefinition": self.task_definition,
            "runningCount": self.running,
            "desiredCount": self.desired,
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """``service`` None: the new fleet has no active one.  ``hosts``: URL -> the release that it
    reports, in words."""

    ledger: Sequence[Deployed]
    service: ServiceNow | None
    hosts: Mapping[str, str]

    def to_plain(self) -> dict[str, Any]:
        return {
            "ledger": [entry.to_plain() for entry in self.ledger],
            "service": None if self.service is None else self.service.to_plain(),
            "hosts": dict(self.hosts),
        }


def standing(project: Project, aws: Aws, ledger: Ledger) -> Standing:
    return Standing(ledger.all(), _service(project, aws), _hosts(project))


def _service(project: Project, aws: Aws) -> ServiceNow | None:
    new = project.fleets.new
    found = ecs.service(aws, new.cluster, new.ecs_service)
    if found is None:
        return None
    return ServiceNow(found["taskDefinition"], found["runningCount"], found["desiredCount"])


def _hosts(project: Project) -> dict[str, str]:
    """Nobody is asked where the service does not tell its release."""
    if project.release_header is None:
        return {}
    header = project.release_header.lower()
    return {url: _reported(project, Host(url), header) for url in project.fleets.old.hosts}


def _reported(project: Project, host: Host, header: str) -> str:
    path = project.checks[0].get if project.checks else "/"
    try:
        answer = host.get(project.fleets.old.port, path)
    except KirikaeError as error:
        return f"nothing: {error}"
    return answer.headers.get(header, "no release ID")
