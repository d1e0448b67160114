"""What a driver of a move of traffic calls, and no more."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.aws import elbv2, logs_bucket
from kirikae.model.project import Project
from kirikae.move.kind import Bench, Statement
from kirikae.traffic.settings import Router, TrafficMove

_LOOKS = [
    "autoscaling:DescribeAutoScalingGroups",
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "ecs:DescribeServices",
    "ecs:DescribeTaskDefinition",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "route53:ListHostedZonesByName",
    "route53:ListResourceRecordSets",
]


def permissions(settings: TrafficMove, bench: Bench) -> list[Statement]:
    """IAM statements.  Where figures come from an access log, AWS is asked for its bucket: raises
    NotThere, AwsUnreachable."""
    return [
        {
            "Sid": "Look",
            "Effect": "Allow",
            "Action": _LOOKS,
            "Resource": "*",
        },
        _shift(settings.router, bench.project),
        *_pin(bench.project),
        *_log(settings, bench),
    ]


def _shift(router: Router, project: Project) -> Statement:
    """The one thing that it turns; by its tag Name, one of that load balancer's."""
    record = router.record
    if record is None:
        rule = router.listener_rule or ""
        return {
            "Sid": "Shift",
            "Effect": "Allow",
            "Action": ["elasticloadbalancing:ModifyRule"],
            "Resource": rule if rule.startswith("arn:") else _rules_of(rule, project),
        }
    zone = "*" if "." in record.zone else record.zone
    key = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
    names = {key: [record.name.rstrip(".").lower()]}
    return {
        "Sid": "Shift",
        "Effect": "Allow",
        "Action": ["route53:ChangeResourceRecordSets"],
        "Resource": f"arn:aws:route53:::hostedzone/{zone}",
        "Condition": {"ForAllValues:StringEquals": names},
    }


def _rules_of(name: str, project: Project) -> str:
    """All rules of the load balancer of ``LOAD_BALANCER/RULE``: the rule's own ID is not in its
    name (Service Authorization Reference, Elastic Load Balancing V2, listener-rule/app)."""
    scope = f"arn:aws:elasticloadbalancing:{project.region}:{project.account}"
    return f"{scope}:listener-rule/app/{name.partition('/')[0]}/*"


def _pin(project: Project) -> Iterator[Statement]:
    """The old side's Auto Scaling group, if it has one."""
    name = project.fleets.old.autoscaling_group
    if name is None:
        return
    scope = f"arn:aws:autoscaling:{project.region}:{project.account}"
    yield {
        "Sid": "Pin",
        "Effect": "Allow",
        "Action": ["autoscaling:UpdateAutoScalingGroup"],
        "Resource": f"{scope}:autoScalingGroup:*:autoScalingGroupName/{name}",
    }


def _log(settings: TrafficMove, bench: Bench) -> Iterator[Statement]:
    """The bucket of the load balancer's access log, if figures come from there."""
    rule = settings.router.listener_rule
    if settings.figures.source != "access_log" or rule is None:
        return
    rule_arn = elbv2.find_rule(bench.aws, rule)
    place = logs_bucket.place_of(bench.aws, elbv2.balancer_arn(rule_arn))
    bucket = f"arn:aws:s3:::{place.bucket}"
    below = f"{place.prefix.strip('/')}/*" if place.prefix.strip("/") else "*"
    yield {
        "Sid": "LogKeys",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": bucket,
    }
    yield {
        "Sid": "Log",
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": f"{bucket}/{below}",
    }
