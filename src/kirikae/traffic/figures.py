"""Both sides' figures as batches for the judge: only periods that are over, complete, and of one
share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch, Sides

TRAILING_S = 300
_TIME = "TargetResponseTime"
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is asked for.

    ``share``, ``step``: what is written into the batches.
    ``since``, ``until``: Unix times; only whole periods between them count.
    ``tau``: the old side's quantiles in seconds, as they are kept in the batches.
    ``bounds``: "old" and "new" -> the times in seconds at which the answers are counted.
    """

    share: int
    step: int
    since: float
    until: float
    tau: Mapping[str, float]
    bounds: Mapping[str, Sequence[float]]

    def batch(self, stamp: int, period_s: int, routes: Mapping[str, Sides]) -> Batch:
        return Batch(float(stamp), float(period_s), self.share, routes, self.step, self.tau)


@dataclass(frozen=True, slots=True)
class Unread:
    """What of a source could not be read, and counts for nobody."""

    lines: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.lines or self.files)


NOTHING_UNREAD = Unread()


class Figures(Protocol):
    """Where the figures of both sides come from."""

    @property
    def unread(self) -> Unread:
        """What could not be read so far."""

    def quantiles(self, until: float) -> dict[str, float]:
        """The old side's p50, p95, p99 in seconds over the five minutes before; what is not known
        is left out."""

    def batches(self, asked: Asked) -> list[Batch]:
        """One batch per period that begins at or after ``since`` and ends by ``until``, oldest
        first."""


def periods(since: float, until: float, period_s: int) -> range:
    """Where the whole periods between two Unix times begin."""
    first = math.ceil(since / period_s) * period_s
    end = math.floor(until / period_s) * period_s
    return range(first, end, period_s)


@dataclass(frozen=True, slots=True)
class CloudWatch:
    """Counts per target group: requests, not clients.

    ``TC(bound:)`` counts the answers that took longer than a bound, so no quantile has to be
    guessed from buckets.
    """

    aws: Aws
    places: Places
    period_s: int
    unread: Unread = NOTHING_UNREAD

    def quantiles(self, until: float) -> dict[str, float]:
        step = 60 if self.period_s >= 60 else 1
        end = math.floor(until / step) * step
        old = self.places.old.dimension
        queries = [Query(old, self.places.old_balancer, _TIME, metric) for metric in QUANTILES]
        found = metric_data(self.aws, queries, end - TRAILING_S, end, step)
        series = zip(QUANTILES, found, strict=True)
        return {metric: round(median(each.values()), 4) for metric, each in series if each}

    def batches(self, asked: Asked) -> list[Batch]:
        stamps = periods(asked.since, asked.until, self.period_s)
        if not stamps:
            return []
        queries: list[Query] = []
        for side, group, balancer in self.places.sides:
            queries += _queries(group.dimension, balancer, asked.bounds[side])
        found = iter(metric_data(self.aws, queries, stamps.start, stamps.stop, self.period_s))
        series = {}
        for side, _, _ in self.places.sides:
            series[side] = [next(found) for _ in range(len(_COUNTS) + len(asked.bounds[side]))]
        batches = []
        for stamp in stamps:
            arms = {
                side: _arm([values.get(stamp, 0) for values in series[side]], asked.bounds[side])
                for side in series
            }
            batches.append(asked.batch(stamp, self.period_s, {"": arms}))
        return batches


def _queries(group: str, balancer: str, bounds: Sequence[float]) -> list[Query]:
    """What ``_arm`` reads, in its order."""
    counts = [Query(group, balancer, metric, statistic) for metric, statistic in _COUNTS]
    return counts + [Query(group, balancer, _TIME, f"TC({bound:.4f}:)") for bound in bounds]


def _arm(values: Sequence[float], bounds: Sequence[float]) -> Arm:
    requests, failed, refused, *slow = map(round, values)
    over = zip(bounds, slow, strict=True)
    within = {bound: requests - min(requests, n) for bound, n in over}
    return Arm(requests, min(requests, failed + refused), None, within)
