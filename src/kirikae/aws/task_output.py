"""The last lines that a task of its own wrote, where its container logs to CloudWatch Logs."""

from __future__ import annotations

from kirikae.aws.light import ECS, LOGS, LightAws

_AWSLOGS = "awslogs"


def last_lines(
    aws: LightAws,
    definition: str,
    container: str,
    task: str,
    most: int,
) -> list[str]:
    """None of them where the container logs elsewhere.  Raises AwsRefused, AwsUnreachable.

    The stream is named prefix/container/task (Amazon ECS Developer Guide, "Using the awslogs log
    driver")."""
    told = aws.call(ECS, "DescribeTaskDefinition", {"taskDefinition": definition})
    found = [
        each
        for each in told["taskDefinition"].get("containerDefinitions", ())
        if each.get("name") == container
    ]
    log = found[0].get("logConfiguration", {}) if found else {}
    options = log.get("options", {})
    prefix = options.get("awslogs-stream-prefix")
    if log.get("logDriver") != _AWSLOGS or not prefix:
        return []
    asked = {
        "logGroupName": options.get("awslogs-group", ""),
        "logStreamName": f"{prefix}/{container}/{task.rpartition('/')[2]}",
        "limit": most,
        "startFromHead": False,
    }
    events = aws.call(LOGS, "GetLogEvents", asked).get("events", ())
    return [str(each.get("message", "")).rstrip("\n") for each in events]
