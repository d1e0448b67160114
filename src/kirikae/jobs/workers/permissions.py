"""What a driver of a move of workers calls, and no more."""

from __future__ import annotations

from kirikae.jobs.workers.settings import WorkersMove
from kirikae.move.kind import Bench, Statement

_LOOKS = [
    "cloudwatch:GetMetricStatistics",
    "ecs:DescribeServices",
    "ecs:DescribeTaskDefinition",
    "ecs:DescribeTasks",
    "ecs:ListTasks",
    "logs:FilterLogEvents",
]


def permissions(settings: WorkersMove, bench: Bench) -> list[Statement]:
    """IAM statements."""
    project = bench.project
    cluster = settings.new.cluster or project.fleets.new.cluster
    scope = f"{project.region}:{project.account}"
    return [
        {
            "Sid": "Look",
            "Effect": "Allow",
            "Action": _LOOKS,
            "Resource": "*",
        },
        {
            "Sid": "Queue",
            "Effect": "Allow",
            "Action": ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
            "Resource": f"arn:aws:sqs:{scope}:{settings.queue}",
        },
        {
            "Sid": "Shift",
            "Effect": "Allow",
            "Action": ["ecs:UpdateService"],
            "Resource": f"arn:aws:ecs:{scope}:service/{cluster}/{settings.new.ecs_service}",
        },
    ]
