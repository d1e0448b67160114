"""What a plan will take at today's rate: requests and time per step, and how soon harm would be
found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.share import WHOLE
from kirikae.move.dispersion import at_share
from kirikae.move.judge import (
    QUANTILES,
    Margins,
    requests_to_find,
    requests_to_prove,
)
from kirikae.traffic.figures import Places

RISE = 0.01
"""The harm that a plan speaks of: so many more errors."""
_HOUR = 3600
_TIME = "TargetResponseTime"


@dataclass(frozen=True, slots=True)
class Today:
    """The old and the new side together over the last hour that is known.

    ``per_s``: requests a second; 0: not known.  ``errors``: part of the old side's.  ``tau``: its
    quantiles in seconds. ``above``: bound in seconds -> part of its answers that took longer.
    ``dispersion``: how much more its last day varied than chance would, by metric
    (``Figures.past``)."""

    per_s: float
    errors: float
    tau: dict[str, float]
    above: dict[float, float]
    dispersion: Mapping[str, float] = field(default_factory=dict)

    def times(self, metric: str, share: int) -> float:
        """By how much more requests it takes than where they fail independently."""
        return at_share(self.dispersion.get(metric, 0.0), self.per_s, share / WHOLE)


@dataclass(frozen=True, slots=True)
class StepForecast:
    """``needed``: requests the new side answers until the next step is proven, by its slowest
    ``metric``; inf: never at these figures.

    ``seconds``: until then, with the bake time and the lateness of figures; inf: not known.
    ``finds``: requests until ``RISE`` more errors are found, and seconds."""

    share: int
    needed: float
    metric: str
    seconds: float
    finds: float
    finds_s: float


@dataclass(frozen=True, slots=True)
class _Hour:
    """The last hour that is known, minute by minute."""

    aws: Aws
    places: Places
    until: float

    def old(self, metric: str, statistic: str = "Sum") -> Query:
        places = self.places
        return Query(
            places.old.dimension,
            places.old_balancer,
            metric,
            statistic,
        )

    def served_by_new(self) -> Query:
        places = self.places
        return Query(
            places.new.dimension,
            places.new_balancer,
            "RequestCount",
            "Sum",
        )

    def read(self, queries: Sequence[Query]) -> list[dict[int, float]]:
        """By query, what each minute counted."""
        return metric_data(
            self.aws,
            queries,
            self.until - _HOUR,
            self.until,
            60,
        )

    def above(self, bounds: Sequence[float], requests: float) -> dict[float, float]:
        """Bound in seconds -> the part of so many requests of the old side that took longer."""
        over = self.read([self.old(_TIME, f"TC({bound:.4f}:)") for bound in bounds])
        parts = [sum(values.values()) / requests for values in over]
        return dict(zip(bounds, parts, strict=True))


def today(
    aws: Aws,
    places: Places,
    margins: Margins,
    plan: Sequence[int],
    now: float,
    lateness_s: float,
) -> Today:
    hour = _Hour(aws, places, math.floor((now - lateness_s) / 60) * 60)
    counts = [
        hour.old("RequestCount"),
        hour.old("HTTPCode_Target_5XX_Count"),
        hour.served_by_new(),
    ]
    times = [hour.old(_TIME, metric) for metric in QUANTILES]
    served, failed, served_new, *quantiles = hour.read(counts + times)
    requests = sum(served.values())
    minutes = len(served.keys() | served_new.keys())
    if not requests or not minutes:
        return Today(
            0.0,
            0.001,
            {},
            {},
        )
    tau = _medians(quantiles)
    both = requests + sum(served_new.values())
    return Today(
        both / (60 * minutes),
        sum(failed.values()) / requests,
        tau,
        hour.above(_bounds(margins, plan, tau), requests),
    )


def _medians(times: Sequence[dict[int, float]]) -> dict[str, float]:
    """Of the minutes of the hour; a quantile without figures is left out."""
    found = {}
    for metric, values in zip(QUANTILES, times, strict=True):
        if values:
            found[metric] = sorted(values.values())[len(values) // 2]
    return found


def _bounds(margins: Margins, plan: Sequence[int], tau: dict[str, float]) -> list[float]:
    """The times above which an answer counts against the new side, at any step of the plan."""
    if margins.fast_enough_ms:
        return [margins.fast_enough_ms / 1000]
    steps = [margins.measured_by(share, _next(plan, share)) for share in plan]
    return sorted({margins.bounds(each, after)[1] for each in tau.values() for after in steps})


def forecast(
    margins: Margins,
    plan: Sequence[int],
    known: Today,
    late_s: float,
) -> list[StepForecast]:
    """One per share of the plan.  ``late_s``: how long figures take to arrive."""
    found = []
    for share in plan:
        after = margins.measured_by(share, _next(plan, share))
        needs = _needs(
            margins,
            share,
            after,
            known,
        )
        needs = {m: each * known.times(m, share) for m, each in needs.items()}
        metric = max(needs, key=lambda m: needs[m])
        per_s = known.per_s * share / WHOLE
        seconds = (
            max(margins.bake_at(share), needs[metric] / per_s) + late_s
            if per_s and isfinite(needs[metric])
            else inf
        )
        finds = requests_to_find(
            margins,
            share,
            max(known.errors, 1e-4),
            max(known.errors, 1e-4) + RISE,
        ) * known.times("errors", share)
        found.append(
            StepForecast(
                share,
                needs[metric],
                metric,
                seconds,
                finds,
                finds / per_s + late_s if per_s else inf,
            )
        )
    return found


SMALL_PLAN = (100, 250, 500, WHOLE)
SMALL_PER_S = 30.0
"""Below it a first step of 1% takes hours, and saves nobody: harm is found after as many requests
at 10%."""
LONG_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class SmallPlan:
    """Steps that fit a small service.  ``seconds``, ``instead_of``: what they and the plan of the
    project file take; None: not known.

    ``unprovable``: shares of it whose step takes more than a week to prove, or cannot be.
    """

    steps: tuple[int, ...]
    seconds: float | None
    instead_of: float | None
    unprovable: tuple[int, ...]


def smaller_plan(
    margins: Margins,
    plan: Sequence[int],
    known: Today,
    late_s: float,
) -> SmallPlan | None:
    """None where the rate is not known, or the plan fits as it is."""
    if not 0 < known.per_s < SMALL_PER_S:
        return None
    smaller = forecast(
        margins,
        SMALL_PLAN,
        known,
        late_s,
    )
    seconds = sum(step.seconds for step in smaller)
    instead_of = sum(
        step.seconds
        for step in forecast(
            margins,
            plan,
            known,
            late_s,
        )
    )
    if seconds >= instead_of and isfinite(instead_of):
        return None
    unprovable = tuple(step.share for step in smaller if step.seconds > LONG_S)
    return SmallPlan(
        SMALL_PLAN,
        seconds if isfinite(seconds) else None,
        instead_of if isfinite(instead_of) else None,
        unprovable,
    )


def _next(plan: Sequence[int], share: int) -> int:
    return next((s for s in plan if s > share), WHOLE)


def _needs(
    margins: Margins,
    share: int,
    after: int,
    known: Today,
) -> dict[str, float]:
    """Metric -> requests until it is shown, if the new side is like the old one."""
    needs = {
        "errors": requests_to_prove(
            margins,
            share,
            after,
            max(known.errors, 1e-4),
        )
    }
    if margins.fast_enough_ms:
        part = known.above.get(margins.fast_enough_ms / 1000)
        return (
            needs
            if part is None
            else needs
            | {
                "latency": requests_to_prove(
                    margins,
                    share,
                    after,
                    max(part, 1e-4),
                )
            }
        )
    for metric, tau in known.tau.items():
        part = known.above.get(margins.bounds(tau, after)[1])
        if part is not None:
            needs[metric] = requests_to_prove(
                margins,
                share,
                after,
                1 - QUANTILES[metric],
                metric,
                max(part, 1e-4),
            )
    return needs
