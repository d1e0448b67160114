"""What a host says of itself: which order it has carried out, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from kirikae.model.shown import clean

_HEAD = "kirikae-report 1"
_END = "end"


class Came(StrEnum):
    """What came of an order."""

    IDLE = "idle"
    """Nothing was asked of it."""
    WORKING = "working"
    SERVES = "serves"
    FAILED = "failed"
    """Nothing was switched: what ran before serves."""
    BACK = "back"
    """It was switched to, did not pass, and what ran before serves again."""
    STUCK = "stuck"
    """Nobody knows what serves: somebody has to look."""


@dataclass(frozen=True, slots=True)
class Report:
    """``folder`` is what ``current`` names (empty: nothing); ``at`` is the host's own clock, in
    seconds since 1970."""

    host: str
    order: str
    release: str
    outcome: Came
    folder: str
    at: float
    seconds: float
    detail: str
    addresses: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for what is no report, or half of one: a host may write it at this moment."""
        lines = text.splitlines()
        if lines[:1] != [_HEAD] or lines[-1:] != [_END]:
            return None
        told = {key: clean(value) for key, _, value in (line.partition(" ") for line in lines)}
        try:
            return cls(
                told["host"],
                told["order"],
                told["release"],
                Came(told["outcome"]),
                told["folder"],
                float(told["at"]),
                float(told["seconds"]),
                told["detail"].strip(),
                tuple(told.get("addresses", "").split()),
            )
        except (KeyError, ValueError):
            return None

    @property
    def says(self) -> str:
        """In a line of a table."""
        why = f" ({self.detail})" if self.detail else ""
        return f"{self.release}: {self.outcome}{why}"
