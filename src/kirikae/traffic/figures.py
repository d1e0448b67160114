"""Both sides' figures as batches for the judge: only periods that are over, complete, and of one
share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Protocol

from kirikae.aws import elbv2
from kirikae.aws.cloudwatch import Query, metric_data
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.move.dispersion import per_request
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch, Sides

TRAILING_S = 300
PAST_S = 86_400
PAST_PERIOD_S = 60
_LEAST_PAST = 20
_TIME = "TargetResponseTime"
_COUNTS = (
    ("RequestCount", "Sum"),
    ("HTTPCode_Target_5XX_Count", "Sum"),
    ("TargetConnectionErrorCount", "Sum"),
    ("HTTPCode_Target_4XX_Count", "Sum"),
    (_TIME, "SampleCount"),
)
_UNPLACED = "HTTPCode_ELB_5XX_Count"


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
        return ("old", self.old, self.old_balancer), (
            "new",
            self.new,
            self.new_balancer,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is asked for.

    ``share``, ``step``: what is written into the batches.
    ``since``, ``until``: Unix times; only whole periods between them count.
    ``tau``: the old side's quantiles in seconds, as they are kept in the batches.
    ``bounds``: "old" and "new" -> the times in seconds at which the answers are counted.
    ``exact``, ``dispersion``: as they are kept in the batches.
    """

    share: int
    step: int
    since: float
    until: float
    tau: Mapping[str, float]
    bounds: Mapping[str, Sequence[float]]
    exact: bool = True
    dispersion: Mapping[str, float] = field(default_factory=dict)

    def batch(
        self,
        stamp: int,
        period_s: int,
        routes: Mapping[str, Sides],
    ) -> Batch:
        return Batch(
            float(stamp),
            float(period_s),
            self.share,
            routes,
            self.step,
            self.tau,
            exact=self.exact,
            dispersion=self.dispersion,
        )


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

    def past(self, until: float, bounds: Mapping[str, float]) -> dict[str, float]:
        """How over-dispersed the old side was over the day before, by metric
        (``dispersion.per_request``).

        ``bounds``: metric -> the time in seconds above which an answer counts.  What is not known
        is left out.
        """


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
        queries = [
            Query(
                old,
                self.places.old_balancer,
                _TIME,
                metric,
            )
            for metric in QUANTILES
        ]
        found = metric_data(
            self.aws,
            queries,
            end - TRAILING_S,
            end,
            step,
        )
        series = zip(QUANTILES, found, strict=True)
        return {metric: round(median(each.values()), 4) for metric, each in series if each}

    def batches(self, asked: Asked) -> list[Batch]:
        stamps = periods(asked.since, asked.until, self.period_s)
        if not stamps:
            return []
        found = self._read(stamps, asked)
        batches = []
        for stamp in stamps:
            read = {side: each.at(stamp) for side, each in found.sides.items()}
            late = stamp + self.period_s > asked.until - self.period_s
            if late and any(counted.unanswered for counted in read.values()):
                break  # times may come after counts: a period more, and they are believed
            arms = {side: counted.arm(asked.bounds[side]) for side, counted in read.items()}
            batch = asked.batch(stamp, self.period_s, {"": arms})
            batches.append(replace(batch, unplaced=found.unplaced(stamp)))
        return batches

    def past(self, until: float, bounds: Mapping[str, float]) -> dict[str, float]:
        end = math.floor(until / PAST_PERIOD_S) * PAST_PERIOD_S
        asked = sorted(set(bounds.values()))
        counted = self._old_side(end - PAST_S, end, asked)
        return dispersion_of(list(counted.values()), bounds)

    def parts(self, until: float, bounds: Sequence[float]) -> dict[str, dict[int, Arm]]:
        """The old side by availability zone over the day before ``until``, by the Unix time of the
        minute; the whole of it under an empty name."""
        end = math.floor(until / PAST_PERIOD_S) * PAST_PERIOD_S
        zones = elbv2.zones(self.aws, self.places.old_balancer)
        found = {}
        for zone in (None, *zones):
            found[zone or ""] = self._old_side(
                end - PAST_S,
                end,
                bounds,
                zone,
            )
        return found

    def days(self, until: float, bounds: Sequence[float]) -> dict[str, dict[int, Arm]]:
        """The old side over each of the two days before ``until``, the earlier one as if it were
        the later one."""
        end = math.floor(until / PAST_PERIOD_S) * PAST_PERIOD_S
        found = {}
        for name, back in (
            ("yesterday", 0),
            ("the day before", PAST_S),
        ):
            counted = self._old_side(end - PAST_S - back, end - back, bounds)
            found[name] = {stamp + back: arm for stamp, arm in counted.items()}
        return found

    def _old_side(
        self,
        since: float,
        until: float,
        bounds: Sequence[float],
        zone: str | None = None,
    ) -> dict[int, Arm]:
        """The old side alone, minute by minute, where anything was asked."""
        queries = _queries(self.places.old.dimension, self.places.old_balancer, bounds)
        queries = [replace(query, zone=zone) for query in queries]
        found = metric_data(
            self.aws,
            queries,
            since,
            until,
            PAST_PERIOD_S,
        )
        series = _Series(found[: len(_COUNTS)], found[len(_COUNTS) :])
        return {stamp: series.at(stamp).arm(bounds) for stamp in sorted(found[0])}

    def _read(self, stamps: range, asked: Asked) -> _Read:
        queries: list[Query] = []
        for side, group, balancer in self.places.sides:
            queries += _queries(group.dimension, balancer, asked.bounds[side])
        balancers = sorted({balancer for _, _, balancer in self.places.sides})
        queries += [
            Query(
                None,
                balancer,
                _UNPLACED,
                "Sum",
            )
            for balancer in balancers
        ]
        found = iter(
            metric_data(
                self.aws,
                queries,
                stamps.start,
                stamps.stop,
                self.period_s,
            )
        )
        sides = {}
        for side, _, _ in self.places.sides:
            counts = [next(found) for _ in _COUNTS]
            slow = [next(found) for _ in asked.bounds[side]]
            sides[side] = _Series(counts, slow)
        return _Read(sides, list(found))


@dataclass(frozen=True, slots=True)
class _Counted:
    """One side in one period.  ``slow``: answers above each bound."""

    requests: int
    failed: int
    refused: int
    rejected: int
    timed: int
    slow: Sequence[int]

    @property
    def unanswered(self) -> int:
        """Requests without a time of a target's answer: hung, or answered by the balancer.

        ``HTTPCode_Target_5XX_Count`` has none of them (ELB user guide, CloudWatch metrics).
        """
        return max(
            0,
            self.requests - self.timed,
            min(self.refused, self.requests),
        )

    def arm(self, bounds: Sequence[float]) -> Arm:
        errors = min(self.requests, self.failed + self.unanswered)
        over = zip(bounds, self.slow, strict=True)
        within = {
            bound: self.requests - min(self.requests, n + self.unanswered) for bound, n in over
        }
        rejected = min(self.requests, self.rejected)
        return Arm(
            self.requests,
            errors,
            None,
            within,
            rejected,
        )


@dataclass(frozen=True, slots=True)
class _Series:
    """One side's figures by the Unix time at which their period begins."""

    counts: Sequence[Mapping[int, float]]
    slow: Sequence[Mapping[int, float]]

    def at(self, stamp: int) -> _Counted:
        """CloudWatch has no data where nothing was counted."""
        requests, failed, refused, rejected, timed = (_whole(each, stamp) for each in self.counts)
        slow = [_whole(each, stamp) for each in self.slow]
        return _Counted(
            requests,
            failed,
            refused,
            rejected,
            timed,
            slow,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """``balancers``: answers 5xx of each load balancer itself."""

    sides: Mapping[str, _Series]
    balancers: Sequence[Mapping[int, float]]

    def unplaced(self, stamp: int) -> int:
        return sum(_whole(each, stamp) for each in self.balancers)


def dispersion_of(counted: Sequence[Arm], bounds: Mapping[str, float]) -> dict[str, float]:
    """By metric, of one side minute by minute; what too few minutes tell of is left out."""
    if len(counted) < _LEAST_PAST:
        return {}
    found = {}
    for metric in ("errors", "rejected", *bounds):
        series = [(arm.requests, _bad_of(metric, arm, bounds)) for arm in counted]
        excess = per_request(series, wanders=metric in bounds)
        found[metric] = float(f"{excess:.2g}")
    return found


def _bad_of(metric: str, arm: Arm, bounds: Mapping[str, float]) -> float:
    """What of this side counts as bad by this metric."""
    if metric == "errors":
        return arm.errors
    if metric == "rejected":
        return arm.rejected or 0
    return arm.over(bounds[metric])


def _whole(series: Mapping[int, float], stamp: int) -> int:
    return round(series.get(stamp, 0))


def _queries(group: str, balancer: str, bounds: Sequence[float]) -> list[Query]:
    """What ``_read`` takes apart, in its order."""
    counts = [
        Query(
            group,
            balancer,
            metric,
            statistic,
        )
        for metric, statistic in _COUNTS
    ]
    return counts + [
        Query(
            group,
            balancer,
            _TIME,
            f"TC({bound:.4f}:)",
        )
        for bound in bounds
    ]
