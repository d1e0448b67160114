"""What a thing must be able to do in order to be moved."""

from __future__ import annotations

from typing import Protocol

from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move


class HandOnKnob(KirikaeError):
    """The share in the world is not the one the journal says: somebody else turned it."""

    def __init__(self, found: int, expected: int, says: str) -> None:
        super().__init__(says)
        self.found = found
        self.expected = expected


class Mover(Protocol):
    """Every method may be called again after a crash and must then change nothing more."""

    def prepare(self, move: Move) -> None:
        """Everything that must stand before the share may rise; changes nothing that users meet."""

    def start(self, move: Move) -> None:
        """Begin at share 0."""

    def compare(self, move: Move) -> Evidence:
        """At share 0: is the new side ready?  Above: what do both sides' figures say?"""

    def shift(self, move: Move, share: int, expected: tuple[int, ...] | None) -> None:
        """Set the share (permille).  Raises HandOnKnob if ``expected`` is given and the share found
        is none of it."""

    def settle(self, move: Move) -> None:
        """All of the move's scope is on the new side."""

    def retire(self, move: Move) -> None:
        """Pin the share and write down what may be removed; deletes nothing."""

    def discard(self, move: Move) -> None:
        """Give the move up at share 0."""
