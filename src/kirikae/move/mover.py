"""What a thing must be able to do in order to be moved."""

from __future__ import annotations

from typing import Protocol

from kirikae.model.evidence import Evidence
from kirikae.model.move import Move


class Mover(Protocol):
    """Every method may be called again after a crash and must then change nothing more."""

    def prepare(self, move: Move) -> None:
        """Everything that must stand before the share may rise; changes nothing that users meet."""

    def start(self, move: Move) -> None:
        """Begin at share 0."""

    def compare(self, move: Move) -> Evidence:
        """At share 0: is the new side ready?  Above: what do both sides' figures say?

        ``found`` is the share that the world has now, or None where it says nothing about one.
        """

    def shift(self, name: str, share: int, expected: tuple[int, ...] | None) -> None:
        """Set the share (permille).

        ``expected``: the shares that may be found there; None: whatever is found is overwritten.
        ``name`` alone says which move: the red button works without a journal.  Without
        ``expected`` it is set whatever a look says: looks may be late.
        Raises HandOnKnob if the share found is none of ``expected``.
        """

    def found(self) -> int | None:
        """The share (permille) that the world has now; None where it says nothing about one."""

    def settle(self, move: Move) -> None:
        """All of the move's scope is on the new side."""

    def retire(self, move: Move) -> None:
        """Pin the share; deletes nothing."""

    def discard(self, move: Move) -> None:
        """Give the move up at share 0."""
