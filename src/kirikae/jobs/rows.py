"""Where the ledger's rows lie: a port with two implementations, SQLite and DynamoDB.

A transaction reads rows and writes rows; it is a function, so that whoever keeps the rows may run
it again when somebody else was quicker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

Plain = Mapping[str, Any]
T = TypeVar("T")
KEPT_MIN = 15 * 24 * 60
"""Rows stay fifteen days, longer than any catch-up window; an older firing is never admitted."""


class Key(NamedTuple):
    """``part``: rows of one part are read together, in the order of ``sort``."""

    part: str
    sort: str


class Listed(NamedTuple):
    """In which list a row waits for somebody, and from when on."""

    name: str
    at: float


class Written(NamedTuple):
    """``listed``: None takes it off its list.  ``minute``: its place in the whole history."""

    body: Plain
    listed: Listed | None = None
    minute: int | None = None


class View:
    """What one transaction sees: rows as they were read, and what it wants written."""

    def __init__(self, read: Callable[[Key], Plain | None]) -> None:
        self._read = read
        self.seen: dict[Key, Plain | None] = {}
        self.wanted: dict[Key, Written] = {}

    def get(self, key: Key) -> Plain | None:
        """As this transaction sees it."""
        if key in self.wanted:
            return self.wanted[key].body
        if key not in self.seen:
            self.seen[key] = self._read(key)
        return self.seen[key]

    def put(self, key: Key, written: Written) -> None:
        """Nothing is written before the whole function has returned."""
        self.get(key)
        self.wanted[key] = written


class Rows(Protocol):
    """Durable when a call returns.  Raises LedgerAway."""

    def now(self) -> float:
        """The clock that leases are measured with."""
        ...

    def together(self, act: Callable[[View], T]) -> T:
        """One transaction; ``act`` may be called more than once."""
        ...

    def each(self, acts: Sequence[Callable[[View], T]]) -> list[T]:
        """Many transactions that need not know of each other, in one go."""
        ...

    def listed(self, name: str, until: float, most: int) -> list[Plain]:
        """What waits in this list since a time before ``until``; the longest first."""
        ...

    def part(self, part: str) -> list[tuple[str, Plain]]:
        """All rows of a part, with their sort."""
        ...

    def newest(
        self, part: str | None, since: int | None, until: int | None, most: int
    ) -> list[Plain]:
        """Rows with a minute, of one part or of all, the newest first."""
        ...

    def forget(self, before: int) -> None:
        """Rows whose minute is earlier may go."""
        ...

    def close(self) -> None:
        """Let go of the file or the connection."""
        ...
