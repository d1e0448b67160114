"""Read both sides' figures as batches for the judge: only periods that are over, complete, and of one share."""

from __future__ import annotations

import math
from statistics import median

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.evidence import Arm, Batch
from kirikae.model.move import Move
from kirikae.move.judge import QUANTILES

_TRAILING_S = 300
_COUNTS = (("RequestCount", "Sum"), ("HTTPCode_Target_5XX_Count", "Sum"), ("TargetConnectionErrorCount", "Sum"))


def old_quantiles(aws: Aws, old: str, balancer: str, now: float, lateness_s: float, period_s: float) -> dict[str, float]:
    """The old side's p50, p95, p99 in seconds, each the median over the periods (60 s; 1 s where the source is finer) of the last
    five minutes; what is not known is left out."""
    step = 60 if period_s >= 60 else 1
    until = math.floor((now - lateness_s) / step) * step
    queries = [Query(old, balancer, "TargetResponseTime", metric) for metric in QUANTILES]
    found = metric_data(aws, queries, until - _TRAILING_S, until, step)
    return {metric: round(median(series.values()), 4) for metric, series in zip(QUANTILES, found, strict=True) if series}


def read_batches(
    aws: Aws, old: str, new: str, balancer: str, move: Move, since: float, until: float, period_s: int,
    tau: dict[str, float], bounds: dict[str, list[float]],
) -> list[Batch]:  # fmt: skip
    """One batch per period that begins at or after ``since`` and ends by ``until`` (Unix times), oldest first.

    ``bounds``: "old" and "new" -> the times in seconds at which the answers are counted (CloudWatch's ``TC(bound:)``, dearer by
    nothing but the call: so no quantile has to be guessed from buckets).
    """
    begin, end = math.ceil(since / period_s) * period_s, math.floor(until / period_s) * period_s
    if begin >= end:
        return []
    queries = []
    for side, group in (("old", old), ("new", new)):
        queries += [Query(group, balancer, metric, statistic) for metric, statistic in _COUNTS]
        queries += [Query(group, balancer, "TargetResponseTime", f"TC({bound:.4f}:)") for bound in bounds[side]]
    found = iter(metric_data(aws, queries, begin, end, period_s))
    series = {side: [next(found) for _ in range(len(_COUNTS) + len(bounds[side]))] for side in ("old", "new")}

    def arm(side: str, stamp: int) -> Arm:
        requests, failed, refused, *slow = (round(values.get(stamp, 0)) for values in series[side])
        within = {bound: requests - min(requests, n) for bound, n in zip(bounds[side], slow, strict=True)}
        return Arm(requests, min(requests, failed + refused), None, within)

    return [
        Batch(float(stamp), float(period_s), move.share, {"": {side: arm(side, stamp) for side in ("old", "new")}}, move.stepped, tau)
        for stamp in range(begin, end, period_s)
    ]
