"""What is known of every request of a run: columns in memory, which all processes of the engine
share."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray


class Error(IntEnum):
    """Why a request has no complete answer."""

    NONE = 0
    NOT_SENT = 1
    REFUSED = 2
    CLOSED = 3
    TIMED_OUT = 4
    NO_HTTP = 5
    STOPPED = 6


_COUNTERS = ("sent", "answered", "failed", "cpu_ns")
_WIDE = {
    "q": 8,
    "h": 2,
    "B": 1,
}
MOST_TOLD = 63
"""Values of one header that a process keeps; answers with others are not told apart."""
_TOLD_BYTES = 120
_LINE = 64
"""Bytes of a cache line: two columns do not share one."""


def _room(kind: str, many: int) -> int:
    return -(-_WIDE[kind] * many // _LINE) * _LINE


@dataclass(frozen=True, slots=True)
class Columns:
    """Times are nanoseconds of CLOCK_MONOTONIC; 0: it did not happen.  ``done``: answered, or given
    up.  ``told``: which value the header had that is looked at; -1: none.  ``lacks``: the answer
    has not the text that it must have.  Memoryviews: writing into them is three times as quick as
    into an array's element."""

    due: memoryview
    sent: memoryview
    first: memoryview
    done: memoryview
    status: memoryview
    error: memoryview
    octets: memoryview
    told: memoryview
    lacks: memoryview
    values: memoryview
    counters: memoryview
    stop: memoryview
    block: mmap.mmap

    @classmethod
    def made(
        cls,
        due_ns: NDArray[np.int64],
        processes: int,
    ) -> Columns:
        """Shared with children that are forked after this."""
        requests = len(due_ns)
        sizes: dict[str, tuple[Literal["q", "h", "B"], int]] = {
            "due": ("q", requests),
            "sent": ("q", requests),
            "first": ("q", requests),
            "done": ("q", requests),
            "octets": ("q", requests),
            "counters": ("q", processes * len(_COUNTERS)),
            "status": ("h", requests),
            "told": ("h", requests),
            "error": ("B", requests),
            "lacks": ("B", requests),
            "values": ("B", processes * MOST_TOLD * (_TOLD_BYTES + 1)),
            "stop": ("B", 1),
        }
        block = mmap.mmap(-1, sum(_room(kind, many) for kind, many in sizes.values()))
        whole = memoryview(block)
        views = {}
        at = 0
        for name, (kind, many) in sizes.items():
            views[name] = whole[at : at + _WIDE[kind] * many].cast(kind)
            at += _room(kind, many)
        np.frombuffer(views["due"], np.int64)[:] = due_ns
        np.frombuffer(views["error"], np.uint8)[:] = Error.NOT_SENT
        np.frombuffer(views["told"], np.int16)[:] = -1
        return cls(block=block, **views)

    def count(
        self,
        process: int,
        name: str,
        value: int,
    ) -> None:
        """For whoever looks on."""
        self.counters[process * len(_COUNTERS) + _COUNTERS.index(name)] = value

    def keep(self, process: int, number: int, value: bytes) -> int:
        """A header's value that this process sees for the first time; what stands for it in the
        column ``told``."""
        place = process * MOST_TOLD + number
        at = place * (_TOLD_BYTES + 1)
        kept = value[:_TOLD_BYTES]
        self.values[at] = len(kept)
        self.values[at + 1 : at + 1 + len(kept)] = kept
        return place

    def kept(self, place: int) -> str:
        """What ``keep`` was given."""
        at = place * (_TOLD_BYTES + 1)
        return bytes(self.values[at + 1 : at + 1 + self.values[at]]).decode("utf-8", "replace")

    def counted(self, name: str) -> list[int]:
        """Of every process."""
        found = self.counters.tolist()
        return [int(value) for value in found[_COUNTERS.index(name) :: len(_COUNTERS)]]


@dataclass(frozen=True, slots=True)
class Record:
    """A run that is over, as arrays; one row for each request of the plan.

    ``began_ns``: when the plan's time 0 was, monotonic; ``wall``: the same, seconds since 1970.
    ``target``: which target was asked.  ``cores``: CPU that each process of the engine took.
    ``told``: what the header said that was looked at, as a place in ``values``; -1: it was not
    there.  None: no header was looked at.  ``lacks``: 1 where an answer has not the text that it
    must have; None: no answer was looked at.
    """

    due: NDArray[np.int64]
    sent: NDArray[np.int64]
    first: NDArray[np.int64]
    done: NDArray[np.int64]
    status: NDArray[np.int16]
    error: NDArray[np.uint8]
    octets: NDArray[np.int64]
    target: NDArray[np.int64]
    began_ns: int
    wall: float
    cores: tuple[float, ...]
    told: NDArray[np.int16] | None = None
    values: tuple[str, ...] = ()
    lacks: NDArray[np.uint8] | None = None

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """From due: what a user waits.  NaN without a complete answer."""
        waited = (self.done - self.due) / 1e9
        return np.where(
            self.error == Error.NONE,
            waited,
            np.nan,
        )

    @property
    def late_s(self) -> NDArray[np.float64]:
        """From due to sent: the engine's own error.  NaN: not sent."""
        return np.where(
            self.sent > 0,
            (self.sent - self.due) / 1e9,
            np.nan,
        )
