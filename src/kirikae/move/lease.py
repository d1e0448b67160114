"""One driver per move: a lease in the store, renewed by a heartbeat, taken over when it has run
out.

Without it, late acts of rival drivers ended in an outage.  A driver asks ``assert_held`` right
before every act; the lease then has at least ``ACT_S`` left, which is more than the longest AWS
call may take."""

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
from pathlib import Path

from kirikae.model.errors import Changed, Taken, Unfinished
from kirikae.model.store import Store, Stored
from kirikae.move.errors import Driven, LeaseLost

TERM_S = 20.0
ACT_S = 12.0
_BEAT_S = 3.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that drives now."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


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
    def __init__(self, store: Store, key: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._key = f"lease/{key}"
        self._clock = clock
        self._me = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "boot": _boot_id(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
        }
        self._tag: str | None = None
        self._until = 0.0
        self._guard = threading.Lock()

    def acquire(self) -> bool:
        """Take the lease if it is free, run out, or its holder is a dead process of this
        machine."""
        with self._guard:
            stored = self._store.get(self._key)
            body, until = self._body()
            try:
                if stored is None:
                    self._tag = self._store.create_if_absent(self._key, body)
                elif self._is_free(stored):
                    self._tag = self._store.replace_if_match(self._key, body, stored.tag)
                else:
                    return False
            except (Taken, Changed):
                return False
            self._until = until
            return True

    def holder(self) -> Holder | None:
        """Who drives now; None: nobody does."""
        stored = self._store.get(self._key)
        if stored is None or self._is_free(stored):
            return None
        raw = json.loads(stored.body)
        return Holder(raw["pid"], raw["host"])

    def _body(self) -> tuple[str, float]:
        until = self._clock() + TERM_S
        return json.dumps({**self._me, "until": until}), until

    def _is_free(self, stored: Stored) -> bool:
        raw = json.loads(stored.body)
        if raw["until"] <= self._clock():
            return True
        same_machine = (
            raw["boot"] and raw["boot"] == self._me["boot"] and raw["host"] == self._me["host"]
        )
        return bool(same_machine and _started(raw["pid"]) != raw["started"])

    def renew(self) -> None:
        """Raises LeaseLost if somebody else has it now."""
        with self._guard:
            if self._tag is None:
                raise LeaseLost("the lease is not held")
            body, until = self._body()
            try:
                self._tag = self._store.replace_if_match(self._key, body, self._tag)
            except Changed as error:
                self._tag = None
                self._until = 0.0
                raise LeaseLost(
                    "another driver has taken over this move; this one stops"
                ) from error
            self._until = until

    def assert_held(self) -> None:
        """Called right before an act: renews when less time is left than an act may take.  Raises
        LeaseLost."""
        if self._until - self._clock() < ACT_S:
            self.renew()

    def release(self) -> None:
        with self._guard:
            if self._tag is not None:
                try:
                    self._store.replace_if_match(
                        self._key, json.dumps({**self._me, "until": 0}), self._tag
                    )
                except Changed:
                    pass
                self._tag = None
                self._until = 0.0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it with a heartbeat.  Raises Driven if another driver has it."""
        if not self.acquire():
            raise Driven(
                f"this move is driven already, by {self.holder() or 'another driver'}; "
                "wait, or stop that one first"
            )
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_BEAT_S):
                try:
                    self.renew()
                except Unfinished:
                    return  # assert_held tells the driver before its next act

        heart = threading.Thread(target=beat, daemon=True, name="lease")
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            self.release()
