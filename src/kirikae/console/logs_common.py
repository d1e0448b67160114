"""What the verbs of ``kirikae logs`` have in common: which move, which trees, whose words."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from kirikae.console.context import load_project, move_of, open_store
from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.logs.carrier import Carrier
from kirikae.logs.errors import NoManifest
from kirikae.logs.manifest import Manifest
from kirikae.logs.owners import Owners
from kirikae.logs.settings import LogsMove
from kirikae.logs.shared import Shelf, opened, shelf_of
from kirikae.logs.thing import manifest_file
from kirikae.logs.trees import S3, Door
from kirikae.logs.worker import Place
from kirikae.model.errors import UsageProblem
from kirikae.model.project import Project

MOVE = click.argument("move")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass
class LogsDesk:
    """Everything at hand for one move of logs."""

    here: Here
    name: str
    project: Project
    settings: LogsMove
    now: float

    @cached_property
    def aws(self) -> Any:
        """A session of the project's own account; None where both trees are folders.  Raises
        WrongAccount."""
        if not self.settings.old.at.startswith(S3):
            return None
        from kirikae.console.context import open_aws

        return open_aws(self.here, self.project)[0]

    @cached_property
    def place(self) -> Place:
        trees = self.settings.trees(self.here.folder, self.now)
        owners = Owners(
            trees.new,
            self.now,
            self.settings.lateness,
            self.settings.on,
        )
        return Place(
            trees,
            owners,
            self._door("old"),
            self._door("new"),
        )

    def _door(self, side: str) -> Door:
        tree = self.settings.old if side == "old" else self.settings.new
        url = tree.layout(self.here.folder)[0]
        return Door(
            url,
            self.project.region,
            self.project.account,
            self.here.read_only,
        )

    def carrier(self) -> Carrier:
        return self.place.carrier(self.aws)

    def manifest(self, must_be_there: bool = False) -> Manifest:
        """Raises NoManifest."""
        file = manifest_file(self.here.folder, self.name)
        return opened(file, self._shelf, must_be_there)

    @cached_property
    def _shelf(self) -> Shelf | None:
        return shelf_of(self.project, open_store(self.here, self.project, self.aws), self.name)

    def manifest_if_any(self) -> Manifest | None:
        """None: nothing was moved yet."""
        try:
            return self.manifest(must_be_there=True)
        except NoManifest:
            return None


def desk_of(here: Here, name: str) -> LogsDesk:
    """Raises UsageProblem for a move of another kind."""
    project = load_project(here)
    settings = move_of(here, project, name)
    if not isinstance(settings, LogsMove):
        raise UsageProblem(
            f"{name} is a move of {settings.kind}, not of logs; {here.project_file} says `kind`"
        )
    return LogsDesk(
        here,
        name,
        project,
        settings,
        time.time(),
    )


def speech_of(here: Here, lang: str | None) -> Speech:
    return Speech(here.language(lang), "logs")


def size(number: float) -> str:
    """Bytes for people."""
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {_UNITS[-1]}"
