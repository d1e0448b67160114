"""What one console serves: project files, and what it remembers while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.console.here import Here
from kirikae.console.web.door import Door
from kirikae.console.web.keys import Attempts, Keys, Sessions
from kirikae.console.web.presses import Presses
from kirikae.console.web.surveys import Surveys
from kirikae.console.web.watched import Watchers

ALONE = "home"
"""What a single project file is called in addresses."""


@dataclass(frozen=True, slots=True)
class Site:
    """``places``: name in addresses -> a project file.  ``reports``: where drills left theirs.
    ``docs``: where the documentation stands, or empty.  ``kept``: what single pages remember for
    everybody, by their name."""

    places: Mapping[str, Here]
    door: Door
    keys: Keys
    reports: Path | None = None
    docs: str = ""
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)
    presses: Presses = field(default_factory=Presses)
    surveys: Surveys = field(default_factory=Surveys)
    watchers: Watchers = field(default_factory=Watchers)
    kept: dict[str, Any] = field(default_factory=dict)
