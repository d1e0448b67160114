"""Both sides' figures as batches for the judge: only periods that are over, complete, and of one
share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.model.evidence import Arm, Batch
from kirikae.model.move import Move
from kirikae.move.judge import QUANTILES

TRAILING_S = 300
_COUNTS = (
    ("RequestCount", "Sum"),
    ("HTTPCode_Target_5XX_Count", "Sum"),
    ("TargetConnectionErrorCount", "Sum"),
)


@dataclass(frozen=True, slots=True)
class Places:
    """Both sides as AWS knows them.  ``rule_arn``: the listener rule, None where DNS decides;
    balancers as CloudWatch names them."""

    rule_arn: str | None
    old: TargetGroup
    new: TargetGroup
    old_balancer: str
    new_balancer: str

    @property
    def sides(self) -> tuple[tuple[str, TargetGroup, str], ...]:
        return ("old", self.old, self.old_balancer), ("new", self.new, self.new_balancer)


class Figures(Protocol):
    """Where the figures of both sides come from."""

    def quantiles(self, until: float) -> dict[str, float]:
        """The old side's p50, p95, p99 in seconds over the five minutes before; what is not known
        is left out."""

    def batches(
        self,
        move: Move,
        since: float,
        until: float,
        tau: dict[str, float],
        bounds: dict[str, list[float]],
    ) -> list[Batch]:
        """One batch per period that begins at or after ``since`` and ends by ``until`` (Unix
        times), oldest first.

        ``bounds``: "old" and "new" -> the times in seconds at which the answers are counted.
        """


def periods(since: float, until: float, period_s: int) -> range:
    """Where the whole periods between two Unix times begin."""
    return range(
        math.ceil(since / period_s) * period_s, math.floor(until / period_s) * period_s, period_s
    )


@dataclass(frozen=True, slots=True)
class CloudWatch:
    """Counts per target group: requests, not clients.

    ``TC(bound:)`` counts the answers that took longer than a bound, so no quantile has to be
    guessed from buckets."""

    aws: Aws
    places: Places
    period_s: int

    def quantiles(self, until: float) -> dict[str, float]:
        step = 60 if self.period_s >= 60 else 1
        end = math.floor(until / step) * step
        queries = [
            Query(self.places.old.dimension, self.places.old_balancer, "TargetResponseTime", metric)
            for metric in QUANTILES
        ]
        found = metric_data(self.aws, queries, end - TRAILING_S, end, step)
        return {
            metric: round(median(series.values()), 4)
            for metric, series in zip(QUANTILES, found, strict=True)
            if series
        }

    def batches(
        self,
        move: Move,
        since: float,
        until: float,
        tau: dict[str, float],
        bounds: dict[str, list[float]],
    ) -> list[Batch]:
        stamps = periods(since, until, self.period_s)
        if not stamps:
            return []
        queries = []
        for side, group, balancer in self.places.sides:
            queries += [
                Query(group.dimension, balancer, metric, statistic) for metric, statistic in _COUNTS
            ]
            queries += [
                Query(group.dimension, balancer, "TargetResponseTime", f"TC({bound:.4f}:)")
                for bound in bounds[side]
            ]
        found = iter(metric_data(self.aws, queries, stamps.start, stamps.stop, self.period_s))
        series = {
            side: [next(found) for _ in range(len(_COUNTS) + len(bounds[side]))]
            for side in ("old", "new")
        }

        def arm(side: str, stamp: int) -> Arm:
            requests, failed, refused, *slow = (
                round(values.get(stamp, 0)) for values in series[side]
            )
            within = {
                bound: requests - min(requests, n)
                for bound, n in zip(bounds[side], slow, strict=True)
            }
            return Arm(requests, min(requests, failed + refused), None, within)

        return [
            Batch(
                float(stamp),
                float(self.period_s),
                move.share,
                {"": {s: arm(s, stamp) for s in ("old", "new")}},
                move.stepped,
                tau,
            )
            for stamp in stamps
        ]
