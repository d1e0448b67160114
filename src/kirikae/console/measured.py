"""What is measured for monitoring: the same looks as the verbs of status, gathered.

A move that cannot be looked at keeps no other one from being told, and says so itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from kirikae import __version__
from kirikae.aws.errors import WrongAccount
from kirikae.aws.session import Aws
from kirikae.console.context import Desk, desk_of, load_project, open_store
from kirikae.console.drill_reports import FOLDER, DrillSeen, drills_in
from kirikae.console.here import Here
from kirikae.console.outlook import Standing, standing
from kirikae.console.surveyed import hosts_of, shelf_of, survey_findings
from kirikae.console.watching import look_at
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Evidence
from kirikae.model.finding import Finding
from kirikae.model.project import Project
from kirikae.move.errors import UnknownMove
from kirikae.release.ledger import Deployed, Ledger
from kirikae.release.status import ServiceNow
from kirikae.release.status import standing as release_standing

_PATIENCE_S = 5.0
"""How long the journal's file may be locked by another process: a scrape ends before its own
time does."""
_AT_ONCE = 8
T = TypeVar("T")
KEPT_S = 10.0
"""So long one look serves everybody who scrapes: AWS is asked no oftener."""


@dataclass(frozen=True, slots=True)
class MoveSeen:
    """One move of the project file.  ``standing``: None where it was never planned, or where
    ``trouble`` says why it could not be looked at."""

    name: str
    kind: str
    standing: Standing | None = None
    evidence: Evidence | None = None
    at: float | None = None
    """When its last entry was written, by the writer's clock."""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ReleasesSeen:
    """The ledger, and what runs of the new fleet's services; None: there is no active one."""

    ledger: Sequence[Deployed]
    services: Mapping[str, ServiceNow | None]


@dataclass(frozen=True, slots=True)
class SurveySeen:
    """The findings of the newest survey, and how old each host's look is; None: there is none."""

    findings: Sequence[Finding]
    ages_s: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that monitoring is told.  None: it could not be looked at, see ``troubles``."""

    project: Project
    moves: Sequence[MoveSeen]
    releases: ReleasesSeen | None
    survey: SurveySeen | None
    at: float
    drills: Sequence[DrillSeen] = ()
    version: str = __version__
    troubles: Sequence[str] = ()


def measured(here: Here) -> Measured:
    """Reads only.  Raises what keeps everything from being looked at: a project file with faults,
    the wrong account."""
    project = load_project(here)
    aws = Aws(project.region, here.read_only)
    troubles: list[str] = []
    who = _who(aws, project, troubles)

    def look(name: str) -> MoveSeen:
        desk = desk_of(here, project, name, aws, who, _PATIENCE_S)
        return move_seen(desk)

    with ThreadPoolExecutor(_AT_ONCE, "measure") as pool:
        moves = list(pool.map(look, project.moves))
    troubles += [f"{each.name}: {each.trouble}" for each in moves if each.trouble]
    releases = _or_trouble(
        lambda: _releases(here, project, aws, who),
        troubles,
    )
    survey = _or_trouble(
        lambda: _survey(here, project),
        troubles,
    )
    return Measured(
        project,
        moves,
        releases,
        survey,
        time.time(),
        drills_in(here.folder / FOLDER, troubles),
        troubles=troubles,
    )


def _who(aws: Aws, project: Project, troubles: list[str]) -> str:
    """Nobody, where AWS does not say: nothing is written here.  Raises WrongAccount."""
    try:
        return aws.identity(project.account)
    except WrongAccount:
        raise
    except KirikaeError as error:
        troubles.append(str(error))
        return ""


def move_seen(desk: Desk) -> MoveSeen:
    """What `move status` and `move watch --once` say of one move."""
    name = desk.name
    kind = desk.kind.name
    try:
        at = desk.journal.last(name).at
        stands = standing(desk)
        evidence = look_at(desk, stands.move).evidence
    except UnknownMove:
        return MoveSeen(name, kind)
    except KirikaeError as error:
        return MoveSeen(name, kind, trouble=str(error))
    return MoveSeen(name, kind, stands, evidence, at)


def _or_trouble(look: Callable[[], T], troubles: list[str]) -> T | None:
    """None where it could not be looked at."""
    try:
        return look()
    except KirikaeError as error:
        troubles.append(str(error))
        return None


def _releases(here: Here, project: Project, aws: Aws, who: str) -> ReleasesSeen:
    """As `release status`, but for the hosts: a scrape calls none."""
    store = open_store(here, project, aws, _PATIENCE_S)
    ledger = Ledger(
        store,
        project.environment,
        project.service,
        who,
    )
    unasked = project.model_copy(update={"release_header": None})
    found = release_standing(unasked, aws, ledger)
    name = project.fleets.new.ecs_service
    return ReleasesSeen(
        found.ledger,
        {name: found.service, **found.further},
    )


def _survey(here: Here, project: Project) -> SurveySeen:
    shelf = shelf_of(here, project)
    now = time.time()
    ages = {host.name: shelf.age_s(host.name, now) for host in hosts_of(project).every}
    return SurveySeen(survey_findings(here, project), ages)


class Kept:
    """The last look, for a while: however many scrape, one of them looks."""

    def __init__(
        self, look: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._told = ""
        self._until: float | None = None

    def __call__(self) -> str:
        """Raises what the look raises: what is old is never told as new."""
        with self._lock:
            if self._until is None or self._clock() >= self._until:
                self._told = self._look()
                self._until = self._clock() + KEPT_S
            return self._told
