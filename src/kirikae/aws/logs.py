"""CloudWatch Logs: the last lines of a stream, and what a group said between two times."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.aws.session import Aws, told


def last_lines(aws: Aws, region: str, group: str, stream: str, count: int) -> list[str]:
    """Oldest first.  Raises AwsRefused, NotThere, AwsUnreachable.

    ``region``: where the group is; another one than the project's is not asked.
    """
    client = aws.client("logs")
    if region and region != client.meta.region_name:
        return []
    with told():
        answer = client.get_log_events(
            logGroupName=group, logStreamName=stream, limit=count, startFromHead=False
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
