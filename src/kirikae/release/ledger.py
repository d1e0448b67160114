"""Which release was put on which fleet, when, by whom, and how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from kirikae.model.errors import Taken
from kirikae.model.store import Store, plain_of, readable


class Outcome(StrEnum):
    """How a deploy ended; ``DEPLOYING`` until that is known."""

    DEPLOYING = "deploying"
    DONE = "done"
    ROLLED_BACK = "rolled back"
    NOT_FINISHED = "not finished"


@dataclass(frozen=True, slots=True)
class Deployed:
    """One release on one fleet, as the store keeps it."""

    seq: int
    release: str
    fleet: str
    who: str
    at: float
    outcome: Outcome = Outcome.DEPLOYING
    detail: str = ""
    """The task definition's ARN on the new fleet; why, where it did not get there."""
    previous: Mapping[str, str] = field(default_factory=dict)
    """What ran before: folder by host; the task definition's ARN under ``service``; or the
    release's ID under ``release``."""
    rollback: bool = False
    """This entry put a former release back."""

    @classmethod
    def from_body(cls, body: str) -> Self:
        """Raises what ``readable`` knows for what is no entry."""
        raw = plain_of(body)
        datetime.fromtimestamp(raw["at"])
        previous = {str(name): str(what) for name, what in raw["previous"].items()}
        texts = {name: str(raw[name]) for name in ("release", "fleet", "who", "detail")}
        fields = {
            "seq": int(raw["seq"]),
            "outcome": Outcome(raw["outcome"]),
            "previous": previous,
        }
        return cls(
            **{
                **raw,
                **texts,
                **fields,
            }
        )

    def to_plain(self) -> dict[str, Any]:
        """``rollback`` only where it is one: entries of former versions know no such key."""
        plain = asdict(self)
        if not self.rollback:
            del plain["rollback"]
        return plain

    @property
    def detail_in_short(self) -> str:
        """Of an ARN, family and revision."""
        return self.detail.rpartition("/")[2]

    @property
    def former(self) -> str:
        """What ran before, in short: the name of a folder, a revision or a release; empty if
        nothing did."""
        names = {value.rpartition("/")[2] for value in self.previous.values() if value}
        return min(names, default="")

    def carried_by(self, release: str) -> Mapping[str, str]:
        """What ran before the next deploy, as far as this one tells.

        The same release once more: what a rollback puts back is still what ran before the first
        time.
        """
        reached = self.outcome in (Outcome.DONE, Outcome.NOT_FINISHED)
        return self.previous if reached and self.release == release else {}


class Ledger:
    """All entries of one service.  Who writes holds the service's lock."""

    def __init__(
        self,
        store: Store,
        environment: str,
        service: str,
        who: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._scope = f"release/{environment}/{service}"
        self._who = who
        self._clock = clock

    def _key(self, seq: int) -> str:
        return f"{self._scope}/{seq:08d}"

    def all(self) -> list[Deployed]:
        found = []
        for key in self._store.list(f"{self._scope}/"):
            stored = self._store.get(key)
            if stored is not None:
                with readable(key):
                    found.append(Deployed.from_body(stored.body))
        return found

    def of(self, fleet: str) -> list[Deployed]:
        """The entries of one fleet, oldest first."""
        return [entry for entry in self.all() if entry.fleet == fleet]

    def serving(self, fleet: str) -> Deployed | None:
        """The last deploy of this fleet that was done."""
        done = [entry for entry in self.of(fleet) if entry.outcome is Outcome.DONE]
        return done[-1] if done else None

    def begin(
        self,
        release: str,
        fleet: str,
        rollback: bool = False,
    ) -> Deployed:
        """Write down what is about to be done; an entry that a killed deploy of the same release
        left open is gone on with."""
        left_open = [entry for entry in self.of(fleet) if entry.outcome is Outcome.DEPLOYING]
        for entry in reversed(left_open):
            if (entry.release, entry.rollback) == (release, rollback):
                return entry
            self.end(
                entry,
                Outcome.NOT_FINISHED,
                f"given up for {release}",
            )
        while True:
            entry = self._next(
                release,
                fleet,
                rollback,
            )
            try:
                self._store.create_if_absent(self._key(entry.seq), json.dumps(entry.to_plain()))
            except Taken:
                continue
            return entry

    def _next(
        self,
        release: str,
        fleet: str,
        rollback: bool,
    ) -> Deployed:
        entries = self.all()
        seq = max((entry.seq for entry in entries), default=0) + 1
        mine = [entry for entry in entries if entry.fleet == fleet]
        previous = mine[-1].carried_by(release) if mine else {}
        return Deployed(
            seq,
            release,
            fleet,
            self._who,
            self._clock(),
            previous=previous,
            rollback=rollback,
        )

    def end(
        self,
        entry: Deployed,
        outcome: Outcome,
        detail: str,
    ) -> Deployed:
        return self._replace(
            replace(
                entry,
                outcome=outcome,
                detail=detail,
            )
        )

    def note(
        self,
        entry: Deployed,
        previous: Mapping[str, str] | None = None,
        detail: str | None = None,
    ) -> Deployed:
        """Write down what ran before, ahead of changing it, or how far this deploy has come."""
        noted = replace(
            entry,
            previous=entry.previous if previous is None else previous,
            detail=entry.detail if detail is None else detail,
        )
        return entry if noted == entry else self._replace(noted)

    def _replace(self, entry: Deployed) -> Deployed:
        stored = self._store.get(self._key(entry.seq))
        assert stored is not None
        self._store.replace_if_match(
            self._key(entry.seq),
            json.dumps(entry.to_plain()),
            stored.tag,
        )
        return entry


class OpenEntry:
    """The entry of a deploy that is going on, and the right to act for it."""

    def __init__(
        self,
        ledger: Ledger,
        entry: Deployed,
        assert_ours: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._entry = entry
        self.assert_ours = assert_ours
        """Asked right before a fleet is changed.  Raises LockLost once it is."""

    @property
    def now(self) -> Deployed:
        return self._entry

    def note(
        self, previous: Mapping[str, str] | None = None, detail: str | None = None
    ) -> Deployed:
        self._entry = self._ledger.note(
            self._entry,
            previous,
            detail,
        )
        return self._entry

    def end(self, outcome: Outcome, detail: str) -> Deployed:
        self._entry = self._ledger.end(
            self._entry,
            outcome,
            detail,
        )
        return self._entry
