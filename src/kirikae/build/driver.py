"""The files that run ``kirikae move drive --service`` on ECS: image, definitions, permissions, the
alarm on missing heartbeats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from kirikae.build.texts import text_of
from kirikae.model.project import Project


def driver_files(
    project: Project,
    move: str,
    image: str,
    permissions: Sequence[Mapping[str, object]],
) -> dict[str, str]:
    """File name -> text.

    One task, replaced before the next starts: the lease allows one driver, and a second only waits.
    ``permissions``: IAM statements of what the move itself calls.
    """
    name = f"{project.service}-{move}-driver"
    files: dict[str, object] = {
        "driver-task-def.json": _task(project, move, name, image),
        "driver-service-def.json": _service(project, name),
        "driver-alarm.json": _alarm(project, move, name),
        "driver-policy.json": _policy(project, permissions),
    }
    texts = {"Dockerfile": text_of("driver.Dockerfile", image=image)}
    for file, body in files.items():
        texts[file] = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    return texts


def _task(
    project: Project,
    move: str,
    name: str,
    image: str,
) -> Mapping[str, object]:
    """The smallest size that Fargate has: a driver mostly waits."""
    role = f"arn:aws:iam::{project.account}:role/{name}"
    log = {
        "awslogs-group": f"/kirikae/{name}",
        "awslogs-region": project.region,
        "awslogs-stream-prefix": "driver",
    }
    container = {
        "name": "driver",
        "image": image,
        "essential": True,
        "command": ["move", "drive", move, "--service"],
        "stopTimeout": 30,
        "readonlyRootFilesystem": True,
        "environment": [
            {
                "name": "AWS_REGION",
                "value": project.region,
            }
        ],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": log,
        },
    }
    return {
        "family": name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "taskRoleArn": role,
        "executionRoleArn": f"{role}-execution",
        "containerDefinitions": [container],
    }


def _service(project: Project, name: str) -> Mapping[str, object]:
    """0 and 100 per cent: the old task ends before the new one starts, for the lease allows one
    driver."""
    network = {
        "subnets": list(project.build.subnets),
        "securityGroups": list(project.build.security_groups),
        "assignPublicIp": "DISABLED",
    }
    return {
        "cluster": project.fleets.new.cluster,
        "serviceName": name,
        "taskDefinition": name,
        "desiredCount": 1,
        "launchType": "FARGATE",
        "deploymentConfiguration": {
            "minimumHealthyPercent": 0,
            "maximumPercent": 100,
        },
        "networkConfiguration": {"awsvpcConfiguration": network},
    }


def _alarm(
    project: Project,
    move: str,
    name: str,
) -> Mapping[str, object]:
    """Five minutes without a heartbeat; missing data is the very thing that is meant, so it
    breaches."""
    topic = project.notify.sns if project.notify is not None else None
    dimensions = {
        "Service": project.service,
        "Environment": project.environment,
        "Move": move,
    }
    return {
        "AlarmName": f"{name} gives no heartbeat",
        "AlarmDescription": (
            "Nobody drives the move: the share stays where it is, and nothing is judged."
        ),
        "Namespace": "kirikae",
        "MetricName": "Heartbeat",
        "Dimensions": [
            {
                "Name": key,
                "Value": value,
            }
            for key, value in dimensions.items()
        ],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 5,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [] if topic is None else [topic],
    }


def _policy(project: Project, permissions: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """What the driver calls, and no more: the move's own calls, the journal, the heartbeat, who is
    told."""
    namespace = {"StringEquals": {"cloudwatch:namespace": "kirikae"}}
    statements = [
        allow("Identity", "*", "sts:GetCallerIdentity"),
        *permissions,
        allow("Beat", "*", "cloudwatch:PutMetricData") | {"Condition": namespace},
        *journal(project),
        *telling(project),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": statements,
    }


def allow(sid: str, resource: str, *actions: str) -> dict[str, object]:
    """One statement of a policy."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resource,
    }


def journal(project: Project) -> list[dict[str, object]]:
    """Read, write and list below the journal's prefix; nothing may be deleted.  A journal in a file
    asks nothing of AWS."""
    if not project.store.startswith("s3://"):
        return []
    bucket, _, prefix = project.store.removeprefix("s3://").partition("/")
    below = f"{prefix.strip('/')}/*" if prefix.strip("/") else "*"
    arn = f"arn:aws:s3:::{bucket}"
    return [
        allow("Journal", f"{arn}/{below}", "s3:GetObject", "s3:PutObject"),
        allow("JournalKeys", arn, "s3:ListBucket"),
    ]


def telling(project: Project) -> list[dict[str, object]]:
    """What telling people calls; none where nobody is told."""
    notify = project.notify
    if notify is None:
        return []
    found = []
    if notify.sns is not None:
        found.append(allow("Tell", notify.sns, "sns:Publish"))
    slack = notify.slack
    secret = (slack.webhook or slack.token or "") if slack is not None else ""
    if secret.startswith("ssm:"):
        path = secret.removeprefix("ssm:").lstrip("/")
        arn = f"arn:aws:ssm:{project.region}:{project.account}:parameter/{path}"
        found.append(allow("Secret", arn, "ssm:GetParameter"))
    return found
