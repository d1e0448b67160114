"""Figures per target group, counted from HAProxy's log by the second, answered as CloudWatch metrics.

Latency is kept as counts per whole millisecond, HAProxy's own resolution, so that ``TC(a:b)`` is exact.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kirikae.local.errors import AwsError
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.elb.figures")

KEPT_S = 3 * 3600
_BUFFER = 1 << 20
_COUNTS = {
    "RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_3XX_Count", "HTTPCode_Target_4XX_Count",
    "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_4XX_Count", "HTTPCode_ELB_5XX_Count", "TargetConnectionErrorCount",
}  # fmt: skip


def read_line(line: str) -> tuple[str, str, list[str], int | None] | None:
    """One log line as (listener, target group or "", names of counts that rise by one, response time in ms or None)."""
    field = line.split()
    if len(field) < 8 or field[0] != "R":
        return None
    listener, backend, status, response_ms, ended = field[1], field[2], field[4], int(field[5]), field[7]
    group = backend.removeprefix("tg-") if backend.startswith("tg-") else ""
    if not status.isdigit() or ended.startswith("C"):
        return None  # the client went away: nobody's request
    counts = ["RequestCount"]
    if group and response_ms >= 0:
        counts.append(f"HTTPCode_Target_{status[0]}XX_Count")
        return listener, group, counts, response_ms
    counts.append(f"HTTPCode_ELB_{status[0]}XX_Count")
    if group and ended[1:2] == "C":
        counts.append("TargetConnectionErrorCount")
    return listener, group, counts, None


class Recorder:
    """Reads the log pipe that HAProxy writes to.  The pipe keeps some seconds of lines while nobody reads."""

    def __init__(self, state: State, pipe: Path) -> None:
        self._state, self._pipe = state, pipe
        self._open: dict[tuple[str, int], tuple[Counter[str], Counter[int]]] = defaultdict(lambda: (Counter(), Counter()))
        self._rest = b""
        self._fd = -1

    def start(self) -> None:
        self._fd = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            import fcntl

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
                read = read_line(line.decode(errors="replace"))
            except ValueError:
                log.warning("a log line cannot be read: %r", line[:200])
                continue
            if read is not None:
                self._count(second, *read)

    def _count(self, second: int, listener: str, group: str, counts: list[str], response_ms: int | None) -> None:
        for subject in (group, listener):
            if subject:
                totals, times = self._open[subject, second]
                totals.update(counts)
                if response_ms is not None:
                    times[response_ms] += 1

    def write_out(self, now: float) -> None:
        """Put every second that is over into the store; several parts of one second are added up."""
        for subject, second in [key for key in self._open if key[1] < now - 1]:
            totals, times = self._open.pop((subject, second))
            for _, before in self._state.figures(subject, second, second + 1):
                totals.update(before["counts"])
                times.update({int(ms): n for ms, n in before["times"].items()})
            self._state.put_figure(subject, second, {"counts": totals, "times": times})


class CloudWatch:
    """GetMetricData and ListMetrics for ``AWS/ApplicationELB`` (period 60 and multiples; 1 is our own extension)."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def get_metric_data(self, params: Row) -> Row:
        since, until = _seconds(params["StartTime"]), _seconds(params["EndTime"])
        if since >= until:
            raise AwsError("InvalidParameterValueException", "StartTime must be before EndTime")
        results = [self._result(query, since, until) for query in params["MetricDataQueries"]]
        return {"MetricDataResults": results, "Messages": []}

    def _result(self, query: Row, since: int, until: int) -> Row:
        if "MetricStat" not in query:
            raise AwsError("InvalidParameterValueException", f"{query['Id']}: kirikae local answers MetricStat, no expressions")
        stat = query["MetricStat"]
        metric, period, statistic = stat["Metric"], stat["Period"], stat["Stat"]
        if period != 1 and (period < 60 or period % 60):
            raise AwsError("InvalidParameterValueException", f"{query['Id']}: Period {period}: 1, 60 or a multiple of 60")
        subject = self._subject({d["Name"]: d["Value"] for d in metric.get("Dimensions", [])})
        name = metric["MetricName"]
        if name not in _COUNTS and name != "TargetResponseTime":
            raise AwsError("InvalidParameterValueException", f"{name} is not measured by kirikae local")
        begin = since - since % period
        stamps, values = [], []
        rows: dict[int, list[Row]] = defaultdict(list)
        for second, row in self._state.figures(subject, begin, until):
            rows[second - second % period].append(row)
        for stamp in sorted(rows):
            value = _value(name, statistic, rows[stamp])
            if value is not None:
                stamps.append(float(stamp))
                values.append(value)
        if query.get("ScanBy") != "TimestampAscending":
            stamps.reverse()
            values.reverse()
        return {"Id": query["Id"], "Label": query.get("Label", name), "Timestamps": stamps, "Values": values, "StatusCode": "Complete"}

    def _subject(self, dimensions: Mapping[str, str]) -> str:
        if "TargetGroup" in dimensions:
            return dimensions["TargetGroup"].rpartition("/")[2]
        balancer = dimensions.get("LoadBalancer", "").rpartition("/")[2]
        listeners = [item["id"] for item in self._state.all("listener") if item["balancer"] == balancer]
        return listeners[0] if listeners else ""

    async def list_metrics(self, params: Row) -> Row:
        metrics = []
        for group in self._state.all("group"):
            if self._state.figures(group["id"], int(time.time()) - KEPT_S, int(time.time())):
                dimensions = [{"Name": "TargetGroup", "Value": f"targetgroup/{group['name']}/{group['id']}"}]
                for name in (*sorted(_COUNTS), "TargetResponseTime"):
                    metrics.append({"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions})
        wanted = params.get("MetricName")
        return {"Metrics": [m for m in metrics if wanted in (None, m["MetricName"])]}


def _seconds(stamp: Any) -> int:
    return math.floor(float(stamp))


def _value(name: str, statistic: str, rows: list[Row]) -> float | None:
    """One data point; None where CloudWatch would have none."""
    if name in _COUNTS:
        counted = sum(row["counts"].get(name, 0) for row in rows)
        if statistic not in ("Sum", "SampleCount", "Average"):
            raise AwsError("InvalidParameterValueException", f"{name} answers Sum, not {statistic}")
        return float(counted) if counted else None
    times: Counter[int] = Counter()
    for row in rows:
        times.update({int(ms): n for ms, n in row["times"].items()})
    return latency_statistic(times, statistic) if times else None


_RANGE = re.compile(r"(TC|PR)\((\d*\.?\d*):(\d*\.?\d*)\)")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,2})?|100)")


def latency_statistic(times: Counter[int], statistic: str) -> float:
    """A CloudWatch statistic in seconds (or a count) over counts per millisecond.

    ``TC(a:b)``: how many with a < t <= b; ``PR(a:b)``: their part of all, in per cent (CloudWatch statistics definitions).
    Raises AwsError for a statistic that is not known.
    """
    total = sum(times.values())
    if match := _RANGE.fullmatch(statistic):
        low = float(match[2]) * 1000 if match[2] else -math.inf
        high = float(match[3]) * 1000 if match[3] else math.inf
        inside = sum(n for ms, n in times.items() if low < ms <= high)
        return float(inside) if match[1] == "TC" else 100 * inside / total
    if match := _PERCENTILE.fullmatch(statistic):
        rank, reached = max(1, math.ceil(total * float(match[1]) / 100)), 0
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
