"""What was deployed, and what each member says it runs now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError
from kirikae.model.project import Project
from kirikae.release.fleets import agent_place
from kirikae.release.ledger import Deployed, Ledger
from kirikae.release.stopped import StoppedTask, Stops

if TYPE_CHECKING:
    from kirikae.release.agent.place import AgentPlace


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
    stopped: Sequence[StoppedTask] = ()
    """Why tasks of the services stopped lately: of their newest deployments."""
    further: Mapping[str, ServiceNow | None] = field(default_factory=dict)
    """Name -> a further service of the new fleet."""

    def to_plain(self) -> dict[str, Any]:
        return {
            "ledger": [entry.to_plain() for entry in self.ledger],
            "service": None if self.service is None else self.service.to_plain(),
            "hosts": dict(self.hosts),
            "stopped": [task.to_plain() for task in self.stopped],
            "services": {
                name: None if now is None else now.to_plain() for name, now in self.further.items()
            },
        }


def standing(project: Project, aws: Aws, ledger: Ledger) -> Standing:
    new = project.fleets.new
    looked = {name: _seen(aws, new.cluster, name) for name in (new.ecs_service, *new.services)}
    stopped = [each for _, stops in looked.values() for each in stops]
    service, _ = looked.pop(new.ecs_service)
    return Standing(
        ledger.all(),
        service,
        _hosts(project, aws),
        stopped,
        {name: now for name, (now, _) in looked.items()},
    )


def _seen(
    aws: Aws, cluster: str, service: str
) -> tuple[ServiceNow | None, tuple[StoppedTask, ...]]:
    """What runs, and why tasks stopped; None: there is no such active service."""
    found = ecs.service(
        aws,
        cluster,
        service,
    )
    if found is None:
        return None, ()
    now = ServiceNow(
        found["taskDefinition"],
        found["runningCount"],
        found["desiredCount"],
    )
    return now, _stopped(Stops(aws, cluster, service), found)


def _stopped(stops: Stops, row: Mapping[str, Any]) -> tuple[StoppedTask, ...]:
    """Of every deployment that is not done; after a rollback that is the one that failed."""
    open_ones = [each for each in row["deployments"] if each.get("rolloutState") != "COMPLETED"]
    short = row["runningCount"] < row["desiredCount"]
    asked = row["deployments"] if short else open_ones
    return tuple(stopped for each in asked for stopped in stops.of(each["id"]))


def _hosts(project: Project, aws: Aws) -> dict[str, str]:
    """Nobody is asked where the service does not tell its release."""
    deployer = project.fleets.old.deployer
    if deployer is not None and deployer.agent is not None:
        return _told_by_agents(project, agent_place(project, aws, deployer.agent))
    if project.release_header is None:
        return {}
    header = project.release_header.lower()
    return {
        url: _reported(
            project,
            Host(url),
            header,
        )
        for url in project.fleets.old.hosts
    }


def _told_by_agents(project: Project, place: AgentPlace) -> dict[str, str]:
    told = {}
    for url in project.fleets.old.hosts:
        report = place.report(Host(url).name)
        told[url] = "nothing: its agent has never reported" if report is None else report.says
    return told


def _reported(project: Project, host: Host, header: str) -> str:
    path = project.checks[0].get if project.checks else "/"
    try:
        answer = host.get(project.fleets.old.port, path)
    except KirikaeError as error:
        # One line of a table, whatever the host or ssh said.
        return f"nothing: {' '.join(str(error).split())}"
    return answer.headers.get(header, "no release ID")
