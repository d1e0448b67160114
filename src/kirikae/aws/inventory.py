"""What the old side hangs on in AWS: load balancing, security groups, roles, alarms and DNS, by
reading calls only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws import elbv2
from kirikae.aws.session import Aws, told
from kirikae.model.errors import KirikaeError


@dataclass
class Inventory:
    """``admitted``: (security group, port, security group of the instances); ``records``: (name,
    address of a host)."""

    group_arn: str = ""
    stickiness_s: int = 0
    rules: dict[str, dict[str, str]] = field(default_factory=dict)
    admitted: list[tuple[str, int, str]] = field(default_factory=list)
    roles: list[tuple[str, str]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    records: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def of(aws: Aws, target_group: str, rules: Iterable[str]) -> Inventory:
    """Look at everything; what may not be read is told in ``unreadable``.  Raises NotThere for a
    missing target group."""
    seen = Inventory()
    group = elbv2.target_group(aws, target_group)
    seen.group_arn = group.arn
    targets = elbv2.targets(aws, group)

    def part(what: str, look: Callable[[], None]) -> None:
        """One part by itself: where it may not be read, the others still are."""
        try:
            with told():
                look()
        except KirikaeError as error:
            seen.unreadable.append((what, str(error)))

    part("target group attributes", lambda: _stickiness(aws, seen))
    for rule in rules:
        part(f"rule {rule}", lambda rule=rule: _rule(aws, seen, rule))  # type: ignore[misc]
    part("instances", lambda: _instances(aws, seen, {t.address for t in targets}))
    part("alarms", lambda: _alarms(aws, seen, group.dimension))
    part("DNS records", lambda: _records(aws, seen, {t.address for t in targets}))
    return seen


def _stickiness(aws: Aws, seen: Inventory) -> None:
    """Seconds for which the target group ties users to a target."""
    rows = aws.client("elbv2").describe_target_group_attributes(TargetGroupArn=seen.group_arn)[
        "Attributes"
    ]
    values = {r["Key"]: r["Value"] for r in rows}
    if values.get("stickiness.enabled") == "true":
        seen.stickiness_s = int(values.get("stickiness.lb_cookie.duration_seconds", 86400))


def _rule(aws: Aws, seen: Inventory, name: str) -> None:
    """Tags of a listener's rule; they tell who manages it."""
    arn = elbv2.find_rule(aws, name)
    tags = aws.client("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"]
    seen.rules[arn] = {t["Key"]: t["Value"] for d in tags for t in d["Tags"]}


def _instances(aws: Aws, seen: Inventory, targets: set[str]) -> None:
    """Roles of the instances behind the target group, and who their security groups let in."""
    groups: set[str] = set()
    for instance in _every_instance(aws):
        if not _names(instance) & targets:
            continue
        groups |= {group["GroupId"] for group in instance.get("SecurityGroups", [])}
        profile = instance.get("IamInstanceProfile")
        if profile:
            seen.roles.append((instance["InstanceId"], profile["Arn"]))
    if groups:
        seen.admitted += _admitted(aws, groups)


def _every_instance(aws: Aws) -> Iterator[dict[str, Any]]:
    """Of the region, page by page."""
    for page in aws.client("ec2").get_paginator("describe_instances").paginate():
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def names_of(aws: Aws, instances: Sequence[str]) -> dict[str, frozenset[str]]:
    """Instance -> its ID and addresses."""
    with told():
        pages = aws.client("ec2").get_paginator("describe_instances")
        rows = [
            instance
            for page in pages.paginate(InstanceIds=list(instances))
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]
    return {row["InstanceId"]: frozenset(_names(row)) for row in rows}


def _names(instance: dict[str, Any]) -> set[str]:
    """All by which a target group may know it."""
    keys = ("InstanceId", "PrivateIpAddress", "PublicIpAddress")
    return {instance[key] for key in keys if instance.get(key)}


def _admitted(aws: Aws, groups: set[str]) -> Iterator[tuple[str, int, str]]:
    """(group, port, one of ours that it lets in)."""
    for page in aws.client("ec2").get_paginator("describe_security_groups").paginate():
        for group in page["SecurityGroups"]:
            for permission in group.get("IpPermissions", []):
                port = int(permission.get("FromPort", 0))
                for pair in permission.get("UserIdGroupPairs", []):
                    if pair.get("GroupId") in groups:
                        yield group["GroupId"], port, pair["GroupId"]


def _alarms(aws: Aws, seen: Inventory, dimension: str) -> None:
    """Names of the alarms with a metric of this target group, alone or in an expression."""
    for page in aws.client("cloudwatch").get_paginator("describe_alarms").paginate():
        for alarm in page.get("MetricAlarms", []):
            metrics = [
                alarm,
                *(m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m),
            ]
            if any(d["Value"] == dimension for m in metrics for d in m.get("Dimensions", [])):
                seen.alarms.append(alarm["AlarmName"])


def _records(aws: Aws, seen: Inventory, targets: set[str]) -> None:
    """Records in all hosted zones of the account that name a host's address instead of the load
    balancer."""
    client = aws.client("route53")
    for page in client.get_paginator("list_hosted_zones").paginate():
        for zone in page["HostedZones"]:
            for records in client.get_paginator("list_resource_record_sets").paginate(
                HostedZoneId=zone["Id"],
            ):
                for record in records["ResourceRecordSets"]:
                    for value in record.get("ResourceRecords", []):
                        if value["Value"] in targets:
                            seen.records.append((record["Name"], value["Value"]))
