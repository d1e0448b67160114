"""What was seen of both sides, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from kirikae.model.said import Said, text


class Verdict(StrEnum):
    """What a look at both sides says.  ``UNSURE``: the figures do not tell; it is never a pass."""

    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look: the verdict, why, the figures behind it, and the share that the world really has.

    ``found``: permille; None where what is set in the world says nothing about a share.
    ``plainly``: the same for somebody who reads no figures; it is not kept.
    """

    verdict: Verdict
    reason: Said
    found: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    plainly: Said | None = field(default=None, compare=False)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the journal and for ``--json``; ``from_plain`` reads it back."""
        return {
            "verdict": str(self.verdict),
            "reason": self.reason.to_plain(),
            "found_share": self.found,
            "figures": dict(self.figures),
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote.

        Formats 1 and 2 kept the reason as a sentence, and -1 for a share that was not known.
        """
        reason = raw["reason"]
        found = raw["found_share"]
        return cls(
            Verdict(raw["verdict"]),
            text(reason) if isinstance(reason, str) else Said.from_plain(reason),
            None if found == -1 else found,
            raw["figures"],
        )
