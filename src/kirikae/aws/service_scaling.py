"""Application Auto Scaling of an ECS service: what is there, and calls that change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws.session import Aws, told

Row = Mapping[str, Any]
_SERVICE = "application-autoscaling"
_METHODS = {
    "RegisterScalableTarget": (_SERVICE, "register_scalable_target"),
    "PutScalingPolicy": (_SERVICE, "put_scaling_policy"),
    "PutScheduledAction": (_SERVICE, "put_scheduled_action"),
    "PutMetricAlarm": ("cloudwatch", "put_metric_alarm"),
}


@dataclass(frozen=True, slots=True)
class There:
    """By operation and name, as AWS tells it."""

    rows: Mapping[tuple[str, str], Row]

    def get(
        self,
        operation: str,
        name: str,
    ) -> Row | None:
        """None where there is none."""
        return self.rows.get((operation, name))


def there(
    aws: Aws,
    resource: str,
    alarms: Sequence[str],
) -> There:
    """Of one service, and alarms of these names."""
    scaling = aws.client(_SERVICE)
    place = {"ServiceNamespace": "ecs"}
    rows: dict[tuple[str, str], Row] = {}
    with told():
        asked = scaling.describe_scalable_targets(**place, ResourceIds=[resource])
        for each in asked["ScalableTargets"]:
            rows["RegisterScalableTarget", resource] = each
        pages = scaling.get_paginator("describe_scaling_policies")
        for page in pages.paginate(**place, ResourceId=resource):
            for each in page["ScalingPolicies"]:
                rows["PutScalingPolicy", each["PolicyName"]] = each
        pages = scaling.get_paginator("describe_scheduled_actions")
        for page in pages.paginate(**place, ResourceId=resource):
            for each in page["ScheduledActions"]:
                rows["PutScheduledAction", each["ScheduledActionName"]] = each
        if alarms:
            asked = aws.client("cloudwatch").describe_alarms(AlarmNames=list(alarms))
            for each in asked["MetricAlarms"]:
                rows["PutMetricAlarm", each["AlarmName"]] = each
    return There(rows)


def place_of(resource: str) -> dict[str, str]:
    """How a scalable target is named; ``resource``: ``service/CLUSTER/SERVICE``."""
    return {
        "ServiceNamespace": "ecs",
        "ResourceId": resource,
        "ScalableDimension": "ecs:service:DesiredCount",
    }


def target(aws: Aws, resource: str) -> Row | None:
    """The scalable target; None: there is none."""
    with told():
        asked = aws.client(_SERVICE).describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[resource]
        )
        found = asked["ScalableTargets"]
        row: Row | None = found[0] if found else None
    return row


def send(
    aws: Aws,
    operation: str,
    asked: Row,
) -> Row:
    """Carry it out; the answer."""
    service, method = _METHODS[operation]
    with told():
        answer: Row = getattr(aws.client(service), method)(**asked)
    return answer
