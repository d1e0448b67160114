"""EC2 Auto Scaling: the bounds of the old side's group, and how large it has been."""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.aws.cloudwatch import maximum
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told


@dataclass(frozen=True, slots=True)
class Group:
    """``in_service``: instances that serve now."""

    name: str
    least: int
    most: int
    desired: int
    in_service: int
    instance_type: str = ""


def group(aws: Aws, name: str) -> Group:
    """Raises NotThere."""
    with told():
        found = aws.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[name],
        )["AutoScalingGroups"]
    if not found:
        raise NotThere(
            "DescribeAutoScalingGroups",
            "GroupNotFound",
            f"there is no Auto Scaling group {name}",
        )
    raw = found[0]
    serving = [i for i in raw.get("Instances", ()) if i["LifecycleState"] == "InService"]
    kind = serving[0].get("InstanceType", "") if serving else ""
    return Group(
        name,
        raw["MinSize"],
        raw["MaxSize"],
        raw["DesiredCapacity"],
        len(serving),
        kind,
    )


def peak(aws: Aws, found: Group, now: float, days: int = 14) -> int:
    """Most instances in service at once over so many days, as far as the group's metrics are kept;
    else what serves now."""
    dimensions = {"AutoScalingGroupName": found.name}
    seen = maximum(
        aws,
        "AWS/AutoScaling",
        "GroupInServiceInstances",
        dimensions,
        now - days * 86400,
        now,
        3600,
    )
    return max(found.in_service, round(seen or 0))


def set_bounds(aws: Aws, name: str, least: int, most: int) -> None:
    """A larger least raises the desired capacity with it (API reference, UpdateAutoScalingGroup,
    MinSize)."""
    with told():
        aws.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=least,
            MaxSize=most,
        )
