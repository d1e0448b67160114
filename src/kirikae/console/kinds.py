"""The kinds of move that kirikae knows: one line each."""

from __future__ import annotations

from typing import Any

from kirikae.jobs.kind import JOBS
from kirikae.jobs.workers.kind import WORKERS
from kirikae.logs.kind import LOGS
from kirikae.model.project import MoveSettings, Project
from kirikae.model.project_file import project_from, project_of, schema
from kirikae.model.project_overlay import Overlaid
from kirikae.model.project_yaml import Source
from kirikae.model.said import Words
from kirikae.move.kind import Kind, Turned
from kirikae.traffic.kind import TRAFFIC

KINDS: tuple[Kind[Any], ...] = (TRAFFIC, JOBS, WORKERS, LOGS)


def kind_of(settings: MoveSettings) -> Kind[Any]:
    """The project file was read by these kinds: every move in it has one."""
    return next(kind for kind in KINDS if kind.name == settings.kind)


def settings_types() -> tuple[type[MoveSettings], ...]:
    """What the project file may say of a move, for each kind."""
    return tuple(kind.settings for kind in KINDS)


def turned(project: Project) -> list[Turned]:
    """What the moves of this project turn."""
    return [
        each for settings in project.moves.values() for each in kind_of(settings).turns(settings)
    ]


def words() -> Words:
    """What the console, the state machine and every kind of move can say."""
    common = Words.of("kirikae.move", "kirikae.console", "kirikae.release")
    return common.plus(*(kind.words for kind in KINDS))


def read_project(text: str, name: str) -> Project:
    """Raises ProjectProblem."""
    return project_from(text, name, settings_types())


def read_source(source: Source | Overlaid) -> Project:
    """The same of what has been read already.  Raises ProjectProblem."""
    return project_of(source, settings_types())


def project_schema() -> dict[str, Any]:
    """JSON Schema of the project file with all kinds of move."""
    return schema(settings_types())
