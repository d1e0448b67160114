"""The durable record of moves: one entry before and one after every act, each written exactly once.

An entry's key holds its number, so two writers can never both write it: the second is beaten and
reads again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kirikae.model.errors import KirikaeError, Taken, UsageProblem
from kirikae.model.evidence import Batch, Evidence
from kirikae.model.move import Move
from kirikae.model.store import Store

FORMAT = 2
"""2: figures with bounds and routes; entries of format 1 are read as they are."""


class Beaten(KirikaeError):
    """Another driver wrote this entry first; read again before acting."""


class UnknownMove(UsageProblem):
    """No entry of this move is in the journal."""


class NewerFormat(KirikaeError):
    """The journal was written by a newer kirikae."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: the move after it, what it rests on, and who wrote it."""

    move: Move
    at: float
    who: str
    where: str
    requests: tuple[str, ...] = ()
    evidence: Mapping[str, Any] | None = None
    approver: str = ""


class Journal:
    def __init__(
        self,
        store: Store,
        environment: str,
        service: str,
        who: str,
        where: str,
        clock: Callable[[], float] = time.time,
        requests: Callable[[], tuple[str, ...]] = lambda: (),
    ) -> None:
        self._store = store
        self._scope = f"{environment}/{service}"
        self._who = who
        self._where = where
        self._clock = clock
        self._requests = requests
        self._kept: dict[str, Any] = {}
        """Bodies by key of what is written once and never changed: read once."""

    def _bodies(self, keys: list[str]) -> list[Any]:
        """What lies under these keys; a bucket is asked for many at once."""
        missing = [key for key in keys if key not in self._kept]

        def read(key: str) -> None:
            stored = self._store.get(key)
            assert stored is not None
            self._kept[key] = json.loads(stored.body)

        if len(missing) > 8:
            with ThreadPoolExecutor(16, "journal") as pool:
                list(pool.map(read, missing))
        else:
            for key in missing:
                read(key)
        return [self._kept[key] for key in keys]

    def _key(self, name: str, seq: int) -> str:
        return f"move/{self._scope}/{name}/{seq:08d}"

    @property
    def who(self) -> str:
        """The identity under which this process writes."""
        return self._who

    def write(self, move: Move, evidence: Evidence | None = None, approver: str = "") -> Move:
        """Append; raises Beaten if this number is taken.  ``approver``: who said yes to this
        order."""
        body = {
            "format": FORMAT,
            "move": move.to_plain(),
            "at": self._clock(),
            "who": self._who,
            "where": self._where,
            "requests": list(self._requests()),
            "evidence": evidence.to_plain() if evidence else None,
            "approver": approver,
        }
        try:
            self._store.create_if_absent(
                self._key(move.name, move.seq), json.dumps(body, ensure_ascii=False)
            )
        except Taken as error:
            raise Beaten(f"entry {move.seq} of {move.name} is already written") from error
        return move

    def read(self, name: str) -> Move:
        """The move as the last entry leaves it.  Raises UnknownMove."""
        return self.last(name).move

    def last(self, name: str) -> Entry:
        keys = self._store.list(f"move/{self._scope}/{name}/")
        if not keys:
            raise UnknownMove(f"no move {name} was started yet; `kirikae move start {name}` does")
        return self._entry(keys[-1])

    def entries(self, name: str) -> list[Entry]:
        keys = self._store.list(f"move/{self._scope}/{name}/")
        self._bodies(keys)
        return [self._entry(key) for key in keys]

    def goes_on(self, move: Move) -> bool:
        """Has anybody written an entry after this one?  One read, so that it may be asked often."""
        return self._store.get(self._key(move.name, move.seq + 1)) is not None

    def names(self) -> list[str]:
        return sorted({key.split("/")[3] for key in self._store.list(f"move/{self._scope}/")})

    def _entry(self, key: str) -> Entry:
        [raw] = self._bodies([key])
        if raw["format"] > FORMAT:
            raise NewerFormat(
                f"{key} has format {raw['format']}, this kirikae reads up to {FORMAT}; "
                "upgrade kirikae"
            )
        return Entry(
            Move.from_plain(raw["move"]),
            raw["at"],
            raw["who"],
            raw["where"],
            tuple(raw["requests"]),
            raw["evidence"],
            raw.get("approver", ""),
        )

    # --- notes

    def note_once(self, move: Move, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Keep a note of this life of the move (from planned to over); the first one written stays,
        and is the answer."""
        try:
            self._store.create_if_absent(
                self._note_key(move, what), json.dumps(body, ensure_ascii=False)
            )
        except Taken:
            return self.note(move, what) or body
        return body

    def note(self, move: Move, what: str) -> dict[str, Any] | None:
        """The note of this life of the move, if there is one."""
        stored = self._store.get(self._note_key(move, what))
        return None if stored is None else dict(json.loads(stored.body))

    def claim(self, move: Move, what: str) -> bool:
        """True for the first who asks, in this life of the move."""
        try:
            self._store.create_if_absent(
                self._note_key(move, what), json.dumps({"who": self._who, "at": self._clock()})
            )
        except Taken:
            return False
        return True

    def _note_key(self, move: Move, what: str) -> str:
        return f"note/{self._scope}/{move.name}/{move.planned:08d}/{what}"

    # --- approvals and figures

    def approve(self, move: Move) -> None:
        """Say yes to the step that follows this move's state; said twice by the same person is said
        once."""
        by = hashlib.sha256(self._who.encode()).hexdigest()[:16]
        try:
            self._store.create_if_absent(
                f"{self._approvals(move)}/{by}", json.dumps({"who": self._who, "at": self._clock()})
            )
        except Taken:
            pass

    def approved_by(self, move: Move) -> list[str]:
        """Who said yes to the step that follows, in the order of their names."""
        return sorted(
            raw["who"] for raw in self._bodies(self._store.list(f"{self._approvals(move)}/"))
        )

    def _approvals(self, move: Move) -> str:
        return f"approval/{self._scope}/{move.name}/{move.stepped:08d}"

    def record(self, move: Move, batch: Batch) -> bool:
        """Keep a batch of figures for ever; False if another driver recorded this time already."""
        key = f"figures/{self._scope}/{move.name}/{move.attempt:08d}/{batch.start:014.3f}"
        try:
            self._store.create_if_absent(key, json.dumps(batch.to_plain()))
        except Taken:
            return False
        return True

    def batches(self, move: Move) -> list[Batch]:
        """All batches of the current attempt, oldest first: from them every verdict can be
        replayed."""
        keys = self._store.list(f"figures/{self._scope}/{move.name}/{move.attempt:08d}/")
        return [Batch.from_plain(raw) for raw in self._bodies(keys)]
