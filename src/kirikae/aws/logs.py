"""CloudWatch Logs: the last lines of a stream, and what a group said between two times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.aws.session import Aws, told


@dataclass(frozen=True, slots=True)
class LogEvent:
    """``at``: Unix seconds, as the event bears them."""

    id: str
    at: float
    group: str
    stream: str
    message: str


def last_lines(
    aws: Aws,
    region: str,
    group: str,
    stream: str,
    count: int,
) -> list[str]:
    """Oldest first.  Raises AwsRefused, NotThere, AwsUnreachable.

    ``region``: where the group is; another one than the project's is not asked.
    """
    client = aws.client("logs")
    if region and region != client.meta.region_name:
        return []
    with told():
        answer = client.get_log_events(
            logGroupName=group,
            logStreamName=stream,
            limit=count,
            startFromHead=False,
        )
        return [str(event["message"]) for event in answer["events"]]


def lines(aws: Aws, group: str, since: float, until: float) -> Iterator[str]:
    """What was logged in [since, until) (Unix seconds), of all streams of the group, by the time
    that each event bears (API reference, FilterLogEvents).

    Raises NotThere where there is no such group, AwsRefused, AwsUnreachable.
    """
    asked = {
        "logGroupName": group,
        "startTime": round(since * 1000),
        "endTime": round(until * 1000) - 1,
    }
    extra: dict[str, str] = {}
    while True:
        with told():
            answer = aws.client("logs").filter_log_events(**asked, **extra)
        for event in answer["events"]:
            yield str(event["message"])
        if not answer.get("nextToken"):
            return
        extra = {"nextToken": answer["nextToken"]}


_SAME_MOMENT = 20
"""So many lines that follow may bear the same millisecond."""


def events(aws: Aws, group: str, since: float, pattern: str = "") -> Iterator[LogEvent]:
    """What bears a time from ``since`` on, in the order in which it is answered.  A page may be
    empty and not the last (API reference, FilterLogEvents).

    Raises NotThere where there is no such group, AwsRefused, AwsUnreachable.
    """
    asked: dict[str, Any] = {"logGroupName": group, "startTime": int(since * 1000)}
    if pattern:
        asked["filterPattern"] = pattern
    while True:
        with told():
            answer = aws.client("logs").filter_log_events(**asked)
        for event in answer["events"]:
            yield LogEvent(
                str(event["eventId"]),
                event["timestamp"] / 1000,
                group,
                str(event["logStreamName"]),
                str(event["message"]),
            )
        if not answer.get("nextToken"):
            return
        asked["nextToken"] = answer["nextToken"]


def lines_before(aws: Aws, event: LogEvent, count: int) -> list[str]:
    """Those just before it in its stream, oldest first; fewer where there are no more."""
    at = round(event.at * 1000)
    with told():
        answer = aws.client("logs").get_log_events(
            logGroupName=event.group,
            logStreamName=event.stream,
            endTime=at + 1,
            limit=count + _SAME_MOMENT,
            startFromHead=False,
        )
    found = [str(each["message"]) for each in answer["events"]]
    if event.message in found:
        # Several may bear the same millisecond: what stands behind it is not before it.
        last = len(found) - 1 - found[::-1].index(event.message)
        found = found[:last]
    return found[-count:]


def pattern_hits(aws: Aws, pattern: str, lines: list[str]) -> set[int]:
    """Which of these lines (at most 50) the service itself would find, by their number from 0."""
    with told():
        answer = aws.client("logs").test_metric_filter(
            filterPattern=pattern, logEventMessages=lines
        )
    return {int(match["eventNumber"]) - 1 for match in answer["matches"]}
