"""The durable record of moves: one entry before and one after every act, each written exactly once.

An entry's key holds its number, so two writers can never both write it: the second is beaten and
reads again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kirikae.model.errors import StoreBroken, Taken
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move
from kirikae.model.store import Store, plain_of, readable
from kirikae.model.texts import shortened
from kirikae.move.errors import Beaten, NewerFormat, UnknownMove

_LATEST = 253402300799
"""The end of the year 9999, in Unix time."""
FORMAT = 3
"""2: figures with bounds and routes.  3: reasons are values, a hold says why.  All are read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: the move after it, what it rests on, and who wrote it."""

    move: Move
    at: float
    who: str
    where: str
    requests: tuple[str, ...] = ()
    evidence: Evidence | None = None
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

    @property
    def store(self) -> Store:
        """What a kind of move keeps of its own lies beside the entries."""
        return self._store

    def _bodies(self, keys: Sequence[str]) -> list[Any]:
        """What lies under these keys; a bucket is asked for many at once."""
        missing = [key for key in keys if key not in self._kept]

        def read(key: str) -> None:
            stored = self._store.get(key)
            assert stored is not None
            self._kept[key] = _json(key, stored.body)

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

    def stepped_at(self, move: Move) -> float:
        """When (Unix time) this step of the move was written down, by the writer's clock."""
        entries = self.entries(move.name)
        return next(entry.at for entry in entries if entry.move.seq == move.stepped)

    def before(self, move: Move) -> Iterator[Entry]:
        """The entries before this state of the move, the latest first."""
        for seq in range(move.seq - 1, 0, -1):
            key = self._key(move.name, seq)
            if self._store.get(key) is None:
                return
            yield self._entry(key)

    def goes_on(self, move: Move) -> bool:
        """Has anybody written an entry after this one?  One read, so that it may be asked often."""
        return self._store.get(self._key(move.name, move.seq + 1)) is not None

    def names(self) -> list[str]:
        return sorted({key.split("/")[3] for key in self._store.list(f"move/{self._scope}/")})

    def _entry(self, key: str) -> Entry:
        [raw] = self._bodies([key])
        with readable(key):
            return self._read(key, raw)

    def _read(self, key: str, raw: Any) -> Entry:
        if raw["format"] > FORMAT:
            raise NewerFormat(
                f"{key} has format {raw['format']}, this kirikae reads up to {FORMAT}; "
                "upgrade kirikae"
            )
        move = Move.from_plain(raw["move"])
        if key != self._key(move.name, move.seq):
            raise ValueError(f"it is entry {move.seq} of {shortened(move.name)}")
        if not isinstance(raw["at"], int | float) or not 0 <= raw["at"] <= _LATEST:
            raise ValueError(f"at is {shortened(raw['at'])}")
        return Entry(
            move,
            raw["at"],
            raw["who"],
            raw["where"],
            tuple(raw["requests"]),
            None if raw["evidence"] is None else Evidence.from_plain(raw["evidence"]),
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
        if stored is None:
            return None
        with readable(self._note_key(move, what)):
            return plain_of(stored.body)

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

    # --- approvals and records

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
        keys = self._store.list(f"{self._approvals(move)}/")
        with readable(f"{self._approvals(move)}/"):
            return sorted(str(raw["who"]) for raw in self._bodies(keys))

    def _approvals(self, move: Move) -> str:
        return f"approval/{self._scope}/{move.name}/{move.stepped:08d}"

    def record(self, move: Move, key: str, plain: Mapping[str, Any]) -> bool:
        """Keep a record of this attempt for ever; what is in it, its kind of move knows.

        ``key``: sorts the records in the order in which they count.  False if another driver wrote
        under this key already.
        """
        try:
            self._store.create_if_absent(f"{self._records(move)}/{key}", json.dumps(plain))
        except Taken:
            return False
        return True

    def records(self, move: Move) -> list[dict[str, Any]]:
        """All records of the current attempt, in the order of their keys: from them every verdict
        can be found again."""
        return self._bodies(self._store.list(f"{self._records(move)}/"))

    def _records(self, move: Move) -> str:
        return f"figures/{self._scope}/{move.name}/{move.attempt:08d}"


BEATEN_AT_MOST = 100
"""How often somebody may come before us.  A driver writes a few entries a second, and stops at the
first order of a person that it sees."""


def never_shown(name: str) -> StoreBroken:
    """Where it was more often."""
    return StoreBroken(
        f"the journal's store says again and again that the next entry of {name} is written, and "
        "does not show it; look at the store, then run this once more"
    )


def _json(key: str, body: str) -> Any:
    with readable(key):
        return json.loads(body)
