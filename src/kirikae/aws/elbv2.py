"""Elastic Load Balancing v2: rules with weights, target groups and their targets' health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told
from kirikae.model.errors import AwsUnreachable

_TAGGED_AT_ONCE = 20
"""ARNs in one call (ELB API reference, DescribeTags)."""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """``dimension`` is its name in CloudWatch, ``balancer`` that of the load balancer that it is
    attached to (empty: none)."""

    arn: str
    name: str
    deregistration_delay_s: int = 300
    anomaly_mitigation: bool = False
    balancer: str = ""

    @property
    def dimension(self) -> str:
        return self.arn.split(":", 5)[5]


@dataclass(frozen=True, slots=True)
class Target:
    address: str
    port: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A listener's rule; ``weights`` by target group ARN, in the order of the action;
    ``stickiness_s`` 0: none.

    ``is_default``: the listener's own last rule; ModifyRule refuses that one
    (OperationNotPermitted: "Default rule ... cannot be modified").
    """

    arn: str
    balancer_dimension: str
    weights: dict[str, int]
    stickiness_s: int
    actions: tuple[Any, ...]
    is_default: bool = False


def target_group(aws: Aws, name: str) -> TargetGroup:
    """Raises NotThere."""
    with told():
        client = aws.client("elbv2")
        group = client.describe_target_groups(Names=[name])["TargetGroups"][0]
        attributes = client.describe_target_group_attributes(
            TargetGroupArn=group["TargetGroupArn"]
        )["Attributes"]
    told_of = {a["Key"]: a["Value"] for a in attributes}
    balancer = next(
        (arn.partition(":loadbalancer/")[2] for arn in group.get("LoadBalancerArns", ())), ""
    )
    delay = int(told_of.get("deregistration_delay.timeout_seconds", 300))
    return TargetGroup(
        group["TargetGroupArn"],
        name,
        delay,
        told_of.get("load_balancing.algorithm.anomaly_mitigation") == "on",
        balancer,
    )


def tags(aws: Aws, arn: str) -> dict[str, str]:
    with told():
        found = aws.client("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"]
        return {tag["Key"]: tag["Value"] for description in found for tag in description["Tags"]}


def targets(aws: Aws, group: TargetGroup) -> list[Target]:
    """All of them, in whatever state."""
    return targets_at(aws, group.arn)


def targets_at(aws: Aws, group_arn: str) -> list[Target]:
    """The same by the group's ARN.  A target that is a Lambda function has no port."""
    with told():
        answer = aws.client("elbv2").describe_target_health(TargetGroupArn=group_arn)
    return [
        Target(
            t["Target"]["Id"],
            t["Target"].get("Port", 0),
            t["TargetHealth"]["State"],
            t["TargetHealth"].get("Reason", ""),
        )
        for t in answer["TargetHealthDescriptions"]
    ]


def deregister(aws: Aws, group_arn: str, targets: Sequence[tuple[str, int]]) -> None:
    """Requests that they have go on for the group's delay; one that is not there does no harm."""
    with told():
        aws.client("elbv2").deregister_targets(TargetGroupArn=group_arn, Targets=_named(targets))


def register(aws: Aws, group_arn: str, targets: Sequence[tuple[str, int]]) -> None:
    with told():
        aws.client("elbv2").register_targets(TargetGroupArn=group_arn, Targets=_named(targets))


def _named(targets: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"Id": identity, "Port": port} for identity, port in targets]


def find_rule(aws: Aws, name: str) -> str:
    """The ARN of ``LOAD_BALANCER/RULE``, where RULE is the rule's tag Name; an ARN is its own
    answer.  Raises NotThere."""
    if name.startswith("arn:"):
        return name
    balancer_name, _, rule_name = name.partition("/")
    seen = []
    with told():
        for arn, tag in _named_rules(aws, balancer_name):
            if tag == rule_name:
                return arn
            seen.append(tag)
    known = "none of its rules has a tag Name"
    if seen:
        known = f"it has rules named {', '.join(sorted(seen))}"
    raise NotThere(
        "DescribeRules",
        "RuleNotFound",
        f"load balancer {balancer_name} has no rule named {rule_name}; {known}",
    )


def _named_rules(aws: Aws, balancer_name: str) -> Iterator[tuple[str, str]]:
    """(ARN, tag Name) of the rules of a load balancer that have one."""
    client = aws.client("elbv2")
    found = client.describe_load_balancers(Names=[balancer_name])["LoadBalancers"]
    rules: list[str] = []
    pages = client.get_paginator("describe_listeners")
    for page in pages.paginate(LoadBalancerArn=found[0]["LoadBalancerArn"]):
        for listener in page["Listeners"]:
            rules += _rules_of(aws, listener["ListenerArn"])
    yield from _names(aws, rules)


def names_of(aws: Aws, arns: Sequence[str]) -> dict[str, str]:
    """The tag Name of those that have one."""
    return dict(_names(aws, arns))


def _names(aws: Aws, arns: Sequence[str]) -> Iterator[tuple[str, str]]:
    client = aws.client("elbv2")
    for start in range(0, len(arns), _TAGGED_AT_ONCE):
        some = list(arns[start : start + _TAGGED_AT_ONCE])
        for tagged in client.describe_tags(ResourceArns=some)["TagDescriptions"]:
            for tag in tagged["Tags"]:
                if tag["Key"] == "Name":
                    yield str(tagged["ResourceArn"]), str(tag["Value"])


def _rules_of(aws: Aws, listener: str) -> Iterator[str]:
    pages = aws.client("elbv2").get_paginator("describe_rules")
    for page in pages.paginate(ListenerArn=listener):
        for rule in page["Rules"]:
            yield rule["RuleArn"]


def balancer_arn(rule_arn: str) -> str:
    """The load balancer of a rule: its ARN holds both names."""
    head, _, tail = rule_arn.partition(":listener-rule/")
    return f"{head}:loadbalancer/{tail.rsplit('/', 2)[0]}"


def zones(aws: Aws, balancer_dimension: str) -> list[str]:
    """Availability zones of a load balancer, named as CloudWatch names balancers; those that have
    a name."""
    name = balancer_dimension.split("/")[1]
    with told():
        found = aws.client("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"]
    named = (zone.get("ZoneName") for zone in found[0].get("AvailabilityZones", ()))
    return sorted(name for name in named if name)


def group_arns(aws: Aws, names: Sequence[str]) -> list[str]:
    """ARNs of target groups in the order of their names, by one call.  Raises NotThere."""
    with told():
        found = aws.client("elbv2").describe_target_groups(Names=list(names))["TargetGroups"]
        arns = {group["TargetGroupName"]: str(group["TargetGroupArn"]) for group in found}
        return [arns[name] for name in names]


def rule(aws: Aws, arn: str) -> Rule:
    with told():
        found = aws.client("elbv2").describe_rules(RuleArns=[arn])["Rules"][0]
        return _rule(arn, found)


def _rule(arn: str, found: Mapping[str, Any]) -> Rule:
    action = found["Actions"][-1]
    sticky = action.get("ForwardConfig", {}).get("TargetGroupStickinessConfig", {})
    seconds = int(sticky.get("DurationSeconds", 0)) if sticky.get("Enabled") else 0
    dimension = arn.split(":listener-rule/", 1)[1].rsplit("/", 2)[0]
    actions = tuple(found["Actions"])
    is_default = bool(found.get("IsDefault"))
    return Rule(
        arn,
        dimension,
        weights_of(action),
        seconds,
        actions,
        is_default,
    )


def weights_of(action: Mapping[str, Any]) -> dict[str, int]:
    """By target group ARN; empty for an action that forwards nothing."""
    groups = action.get("ForwardConfig", {}).get("TargetGroups")
    if not groups:
        # A redirect or a fixed response leads to no side at all.
        return {action["TargetGroupArn"]: 1} if "TargetGroupArn" in action else {}
    return {group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in groups}


def set_weights(aws: Aws, found: Rule, weights: dict[str, int]) -> None:
    """Put these weights into the rule's forward action and leave everything else as it is.

    Raises AwsUnreachable where the answer does not say that they are set.
    """
    *before, action = found.actions
    forward = {
        **action.get("ForwardConfig", {}),
        "TargetGroups": [{"TargetGroupArn": a, "Weight": w} for a, w in weights.items()],
    }
    changed = {k: v for k, v in action.items() if k != "TargetGroupArn"} | {
        "ForwardConfig": forward
    }
    with told():
        answer = aws.client("elbv2").modify_rule(RuleArn=found.arn, Actions=[*before, changed])
        is_set = _rule(found.arn, answer["Rules"][0]).weights
    if is_set != weights:
        raise AwsUnreachable(f"ModifyRule was answered with other weights: {is_set}")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """When a target group takes a target for broken."""

    interval_s: int
    timeout_s: int
    unhealthy_count: int


def health_check(aws: Aws, group_arn: str) -> HealthCheck:
    """Raises AwsRefused where there is no such group."""
    with told():
        answer = aws.client("elbv2").describe_target_groups(TargetGroupArns=[group_arn])
    found = answer["TargetGroups"][0]
    return HealthCheck(
        interval_s=int(found["HealthCheckIntervalSeconds"]),
        timeout_s=int(found["HealthCheckTimeoutSeconds"]),
        unhealthy_count=int(found["UnhealthyThresholdCount"]),
    )
