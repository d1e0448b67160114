"""The newest survey of each project file, kept for a moment: reading it takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kirikae.console.here import Here
from kirikae.console.salvage import salvaged
from kirikae.console.surveyed import survey_findings
from kirikae.console.web.kept import Found, Kept, tried
from kirikae.model.finding import Finding
from kirikae.model.project import Project

_FRESH_S = 20.0
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A project file and what the newest survey found of it."""

    project: Project
    findings: Sequence[Finding]


@dataclass(slots=True)
class Surveys:
    """The newest survey of each project file, read once for everybody who looks at it."""

    _kept: dict[str, Kept[Found[Surveyed]]] = field(default_factory=dict)

    def of(self, here: Here) -> Found[Surveyed] | None:
        """None: it takes longer than half a minute."""
        made = Kept(lambda: tried(lambda: _read(here)), _FRESH_S)
        return self._kept.setdefault(here.project_file, made).get(_WAIT_S)


def _read(here: Here) -> Surveyed:
    project = salvaged(here).project
    return Surveyed(project, survey_findings(here, project))
