"""CloudWatch: figures per target group, how large a thing has been, and a driver's heartbeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kirikae.aws.session import Aws, told

_NAMESPACE = "AWS/ApplicationELB"
HEARTBEAT_NAMESPACE = "kirikae"


@dataclass(frozen=True, slots=True)
class Query:
    """One metric and statistic of one target group, such as ``RequestCount`` ``Sum`` or
    ``TargetResponseTime`` ``TC(0.2:)``."""

    target_group: str
    balancer: str
    metric: str
    statistic: str


def metric_data(
    aws: Aws, queries: Sequence[Query], since: float, until: float, period_s: int
) -> list[dict[int, float]]:
    """Per query, the values by the Unix time at which their period begins; periods without data are
    absent."""
    asked = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": _NAMESPACE,
                    "MetricName": query.metric,
                    "Dimensions": [
                        {"Name": "TargetGroup", "Value": query.target_group},
                        {"Name": "LoadBalancer", "Value": query.balancer},
                    ],
                },
                "Period": period_s,
                "Stat": query.statistic,
            },
        }
        for number, query in enumerate(queries)
    ]
    found: dict[str, dict[int, float]] = {q["Id"]: {} for q in asked}  # type: ignore[misc]
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
                stamps = [int(stamp.timestamp()) for stamp in result["Timestamps"]]
                found[result["Id"]].update(zip(stamps, result["Values"], strict=True))
            if not answer.get("NextToken"):
                return list(found.values())
            extra = {"NextToken": answer["NextToken"]}


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
    with told():
        points = aws.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()],
            StartTime=datetime.fromtimestamp(since, UTC),
            EndTime=datetime.fromtimestamp(until, UTC),
            Period=period_s,
            Statistics=["Maximum"],
        )["Datapoints"]
    return max((float(point["Maximum"]) for point in points), default=None)


def heartbeat(aws: Aws, dimensions: Mapping[str, str]) -> None:
    """One beat of a driver; an alarm on missing beats tells that a move has none."""
    told_of = [{"Name": k, "Value": v} for k, v in dimensions.items()]
    with told():
        aws.client("cloudwatch").put_metric_data(
            Namespace=HEARTBEAT_NAMESPACE,
            MetricData=[
                {"MetricName": "Heartbeat", "Dimensions": told_of, "Value": 1.0, "Unit": "Count"}
            ],
        )
