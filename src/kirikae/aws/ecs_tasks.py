"""ECS: tasks of their own, outside of any service, and the lines that they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kirikae.aws.session import Aws, told

Plain = dict[str, Any]


def run(aws: Aws, asked: Mapping[str, Any]) -> tuple[list[Plain], list[Plain]]:
    """(tasks that were begun, failures: why others were not).  With the ``clientToken`` of a call
    whose answer was lost, the same tasks once more."""
    with told():
        answer = aws.client("ecs").run_task(**asked)
    return list(answer.get("tasks", ())), list(answer.get("failures", ()))


def described(aws: Aws, cluster: str, arns: Sequence[str]) -> dict[str, Plain]:
    """ARN -> task, of those that AWS knows: one that has just begun may not be among them, nor one
    that has ended an hour ago."""
    with told():
        answer = aws.client("ecs").describe_tasks(cluster=cluster, tasks=[*arns])
    return {str(row["taskArn"]): dict(row) for row in answer.get("tasks", ())}


def log_since(
    aws: Aws,
    group: str,
    stream: str,
    token: str,
) -> tuple[list[str], str]:
    """(lines after ``token``, the next token); an empty token is the beginning of the stream.  The
    same token again: there is nothing more yet (API reference, GetLogEvents).

    Raises NotThere where nothing was written yet, AwsRefused, AwsUnreachable.
    """
    more = {"nextToken": token} if token else {}
    with told():
        answer = aws.client("logs").get_log_events(
            logGroupName=group,
            logStreamName=stream,
            startFromHead=True,
            **more,
        )
    lines = [str(event["message"]) for event in answer["events"]]
    return lines, str(answer.get("nextForwardToken") or token)
