"""What the red button needs of a project file that has faults elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kirikae.console import kinds
from kirikae.console.context import load_project, project_source, read_bytes
from kirikae.console.here import Here
from kirikae.model.errors import ProjectProblem, UsageProblem
from kirikae.model.project import Project
from kirikae.model.project_file import project_type
from kirikae.model.project_yaml import Source, source_of

_MOST_FAULTS = 200
_NEEDED = ("service", "environment", "account", "region", "store", "fleets", "moves")
"""Keys that say what would be acted on: one that is misspelt is not guessed."""

_HOW_IT_GOES_ON = ("plan", "judge", "figures", "advance", "approver", "windows")


@dataclass(frozen=True, slots=True)
class Salvaged:
    """``faults``: what is wrong elsewhere in the file, or empty.  ``lost``: moves that cannot be
    read."""

    project: Project
    faults: str = ""
    lost: tuple[str, ...] = ()


def salvaged(here: Here) -> Salvaged:
    """The project, without what is wrong in it and is not needed for share 0.

    Raises UsageProblem, and ProjectProblem where what is needed cannot be read either.
    """
    try:
        return Salvaged(load_project(here))
    except ProjectProblem as problem:
        found = _without_faults(_raw(here))
        if found is None:
            raise
        return Salvaged(found.project, str(problem), found.lost)


def _raw(here: Here) -> Any:
    """The file as plain data, its faults among it; None where it cannot be read at all, or is too
    large to be a project file."""
    try:
        return project_source(here, _somehow).plain
    except UsageProblem:
        return None


def _somehow(path: Path) -> Source:
    """Letters that are none, and keys that stand twice, are no reason to give up."""
    return source_of(read_bytes(path).decode("utf-8", "replace"), str(path), once=False)


def _without_faults(raw: Any) -> Salvaged | None:
    """Take out one faulty part after another; None where a part that is needed is faulty."""
    if not isinstance(raw, dict) or not isinstance(raw.get("moves"), dict):
        return None
    wanted = project_type(kinds.settings_types())
    named = [str(name) for name in raw["moves"]]
    for _ in range(_MOST_FAULTS):
        try:
            project = wanted.model_validate(raw)
        except ValidationError as error:
            if not all(_taken_out(raw, fault["loc"]) for fault in error.errors()[:1]):
                return None
            continue
        return Salvaged(project, lost=tuple(name for name in named if name not in project.moves))
    return None


def _taken_out(raw: dict[Any, Any], location: Sequence[int | str]) -> bool:
    """Remove the part that this fault is about.  False where it is needed or cannot be found."""
    path = _path(raw, location)
    if not path:
        return False
    if path[0] == "moves" and len(path) > 1:
        return _of_move_taken_out(raw, path)
    if path[0] == "fleets":
        return _of_fleet_taken_out(raw, path)
    if path[0] in _NEEDED or _is_misspelt(raw, str(path[0])):
        return False
    del raw[path[0]]
    return True


def _path(raw: Any, location: Sequence[int | str]) -> list[int | str]:
    """The part of the location that stands in the file."""
    found: list[int | str] = []
    node = raw
    for part in location:
        if isinstance(node, Mapping) and part in node:
            node = node[part]
            found.append(part)
    return found


def _is_misspelt(raw: Mapping[Any, Any], key: str) -> bool:
    """Does it look like a key that is needed and is not there?  Then it is not taken out."""
    missing = [each for each in _NEEDED if each not in raw]
    return bool(get_close_matches(key, missing, n=1, cutoff=0.7))


def _of_move_taken_out(raw: dict[Any, Any], path: Sequence[int | str]) -> bool:
    """A key that says how a move goes on is not needed; a move whose router is faulty is lost."""
    name = path[1]
    section = raw["moves"][name]
    key = str(path[2]) if len(path) > 2 else ""
    if isinstance(section, dict) and (key in _HOW_IT_GOES_ON or _is_unknown(key)):
        del section[path[2]]
    else:
        del raw["moves"][name]
    return True


def _is_unknown(key: str) -> bool:
    """A key that no kind of move has, and that is no misspelt ``router`` or ``kind``."""
    if not key:
        return False
    known = {name for kind in kinds.settings_types() for name in kind.model_fields}
    return key not in known and not get_close_matches(key, ["router", "kind"], n=1, cutoff=0.7)


_SIDES = ("target_group", "cluster", "ecs_service")
"""Keys that name what a side is."""


def _of_fleet_taken_out(raw: dict[Any, Any], path: Sequence[int | str]) -> bool:
    """Hosts, hooks and the like; never what names a side, nor what may be meant to."""
    if len(path) < 3 or get_close_matches(str(path[2]), _SIDES, n=1, cutoff=0.7):
        return False
    del raw["fleets"][path[1]][path[2]]
    return True
