"""CloudWatch's statistics over what was counted: pure functions.

Raises AwsError for a statistic that is not known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from kirikae.local.errors import AwsError

_RANGE = re.compile(r"(TC|PR)\((\d*\.?\d*):(\d*\.?\d*)\)")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,2})?|100)")
_OF_COUNTS = ("Sum", "SampleCount", "Average")


def _average(values: Sequence[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)


_OF_GAUGES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Average": _average,
    "Minimum": min,
    "Maximum": max,
    "Sum": sum,
    "SampleCount": len,
}


def wrong(message: str) -> AwsError:
    """The error (not raised yet) for what CloudWatch would refuse."""
    return AwsError("InvalidParameterValueException", message)


def of_counts(name: str, statistic: str, counted: int) -> float:
    """Counts of one second or more are one sum: every statistic that is known answers it."""
    if statistic not in _OF_COUNTS:
        raise wrong(f"{name} answers Sum, not {statistic}")
    return float(counted)


def of_gauge(name: str, statistic: str, values: Sequence[float]) -> float:
    """Over at least one measure."""
    if statistic not in _OF_GAUGES:
        raise wrong(f"{name} answers {', '.join(_OF_GAUGES)}, not {statistic}")
    return float(_OF_GAUGES[statistic](values))


def of_latency(times: Mapping[int, int], statistic: str) -> float:
    """A statistic in seconds (or a count) over counts per millisecond.

    ``TC(a:b)``: how many with a < t <= b; ``PR(a:b)``: their part of all, in per cent (CloudWatch
    statistics definitions).
    """
    if match := _RANGE.fullmatch(statistic):
        kind, low, high = match.groups()
        inside = _within(times, low, high)
        return float(inside) if kind == "TC" else 100 * inside / sum(times.values())
    if match := _PERCENTILE.fullmatch(statistic):
        return _percentile(times, float(match[1]))
    return _plain(times, statistic)


def _within(times: Mapping[int, int], low: str, high: str) -> int:
    """How many lie above the one and not above the other; an empty bound is none."""
    above_ms = float(low) * 1000 if low else -math.inf
    most_ms = float(high) * 1000 if high else math.inf
    return sum(count for ms, count in times.items() if above_ms < ms <= most_ms)


def _percentile(times: Mapping[int, int], percent: float) -> float:
    """By nearest rank."""
    rank = max(1, math.ceil(sum(times.values()) * percent / 100))
    reached = 0
    for ms in sorted(times):
        reached += times[ms]
        if reached >= rank:
            return ms / 1000
    raise ValueError("there is no percentile of nothing")


def _plain(times: Mapping[int, int], statistic: str) -> float:
    """A statistic that has no parameters, over at least one answered request."""
    count = sum(times.values())
    total_s = sum(ms * number for ms, number in times.items()) / 1000
    match statistic:
        case "SampleCount":
            return float(count)
        case "Sum":
            return total_s
        case "Average":
            return total_s / count
        case "Minimum":
            return min(times) / 1000
        case "Maximum":
            return max(times) / 1000
        case _:
            raise wrong(f"statistic {statistic} is not known")
