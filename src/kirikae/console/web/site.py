"""What one console serves: project files, and what it remembers while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kirikae.console.here import Here
from kirikae.console.web.door import Door
from kirikae.console.web.keys import Attempts, Keys, Sessions
from kirikae.console.web.presses import Presses
from kirikae.console.web.surveys import Surveys
from kirikae.console.web.watched import Watchers
from kirikae.model.errors import UsageProblem

ALONE = "home"
"""What a single project file is called in addresses."""
_FILES = "kirikae*.yml"
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Site:
    """``places``: name in addresses -> a project file.  ``reports``: where drills left theirs."""

    places: Mapping[str, Here]
    door: Door
    keys: Keys
    reports: Path | None = None
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)
    presses: Presses = field(default_factory=Presses)
    surveys: Surveys = field(default_factory=Surveys)
    watchers: Watchers = field(default_factory=Watchers)


def places_in(folder: Path, here: Here) -> dict[str, Here]:
    """Every project file below a folder, by its way from there.  Raises UsageProblem."""
    found = {}
    for file in sorted(folder.rglob(_FILES))[:_MOST]:
        below = file.relative_to(folder)
        if not any(part.startswith(".") for part in below.parts):
            name = ".".join(below.with_suffix("").parts)
            found[name] = replace(here, project_file=str(file))
    if not found:
        raise UsageProblem(f"--portfolio {folder}: no {_FILES} lies there or below it")
    return found
