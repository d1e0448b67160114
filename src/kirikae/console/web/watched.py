"""What a move's page shows, looked at once for all who look on, and never waited for.

The page has the red button on it: it must come at once, whether or not AWS or the journal answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kirikae.aws.session import Aws
from kirikae.console.context import Desk, as_written, desk_of
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
Stamps = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal says of a move."""

    desk: Desk
    look: Look | None
    entries: Sequence[Entry]


class Watcher:
    """One move of one project file.  It cannot change anything: its session of AWS only reads."""

    def __init__(self, here: Here, name: str, session: Callable[[str], Aws]) -> None:
        """``session``: region -> a session that is shared, for each costs time and memory."""
        self._here = replace(
            here,
            read_only=True,
            person="",
        )
        self._name = name
        self._session = session
        self._record = Kept(lambda: tried(self._read), _LOOK_S)
        self._standing = Kept(lambda: tried(lambda: standing(self._proven_desk())), _STANDING_S)
        self._outlook = Kept(lambda: tried(self._ahead), _OUTLOOK_S)
        self._at_record: tuple[Stamps, Desk] | None = None

    def record(self, wait_s: float = WAIT_S) -> Found[Record] | None:
        """None: the journal has not answered yet."""
        return self._record.get(wait_s)

    def forget(self) -> None:
        """Something was done: what was seen before is not shown any more."""
        self._record.forget()
        self._standing.forget()

    def standing(self, wait_s: float = WAIT_S) -> Found[Standing] | None:
        """None: AWS has not answered yet."""
        return self._standing.get(wait_s)

    def outlook(self, wait_s: float = WAIT_S) -> Found[Outlook] | None:
        """None: AWS has not answered yet."""
        return self._outlook.get(wait_s)

    def _desk(self) -> Desk:
        """Nothing is asked yet, neither AWS nor the store."""
        project = salvaged(self._here).project
        return desk_of(
            self._here,
            project,
            self._name,
            self._session(project.region),
            "",
            _STORE_PATIENCE_S,
        )

    def _proven_desk(self) -> Desk:
        """What AWS says of another account is nothing about this move.  Raises WrongAccount."""
        desk = self._desk()
        desk.aws.identity(desk.project.account)
        return desk

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
        changed = as_written(self._here)
        if self._at_record is None or self._at_record[0] != changed:
            self._at_record = (changed, self._desk())
        return self._at_record[1]

    def _ahead(self) -> Outlook:
        return outlook(self._here, self._proven_desk())


@dataclass(slots=True)
class Watchers:
    """One for each move that somebody has looked at."""

    _kept: dict[tuple[str, str], Watcher] = field(default_factory=dict)
    _sessions: dict[str, Aws] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def of(self, here: Here, name: str) -> Watcher:
        """The same one for everybody."""
        key = (here.project_file, name)
        found = self._kept.get(key)
        return found or self._kept.setdefault(key, Watcher(here, name, self.session))

    def session(self, region: str) -> Aws:
        """One that only reads, for all moves of a region."""
        with self._guard:
            if region not in self._sessions:
                self._sessions[region] = Aws(region, read_only=True)
            return self._sessions[region]
