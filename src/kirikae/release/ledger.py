"""Which release was put on which fleet, when, by whom, and how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from kirikae.model.store import Store, Taken


@dataclass(frozen=True, slots=True)
class Deployed:
    """``outcome`` is ``deploying`` until it is known: ``done``, ``rolled back`` or ``not finished``."""

    seq: int
    release: str
    fleet: str
    who: str
    at: float
    outcome: str = "deploying"
    detail: str = ""


class Ledger:
    def __init__(self, store: Store, environment: str, service: str, who: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._scope, self._who, self._clock = store, f"release/{environment}/{service}", who, clock

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
        """Write down what is about to be done."""
        while True:
            seq = max([d.seq for d in self.all()], default=0) + 1
            entry = Deployed(seq, release, fleet, self._who, self._clock())
            try:
                self._store.create_if_absent(self._key(seq), json.dumps(asdict(entry)))
                return entry
            except Taken:
                continue

    def end(self, entry: Deployed, outcome: str, detail: str) -> Deployed:
        stored = self._store.get(self._key(entry.seq))
        assert stored is not None
        ended = replace(entry, outcome=outcome, detail=detail)
        self._store.replace_if_match(self._key(entry.seq), json.dumps(asdict(ended)), stored.tag)
        return ended
