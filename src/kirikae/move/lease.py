"""One driver per move: a lease in the store, renewed by a heartbeat, taken over when it has run
out.

Without it, late acts of rival drivers ended in an outage.  A driver asks ``assert_held`` right
before every act; the lease then has at least ``ACT_S`` left, which is more than the longest AWS
call may take.

Clocks are not believed: a lease that seems to end later than any lease can is over when its holder
has not renewed it for one term.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from kirikae.model.errors import Changed, KirikaeError, StoreBroken, Taken
from kirikae.model.store import Store, Stored
from kirikae.model.texts import shortened
from kirikae.move.errors import Driven, LeaseLost

TERM_S = 20.0
"""How long a lease lasts that is not renewed."""
ACT_S = 12.0
_BEAT_S = 3.0
_WATCH_S = 1.0
_NO_LEASE = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)
_FIELDS = {"id", "host", "boot", "pid", "started", "until"}


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that drives now."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class _Term:
    """When a lease ends, by the clock of the day and by one that nobody sets."""

    until: float
    steady_until: float

    def left(self, now: float, steady_now: float) -> float:
        return min(self.until - now, self.steady_until - steady_now)


_OVER = _Term(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lease of somebody else, and since when it has not changed."""

    tag: str
    at: float


def _boot_id() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _started(pid: int) -> str:
    """When a process of this machine began (clock ticks since boot): IDs are used again, this is
    not.

    Empty for one that is gone, or dead and only not yet waited for (proc(5), stat: fields 3 and
    22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


class Lease:
    def __init__(
        self,
        store: Store,
        key: str,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``steady``: a clock that nobody sets; ``clock`` goes on while the machine sleeps."""
        self._store = store
        self._key = f"lease/{key}"
        self._clock = clock
        self._steady = steady
        self._sleep = sleep
        self._me = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "boot": _boot_id(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
        }
        self._tag: str | None = None
        self._term = _OVER
        self._seen: _Seen | None = None
        self._guard = threading.Lock()

    def acquire(self) -> bool:
        """Take the lease if it is free, run out, or its holder is a dead process of this
        machine."""
        with self._guard:
            stored = self._store.get(self._key)
            body, term = self._body()
            try:
                if stored is None:
                    self._tag = self._store.create_if_absent(self._key, body)
                elif self._is_free(stored):
                    self._tag = self._store.replace_if_match(self._key, body, stored.tag)
                else:
                    return False
            except (Taken, Changed):
                return False
            self._term = term
            return True

    def holder(self) -> Holder | None:
        """Who drives now; None: nobody does."""
        stored = self._store.get(self._key)
        if stored is None or self._is_free(stored):
            return None
        raw = self._read(stored)
        return Holder(raw["pid"], raw["host"])

    def _body(self) -> tuple[str, _Term]:
        until = self._clock() + TERM_S
        term = _Term(until, self._steady() + TERM_S)
        return json.dumps({**self._me, "until": until}), term

    def _read(self, stored: Stored) -> dict[str, Any]:
        try:
            raw: dict[str, Any] = json.loads(stored.body)
            if not raw.keys() >= _FIELDS:
                raise ValueError(f"it has {shortened(sorted(raw))}")
            if not isinstance(raw["until"], int | float) or not isfinite(raw["until"]):
                raise ValueError(f"until is {shortened(raw['until'])}")
        except _NO_LEASE as error:
            raise StoreBroken(
                f"the lease {self._key} cannot be read ({error}); once you know that nobody "
                "drives this move, remove that key from the store"
            ) from error
        return raw

    def _is_free(self, stored: Stored) -> bool:
        raw = self._read(stored)
        if raw["until"] <= self._clock() or self._is_stale(stored, raw["until"]):
            return True
        same_machine = (
            raw["boot"] and raw["boot"] == self._me["boot"] and raw["host"] == self._me["host"]
        )
        return bool(same_machine and _started(raw["pid"]) != raw["started"])

    def _is_stale(self, stored: Stored, until: float) -> bool:
        """Does it end later than a lease can, and has nobody renewed it for a term since it was
        first seen?  A holder whose clock is ahead still renews it."""
        now = self._steady()
        if self._seen is None or self._seen.tag != stored.tag:
            self._seen = _Seen(stored.tag, now)
        return until > self._clock() + TERM_S and now - self._seen.at >= TERM_S

    def renew(self) -> None:
        """Raises LeaseLost if somebody else has it now."""
        with self._guard:
            if self._tag is None:
                raise LeaseLost("the lease is not held")
            body, term = self._body()
            try:
                self._tag = self._replaced(body, self._tag)
            except Changed as error:
                self._tag = None
                self._term = _OVER
                raise LeaseLost(
                    "another driver has taken over this move; this one stops"
                ) from error
            self._term = term

    def _replaced(self, body: str, tag: str) -> str:
        """An earlier renewal of our own whose answer was lost is not a rival.  Raises Changed."""
        try:
            return self._store.replace_if_match(self._key, body, tag)
        except Changed:
            stored = self._store.get(self._key)
            if stored is None or self._read(stored)["id"] != self._me["id"]:
                raise
            return self._store.replace_if_match(self._key, body, stored.tag)

    def assert_held(self) -> None:
        """Called right before an act: renews when less time is left than an act may take.  Raises
        LeaseLost."""
        if self._term.left(self._clock(), self._steady()) < ACT_S:
            self.renew()

    def release(self) -> None:
        with self._guard:
            if self._tag is not None:
                try:
                    self._store.replace_if_match(
                        self._key, json.dumps({**self._me, "until": 0}), self._tag
                    )
                except KirikaeError:
                    pass  # it runs out by itself
                self._tag = None
                self._term = _OVER

    def _outwaited(self) -> bool:
        """A lease from a clock that is ahead is watched for one term: renewed, its holder lives."""
        began = self._steady()
        while self._ends_too_late() and self._steady() - began <= TERM_S + _WATCH_S:
            seen = self._seen
            self._sleep(_WATCH_S)
            if self.acquire():
                return True
            if self._seen != seen:
                return False
        return False

    def _ends_too_late(self) -> bool:
        stored = self._store.get(self._key)
        return stored is not None and self._read(stored)["until"] > self._clock() + TERM_S

    @contextmanager
    def held(self, patient: bool = True) -> Iterator[None]:
        """Hold it with a heartbeat.  Raises Driven if another driver has it.

        ``patient``: a lease that ends later than any can is watched until its term is over.
        """
        if not self.acquire() and not (patient and self._outwaited()):
            raise Driven(
                f"this move is driven already, by {self.holder() or 'another driver'}; "
                "wait, or stop that one first"
            )
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_BEAT_S):
                try:
                    self.renew()
                except LeaseLost:
                    return  # assert_held tells the driver before its next act
                except KirikaeError:
                    continue  # the store may answer the next beat

        heart = threading.Thread(target=beat, daemon=True, name="lease")
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            self.release()
