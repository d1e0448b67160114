"""What was measured on both sides, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Arm:
    """One side's counts in one batch: requests, errors, and answers slower than the harm and the safe threshold."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    slow_safe: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Figures of both sides over the same ``seconds`` from ``start`` (Unix time), at one commanded share (permille).

    ``tau_ms`` is the latency that the old side's quantile stood at *before* this batch: thresholds come from the past.
    """

    start: float
    seconds: float
    share: int
    step: int
    tau_ms: float
    old: Arm
    new: Arm

    def to_plain(self) -> dict[str, Any]:
        def arm(a: Arm) -> list[int]:
            return [a.requests, a.errors, a.slow, a.slow_safe]

        return {
            "start": self.start, "seconds": self.seconds, "share": self.share, "step": self.step,
            "tau_ms": self.tau_ms, "old": arm(self.old), "new": arm(self.new),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        return cls(raw["start"], raw["seconds"], raw["share"], raw["step"], raw["tau_ms"], Arm(*raw["old"]), Arm(*raw["new"]))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look: the verdict, why in one sentence, the figures behind it, and the share that the world really has."""

    verdict: Verdict
    reason: str
    found_share: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict), "reason": self.reason,
            "found_share": self.found_share, "figures": dict(self.figures),
        }  # fmt: skip
