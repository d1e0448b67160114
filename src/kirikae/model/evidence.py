"""What was measured on both sides, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Self

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


class Arm(NamedTuple):
    """One side's counts in one batch.

    ``within``: bound in seconds -> answers within it, errors included; empty where times are not
    known. ``probe_failed``: targets that did not pass the checks of their answers; None: nobody
    asked."""

    requests: int = 0
    errors: int = 0
    probe_failed: int | None = None
    within: Mapping[float, int] = _NOTHING

    def over(self, bound: float) -> int:
        """Answers slower than a bound; 0 where the bound was not counted."""
        return max(0, self.requests - self.within.get(bound, self.requests))

    def plus(self, other: Arm) -> Arm:
        """Both batches as one.  Bounds that only one of them counted are lost."""
        if not self.requests and not self.within:
            within = other.within
        elif not other.requests and not other.within:
            within = self.within
        else:
            within = {
                bound: n + other.within[bound]
                for bound, n in self.within.items()
                if bound in other.within
            }
        asked = [n for n in (self.probe_failed, other.probe_failed) if n is not None]
        return Arm(
            self.requests + other.requests,
            self.errors + other.errors,
            sum(asked) if asked else None,
            within,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Figures of both sides over the same ``seconds`` from ``start`` (seconds, usually Unix time).

    ``share``: the commanded share (permille), None where it was not recorded.  ``step``: a number
    that changes when a step begins; None: a change of the share says so.  ``routes``: route ->
    "old" or "new" -> counts, the route "" where there are none. ``tau``: the old side's quantiles
    in seconds as they stood *before* this batch, where the source was asked at them."""

    start: float
    seconds: float
    share: int | None
    routes: Mapping[str, Mapping[str, Arm]]
    step: int | None = None
    tau: Mapping[str, float] = field(default_factory=dict)

    @property
    def only_probes(self) -> bool:
        """A round of probes, without figures."""
        arms = [arm for sides in self.routes.values() for arm in sides.values()]
        return bool(arms) and all(arm.probe_failed is not None and not arm.requests for arm in arms)

    def to_plain(self) -> dict[str, Any]:
        def arm(a: Arm) -> list[Any]:
            return [
                a.requests,
                a.errors,
                a.probe_failed,
                {repr(bound): n for bound, n in a.within.items()},
            ]

        routes = {
            route: {side: arm(a) for side, a in sides.items()}
            for route, sides in self.routes.items()
        }
        return {
            "start": self.start,
            "seconds": self.seconds,
            "share": self.share,
            "step": self.step,
            "tau": dict(self.tau),
            "routes": routes,
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote, in any format.

        Format 1 counted answers above a bound that differed by side and was not written down: of it
        errors remain."""
        if "routes" not in raw:
            routes = {"": {side: Arm(*raw[side][:2]) for side in ("old", "new")}}
            return cls(raw["start"], raw["seconds"], raw["share"], routes, raw["step"])

        def arm(a: list[Any]) -> Arm:
            return Arm(a[0], a[1], a[2], {float(bound): n for bound, n in a[3].items()})

        routes = {
            route: {side: arm(a) for side, a in sides.items()}
            for route, sides in raw["routes"].items()
        }
        return cls(raw["start"], raw["seconds"], raw["share"], routes, raw["step"], raw["tau"])


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look: the verdict, why in one sentence, the figures behind it, and the share that the
    world really has."""

    verdict: Verdict
    reason: str
    found_share: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "reason": self.reason,
            "found_share": self.found_share,
            "figures": dict(self.figures),
        }
