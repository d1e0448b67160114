"""What a plan will take at today's rate: requests and time per step, and how soon harm would be
found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES, Margins, requests_to_find, requests_to_prove
from kirikae.traffic.figures import Places

RISE = 0.01
"""The harm that a plan speaks of: so many more errors."""
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Today:
    """The old and the new side together over the last hour that is known.

    ``per_s``: requests a second; 0: not known.  ``errors``: part of the old side's.  ``tau``: its
    quantiles in seconds. ``above``: bound in seconds -> part of its answers that took longer."""

    per_s: float
    errors: float
    tau: dict[str, float]
    above: dict[float, float]


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


def today(
    aws: Aws, places: Places, margins: Margins, plan: Sequence[int], now: float, lateness_s: float
) -> Today:
    until = math.floor((now - lateness_s) / 60) * 60
    counts = [
        ("RequestCount", "Sum"),
        ("HTTPCode_Target_5XX_Count", "Sum"),
        *(("TargetResponseTime", q) for q in QUANTILES),
    ]
    old = places.old.dimension
    balancer = places.old_balancer
    queries = [Query(old, balancer, *count) for count in counts]
    queries.append(Query(places.new.dimension, places.new_balancer, "RequestCount", "Sum"))
    served, failed, *slow, served_new = metric_data(aws, queries, until - _HOUR, until, 60)
    n = sum(served.values())
    bad = sum(failed.values())
    minutes = len(served.keys() | served_new.keys())
    if not n or not minutes:
        return Today(0.0, 0.001, {}, {})
    tau = {
        metric: sorted(values.values())[len(values) // 2]
        for metric, values in zip(QUANTILES, slow, strict=True)
        if values
    }
    bounds = sorted(
        {margins.bounds(t, _next(plan, share))[1] for t in tau.values() for share in plan}
    )
    if margins.fast_enough_ms:
        bounds = [margins.fast_enough_ms / 1000]
    above = metric_data(
        aws,
        [Query(old, balancer, "TargetResponseTime", f"TC({b:.4f}:)") for b in bounds],
        until - _HOUR,
        until,
        60,
    )
    parts = {bound: sum(values.values()) / n for bound, values in zip(bounds, above, strict=True)}
    return Today((n + sum(served_new.values())) / (60 * minutes), bad / n, tau, parts)


def forecast(
    margins: Margins, plan: Sequence[int], known: Today, late_s: float
) -> list[StepForecast]:
    """One per share of the plan.  ``late_s``: how long figures take to arrive."""
    found = []
    for share in plan:
        needs = _needs(margins, share, _next(plan, share), known)
        metric = max(needs, key=lambda m: needs[m])
        per_s = known.per_s * share / WHOLE
        seconds = (
            max(margins.bake_s, needs[metric] / per_s) + late_s
            if per_s and isfinite(needs[metric])
            else inf
        )
        finds = requests_to_find(
            margins, share, max(known.errors, 1e-4), max(known.errors, 1e-4) + RISE
        )
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


def _next(plan: Sequence[int], share: int) -> int:
    return next((s for s in plan if s > share), WHOLE)


def _needs(margins: Margins, share: int, after: int, known: Today) -> dict[str, float]:
    """Metric -> requests until it is shown, if the new side is like the old one."""
    needs = {"errors": requests_to_prove(margins, share, after, max(known.errors, 1e-4))}
    if margins.fast_enough_ms:
        part = known.above.get(margins.fast_enough_ms / 1000)
        return (
            needs
            if part is None
            else needs | {"latency": requests_to_prove(margins, share, after, max(part, 1e-4))}
        )
    for metric, tau in known.tau.items():
        part = known.above.get(margins.bounds(tau, after)[1])
        if part is not None:
            needs[metric] = requests_to_prove(
                margins, share, after, 1 - QUANTILES[metric], metric, max(part, 1e-4)
            )
    return needs
