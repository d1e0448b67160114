"""Which fleet a side has, as the project file says: hosts or an ECS service, or a command.

Each is imported when a project file has it: a deploy waits for what it uses alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kirikae.aws.session import Aws
from kirikae.hosts.ssh import Host
from kirikae.model.errors import UsageProblem
from kirikae.model.project import NewDeployer, OldDeployer, OldFleet, Project
from kirikae.release.balancer import Balancer
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import NoDeployer
from kirikae.release.fleet import (
    NEW,
    OLD,
    Fleet,
    Place,
    ServicePlace,
    Tell,
    further,
    service_in,
)
from kirikae.release.gate import Gate
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import Releases
from kirikae.release.scaling import Asked

if TYPE_CHECKING:
    from kirikae.release.agent.place import AgentPlace
    from kirikae.release.agent_fleet import AgentFleet
    from kirikae.release.drain import Drain
    from kirikae.release.hosts_fleet import HostsFleet


def fleets_of(project: Project, sides: Sequence[str], services: Sequence[str] = ()) -> list[str]:
    """The fleets of these sides, in their order; of the new one these services, else all of them.
    Raises UsageProblem."""
    new = project.fleets.new
    known = {new.ecs_service: NEW, **{name: further(name) for name in new.services}}
    unknown = [name for name in services if name not in known]
    if unknown:
        raise UsageProblem(
            f"--service {','.join(unknown)}: the project file knows {', '.join(known)} "
            "(`fleets.new.ecs_service` and `services`)"
        )
    if services and NEW not in sides:
        raise UsageProblem("--service names services of the new fleet; add it: --to new")
    chosen = [known[name] for name in services or known]
    return [fleet for side in sides for fleet in (chosen if side == NEW else [side])]


_ASKED_ONCE_S = 0.0
"""A command has waited by itself: its fleet is asked, not waited for."""


def agent_place(project: Project, aws: Aws, url: str) -> AgentPlace:
    """Where the agents of the hosts look."""
    from kirikae.aws.s3_shelf import shelf_at
    from kirikae.release.agent.place import AgentPlace, FolderShelf

    if url.startswith("s3://"):
        return AgentPlace(shelf_at(aws, url, project.account))
    return AgentPlace(FolderShelf(Path(url)))


@dataclass(frozen=True, slots=True)
class Fleets:
    """``folder`` is the project file's; ``timeout_s`` is for each fleet."""

    project: Project
    aws: Aws
    releases: Releases
    ledger: Ledger
    folder: Path
    environment: Mapping[str, str]
    timeout_s: float
    tell: Tell
    scaling: Asked = field(default_factory=Asked)

    def of(self, side: str) -> Fleet:
        """Raises NoDeployer."""
        service = service_in(side)
        if service:
            return self._further(service)
        return self._old() if side == OLD else self._new()

    def _old(self) -> Fleet:
        old = self.project.fleets.old
        if old.deployer is None:
            raise NoDeployer(
                "the project file does not say how releases get onto the hosts; add "
                "`fleets.old.deployer`"
            )
        if not old.hosts:
            raise NoDeployer("the project file names no hosts; add `fleets.old.hosts`")
        hosts = [Host(url) for url in old.hosts]
        if old.deployer.command is not None:
            return self._by_command(
                OLD,
                old.deployer.command,
                hosts,
            )
        balancer = Balancer(self.aws, old.target_group)
        if old.deployer.agent is not None:
            return self._by_agents(old, old.deployer, hosts, balancer)
        return self._by_ssh(old, old.deployer, hosts, balancer)

    def _by_ssh(
        self,
        old: OldFleet,
        settings: OldDeployer,
        hosts: list[Host],
        balancer: Balancer,
    ) -> HostsFleet:
        from kirikae.release.drain import addresses_of
        from kirikae.release.hosts_fleet import HostsFleet

        return HostsFleet(
            hosts,
            settings,
            self.releases,
            self._gate(settings.patience),
            balancer.wait_until_healthy,
            self.tell,
            drain=self._drain(old, addresses_of) if settings.drain else None,
        )

    def _by_agents(
        self,
        old: OldFleet,
        settings: OldDeployer,
        hosts: list[Host],
        balancer: Balancer,
    ) -> AgentFleet:
        from kirikae.release.agent.desired import Recipe
        from kirikae.release.agent_fleet import AgentFleet

        place = agent_place(self.project, self.aws, settings.agent or "")
        recipe = Recipe(settings, old.port, self.project.release_header, self.project.checks)
        return AgentFleet(
            hosts,
            recipe,
            self.releases,
            place,
            balancer.wait_until_healthy,
            self.tell,
            drain=self._drain(old, place.addresses) if settings.drain else None,
        )

    def _drain(self, old: OldFleet, addresses: Callable[[Host], Iterable[str]]) -> Drain:
        from kirikae.release.drain import Drain

        return Drain(
            self.aws,
            old.target_group,
            self.releases.store,
            f"{self.project.environment}/{self.project.service}",
            self.tell,
            addresses,
        )

    def _new(self) -> Fleet:
        new = self.project.fleets.new
        deployer = new.deployer
        self._assert_scales(deployer)
        if deployer is not None and deployer.command is not None:
            return self._by_command(
                NEW,
                deployer.command,
                [],
            )
        ours = self._of_service(
            NEW,
            ServicePlace(new.cluster, new.ecs_service, new.group),
            new.definitions,
        )
        if deployer is not None and deployer.ecspresso is not None:
            from kirikae.release.ecspresso_fleet import EcspressoFleet

            return EcspressoFleet(ours, deployer.ecspresso)
        if deployer is not None and deployer.codedeploy is not None:
            from kirikae.release.codedeploy_fleet import CodeDeployFleet

            return CodeDeployFleet(ours, deployer.codedeploy)
        return ours

    def _assert_scales(self, deployer: NewDeployer | None) -> None:
        """A deployer of the user's own is given its flags by the user.  Raises UsageProblem."""
        if not self.scaling.anything or deployer is None:
            return
        if deployer.command is not None or deployer.ecspresso is not None:
            raise UsageProblem(
                "flags for auto scaling are kirikae's own deployers'; here `fleets.new.deployer` "
                "names a command: let that do it (ecspresso has the same flags)"
            )

    def places(self, sides: Iterable[str]) -> Iterator[Place]:
        """The ECS services among these fleets, as far as kirikae knows that they are some."""
        new = self.project.fleets.new
        for side in sides:
            service = service_in(side)
            if service:
                group = new.services[service].target_group
                yield ServicePlace(new.cluster, service, group)
            elif side == NEW and not (new.deployer and new.deployer.command):
                yield ServicePlace(new.cluster, new.ecs_service, new.group)

    def _further(self, service: str) -> Fleet:
        new = self.project.fleets.new
        settings = new.services[service]
        return self._of_service(
            further(service),
            ServicePlace(new.cluster, service, settings.target_group),
            settings.definitions,
        )

    def _of_service(
        self,
        side: str,
        place: Place,
        definitions: str,
    ) -> EcsFleet:
        return EcsFleet(
            self.aws,
            place,
            self.releases,
            self.folder / definitions,
            self.environment,
            self.timeout_s,
            self.tell,
            side,
            self.scaling,
        )

    def _by_command(
        self,
        side: str,
        command: str,
        hosts: list[Host],
    ) -> Fleet:
        from kirikae.release.command_fleet import CommandFleet

        return CommandFleet(
            side=side,
            command=command,
            folder=self.folder,
            environment=self.environment,
            timeout_s=self.timeout_s,
            releases=self.releases,
            needs_archive=side == OLD,
            ledger=self.ledger,
            hosts=hosts,
            gate=self._gate(_ASKED_ONCE_S),
            tell=self.tell,
        )

    def _gate(self, patience_s: float) -> Gate:
        return Gate(
            self.project.fleets.old.port,
            self.project.checks,
            self.project.release_header,
            patience_s,
        )
