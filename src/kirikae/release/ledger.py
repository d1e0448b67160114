"""Which release was put on which fleet, when, by whom, and how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from kirikae.model.errors import Taken
from kirikae.model.store import Store


@dataclass(frozen=True, slots=True)
class Deployed:
    """``outcome`` is ``deploying`` until it is known: ``done``, ``rolled back`` or ``not
    finished``."""

    seq: int
    release: str
    fleet: str
    who: str
    at: float
    outcome: str = "deploying"
    detail: str = ""
    """The task definition's ARN on the new fleet; why, where it did not get there."""
    previous: dict[str, str] = field(default_factory=dict)
    """What ran before: folder by host, or the task definition's ARN under ``service``."""


class Ledger:
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
                found.append(Deployed(**json.loads(stored.body)))
        return found

    def begin(self, release: str, fleet: str) -> Deployed:
        """Write down what is about to be done; an entry that a killed deploy of the same release
        left open is gone on with.

        The caller holds the lock of the service: nobody else writes here.
        """
        for entry in reversed(
            [e for e in self.all() if e.fleet == fleet and e.outcome == "deploying"]
        ):
            if entry.release == release:
                return entry
            self.end(entry, "not finished", f"given up for {release}")
        while True:
            seq = max([d.seq for d in self.all()], default=0) + 1
            last = next((e for e in reversed(self.all()) if e.fleet == fleet), None)
            # The same release once more: what a rollback puts back is still what ran before the
            # first time.
            again = (
                last is not None
                and last.release == release
                and last.outcome in ("done", "not finished")
            )
            previous = last.previous if last is not None and again else {}
            entry = Deployed(seq, release, fleet, self._who, self._clock(), previous=previous)
            try:
                self._store.create_if_absent(self._key(seq), json.dumps(asdict(entry)))
                return entry
            except Taken:
                continue

    def end(self, entry: Deployed, outcome: str, detail: str) -> Deployed:
        return self._replace(replace(entry, outcome=outcome, detail=detail))

    def note(
        self, entry: Deployed, previous: dict[str, str] | None = None, detail: str | None = None
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
        self._store.replace_if_match(self._key(entry.seq), json.dumps(asdict(entry)), stored.tag)
        return entry

    def serving(self, fleet: str) -> Deployed | None:
        """The last deploy of this fleet that was done."""
        return next(
            (e for e in reversed(self.all()) if e.fleet == fleet and e.outcome == "done"), None
        )
