"""The files that run ``kirikae move drive --service`` on ECS: image, definitions, permissions, the
alarm on missing heartbeats."""

from __future__ import annotations

import json
from typing import Any

from kirikae.model.project import Project

_DOCKERFILE = """\
# kirikae and its project file; build it beside kirikae's wheel:  docker build -t {image} .
FROM python:3.11-slim
WORKDIR /kirikae
COPY kirikae-*.whl ./
RUN pip install --no-cache-dir ./kirikae-*.whl && rm ./kirikae-*.whl \\
 && useradd --no-create-home driver
COPY kirikae.yml ./
USER driver
ENTRYPOINT ["kirikae", "--project", "/kirikae/kirikae.yml"]
"""


def driver_files(project: Project, move: str, image: str) -> dict[str, str]:
    """File name -> text.  One task, replaced before the next starts: the lease allows one driver,
    and a second only waits."""
    name = f"{project.service}-{move}-driver"
    bucket, _, prefix = project.store.removeprefix("s3://").partition("/")
    task = {
        "family": name,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "taskRoleArn": f"arn:aws:iam::{project.account}:role/{name}",
        "executionRoleArn": f"arn:aws:iam::{project.account}:role/{name}-execution",
        "containerDefinitions": [
            {
                "name": "driver",
                "image": image,
                "essential": True,
                "command": ["move", "drive", move, "--service"],
                "stopTimeout": 30,
                "readonlyRootFilesystem": True,
                "environment": [{"name": "AWS_REGION", "value": project.region}],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": f"/kirikae/{name}",
                        "awslogs-region": project.region,
                        "awslogs-stream-prefix": "driver",
                    },
                },
            }
        ],
    }
    service = {
        "cluster": project.fleets.new.cluster,
        "serviceName": name,
        "taskDefinition": name,
        "desiredCount": 1,
        "launchType": "FARGATE",
        "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(project.build.subnets),
                "securityGroups": list(project.build.security_groups),
                "assignPublicIp": "DISABLED",
            }
        },
    }
    alarm = {
        "AlarmName": f"{name} gives no heartbeat",
        "AlarmDescription": (
            "Nobody drives the move: the share stays where it is, and nothing is judged."
        ),
        "Namespace": "kirikae",
        "MetricName": "Heartbeat",
        "Dimensions": [
            {"Name": "Service", "Value": project.service},
            {"Name": "Environment", "Value": project.environment},
            {"Name": "Move", "Value": move},
        ],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 5,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [project.notify.sns]
        if project.notify is not None and project.notify.sns is not None
        else [],
    }
    files: dict[str, Any] = {
        "driver-task-def.json": task,
        "driver-service-def.json": service,
        "driver-alarm.json": alarm,
        "driver-policy.json": _policy(project, move, bucket, prefix),
    }
    return {"Dockerfile": _DOCKERFILE.format(image=image)} | {
        file: json.dumps(body, indent=2, ensure_ascii=False) + "\n" for file, body in files.items()
    }


def _shift(project: Project, move: str) -> dict[str, Any]:
    """The one thing that it turns."""
    router = project.moves[move].router
    if router.record is None:
        rule = router.listener_rule or ""
        return {
            "Sid": "Shift",
            "Effect": "Allow",
            "Action": ["elasticloadbalancing:ModifyRule"],
            "Resource": rule if rule.startswith("arn:") else "*",
        }
    zone = router.record.zone if "." not in router.record.zone else "*"
    names = {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [
            router.record.name.rstrip(".").lower()
        ]
    }
    return {
        "Sid": "Shift",
        "Effect": "Allow",
        "Action": ["route53:ChangeResourceRecordSets"],
        "Resource": f"arn:aws:route53:::hostedzone/{zone}",
        "Condition": {"ForAllValues:StringEquals": names},
    }


def _policy(project: Project, move: str, bucket: str, prefix: str) -> dict[str, Any]:
    """What the driver calls, and no more."""
    objects = (
        f"arn:aws:s3:::{bucket}/{prefix.strip('/')}/*"
        if prefix.strip("/")
        else f"arn:aws:s3:::{bucket}/*"
    )
    statements = [
        {
            "Sid": "Look",
            "Effect": "Allow",
            "Resource": "*",
            "Action": [
                "autoscaling:DescribeAutoScalingGroups",
                "cloudwatch:GetMetricData",
                "cloudwatch:GetMetricStatistics",
                "ecs:DescribeServices",
                "ecs:DescribeTaskDefinition",
                "elasticloadbalancing:Describe*",
                "route53:ListHostedZonesByName",
                "route53:ListResourceRecordSets",
                "sts:GetCallerIdentity",
            ],
        },
        _shift(project, move),
        {
            "Sid": "Beat",
            "Effect": "Allow",
            "Action": ["cloudwatch:PutMetricData"],
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": "kirikae"}},
        },
        {
            "Sid": "Journal",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": objects,
        },
        {
            "Sid": "JournalKeys",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
    ]
    if project.fleets.old.autoscaling_group is not None:
        group = (
            f"arn:aws:autoscaling:{project.region}:{project.account}:"
            "autoScalingGroup:*:autoScalingGroupName/"
        )
        statements.append(
            {
                "Sid": "Pin",
                "Effect": "Allow",
                "Action": ["autoscaling:UpdateAutoScalingGroup"],
                "Resource": group + project.fleets.old.autoscaling_group,
            }
        )
    if project.notify is not None and project.notify.sns is not None:
        statements.append(
            {
                "Sid": "Tell",
                "Effect": "Allow",
                "Action": ["sns:Publish"],
                "Resource": project.notify.sns,
            }
        )
    slack = project.notify.slack if project.notify is not None else None
    secret = (slack.webhook or slack.token or "") if slack is not None else ""
    if secret.startswith("ssm:"):
        path = secret.removeprefix("ssm:").lstrip("/")
        parameter = f"arn:aws:ssm:{project.region}:{project.account}:parameter/{path}"
        statements.append(
            {
                "Sid": "Secret",
                "Effect": "Allow",
                "Action": ["ssm:GetParameter"],
                "Resource": parameter,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
