"""Counts of both sides' answers over the same seconds: what a move of traffic records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from kirikae.model.move import Move
from kirikae.move.journal import Journal

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
Sides = Mapping[str, "Arm"]
"""``old`` and ``new`` -> counts."""


class Arm(NamedTuple):
    """One side's counts in one batch.

    ``within``: bound in seconds -> answers within it, errors included; empty where times are not
    known.
    ``probe_failed``: targets that did not pass the checks of their answers; None: nobody asked.
    """

    requests: int = 0
    errors: int = 0
    probe_failed: int | None = None
    within: Mapping[float, int] = _NOTHING

    def over(self, bound: float) -> int:
        """Answers slower than a bound; 0 where the bound was not counted."""
        return max(0, self.requests - self.within.get(bound, self.requests))

    def plus(self, other: Arm) -> Arm:
        """Both batches as one.  Bounds that only one of them counted are lost."""
        asked = [n for n in (self.probe_failed, other.probe_failed) if n is not None]
        return Arm(
            self.requests + other.requests,
            self.errors + other.errors,
            sum(asked) if asked else None,
            self._within_both(other),
        )

    def beyond(self, counted: Arm) -> Arm:
        """What this later reading of the same period has more of."""
        errors = max(0, self.errors - counted.errors)
        slow = {
            bound: max(0, self.over(bound) - counted.over(bound))
            for bound in self.within
            if bound in counted.within or not counted.requests
        }
        requests = max(self.requests - counted.requests, errors, *slow.values(), 0)
        within = {bound: requests - n for bound, n in slow.items()}
        return Arm(requests, errors, None, within)

    def _within_both(self, other: Arm) -> Mapping[float, int]:
        if not self.requests and not self.within:
            return other.within
        if not other.requests and not other.within:
            return self.within
        both = {}
        for bound, n in self.within.items():
            if bound in other.within:
                both[bound] = n + other.within[bound]
        return both

    def to_plain(self) -> list[Any]:
        within = {repr(bound): n for bound, n in self.within.items()}
        return [self.requests, self.errors, self.probe_failed, within]

    @classmethod
    def from_plain(cls, raw: list[Any]) -> Self:
        requests, errors, probe_failed, within = raw
        counted = {float(bound): n for bound, n in within.items()}
        return cls(requests, errors, probe_failed, counted)


@dataclass(frozen=True, slots=True)
class Batch:
    """Figures of both sides over the same ``seconds`` from ``start`` (usually Unix time).

    ``share``: the commanded share (permille), None where it was not recorded.
    ``step``: a number that changes when a step begins; None: a change of the share says so.
    ``routes``: route -> side -> counts, the route "" where there are none.
    ``tau``: the old side's quantiles in seconds as they stood *before* this batch, where the source
    was asked at them.
    ``corrects``: the start of the period of which this came later; None: it is a period itself.
    """

    start: float
    seconds: float
    share: int | None
    routes: Mapping[str, Sides]
    step: int | None = None
    tau: Mapping[str, float] = field(default_factory=dict)
    corrects: float | None = None

    @property
    def only_probes(self) -> bool:
        """A round of probes, without figures."""
        arms = [arm for sides in self.routes.values() for arm in sides.values()]
        asked = all(arm.probe_failed is not None and not arm.requests for arm in arms)
        return bool(arms) and asked

    def side(self, name: str) -> Arm:
        """All routes of one side together."""
        found: Arm | None = None
        for sides in self.routes.values():
            if name in sides:
                found = sides[name] if found is None else found.plus(sides[name])
        return found or NOBODY

    def then(self, later: Batch) -> Batch:
        """Both as one, which begins where the later one begins: what lacked one side's figures goes
        into the next."""
        found: dict[str, dict[str, Arm]] = {}
        for routes in (self.routes, later.routes):
            for route, sides in routes.items():
                mine = found.setdefault(route, {})
                for side, counts in sides.items():
                    mine[side] = mine[side].plus(counts) if side in mine else counts
        seconds = self.seconds + later.seconds
        return Batch(later.start, seconds, later.share, found, later.step, later.tau)

    def to_plain(self) -> dict[str, Any]:
        routes = {
            route: {side: arm.to_plain() for side, arm in sides.items()}
            for route, sides in self.routes.items()
        }
        plain = {
            "start": self.start,
            "seconds": self.seconds,
            "share": self.share,
            "step": self.step,
            "tau": dict(self.tau),
            "routes": routes,
        }
        return plain if self.corrects is None else {**plain, "corrects": self.corrects}

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote, in any format.

        Format 1 counted answers above a bound that differed by side and was not written down: of it
        errors remain.
        """
        if "routes" not in raw:
            first = {"": {side: Arm(*raw[side][:2]) for side in ("old", "new")}}
            return cls(raw["start"], raw["seconds"], raw["share"], first, raw["step"])
        routes = {
            route: {side: Arm.from_plain(arm) for side, arm in sides.items()}
            for route, sides in raw["routes"].items()
        }
        return cls(
            raw["start"],
            raw["seconds"],
            raw["share"],
            routes,
            raw["step"],
            raw["tau"],
            raw.get("corrects"),
        )


NOBODY = Arm()
CORRECTION_S = 0.001
"""A correction takes no time of its own, but a record's batch has some."""


def record(journal: Journal, move: Move, batch: Batch) -> bool:
    """Keep it for ever; False if another driver recorded this time already."""
    return journal.record(move, f"{batch.start:014.3f}", batch.to_plain())


def recorded(journal: Journal, move: Move) -> list[Batch]:
    """All batches of the current attempt, oldest first."""
    return [Batch.from_plain(raw) for raw in journal.records(move)]


def correction(read: Batch, counted: Batch, start: float) -> Batch | None:
    """What came later of a period that was counted already, as a batch of its own right after what
    stands in the record; None: nothing.

    Requests that turned out to be bad are counted once more, as bad ones: what stands in the record
    is never changed.
    """
    routes: dict[str, Sides] = {}
    for route, sides in read.routes.items():
        before = counted.routes.get(route, {})
        more = {side: arm.beyond(before.get(side, NOBODY)) for side, arm in sides.items()}
        found = {side: arm for side, arm in more.items() if arm.requests}
        if found:
            routes[route] = found
    if not routes:
        return None
    return replace(read, start=start, seconds=CORRECTION_S, routes=routes, corrects=read.start)


def of_step(batches: Iterable[Batch], step: int) -> list[Batch]:
    return [batch for batch in batches if batch.step == step]
