"""The weights that ECS writes into listener rules while it shifts traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kirikae.local.elb.actions import chosen, forward_groups
from kirikae.local.errors import AwsError
from kirikae.local.rows import Action, Forward, Rule
from kirikae.local.state import State

_LARGEST = 999
"""Weight of a target group in a rule (ELB API reference, TargetGroupTuple)."""
_ALL = 1000
Weights = Mapping[str, int]
"""ARN of a target group -> its weight."""


def weight_of(permille: int) -> int:
    """Two groups' weights give such shares exactly: p and 1000 - p, or 999 and 0 at the ends (ours:
    AWS does not publish what it writes)."""
    return min(max(permille, 0), _LARGEST)


def forwarding(rule: Rule, wanted: Weights) -> Rule:
    """The rule with these weights; whoever stays with his group does so as before."""
    last = chosen(rule["actions"])
    forward: Forward = {
        **last.get("ForwardConfig", {}),
        "TargetGroups": [
            {
                "TargetGroupArn": arn,
                "Weight": weight,
            }
            for arn, weight in wanted.items()
        ],
    }
    action: Action = {
        **last,
        "Type": "forward",
        "ForwardConfig": forward,
    }
    action.pop("TargetGroupArn", None)
    return {
        **rule,
        "actions": [*rule["actions"][:-1], action],
    }


def steer(state: State, wanted: Mapping[str, Weights]) -> None:
    """Write these weights into the rules' rows; HAProxy has not heard of them yet.  A rule that was
    deleted meanwhile is left out: nothing comes by it any more."""
    for arn, of_rule in wanted.items():
        rule = state.rules.get(arn)
        if rule is not None and dict(forward_groups(rule["actions"])) != of_rule:
            state.rules.put(arn, forwarding(rule, of_rule))


def check_rule(
    state: State,
    arn: str,
    groups: Sequence[str],
) -> None:
    """Raise AwsError for a rule that is not there, or that forwards elsewhere."""
    rule = state.rules.get(arn)
    if rule is None:
        raise AwsError(
            "InvalidParameterException",
            f"The listener rule {arn} does not exist. Give a rule's ARN; a listener's default rule "
            "has one, too (DescribeRules).",
        )
    found = {group for group, _ in forward_groups(rule["actions"])}
    if not found or found - set(groups):
        raise AwsError(
            "InvalidParameterException",
            f"The listener rule {arn} must forward to the service's target groups alone: "
            f"{' and '.join(groups)}.",
        )
