"""Figures per load balancer and target group, counted from HAProxy's log by the second, and of
services; answered as CloudWatch metrics.

Latency is kept as counts per whole millisecond, HAProxy's own resolution, so that ``TC(a:b)`` is
exact."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kirikae.local.errors import AwsError
from kirikae.local.state import Row, State
from kirikae.local.wire import Operation

log = logging.getLogger("kirikae.local.figures")

KEPT_S = 3 * 3600
CLOUDWATCH_DELAY_S = 60
"""How long after its end a minute's figures are seen by default (ours; ELB documents only that it
reports each minute)."""
_BUFFER = 1 << 20
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
    "HTTP_Redirect_Count",
    "HTTP_Fixed_Response_Count",
    "NewConnectionCount",
}
GAUGES = {"HealthyHostCount", "UnHealthyHostCount", "ActiveConnectionCount"}
OF_SERVICES = {"CPUUtilization", "MemoryUtilization"}
PARTLY = {
    "GetMetricData": "AWS/ApplicationELB and AWS/ECS (CPU and memory of services); MetricStat, no "
    "expressions; other namespaces: moto",
    "GetMetricStatistics": "AWS/ApplicationELB and AWS/ECS; other namespaces: moto",
    "ListMetrics": "AWS/ApplicationELB and AWS/ECS where the namespace is given; else moto",
}
"""Operations of which something is missing, and what."""
_BALANCER_ONLY = {"HTTP_Redirect_Count", "HTTP_Fixed_Response_Count", "NewConnectionCount"}
LINE = "%f %b %s %ST %Tr %ts %U %B %[var(txn.rule)] %[http_first_req]"
"""What HAProxy tells of every request; the access log's own fields follow where one is kept."""


@dataclass(frozen=True, slots=True)
class Told:
    """One request as HAProxy's log tells it."""

    listener: str
    group: str
    """Empty where the load balancer answered by itself."""
    slot: str
    status: int
    response_ms: int
    """-1 where no target answered."""
    ended: str
    received: int
    sent: int
    rule: str
    first: bool
    """The first request of its connection."""
    more: list[str]

    def counts(self) -> Counter[str]:
        """Names of the counts that rise, and by how much."""
        found = Counter({"RequestCount": 1, "ProcessedBytes": self.received + self.sent})
        if self.group and self.response_ms >= 0:
            found[f"HTTPCode_Target_{self.status // 100}XX_Count"] = 1
            return found
        found[f"HTTPCode_ELB_{self.status // 100}XX_Count"] = 1
        if self.status in (500, 502, 503, 504):
            found[f"HTTPCode_ELB_{self.status}_Count"] = 1
        if self.group and self.ended[1:2] == "C":
            found["TargetConnectionErrorCount"] = 1
        return found


def read_line(line: str) -> Told | None:
    """One log line; None for other lines, and for a request whose client went away: nobody's
    request."""
    field = line.split()
    if len(field) < 11 or field[0] != "R":
        return None
    group = field[2].removeprefix("tg-") if field[2].startswith("tg-") else ""
    if not field[4].isdigit() or field[6].startswith("C"):
        return None
    return Told(
        field[1],
        group,
        field[3],
        int(field[4]),
        int(field[5]),
        field[6],
        int(field[7]),
        int(field[8]),
        field[9],
        field[10] == "1",
        field[11:],
    )


class Recorder:
    """Reads the log pipe that HAProxy writes to.  The pipe keeps some seconds of lines while nobody
    reads."""

    def __init__(
        self, state: State, pipe: Path, keep: Callable[[Told], None] = lambda told: None
    ) -> None:
        self._state = state
        self._pipe = pipe
        self._keep = keep
        self._open: dict[tuple[str, int], tuple[Counter[str], Counter[int]]] = defaultdict(
            lambda: (Counter(), Counter())
        )
        self._rest = b""
        self._fd = -1

    def start(self) -> None:
        self._fd = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _BUFFER)
        except OSError as error:
            log.warning("the log pipe keeps its default size: %s", error)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def stop(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self.write_out(math.inf)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 18)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        second = int(time.time())
        for line in lines:
            try:
                told = read_line(line.decode(errors="replace"))
                if told is not None:
                    self._count(second, told)
                    if told.more:
                        self._keep(told)
            except (ValueError, OSError) as error:
                log.warning("a log line cannot be read or kept (%s): %r", error, line[:400])

    def _count(self, second: int, told: Told) -> None:
        counts = told.counts()
        for subject in (told.group, told.listener):
            if subject:
                totals, times = self._open[subject, second]
                totals.update(counts)
                if told.group and told.response_ms >= 0:
                    times[told.response_ms] += 1
        if told.first:
            self._open[told.listener, second][0]["NewConnectionCount"] += 1
        if not told.group:
            kind = {
                "redirect": "HTTP_Redirect_Count",
                "fixed-response": "HTTP_Fixed_Response_Count",
            }.get(self._action_of(told.rule), "")
            if kind:
                self._open[told.listener, second][0][kind] += 1

    def _action_of(self, rule_id: str) -> str:
        return next(
            (str(r["actions"][-1]["Type"]) for r in self._state.all("rule") if r["id"] == rule_id),
            "",
        )

    def write_out(self, now: float) -> None:
        """Put every second that is over into the store; several parts of one second are added
        up."""
        for subject, second in [key for key in self._open if key[1] < now - 1]:
            totals = Counter(self._open[subject, second][0])
            times = Counter(self._open[subject, second][1])
            for _, before in self._state.figures(subject, second, second + 1):
                totals.update(before["counts"])
                times.update({int(ms): n for ms, n in before["times"].items()})
            self._state.put_figure(subject, second, {"counts": totals, "times": times})
            del self._open[subject, second]

    def write_gauges(self, now: float, connections: Mapping[str, int]) -> None:
        """Healthy and unhealthy targets of each group; open connections of each listener."""
        for group in self._state.all("group"):
            states = [t["state"] for t in self._state.all("target") if t["group"] == group["id"]]
            healthy = states.count("healthy")
            unhealthy = states.count("unhealthy")
            self._state.put_figure(
                f"gauge/{group['id']}",
                int(now),
                {"HealthyHostCount": healthy, "UnHealthyHostCount": unhealthy},
            )
        for listener in [
            item["id"] for item in self._state.all("listener") if item["id"] in connections
        ]:
            self._state.put_figure(
                f"gauge/{listener}", int(now), {"ActiveConnectionCount": connections[listener]}
            )


class CloudWatch:
    """GetMetricData, GetMetricStatistics and ListMetrics for ``AWS/ApplicationELB`` and
    ``AWS/ECS``.

    Periods are 60 and multiples; without CloudWatch's delay also 1 (an own extension, for
    rehearsals that take minutes)."""

    def __init__(
        self, state: State, delay_s: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self._state = state
        self._delay_s = delay_s
        self._clock = clock

    def operations(self) -> dict[str, Operation]:
        return {
            "GetMetricData": self.get_metric_data,
            "GetMetricStatistics": self.get_metric_statistics,
            "ListMetrics": self.list_metrics,
        }

    async def get_metric_data(self, params: Row) -> Row:
        since, until = self._window(params)
        results = [self._result(query, since, until) for query in params["MetricDataQueries"]]
        if params.get("ScanBy") == "TimestampAscending":
            for result in results:
                result["Timestamps"].reverse()
                result["Values"].reverse()
        return {"MetricDataResults": results, "Messages": []}

    def _window(self, params: Row) -> tuple[int, int]:
        since = _seconds(params["StartTime"])
        until = _seconds(params["EndTime"])
        if since >= until:
            raise AwsError("InvalidParameterValueException", "StartTime must be before EndTime")
        return since, until

    def _result(self, query: Row, since: int, until: int) -> Row:
        if "MetricStat" not in query:
            raise AwsError(
                "InvalidParameterValueException",
                f"{query['Id']}: kirikae local answers MetricStat, no expressions",
            )
        stat = query["MetricStat"]
        points = self._points(stat["Metric"], stat["Period"], stat["Stat"], since, until)
        newest = sorted(points.items(), reverse=True)
        return {
            "Id": query["Id"],
            "Label": query.get("Label", stat["Metric"]["MetricName"]),
            "StatusCode": "Complete",
            "Timestamps": [float(second) for second, _ in newest],
            "Values": [value for _, value in newest],
        }

    async def get_metric_statistics(self, params: Row) -> Row:
        since, until = self._window(params)
        rows: dict[int, Row] = defaultdict(dict)
        for statistic in [*params.get("Statistics", []), *params.get("ExtendedStatistics", [])]:
            for second, value in self._points(
                params, params["Period"], statistic, since, until
            ).items():
                if statistic in params.get("Statistics", []):
                    rows[second][statistic] = value
                else:
                    rows[second].setdefault("ExtendedStatistics", {})[statistic] = value
        unit = (
            "Percent"
            if params["Namespace"] == "AWS/ECS"
            else "Seconds"
            if params["MetricName"] == "TargetResponseTime"
            else "Count"
        )
        points = [
            {"Timestamp": float(second), "Unit": unit, **row}
            for second, row in sorted(rows.items())
        ]
        return {"Label": params["MetricName"], "Datapoints": points}

    def _points(
        self, metric: Row, period: int, statistic: str, since: int, until: int
    ) -> dict[int, float]:
        """Period's begin -> value; periods without data, and those that CloudWatch would not show
        yet, are absent."""
        name = metric["MetricName"]
        if (period != 1 or self._delay_s) and (period < 60 or period % 60):
            allowed = "60 or a multiple of 60" if self._delay_s else "1, 60 or a multiple of 60"
            raise AwsError("InvalidParameterValueException", f"Period {period}: {allowed}")
        if name not in COUNTS | GAUGES | OF_SERVICES | {
            "TargetResponseTime",
            "RequestCountPerTarget",
        }:
            raise AwsError(
                "InvalidParameterValueException", f"{name} is not measured by kirikae local"
            )
        if self._delay_s:
            whole_minutes = int(self._clock() - self._delay_s) // 60 * 60
            until = min(until, whole_minutes)
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        begin = since - since % period
        rows: dict[int, list[Row]] = defaultdict(list)
        for subject in self._subjects(name, dimensions):
            for second, row in self._state.figures(subject, begin, until):
                rows[second - second % period].append(row)
        hosts: dict[int, list[Row]] = defaultdict(list)
        if name == "RequestCountPerTarget":
            for subject in self._subjects("HealthyHostCount", dimensions):
                for second, row in self._state.figures(subject, begin, until):
                    hosts[second - second % period].append(row)
        values = {
            second: _value(name, statistic, found, hosts[second]) for second, found in rows.items()
        }
        return {second: value for second, value in values.items() if value is not None}

    def _subjects(self, name: str, dimensions: Mapping[str, str]) -> list[str]:
        if "ClusterName" in dimensions:
            return [f"ecs/{dimensions['ClusterName']}/{dimensions.get('ServiceName', '')}"]
        before = "gauge/" if name in GAUGES else ""
        if "TargetGroup" in dimensions:
            return [before + dimensions["TargetGroup"].rpartition("/")[2]]
        balancer = dimensions.get("LoadBalancer", "").rpartition("/")[2]
        return [
            before + item["id"]
            for item in self._state.all("listener")
            if item["balancer"] == balancer
        ]

    async def list_metrics(self, params: Row) -> Row:
        """What has figures in the last three hours."""
        known = set(self._state.figure_subjects())
        metrics = []
        balancers = {b["id"]: f"app/{b['name']}/{b['id']}" for b in self._state.all("balancer")}
        for group in self._state.all("group"):
            dimensions = [
                {"Name": "TargetGroup", "Value": f"targetgroup/{group['name']}/{group['id']}"}
            ]
            for names, subject in (
                (COUNTS - _BALANCER_ONLY | {"TargetResponseTime"}, group["id"]),
                (_HOSTS, f"gauge/{group['id']}"),
            ):
                metrics += (
                    _listed("AWS/ApplicationELB", names, dimensions) if subject in known else []
                )
        for listener in self._state.all("listener"):
            if listener["id"] in known:
                dimensions = [{"Name": "LoadBalancer", "Value": balancers[listener["balancer"]]}]
                metrics += _listed(
                    "AWS/ApplicationELB",
                    COUNTS | {"TargetResponseTime", "ActiveConnectionCount"},
                    dimensions,
                )
        for subject in known:
            if subject.startswith("ecs/"):
                _, cluster, service = subject.split("/")
                dimensions = [
                    {"Name": "ClusterName", "Value": cluster},
                    {"Name": "ServiceName", "Value": service},
                ]
                metrics += _listed("AWS/ECS", OF_SERVICES, dimensions)
        wanted = (params.get("Namespace"), params.get("MetricName"))
        found = [
            m
            for m in metrics
            if wanted[0] in (None, m["Namespace"]) and wanted[1] in (None, m["MetricName"])
        ]
        return {"Metrics": [m for n, m in enumerate(found) if m not in found[:n]]}


_HOSTS = {"HealthyHostCount", "UnHealthyHostCount"}


def _listed(namespace: str, names: Iterable[str], dimensions: list[Row]) -> list[Row]:
    return [
        {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
        for name in sorted(names)
    ]


def _seconds(stamp: Any) -> int:
    """CloudWatch's clients send Unix seconds (JSON) or ISO 8601 (query)."""
    if isinstance(stamp, str) and not stamp.replace(".", "").isdigit():
        return math.floor(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp())
    return math.floor(float(stamp))


def _value(name: str, statistic: str, rows: list[Row], hosts: list[Row]) -> float | None:
    """One data point; None where CloudWatch would have none."""
    if name in GAUGES | OF_SERVICES:
        return _of_gauge(name, statistic, [float(row[name]) for row in rows if name in row])
    if name == "RequestCountPerTarget":
        if statistic != "Sum":
            raise AwsError("InvalidParameterValueException", f"{name} answers Sum, not {statistic}")
        counted = sum(row["counts"].get("RequestCount", 0) for row in rows)
        healthy = [row["HealthyHostCount"] for row in hosts if row["HealthyHostCount"]]
        return counted / (sum(healthy) / len(healthy)) if healthy and counted else None
    if name in COUNTS:
        counted = sum(row["counts"].get(name, 0) for row in rows)
        if statistic not in ("Sum", "SampleCount", "Average"):
            raise AwsError("InvalidParameterValueException", f"{name} answers Sum, not {statistic}")
        return float(counted) if counted else None
    times: Counter[int] = Counter()
    for row in rows:
        times.update({int(ms): n for ms, n in row["times"].items()})
    return latency_statistic(times, statistic) if times else None


def _of_gauge(name: str, statistic: str, values: list[float]) -> float | None:
    if not values:
        return None
    plain: dict[str, Callable[[list[float]], float]] = {
        "Average": lambda v: sum(v) / len(v),
        "Minimum": min,
        "Maximum": max,
        "Sum": sum,
        "SampleCount": len,
    }
    if statistic not in plain:
        raise AwsError(
            "InvalidParameterValueException", f"{name} answers {', '.join(plain)}, not {statistic}"
        )
    return float(plain[statistic](values))


_RANGE = re.compile(r"(TC|PR)\((\d*\.?\d*):(\d*\.?\d*)\)")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,2})?|100)")


def latency_statistic(times: Counter[int], statistic: str) -> float:
    """A CloudWatch statistic in seconds (or a count) over counts per millisecond.

    ``TC(a:b)``: how many with a < t <= b; ``PR(a:b)``: their part of all, in per cent (CloudWatch
    statistics definitions). Raises AwsError for a statistic that is not known."""
    total = sum(times.values())
    if match := _RANGE.fullmatch(statistic):
        low = float(match[2]) * 1000 if match[2] else -math.inf
        high = float(match[3]) * 1000 if match[3] else math.inf
        inside = sum(n for ms, n in times.items() if low < ms <= high)
        return float(inside) if match[1] == "TC" else 100 * inside / total
    if match := _PERCENTILE.fullmatch(statistic):
        rank = max(1, math.ceil(total * float(match[1]) / 100))
        reached = 0
        for ms in sorted(times):
            reached += times[ms]
            if reached >= rank:
                return ms / 1000
    plain = {
        "SampleCount": lambda: float(total),
        "Sum": lambda: sum(ms * n for ms, n in times.items()) / 1000,
        "Average": lambda: sum(ms * n for ms, n in times.items()) / 1000 / total,
        "Minimum": lambda: min(times) / 1000,
        "Maximum": lambda: max(times) / 1000,
    }
    if statistic not in plain:
        raise AwsError("InvalidParameterValueException", f"statistic {statistic} is not known")
    return float(plain[statistic]())
