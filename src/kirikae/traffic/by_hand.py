"""Share 0 without kirikae: what a person types where AWS did not answer here."""

from __future__ import annotations

import shlex

from kirikae.model.project import Project
from kirikae.model.said import Said, said, text
from kirikae.traffic.routers import NEW, OLD
from kirikae.traffic.settings import Record, TrafficMove

_TAGS_AT_ONCE = 20
"""DescribeTags takes so many resources."""
_ARN_OF_GROUP = "TargetGroups[0].TargetGroupArn"


def by_hand(settings: TrafficMove, project: Project) -> Said:
    """Commands of the AWS CLI that set share 0, as a shell takes them.

    https://docs.aws.amazon.com/cli/latest/reference/elbv2/modify-rule.html
    """
    router = settings.router
    if router.record is not None:
        return _of_record(router.record, project.region)
    lines = [
        f"export AWS_DEFAULT_REGION={shlex.quote(project.region)}",
        _group("OLD", project.fleets.old.target_group),
        _group("NEW", project.fleets.new.target_group),
        *_rule(router.listener_rule or ""),
        'test "$(aws sts get-caller-identity --query Account --output text)" = '
        f"{shlex.quote(project.account)} && aws elbv2 modify-rule --rule-arn $RULE --actions "
        '"Type=forward,ForwardConfig={TargetGroups=[{TargetGroupArn=$OLD,Weight=1},'
        '{TargetGroupArn=$NEW,Weight=0}]}" || echo "NOT SET: see above; without a word there, '
        f'these are not the keys of account {project.account}"',
    ]
    return said("traffic.by_hand.rule", commands=text("\n".join(lines)))


def _group(variable: str, name: str) -> str:
    return (
        f"{variable}=$(aws elbv2 describe-target-groups --names {shlex.quote(name)} "
        f"--query '{_ARN_OF_GROUP}' --output text)"
    )


def _rule(name: str) -> list[str]:
    """The rule's ARN, or how it is found by its tag Name."""
    if name.startswith("arn:"):
        return [f"RULE={shlex.quote(name)}"]
    balancer, _, tag = name.partition("/")
    query = f"TagDescriptions[?Tags[?Key==`Name` && Value==`{tag}`]].ResourceArn"
    return [
        f"BALANCER=$(aws elbv2 describe-load-balancers --names {shlex.quote(balancer)} "
        "--query 'LoadBalancers[0].LoadBalancerArn' --output text)",
        'RULE=$(for LISTENER in $(aws elbv2 describe-listeners --load-balancer-arn "$BALANCER" '
        "--query 'Listeners[].ListenerArn' --output text); do aws elbv2 describe-rules "
        "--listener-arn \"$LISTENER\" --query 'Rules[].RuleArn' --output text | xargs "
        f"-n {_TAGS_AT_ONCE} aws elbv2 describe-tags --query {shlex.quote(query)} --output text "
        "--resource-arns; done)",
    ]


def _of_record(record: Record, region: str) -> Said:
    zone = (
        f"aws route53 list-resource-record-sets --region {shlex.quote(region)} "
        "--hosted-zone-id ZONE "
        f"--query {shlex.quote(f'ResourceRecordSets[?SetIdentifier==`{NEW}`]')}"
    )
    return said(
        "traffic.by_hand.record",
        zone=record.zone,
        name=record.name,
        old=OLD,
        new=NEW,
        commands=text(zone),
    )
