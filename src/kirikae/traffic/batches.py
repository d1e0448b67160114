"""Counts of both sides' answers over the same seconds: what a move of traffic records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from kirikae.model.move import Move
from kirikae.model.store import readable
from kirikae.move.journal import Journal

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
Sides = Mapping[str, "Arm"]
"""``old`` and ``new`` -> counts."""


Count = float
"""How many: whole requests, or parts of votes where each client has one vote."""


class Arm(NamedTuple):
    """One side's counts in one batch.

    ``requests``: each with one vote; where clients vote, the votes.
    ``errors``: those that failed: 5xx, refused, or never answered (docs/reference/glossary.md).
    ``within``: bound in seconds -> answers within it, errors included; empty where times are not
    known.
    ``probe_failed``: targets that did not pass the checks of their answers; None: nobody asked.
    ``rejected``: those answered with 4xx; None: not counted.
    ``served``: the requests that the votes stand for; None: each request is one.
    ``healthy``: healthy targets; None: nobody looked.
    ``mix``: of what kind the requests were (``guards.Mix``); empty where it is not known.
    """

    requests: Count = 0
    errors: Count = 0
    probe_failed: int | None = None
    within: Mapping[float, Count] = _NOTHING
    rejected: Count | None = None
    served: int | None = None
    healthy: int | None = None
    mix: Mapping[str, float] = _NOTHING

    @property
    def asked(self) -> Count:
        """Requests, whoever has a vote."""
        return self.requests if self.served is None else self.served

    def over(self, bound: float) -> Count:
        """Answers slower than a bound that was counted."""
        if not self.requests:
            return 0
        slow = self.requests - self.within[bound]
        return slow if slow > 0 else 0

    def plus(self, other: Arm) -> Arm:
        """Both batches as one.  What only one of them counted is lost."""
        voted = self.served is not None or other.served is not None
        return Arm(
            self.requests + other.requests,
            self.errors + other.errors,
            _sum(self.probe_failed, other.probe_failed),
            self._within_both(other),
            self._rejected_both(other),
            int(self.asked + other.asked) if voted else None,
            self.healthy if other.healthy is None else other.healthy,
            _added(self.mix, other.mix),
        )

    def _rejected_both(self, other: Arm) -> Count | None:
        if not self.requests:
            return other.rejected
        if not other.requests:
            return self.rejected
        if self.rejected is None or other.rejected is None:
            return None
        return self.rejected + other.rejected

    def beyond(self, counted: Arm) -> Arm:
        """What this later reading of the same period has more of."""
        errors = max(0, self.errors - counted.errors)
        slow: dict[float, Count] = {}
        for bound in self.within:
            if bound in counted.within:
                slow[bound] = max(0, self.over(bound) - counted.over(bound))
            elif not counted.requests:
                slow[bound] = self.over(bound)
        rejected = self._rejected_beyond(counted)
        requests = max(
            self.requests - counted.requests,
            errors,
            rejected or 0,
            *slow.values(),
            0,
        )
        within = {bound: requests - n for bound, n in slow.items()}
        served = None if self.served is None else max(0, int(self.asked - counted.asked))
        return Arm(requests, errors, None, within, rejected, served)

    def _rejected_beyond(self, counted: Arm) -> Count | None:
        if self.rejected is None or (counted.requests and counted.rejected is None):
            return None
        return max(0, self.rejected - (counted.rejected or 0))

    def _within_both(self, other: Arm) -> Mapping[float, Count]:
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
        plain = [self.requests, self.errors, self.probe_failed, within]
        more = self.more()
        return [*plain, more] if more else plain

    def more(self) -> dict[str, Any]:
        """What not every source tells, by name."""
        known = {
            "rejected": self.rejected,
            "served": self.served,
            "healthy": self.healthy,
        }
        found: dict[str, Any] = {key: n for key, n in known.items() if n is not None}
        return {**found, "mix": dict(self.mix)} if self.mix else found

    @classmethod
    def from_plain(cls, raw: list[Any]) -> Self:
        """Four values until the end of 2026; then, where there is more, an object of it."""
        requests, errors, probe_failed, within, *more = raw
        counted = {float(bound): n for bound, n in within.items()}
        return cls(
            requests,
            errors,
            probe_failed,
            counted,
            **(more[0] if more else {}),
        )


def _sum(one: int | None, other: int | None) -> int | None:
    """What is known of both; None: nothing."""
    known = [n for n in (one, other) if n is not None]
    return sum(known) if known else None


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    if not one or not other:
        return one or other
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}


@dataclass(frozen=True, slots=True)
class Batch:
    """Figures of both sides over the same ``seconds`` from ``start`` (usually Unix time).

    ``share``: the commanded share (permille), None where it was not recorded.
    ``step``: a number that changes when a step begins; None: a change of the share says so.
    ``routes``: route -> side -> counts, the route "" where there are none.
    ``tau``: the old side's quantiles in seconds as they stood *before* this batch, where the source
    was asked at them.
    ``corrects``: the start of the period of which this came later; None: it is a period itself.
    ``unplaced``: answers 5xx of the balancer itself, whichever side they were for; None: not known.
    ``exact``: is the share that arrives the commanded one?  Not where clients stick, or by DNS.
    ``dispersion``: how much more the old side's past varied than chance would (``dispersion.py``).
    """

    start: float
    seconds: float
    share: int | None
    routes: Mapping[str, Sides]
    step: int | None = None
    tau: Mapping[str, float] = field(default_factory=dict)
    corrects: float | None = None
    unplaced: int | None = None
    exact: bool = True
    dispersion: Mapping[str, float] = field(default_factory=dict)

    @property
    def only_probes(self) -> bool:
        """A round of probes, without figures."""
        arms = [arm for sides in self.routes.values() for arm in sides.values()]
        return bool(arms) and all(_looked_at(arm) and not arm.requests for arm in arms)

    def side(self, name: str) -> Arm:
        """All routes of one side together."""
        if len(self.routes) == 1:
            for sides in self.routes.values():
                return sides.get(name, NOBODY)
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
        unplaced = _sum(self.unplaced, later.unplaced)
        seconds = self.seconds + later.seconds
        return replace(
            later,
            seconds=seconds,
            routes=found,
            corrects=None,
            unplaced=unplaced,
        )

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
        return plain | self.more()

    def more(self) -> dict[str, Any]:
        """What few batches have, by name."""
        known = {"corrects": self.corrects, "unplaced": self.unplaced}
        found: dict[str, Any] = {key: value for key, value in known.items() if value is not None}
        if not self.exact:
            found["exact"] = False
        return {**found, "dispersion": dict(self.dispersion)} if self.dispersion else found

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote, in any format.

        Format 1 counted answers above a bound that differed by side and was not written down: of it
        errors remain.
        """
        if "routes" not in raw:
            first = {"": {side: Arm(*raw[side][:2]) for side in ("old", "new")}}
            return cls(
                raw["start"],
                raw["seconds"],
                raw["share"],
                first,
                raw["step"],
            )
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
            raw.get("unplaced"),
            raw.get("exact", True),
            raw.get("dispersion", {}),
        )


def _looked_at(arm: Arm) -> bool:
    return arm.probe_failed is not None or arm.healthy is not None


NOBODY = Arm()
CORRECTION_S = 0.001
"""A correction takes no time of its own, but a record's batch has some."""


def record(journal: Journal, move: Move, batch: Batch) -> bool:
    """Keep it for ever; False if another driver recorded this time already."""
    return journal.record(move, f"{batch.start:014.3f}", batch.to_plain())


def recorded(journal: Journal, move: Move) -> list[Batch]:
    """All batches of the current attempt, oldest first."""
    with readable(f"a record of {move.name}"):
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
    late = replace(
        read,
        start=start,
        seconds=CORRECTION_S,
        routes=routes,
        corrects=read.start,
    )
    return replace(late, unplaced=None)


def of_step(batches: Iterable[Batch], step: int) -> list[Batch]:
    return [batch for batch in batches if batch.step == step]
