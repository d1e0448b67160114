"""Where a fault is made: AWS or kirikae local, the service that it is aimed at, and the guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kirikae.aws.session import Aws, configured_region
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.context import desk_of, load_project, open_aws
from kirikae.console.drill_production import MEANT, OF_THIS_MACHINE, is_production
from kirikae.console.here import Here
from kirikae.drill.acts import Ground
from kirikae.drill.errors import TooDangerous
from kirikae.drill.faults import Prepared
from kirikae.drill.fleet import Fleet, look
from kirikae.drill.undoing import Undoings
from kirikae.hosts.files import STATE_FOLDER
from kirikae.model.errors import UsageProblem
from kirikae.model.project import Project

_OUTAGE = "--i-mean-an-outage"


@dataclass(frozen=True, slots=True)
class Scene:
    """``project``: None where cluster and service were named without one."""

    here: Here
    project: Project | None
    ground: Ground
    cluster: str
    service: str
    who: str

    @property
    def is_local(self) -> bool:
        """Does an endpoint of this machine answer in AWS's place?"""
        return urlsplit(self.ground.aws.endpoint).hostname in OF_THIS_MACHINE

    @property
    def where(self) -> str:
        """Endpoint and region."""
        return f"{self.ground.aws.endpoint or 'aws'} {self.ground.aws.region}"

    @property
    def undoings(self) -> Undoings:
        return undoings_of(self.here)

    def fleet(self) -> Fleet:
        """The service as it is.  Raises NotThere."""
        engine = self.ground.engine
        return look(
            self.ground.aws,
            self.cluster,
            self.service,
            engine.has_container if self.is_local else lambda _: False,
        )


def undoings_of(here: Here) -> Undoings:
    """Beside the project file."""
    return Undoings(here.folder / STATE_FOLDER / "drill")


def scene(
    here: Here,
    cluster: str | None,
    service: str | None,
    needs_project: bool = True,
) -> Scene:
    """Named ones win over the project file's new side.  Raises UsageProblem."""
    project = _project(here, needed=needs_project and not (cluster and service))
    if project is None:
        region = configured_region()
        if region is None:
            raise UsageProblem("which region? set AWS_REGION, or name a project file (--project)")
        aws = Aws(region, here.read_only)
        who = aws.caller().arn
    else:
        aws, who = open_aws(here, project)
    engine = ContainerEngine.of(here.environment)
    new = project.fleets.new if project is not None else None
    return Scene(
        here=here,
        project=project,
        ground=Ground(aws, engine, _taker_of_spot(aws.endpoint)),
        cluster=cluster or (new.cluster if new is not None else ""),
        service=service or (new.ecs_service if new is not None else ""),
        who=who,
    )


def _project(here: Here, needed: bool) -> Project | None:
    """A project file that is not needed need not be there, but must be right if it is."""
    if not needed and not Path(here.project_file).exists():
        return None
    return load_project(here)


def _taker_of_spot(endpoint: str) -> Callable[[str], bool]:
    """Takes that one task, if it is the oldest on Spot: kirikae local takes the oldest first."""
    from kirikae.local.control import interrupt_spot_at

    port = urlsplit(endpoint).port

    def take(task: str) -> bool:
        if port is None or interrupt_spot_at(port, 1, True) != [task]:
            return False
        return interrupt_spot_at(port, 1, False) == [task]

    return take


def assert_lawful(
    found: Scene,
    fleet: Fleet,
    prepared: Prepared,
    means_production: bool,
    means_outage: bool,
) -> None:
    """Raises TooDangerous."""
    if _is_production(found) and not means_production:
        named = found.project.environment if found.project is not None else "not known"
        raise TooDangerous(
            f"the environment is {named!r}: a fault there hits those who use it; rehearse it on "
            f"`kirikae local` or in staging, or say {MEANT}"
        )
    if prepared.share >= 1 and not means_outage:
        raise TooDangerous(
            f"{prepared.name} hits all of {fleet.service} ({len(fleet.tasks)} running task); give "
            f"it a second task first, or say {_OUTAGE}"
        )
    if fleet.has_failed:
        raise TooDangerous(
            f"the newest deployment of {fleet.service} has failed: ECS starts no task in place of "
            f"one that ends. Deploy it anew first (`aws ecs update-service --cluster "
            f"{fleet.cluster} --service {fleet.service} --force-new-deployment`)"
        )
    if found.project is not None and prepared.name != "kirikae-loss":
        _assert_no_open_act(found, found.project)


def _is_production(found: Scene) -> bool:
    """What is not known is taken for production, except on this machine."""
    if found.project is None:
        return not found.is_local
    return is_production(found.project.environment, found.is_local)


def _assert_no_open_act(found: Scene, project: Project) -> None:
    """A move between intent and outcome is left alone."""
    for name in project.moves:
        move = desk_of(found.here, project, name, found.ground.aws, found.who).read()
        if move is not None and move.intent is not None:
            raise TooDangerous(
                f"the move {name} is in the middle of an act ({move.intent}); let it end "
                f"(`kirikae move status {name}`), then drill"
            )
