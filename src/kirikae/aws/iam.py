"""What these credentials may do, by IAM's own policy simulator: no call of what is asked is made.

The simulator looks at the policies of the user or role, at boundaries and service control
policies; it does not see session policies, policies of VPC endpoints, and those of buckets (IAM API
reference, SimulatePrincipalPolicy).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kirikae.aws.errors import AwsRefused
from kirikae.aws.session import Aws, told

_ASSUMED = re.compile(
    r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/"
)
_OF_IAM = re.compile(r"arn:[^:]+:iam::\d+:(user|role)/")


class Answer(StrEnum):
    """UNKNOWN: the answer rests on a condition that the simulator was not told of."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """May these actions be done on this resource?  ``context``: condition key -> values."""

    actions: tuple[str, ...]
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the simulator says of one action."""

    action: str
    resource: str
    answer: Answer
    why: str


def principal(aws: Aws, caller: str) -> str:
    """The ARN that the simulator takes: a user's own, or that of the role that was assumed.

    Raises AwsRefused where neither can be told.
    """
    if _OF_IAM.match(caller):
        return caller
    assumed = _ASSUMED.match(caller)
    if assumed is None:
        raise AwsRefused(
            "SimulatePrincipalPolicy",
            "NoPrincipal",
            f"{caller} is neither a user nor a role, and only those can be simulated",
        )
    # The path of the role is not in the session's ARN.
    with told():
        found = aws.client("iam").get_role(RoleName=assumed["role"])
        return str(found["Role"]["Arn"])


def simulate(aws: Aws, source: str, asked: Asked) -> list[Ruling]:
    """One ruling for each action, in order.  Raises AwsRefused where we may not ask."""
    with told():
        pages = aws.client("iam").get_paginator("simulate_principal_policy")
        rows = [
            row
            for page in pages.paginate(
                PolicySourceArn=source,
                ActionNames=list(asked.actions),
                ResourceArns=[asked.resource],
                ContextEntries=list(_context(asked.context)),
            )
            for row in page["EvaluationResults"]
        ]
    by_action = {row["EvalActionName"]: row for row in rows}
    return [_ruling(action, asked.resource, by_action.get(action)) for action in asked.actions]


def _context(context: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    for key, values in context.items():
        kind = "string" if len(values) == 1 else "stringList"
        yield {
            "ContextKeyName": key,
            "ContextKeyValues": list(values),
            "ContextKeyType": kind,
        }


def _ruling(action: str, resource: str, row: Mapping[str, Any] | None) -> Ruling:
    """Denied only where somebody says no or nobody says yes, and nothing was left open."""
    if row is None:
        return Ruling(
            action,
            resource,
            Answer.UNKNOWN,
            "the simulator did not answer",
        )
    decision = row["EvalDecision"]
    if decision == "allowed":
        return Ruling(
            action,
            resource,
            Answer.ALLOWED,
            decision,
        )
    open_keys = list(row.get("MissingContextValues", ()))
    if open_keys and decision != "explicitDeny":
        return Ruling(
            action,
            resource,
            Answer.UNKNOWN,
            f"it depends on {', '.join(open_keys)}",
        )
    return Ruling(
        action,
        resource,
        Answer.DENIED,
        _because(row, decision),
    )


def _because(row: Mapping[str, Any], decision: str) -> str:
    """Which kind of policy stands in the way, where the simulator tells."""
    if row.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
        return f"{decision}, by a service control policy"
    boundary = row.get("PermissionsBoundaryDecisionDetail", {})
    if boundary.get("AllowedByPermissionsBoundary") is False:
        return f"{decision}, by the permissions boundary"
    return str(decision)
