"""Which of two target groups a revision's tasks are in, and what its course makes of the rules:
pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kirikae.local.ecs.course import ALL
from kirikae.local.elb.steering import Weights, weight_of
from kirikae.local.plain import Plain
from kirikae.local.rows import Binding, Course, Revision


def bindings_of(revision: Revision) -> list[Binding]:
    """Where the tasks of this revision are registered."""
    return revision.get("_bindings", revision.get("loadBalancers", []))


def resolved(
    balancers: Sequence[Binding],
    source: Revision | None,
    changes_sides: bool,
) -> list[Binding]:
    """The target groups of a new revision.

    Of two groups, the one that the revision before has not; where deployments shift no traffic, the
    one that it has.
    """
    used = {each["targetGroupArn"] for each in bindings_of(source)} if source is not None else set()
    return [_bound(each, used, changes_sides) for each in balancers]


def _bound(
    asked: Binding,
    used: set[str],
    changes_sides: bool,
) -> Binding:
    """In the one group or in the other."""
    first = asked["targetGroupArn"]
    other = asked.get("advancedConfiguration", {}).get("alternateTargetGroupArn")
    is_other = False
    if other is not None:
        is_other = first in used if changes_sides else other in used
    return {
        "targetGroupArn": other if is_other and other is not None else first,
        "containerName": asked["containerName"],
        "containerPort": asked["containerPort"],
    }


def wanted(course: Course, revision: Revision) -> Mapping[str, Weights]:
    """ARN of a listener rule -> what the course wants of it.  The groups stand in the order in
    which the service names them, whichever of them is the new one."""
    rules: dict[str, Weights] = {}
    pairs = zip(revision.get("loadBalancers", []), bindings_of(revision), strict=True)
    for asked, bound in pairs:
        advanced = asked.get("advancedConfiguration")
        if advanced is None:
            continue
        shares = {
            advanced["productionListenerRule"]: course["production"],
            advanced.get("testListenerRule", ""): course["test"],
        }
        groups = (asked["targetGroupArn"], advanced["alternateTargetGroupArn"])
        for rule, share in shares.items():
            if rule:
                rules[rule] = _pair(groups, bound["targetGroupArn"], share)
    return rules


def _pair(
    groups: tuple[str, str],
    target: str,
    share: int,
) -> Weights:
    """``share``: that of the target's group."""
    return {group: weight_of(share if group == target else ALL - share) for group in groups}


def show_resolved(revision: Revision) -> list[Plain]:
    """As DescribeServiceRevisions tells it."""
    shown = []
    pairs = zip(revision.get("loadBalancers", []), bindings_of(revision), strict=True)
    for asked, bound in pairs:
        advanced = asked.get("advancedConfiguration")
        one: Plain = {"targetGroupArn": bound["targetGroupArn"]}
        if advanced is not None:
            one["productionListenerRule"] = advanced["productionListenerRule"]
        shown.append(one)
    return shown
