"""Read both sides' figures as batches for the judge: only periods that are over, complete, and of one share."""

from __future__ import annotations

import math

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.session import Aws
from kirikae.model.evidence import Arm, Batch
from kirikae.model.move import Move

_TRAILING_S = 300


def old_quantile_ms(aws: Aws, old: str, balancer: str, now: float, lateness_s: float) -> float:
    """The old side's 95th percentile over five past minutes, in ms: the worst of the minutes; 0 without figures."""
    until = math.floor((now - lateness_s) / 60) * 60
    [found] = metric_data(aws, [Query(old, balancer, "TargetResponseTime", "p95")], until - _TRAILING_S, until or 60, 60)
    return 1000 * max(found.values(), default=0.0)


def read_batches(
    aws: Aws, old: str, new: str, balancer: str, move: Move, since: float, until: float, period_s: int,
    tau_ms: float, thresholds_ms: tuple[float, float],
) -> list[Batch]:  # fmt: skip
    """One batch per period that begins at or after ``since`` and ends by ``until`` (Unix times), oldest first."""
    begin, end = math.ceil(since / period_s) * period_s, math.floor(until / period_s) * period_s
    if begin >= end:
        return []
    queries = []
    for group, (slow, slow_safe) in ((old, (tau_ms, tau_ms)), (new, thresholds_ms)):
        queries += [
            Query(group, balancer, "RequestCount", "Sum"),
            Query(group, balancer, "HTTPCode_Target_5XX_Count", "Sum"),
            Query(group, balancer, "TargetConnectionErrorCount", "Sum"),
            Query(group, balancer, "TargetResponseTime", f"TC({slow / 1000:.4f}:)"),
            Query(group, balancer, "TargetResponseTime", f"TC({slow_safe / 1000:.4f}:)"),
        ]
    found = metric_data(aws, queries, begin, end, period_s)
    batches = []
    for stamp in range(begin, end, period_s):
        arms = []
        for first in (0, 5):
            requests, failed, refused, slow_n, slow_safe_n = (round(series.get(stamp, 0)) for series in found[first : first + 5])
            arms.append(Arm(requests, min(requests, failed + refused), min(requests, slow_n), min(requests, slow_safe_n)))
        batches.append(Batch(float(stamp), float(period_s), move.share, move.stepped, tau_ms, arms[0], arms[1]))
    return batches
