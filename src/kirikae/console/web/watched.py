"""What a move's page shows, looked at once for all who look on, and never waited for.

The page has the red button on it: it must come at once, whether or not AWS or the journal answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.aws.session import Aws
from kirikae.console.context import Desk, desk_of
from kirikae.console.here import Here
from kirikae.console.outlook import Outlook, Standing, outlook, standing
from kirikae.console.salvage import salvaged
from kirikae.console.watching import look_at
from kirikae.console.web.kept import WAIT_S, Found, Kept, tried
from kirikae.move.engine import Look
from kirikae.move.journal import Entry

_LOOK_S = 1.0
_STANDING_S = 5.0
_OUTLOOK_S = 60.0
_STORE_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal says of a move."""

    desk: Desk
    look: Look | None
    entries: Sequence[Entry]


class Watcher:
    """One move of one project file.  It cannot change anything: its session of AWS only reads."""

    def __init__(self, here: Here, name: str) -> None:
        self._here = Here(
            here.project_file,
            True,
            here.environment,
        )
        self._name = name
        self._record = Kept(lambda: tried(self._read), _LOOK_S)
        self._standing = Kept(lambda: tried(lambda: standing(self._desk())), _STANDING_S)
        self._outlook = Kept(lambda: tried(self._ahead), _OUTLOOK_S)
        self._at_record: tuple[float, Desk] | None = None

    def record(self) -> Found[Record] | None:
        """None: the journal has not answered yet."""
        return self._record.get()

    def standing(self, wait_s: float = WAIT_S) -> Found[Standing] | None:
        """None: AWS has not answered yet."""
        return self._standing.get(wait_s)

    def outlook(self, wait_s: float = WAIT_S) -> Found[Outlook] | None:
        """None: AWS has not answered yet."""
        return self._outlook.get(wait_s)

    def _desk(self) -> Desk:
        """Nothing is asked yet, neither AWS nor the store."""
        project = salvaged(self._here).project
        aws = Aws(project.region, read_only=True)
        return desk_of(
            self._here,
            project,
            self._name,
            aws,
            "",
            _STORE_PATIENCE_S,
        )

    def _read(self) -> Record:
        desk = self._kept_desk()
        move = desk.read()
        if move is None:
            return Record(
                desk,
                None,
                [],
            )
        return Record(
            desk,
            look_at(desk, move),
            desk.journal.entries(self._name),
        )

    def _kept_desk(self) -> Desk:
        """Its journal reads an entry once; a project file that was changed is read again."""
        changed = Path(self._here.project_file).stat().st_mtime
        if self._at_record is None or self._at_record[0] != changed:
            self._at_record = (changed, self._desk())
        return self._at_record[1]

    def _ahead(self) -> Outlook:
        return outlook(self._here, self._desk())


@dataclass(slots=True)
class Watchers:
    """One for each move that somebody has looked at."""

    _kept: dict[tuple[str, str], Watcher] = field(default_factory=dict)

    def of(self, here: Here, name: str) -> Watcher:
        """The same one for everybody."""
        return self._kept.setdefault((here.project_file, name), Watcher(here, name))
