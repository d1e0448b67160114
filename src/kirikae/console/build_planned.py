"""What the survey found of the old fleet, and what build makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from kirikae.build.needs import Needs
from kirikae.build.places import Places
from kirikae.build.plan import Plan
from kirikae.build.plan import plan as plan_of
from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.surveyed import bundles_of
from kirikae.model.bundle import Bundle
from kirikae.model.project import Project
from kirikae.model.workload import Workload
from kirikae.survey.workload import workload

_SHOWN = 20
"""So many open questions of one kind are shown."""


@dataclass(frozen=True)
class Planned:
    """What the survey found of the old fleet, and what follows from it."""

    project: Project
    bundles: list[Bundle]
    workload: Workload
    plan: Plan

    @cached_property
    def places(self) -> list[Places]:
        """Of each host, the first one's first."""
        answers = self.project.build.places
        return [Places(bundle, self.workload, answers) for bundle in self.bundles]

    @property
    def questions(self) -> list[str]:
        """What must be answered before the first file is written."""
        asked = [question for one in self.workload.every for question in one.questions]
        found = {place.path: place for places in self.places for place in places.open()}
        unplaced = list(found.values())
        shown = [f"{place.path}: {place.reason}" for place in unplaced[:_SHOWN]]
        if len(unplaced) > _SHOWN:
            shown.append(f"and {len(unplaced) - _SHOWN} more paths that no rule places")
        return list(dict.fromkeys([*asked, *self.plan.questions, *shown]))


def planned(here: Here) -> Planned:
    """Raises NoSurvey where there is nothing to plan from."""
    project = load_project(here)
    bundles = bundles_of(here, project).fleet
    found = workload(bundles, project.build, project.accepted)
    plan = plan_of(found, project, _relay(project), _needs(project))
    return Planned(project, bundles, found, plan)


def _needs(project: Project) -> Needs:
    """Nothing where no infrastructure is asked for: its rooms are not imported then."""
    if project.build.terraform is None:
        return Needs()
    from kirikae.console.build_needs import needs_of

    return needs_of(project)


def _relay(project: Project) -> dict[str, str]:
    """The mail server beside the service is the one of jobs."""
    if "relay" not in project.build.sidecars:
        return {}
    from kirikae.jobs.making.images import RELAY, RELAY_START, packaged

    return {"relay.Dockerfile": RELAY, RELAY_START: packaged(RELAY_START)}
