"""The kinds of move that kirikae knows: one line each.

A room is imported when a move of its kind is met: a deploy of a service that has none of them waits
for none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from kirikae.model.errors import ProjectProblem
from kirikae.model.project import MoveSettings, Project
from kirikae.model.project_file import project_from, project_of, schema
from kirikae.model.project_overlay import Overlaid
from kirikae.model.project_yaml import Source
from kirikae.model.said import Words
from kirikae.move.kind import Kind, Turned


def _in(package: str, name: str) -> Callable[[], Kind[Any]]:
    def kind() -> Kind[Any]:
        found: Kind[Any] = getattr(import_module(f"{package}.kind"), name)
        return found

    return kind


KINDS: Mapping[str, Callable[[], Kind[Any]]] = {
    "traffic": _in("kirikae.traffic", "TRAFFIC"),
    "jobs": _in("kirikae.jobs", "JOBS"),
    "workers": _in("kirikae.jobs.workers", "WORKERS"),
    "logs": _in("kirikae.logs", "LOGS"),
}


def every() -> tuple[Kind[Any], ...]:
    """All of them."""
    return tuple(kind() for kind in KINDS.values())


def kind_of(settings: MoveSettings) -> Kind[Any]:
    """The project file was read by these kinds: every move in it has one."""
    return KINDS[settings.kind]()


def settings_types() -> tuple[type[MoveSettings], ...]:
    """What the project file may say of a move, for each kind."""
    return tuple(kind.settings for kind in every())


def turned(project: Project) -> list[Turned]:
    """What the moves of this project turn."""
    return [
        each for settings in project.moves.values() for each in kind_of(settings).turns(settings)
    ]


def words() -> Words:
    """What the console, the state machine and every kind of move can say."""
    common = Words.of("kirikae.move", "kirikae.console", "kirikae.release")
    return common.plus(*(kind.words for kind in every()))


def read_project(text: str, name: str) -> Project:
    """Raises ProjectProblem."""
    return project_from(text, name, settings_types())


def read_source(source: Source | Overlaid) -> Project:
    """The same of what has been read already.  Raises ProjectProblem."""
    with suppress(ProjectProblem):
        return project_of(source, _named_in(source.plain))
    # What is wrong is told with the keys of every kind at hand.
    return project_of(source, settings_types())


def _named_in(plain: Any) -> tuple[type[MoveSettings], ...]:
    """The kinds of this file's moves; all of them where one is of a kind that there is not."""
    moves = plain.get("moves") if isinstance(plain, dict) else None
    rows = moves.values() if isinstance(moves, dict) else ()
    named = [row.get("kind") if isinstance(row, dict) else None for row in rows]
    if any(name not in [*KINDS] for name in named):
        return settings_types()
    return tuple(kind().settings for name, kind in KINDS.items() if name in named)


def project_schema() -> dict[str, Any]:
    """JSON Schema of the project file with all kinds of move."""
    return schema(settings_types())
