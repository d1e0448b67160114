"""CloudWatch for ``AWS/ApplicationELB``, ``AWS/ECS`` and ``AWS/SQS``: GetMetricData,
GetMetricStatistics and ListMetrics over the figures that are kept.

Periods are 60 and multiples; without CloudWatch's delay also 1 (an own extension, for rehearsals
that take minutes)."""

from __future__ import annotations

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from kirikae.local.elb.statistics import of_counts, of_gauge, of_latency, wrong
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Counted, Gauge
from kirikae.local.sqs.figures import AGE, OF_QUEUES, subject_of
from kirikae.local.sqs.places import Place
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_MINUTE_S = 60
_FINE_S = (1, 5, 10, 20, 30)
"""Besides whole minutes: what GetMetricData takes of metrics with high resolution (MetricStat)."""
_BALANCER_ONLY = {"HTTP_Redirect_Count", "HTTP_Fixed_Response_Count", "NewConnectionCount"}
_HOSTS = {"HealthyHostCount", "UnHealthyHostCount"}
LATENCY = "TargetResponseTime"
PER_TARGET = "RequestCountPerTarget"
COUNTS = {
    "RequestCount",
    "HTTPCode_Target_2XX_Count",
    "HTTPCode_Target_3XX_Count",
    "HTTPCode_Target_4XX_Count",
    "HTTPCode_Target_5XX_Count",
    "HTTPCode_ELB_3XX_Count",
    "HTTPCode_ELB_4XX_Count",
    "HTTPCode_ELB_5XX_Count",
    "HTTPCode_ELB_500_Count",
    "HTTPCode_ELB_502_Count",
    "HTTPCode_ELB_503_Count",
    "HTTPCode_ELB_504_Count",
    "TargetConnectionErrorCount",
    "ProcessedBytes",
    *_BALANCER_ONLY,
}
GAUGES = {*_HOSTS, "ActiveConnectionCount"}
OF_SERVICES = {"CPUUtilization", "MemoryUtilization"}
_OF_BALANCERS = "AWS/ApplicationELB"
_OF_ECS = "AWS/ECS"
_OF_SQS = "AWS/SQS"
_ONE_A_MINUTE = OF_SERVICES | OF_QUEUES
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Span:
    """``since <= second < until``, in points of ``period`` seconds."""

    since: int
    until: int
    period: int

    @property
    def begin(self) -> int:
        """Of the first point: points begin at whole periods."""
        return self.since - self.since % self.period

    def by_point(self, rows: Iterable[tuple[int, Row]]) -> dict[int, list[Row]]:
        """A point's begin -> the rows of its time."""
        points: dict[int, list[Row]] = defaultdict(list)
        for second, row in rows:
            points[second - second % self.period].append(row)
        return points


@dataclass(frozen=True, slots=True)
class Metric:
    """What is asked for.  ``dimensions``: name -> value."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]

    @classmethod
    def of(cls, params: Plain) -> Self:
        """From a request's members.  Raises AwsError without a name."""
        dimensions = {each["Name"]: each["Value"] for each in params.get("Dimensions", [])}
        if not params.get("MetricName"):
            raise wrong("The parameter MetricName is required")
        return cls(params.get("Namespace", _OF_BALANCERS), params["MetricName"], dimensions)

    @property
    def unit(self) -> str:
        """As CloudWatch gives it beside a data point."""
        if self.namespace == _OF_ECS:
            return "Percent"
        return "Seconds" if self.name in (LATENCY, AGE) else "Count"


_QUERY_NAME = re.compile(r"[a-z][A-Za-z0-9_]*")
_MOST_POINTS = 1440
"""Of GetMetricStatistics (API reference)."""
Points = dict[int, float]
"""A point's begin -> its value.  Points without data are absent."""


class CloudWatch:
    """Answers from the figures of the store.

    ``delay_s``: how late CloudWatch shows a minute; 0 shows every second at once.
    """

    def __init__(
        self,
        state: State,
        delay_s: int = 0,
        clock: Callable[[], float] = time.time,
        place: Place | None = None,
    ) -> None:
        """``clock`` answers Unix seconds; ``place`` is the region whose queues are meant.

        Figures come from the recorder and the usage, by way of the store.
        """
        self._state = state
        self._delay_s = delay_s
        self._clock = clock
        self._place = place

    # --- the API

    async def get_metric_data(self, params: Plain) -> Plain:
        """GetMetricData: newest point first, unless it is asked otherwise.

        Raises AwsError for expressions, for a period that is not kept, and for a metric that is not
        measured.
        """
        window = _window(params)
        _check_names(params["MetricDataQueries"])
        results = [self._result(query, window) for query in params["MetricDataQueries"]]
        if params.get("ScanBy") == "TimestampAscending":
            for result in results:
                result["Timestamps"].reverse()
                result["Values"].reverse()
        return {
            "MetricDataResults": results,
            "Messages": [],
        }

    def _result(self, query: Plain, window: tuple[int, int]) -> Plain:
        """The points of one query."""
        if "MetricStat" not in query:
            raise wrong(f"{query['Id']}: kirikae local answers MetricStat, no expressions")
        stat = query["MetricStat"]
        metric = Metric.of(stat["Metric"])
        points = self._points(metric, Span(*window, stat["Period"]), stat["Stat"])
        newest = sorted(points.items(), reverse=True)
        return {
            "Id": query["Id"],
            "Label": query.get("Label", metric.name),
            "StatusCode": "Complete",
            "Timestamps": [float(second) for second, _ in newest],
            "Values": [value for _, value in newest],
        }

    async def get_metric_statistics(self, params: Plain) -> Plain:
        """GetMetricStatistics: oldest point first.  Raises as ``get_metric_data`` does."""
        metric = Metric.of(params)
        span = Span(*_window(params), params["Period"])
        self._check_period(span.period)
        _check_count(span)
        rows: dict[int, Plain] = defaultdict(dict)
        for statistic in params.get("Statistics", []):
            for second, value in self._points(metric, span, statistic).items():
                rows[second][statistic] = value
        for statistic in params.get("ExtendedStatistics", []):
            for second, value in self._points(metric, span, statistic).items():
                rows[second].setdefault("ExtendedStatistics", {})[statistic] = value
        points = [
            {
                "Timestamp": float(second),
                "Unit": metric.unit,
                **row,
            }
            for second, row in sorted(rows.items())
        ]
        return {
            "Label": metric.name,
            "Datapoints": points,
        }

    async def list_metrics(self, params: Plain) -> Plain:
        """What has figures in the last three hours."""
        found = [
            metric
            for metric in self._listed()
            if params.get("Namespace") in (None, metric["Namespace"])
            and params.get("MetricName") in (None, metric["MetricName"])
        ]
        once = [metric for number, metric in enumerate(found) if metric not in found[:number]]
        return {"Metrics": once}

    def _listed(self) -> list[Plain]:
        """Every metric with its dimensions, some more than once."""
        known = set(self._state.figure_subjects())
        metrics: list[Plain] = []
        for group in self._state.groups.all():
            place = {"TargetGroup": f"targetgroup/{group['name']}/{group['id']}"}
            if group["id"] in known:
                metrics += _metrics(_OF_BALANCERS, COUNTS - _BALANCER_ONLY | {LATENCY}, place)
            if f"gauge/{group['id']}" in known:
                metrics += _metrics(_OF_BALANCERS, _HOSTS, place)
        for listener in self._state.listeners.all():
            if listener["id"] in known:
                balancer = self._state.balancers[listener["balancer"]]
                place = {"LoadBalancer": f"app/{balancer['name']}/{balancer['id']}"}
                names = COUNTS | {LATENCY, "ActiveConnectionCount"}
                metrics += _metrics(_OF_BALANCERS, names, place)
        for subject in known:
            if subject.startswith("ecs/"):
                _, cluster, service = subject.split("/")
                place = {
                    "ClusterName": cluster,
                    "ServiceName": service,
                }
                metrics += _metrics(_OF_ECS, OF_SERVICES, place)
        return metrics + self._listed_queues(known)

    def _listed_queues(self, known: Iterable[str]) -> list[Plain]:
        """Those of this region's queues."""
        metrics: list[Plain] = []
        for subject in known:
            kind, _, key = subject.partition("/")
            if kind == "sqs" and self._place is not None and self._place.is_here(key):
                metrics += _metrics(_OF_SQS, OF_QUEUES, {"QueueName": self._place.name(key)})
        return metrics

    # --- points

    def _points(
        self,
        metric: Metric,
        span: Span,
        statistic: str,
    ) -> Points:
        """Those that CloudWatch would not show yet are absent, too."""
        self._check_period(span.period)
        check_measured(
            metric.namespace,
            metric.name,
            statistic,
        )
        until = span.until
        if self._delay_s:
            whole = int(self._clock() - self._delay_s) // _MINUTE_S * _MINUTE_S
            until = min(until, whole)
        span = Span(span.begin, until, span.period)
        if metric.name in GAUGES | _ONE_A_MINUTE:
            return self._gauged(metric, span, statistic)
        if metric.name == PER_TARGET:
            return self._per_target(metric, span, statistic)
        if metric.name == LATENCY:
            return self._latency(metric, span, statistic)
        if metric.name in COUNTS:
            return self._counted(metric, span, statistic)
        raise wrong(f"{metric.name} is not measured by kirikae local")

    def _check_period(self, period: int) -> None:
        """Raise AwsError for a period that no figures are kept for: less than a minute is shown
        only without CloudWatch's delay."""
        if period in _FINE_S and not self._delay_s:
            return
        if period < _MINUTE_S or period % _MINUTE_S:
            allowed = "60 or a multiple of 60"
            if not self._delay_s:
                allowed = f"{', '.join(map(str, _FINE_S))}, {allowed}"
            raise wrong(f"Period {period}: {allowed}")

    def _gauged(
        self,
        metric: Metric,
        span: Span,
        statistic: str,
    ) -> Points:
        """Of what is measured now and then: a point without a measure is absent."""
        values = {
            point: [float(row[metric.name]) for row in rows if metric.name in row]
            for point, rows in self._gauges(metric, span).items()
        }
        return {
            point: of_gauge(metric.name, statistic, found)
            for point, found in values.items()
            if found
        }

    def _counted(
        self,
        metric: Metric,
        span: Span,
        statistic: str,
    ) -> Points:
        """Of what is counted: CloudWatch has no point where nothing happened, so zeros are
        absent."""
        values = {
            point: of_counts(
                metric.name, statistic, sum(row["counts"].get(metric.name, 0) for row in rows)
            )
            for point, rows in self._counts(metric, span).items()
        }
        return {point: value for point, value in values.items() if value}

    def _latency(
        self,
        metric: Metric,
        span: Span,
        statistic: str,
    ) -> Points:
        """In seconds, or a number of requests for ``TC``; a point without an answered request is
        absent."""
        points = {}
        for point, rows in self._counts(metric, span).items():
            times: Counter[int] = Counter()
            for row in rows:
                times.update(row["times"])
            if times:
                points[point] = of_latency(times, statistic)
        return points

    def _per_target(
        self,
        metric: Metric,
        span: Span,
        statistic: str,
    ) -> Points:
        """Requests by healthy targets; a point without either is absent."""
        counts = self._counts(metric, span)
        if counts and statistic != "Sum":
            raise wrong(f"{metric.name} answers Sum, not {statistic}")
        gauges = self._gauges(metric, span)
        points = {}
        for point, rows in counts.items():
            counted = sum(row["counts"].get("RequestCount", 0) for row in rows)
            hosts = [row.get("HealthyHostCount", 0) for row in gauges.get(point, [])]
            healthy = [host for host in hosts if host]
            if healthy and counted:
                points[point] = counted / (sum(healthy) / len(healthy))
        return points

    def _counts(self, metric: Metric, span: Span) -> dict[int, list[Counted]]:
        """A point's begin -> what was counted in its seconds."""
        return span.by_point(
            one
            for subject in self._subjects(metric)
            for one in self._state.counted(subject, span.since, span.until)
        )

    def _gauges(self, metric: Metric, span: Span) -> dict[int, list[Gauge]]:
        """A point's begin -> what was measured in its time."""
        prefix = "" if metric.name in _ONE_A_MINUTE else "gauge/"
        return span.by_point(
            one
            for subject in self._subjects(metric)
            for one in self._state.gauged(prefix + subject, span.since, span.until)
        )

    def _subjects(self, metric: Metric) -> list[str]:
        """Under which names the figures of these dimensions stand.

        A load balancer's are those of all its listeners.
        """
        dimensions = metric.dimensions
        if "ClusterName" in dimensions:
            return [f"ecs/{dimensions['ClusterName']}/{dimensions.get('ServiceName', '')}"]
        if "TargetGroup" in dimensions:
            return [dimensions["TargetGroup"].rpartition("/")[2]]
        if "QueueName" in dimensions and self._place is not None:
            return [subject_of(self._place.key(dimensions["QueueName"]))]
        balancer = dimensions.get("LoadBalancer", "").rpartition("/")[2]
        listeners = self._state.listeners.all()
        return [listener["id"] for listener in listeners if listener["balancer"] == balancer]


def check_measured(namespace: str, name: str, statistic: str) -> None:
    """Raise AwsError for a metric or a statistic that there are no figures of."""
    known = {_OF_ECS: OF_SERVICES, _OF_SQS: OF_QUEUES}
    of_balancers = COUNTS | GAUGES | {LATENCY, PER_TARGET}
    if name not in known.get(namespace, of_balancers):
        raise wrong(f"{name} of {namespace} is not measured by kirikae local")
    if name in GAUGES | _ONE_A_MINUTE:
        of_gauge(name, statistic, [0.0])
    elif name == LATENCY:
        of_latency({1: 1}, statistic)
    elif name in COUNTS:
        of_counts(name, statistic, 0)
    elif statistic != "Sum":
        raise wrong(f"{name} answers Sum, not {statistic}")


def _metrics(
    namespace: str, names: Iterable[str], dimensions: Mapping[str, str]
) -> Sequence[Plain]:
    """As ListMetrics gives them."""
    listed = [
        {
            "Name": name,
            "Value": value,
        }
        for name, value in dimensions.items()
    ]
    return [
        {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": listed,
        }
        for name in sorted(names)
    ]


def _check_names(queries: Iterable[Plain]) -> None:
    """Raise AwsError for what is no name in the answer, or stands twice (MetricDataQuery.Id)."""
    known: set[str] = set()
    for query in queries:
        name = query["Id"]
        if not _QUERY_NAME.fullmatch(name):
            raise wrong(f"Id {name}: letters, numbers and underscores, a small letter first")
        if name in known:
            raise wrong(f"Id {name} stands twice in one call")
        known.add(name)


def _check_count(span: Span) -> None:
    """Raise AwsError for more points than one call answers."""
    count = math.ceil((span.until - span.since) / span.period)
    if count > _MOST_POINTS:
        raise AwsError(
            "InvalidParameterCombinationException",
            f"You have requested up to {count:,} datapoints, which exceeds the limit of "
            f"{_MOST_POINTS:,}. You may reduce the datapoints requested by increasing Period, or "
            "decreasing the time range.",
        )


def _window(params: Plain) -> tuple[int, int]:
    """From, and until, in Unix seconds.  Raises AwsError where nothing lies between the two."""
    since = math.floor(params["StartTime"])
    until = math.floor(params["EndTime"])
    if since >= until:
        raise wrong("StartTime must be before EndTime")
    return since, until


OPERATIONS: Handlers[CloudWatch] = {
    "GetMetricData": CloudWatch.get_metric_data,
    "GetMetricStatistics": CloudWatch.get_metric_statistics,
    "ListMetrics": CloudWatch.list_metrics,
}
PARTLY = {
    "GetMetricData": "AWS/ApplicationELB, AWS/ECS (CPU and memory of services) and AWS/SQS; "
    "MetricStat, no expressions; other namespaces: moto",
    "GetMetricStatistics": "AWS/ApplicationELB, AWS/ECS and AWS/SQS; other namespaces: moto",
    "ListMetrics": "AWS/ApplicationELB, AWS/ECS and AWS/SQS where the namespace is given; else "
    "moto",
}
"""Operations of which something is missing, and what."""
