"""CloudWatch Logs: the last lines of a stream."""

from __future__ import annotations

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
