"""What stands around a load balancer that nobody has described to us yet: rules, target groups, ECS
services and instances, by reading calls only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws import elbv2
from kirikae.aws.session import Aws, told

_SERVICES_AT_ONCE = 10
"""Services in one call (ECS API reference, DescribeServices)."""
_GROUP_TAG = "aws:autoscaling:groupName"
"""Which Auto Scaling group launched an instance (EC2 Auto Scaling user guide, "Tag groups and
instances")."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """``kind``: application, network or gateway; only the first one has rules with weights."""

    name: str
    arn: str
    kind: str


@dataclass(frozen=True, slots=True)
class Forward:
    """A rule that forwards.  ``name``: its tag Name, or empty.  ``listener``: such as HTTPS:443.

    ``is_default``: the listener's own last rule; ModifyRule does not change that one.
    """

    arn: str
    name: str
    listener: str
    is_default: bool
    weights: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """A target group.  ``kind``: instance, ip, lambda or alb.  ``check``: its own health check's
    path, ``codes`` what that must be answered."""

    arn: str
    name: str
    kind: str
    check: str
    codes: str
    targets: tuple[elbv2.Target, ...]

    @property
    def healthy(self) -> int:
        return sum(target.state == "healthy" for target in self.targets)


@dataclass(frozen=True, slots=True)
class Served:
    """An ECS service that stands behind target groups (ARNs)."""

    cluster: str
    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """An EC2 instance, by all that it may be called."""

    id: str
    name: str
    addresses: tuple[str, ...]
    autoscaling_group: str


def balancers(aws: Aws, name: str | None = None) -> list[Balancer]:
    """All of the region, or the one of this name or ARN.  Raises NotThere."""
    asked: dict[str, Any] = {}
    if name is not None:
        asked = {"LoadBalancerArns" if name.startswith("arn:") else "Names": [name]}
    found = []
    with told():
        pages = aws.client("elbv2").get_paginator("describe_load_balancers").paginate(**asked)
        for page in pages:
            for each in page["LoadBalancers"]:
                one = Balancer(each["LoadBalancerName"], each["LoadBalancerArn"], each["Type"])
                found.append(one)
        return found


def forwards(aws: Aws, balancer: Balancer) -> list[Forward]:
    """Every rule of its listeners that forwards to target groups."""
    client = aws.client("elbv2")
    with told():
        rows = []
        listeners = client.get_paginator("describe_listeners")
        for page in listeners.paginate(LoadBalancerArn=balancer.arn):
            for listener in page["Listeners"]:
                at = f"{listener['Protocol']}:{listener['Port']}"
                rows += [(at, rule) for rule in _rules(client, listener["ListenerArn"])]
        names = elbv2.names_of(aws, [rule["RuleArn"] for _, rule in rows])
    found = []
    for at, rule in rows:
        weights = elbv2.weights_of(rule["Actions"][-1])
        if weights:
            arn = rule["RuleArn"]
            found.append(
                Forward(
                    arn,
                    names.get(arn, ""),
                    at,
                    bool(rule["IsDefault"]),
                    weights,
                )
            )
    return found


def _rules(client: Any, listener: str) -> Iterator[Mapping[str, Any]]:
    """Of one listener, the default one among them."""
    for page in client.get_paginator("describe_rules").paginate(ListenerArn=listener):
        yield from page["Rules"]


def groups(aws: Aws, balancer: Balancer) -> list[Group]:
    """The target groups that the load balancer's rules lead to."""
    client = aws.client("elbv2")
    found = []
    with told():
        pages = client.get_paginator("describe_target_groups")
        for page in pages.paginate(LoadBalancerArn=balancer.arn):
            for each in page["TargetGroups"]:
                arn = each["TargetGroupArn"]
                found.append(_group(each, elbv2.targets_at(aws, arn)))
        return found


def _group(row: Mapping[str, Any], targets: Sequence[elbv2.Target]) -> Group:
    return Group(
        row["TargetGroupArn"],
        row["TargetGroupName"],
        row.get("TargetType", "instance"),
        row.get("HealthCheckPath", ""),
        row.get("Matcher", {}).get("HttpCode", ""),
        tuple(targets),
    )


def services(aws: Aws) -> list[Served]:
    """Every service of every cluster that stands behind a target group."""
    client = aws.client("ecs")
    found = []
    with told():
        for page in client.get_paginator("list_clusters").paginate():
            for cluster in _living(client, page["clusterArns"]):
                found += list(_services(client, cluster))
        return found


def _living(client: Any, clusters: Sequence[str]) -> Iterator[str]:
    """ListClusters names deleted ones for a while, too, and they have no services to ask for (ECS
    API reference, DeleteCluster)."""
    if clusters:
        for row in client.describe_clusters(clusters=clusters)["clusters"]:
            if row["status"] == "ACTIVE":
                yield row["clusterArn"]


def _services(client: Any, cluster: str) -> Iterator[Served]:
    """Of one cluster."""
    arns: list[str] = []
    for page in client.get_paginator("list_services").paginate(cluster=cluster):
        arns += page["serviceArns"]
    for start in range(0, len(arns), _SERVICES_AT_ONCE):
        some = arns[start : start + _SERVICES_AT_ONCE]
        for row in client.describe_services(cluster=cluster, services=some)["services"]:
            behind = [each.get("targetGroupArn") for each in row.get("loadBalancers", ())]
            if row["status"] == "ACTIVE" and any(behind):
                name = cluster.rpartition("/")[2]
                yield Served(name, row["serviceName"], tuple(arn for arn in behind if arn))


def machines(aws: Aws, targets: Iterable[str]) -> list[Machine]:
    """The running instances behind these targets, by instance ID or address."""
    wanted = set(targets)
    found = []
    with told():
        for page in aws.client("ec2").get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                found += [_machine(row) for row in reservation["Instances"] if _runs(row)]
        return [one for one in found if wanted & {one.id, *one.addresses}]


def _runs(row: Mapping[str, Any]) -> bool:
    """A machine that was terminated is still told of for an hour."""
    return bool(row["State"]["Name"] == "running")


def _machine(row: Mapping[str, Any]) -> Machine:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}
    keys = ("PrivateIpAddress", "PublicIpAddress")
    addresses = tuple(row[key] for key in keys if row.get(key))
    return Machine(
        row["InstanceId"],
        tags.get("Name", ""),
        addresses,
        tags.get(_GROUP_TAG, ""),
    )
