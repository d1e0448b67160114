"""CloudWatch: figures per target group, how large a thing has been, and a driver's heartbeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kirikae.aws.errors import AwsRefused, FiguresIncomplete
from kirikae.aws.session import Aws, told

_NAMESPACE = "AWS/ApplicationELB"
HEARTBEAT_NAMESPACE = "kirikae"
_MOST_POINTS = 1440


@dataclass(frozen=True, slots=True)
class Query:
    """One metric and statistic of one target group, such as ``RequestCount`` ``Sum`` or
    ``TargetResponseTime`` ``TC(0.2:)``.

    ``target_group``: None for what the balancer counts of itself.
    ``zone``: of one availability zone only; None: of all.
    """

    target_group: str | None
    balancer: str
    metric: str
    statistic: str
    zone: str | None = None

    @property
    def dimensions(self) -> list[dict[str, str]]:
        """As the API takes them (ELB user guide: metrics per zone, target group and balancer)."""
        known = (
            ("TargetGroup", self.target_group),
            ("LoadBalancer", self.balancer),
            ("AvailabilityZone", self.zone),
        )
        return [{"Name": name, "Value": value} for name, value in known if value is not None]


def metric_data(
    aws: Aws,
    queries: Sequence[Query],
    since: float,
    until: float,
    period_s: int,
) -> list[dict[int, float]]:
    """Per query, the values by the Unix time at which their period begins; periods without data are
    absent.

    Raises FiguresIncomplete where CloudWatch could not read all of a series, and AwsRefused where
    it was not allowed to.
    """
    asked = [_asked(f"q{number}", query, period_s) for number, query in enumerate(queries)]
    series = [_Series(query) for query in queries]
    by_id = {each["Id"]: one for each, one in zip(asked, series, strict=True)}
    extra: dict[str, Any] = {}
    with told():
        while True:
            answer = aws.client("cloudwatch").get_metric_data(
                MetricDataQueries=asked,
                StartTime=datetime.fromtimestamp(since, UTC),
                EndTime=datetime.fromtimestamp(until, UTC),
                ScanBy="TimestampAscending",
                **extra,
            )
            for result in answer["MetricDataResults"]:
                by_id[result["Id"]].take(result)
            if not answer.get("NextToken"):
                break
            extra = {"NextToken": answer["NextToken"]}
    for one in series:
        one.assert_complete()
    return [one.values for one in series]


def _asked(name: str, query: Query, period_s: int) -> dict[str, Any]:
    metric = {
        "Namespace": _NAMESPACE,
        "MetricName": query.metric,
        "Dimensions": query.dimensions,
    }
    stat = {
        "Metric": metric,
        "Period": period_s,
        "Stat": query.statistic,
    }
    return {"Id": name, "MetricStat": stat}


@dataclass(slots=True)
class _Series:
    """What came of one query, and what CloudWatch said of it last (API reference,
    MetricDataResult.StatusCode): with more pages to come, PartialData only says so."""

    query: Query
    values: dict[int, float] = field(default_factory=dict)
    status: str = "no answer"
    message: str = ""

    def take(self, result: Mapping[str, Any]) -> None:
        stamps = [int(stamp.timestamp()) for stamp in result["Timestamps"]]
        self.values.update(zip(stamps, result["Values"], strict=True))
        self.status = result.get("StatusCode", "no status")
        self.message = "; ".join(each.get("Value", "") for each in result.get("Messages", ()))

    def assert_complete(self) -> None:
        if self.status == "Complete":
            return
        metric = f"{self.query.metric} of {self.query.target_group or self.query.balancer}"
        if self.status == "Forbidden":
            raise AwsRefused(
                "GetMetricData",
                "Forbidden",
                f"{metric}: {self.message or 'not allowed'}; "
                "the permission cloudwatch:GetMetricData is needed (`kirikae doctor`)",
            )
        raise FiguresIncomplete(metric, self.status, self.message)


def maximum(
    aws: Aws,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, str],
    since: float,
    until: float,
    period_s: int,
) -> float | None:
    """The largest value of a metric between two Unix times; None where there is no figure."""
    found = maxima(
        aws,
        namespace,
        metric,
        dimensions,
        since,
        until,
        period_s,
    )
    return max(found, default=None)


def maxima(
    aws: Aws,
    namespace: str,
    metric: str,
    dimensions: Mapping[str, str],
    since: float,
    until: float,
    period_s: int = 60,
) -> list[float]:
    """The largest value of each period between two Unix times, in their order; what CloudWatch does
    not have is left out."""
    client = aws.client("cloudwatch")
    points: list[Any] = []
    for begin, end in _windows(since, until, period_s):
        with told():
            points += client.get_metric_statistics(
                Namespace=namespace,
                MetricName=metric,
                Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()],
                StartTime=datetime.fromtimestamp(begin, UTC),
                EndTime=datetime.fromtimestamp(end, UTC),
                Period=period_s,
                Statistics=["Maximum"],
            )["Datapoints"]
    by_time = sorted(points, key=lambda point: point["Timestamp"])
    return [float(point["Maximum"]) for point in by_time]


def _windows(
    since: float,
    until: float,
    period_s: int,
) -> Iterator[tuple[float, float]]:
    """As long as one call answers: 1,440 points (API reference, GetMetricStatistics), less one for
    a window that begins within a period.  Cut where a period begins, so that none is in two."""
    begin = since
    while begin < until:
        end = (begin // period_s + _MOST_POINTS - 1) * period_s
        yield begin, min(end, until)
        begin = end


def heartbeat(aws: Aws, dimensions: Mapping[str, str]) -> None:
    """One beat of a driver; an alarm on missing beats tells that a move has none."""
    told_of = [{"Name": k, "Value": v} for k, v in dimensions.items()]
    with told():
        aws.client("cloudwatch").put_metric_data(
            Namespace=HEARTBEAT_NAMESPACE,
            MetricData=[
                {
                    "MetricName": "Heartbeat",
                    "Dimensions": told_of,
                    "Value": 1.0,
                    "Unit": "Count",
                }
            ],
        )
