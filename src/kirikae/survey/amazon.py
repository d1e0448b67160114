"""The AWS side of a survey, read only: listener rules, stickiness, security groups, roles, alarms,
DNS records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kirikae.aws import inventory
from kirikae.aws.inventory import Inventory
from kirikae.aws.session import Aws
from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.model.owners import owner_of
from kirikae.model.project import Project
from kirikae.survey.catalogue import Findings, observed
from kirikae.survey.errors import BundleProblem


def look(
    aws: Aws,
    project: Project,
    rules: Sequence[str],
) -> list[Finding]:
    """Findings on what the old side hangs on.  A part that AWS does not let us see is a finding
    `unreadable`.  ``rules``: the listener rules that moves turn."""
    target_group = project.fleets.old.target_group
    seen = inventory.of(aws, target_group, rules)
    return [finding for rule in _RULES for finding in rule(seen, target_group)]


def _unreadable(seen: Inventory, _: str) -> Findings:
    """What AWS did not let us see is told, not taken for absent."""
    for what, why in seen.unreadable:
        yield observed(
            "unreadable",
            where=what,
            says=f"{what} could not be looked at: {why}",
            evidence=[Trace("", what, why)],
        )


def _ties_users(seen: Inventory, target_group: str) -> Findings:
    """A task that comes anew gets none of the users who are tied to a host."""
    if seen.stickiness_s:
        yield observed(
            "ST19",
            where=target_group,
            says=f"{target_group} ties users to a host for {seen.stickiness_s} s",
            evidence=[Trace("", seen.group_arn, "stickiness.enabled")],
        )


def _managed_elsewhere(seen: Inventory, _: str) -> Findings:
    """Whoever manages the rule would undo what a move does to it."""
    for rule, tags in seen.rules.items():
        owner = owner_of(tags)
        if owner is not None:
            yield observed(
                "AW01",
                where=rule,
                says=f"the rule is managed elsewhere ({owner})",
                evidence=[Trace("", rule, owner)],
            )


def _admitted_by_group(seen: Inventory, _: str) -> Findings:
    """Tasks have security groups of their own."""
    for group, port, of in seen.admitted:
        yield observed(
            "AW02",
            where=f"{group}:{port}",
            says=f"{group} lets {of} in at port {port}; the tasks will not be in {of}",
            evidence=[Trace("", group, f"port {port} from {of}")],
        )


def _acts_under_a_role(seen: Inventory, _: str) -> Findings:
    """What the hosts may do by their role, the task's role must allow."""
    for instance, role in seen.roles:
        yield observed(
            "AW03",
            where=role,
            says=f"{instance} acts under {role}",
            evidence=[Trace("", instance, role)],
        )


def _watched(seen: Inventory, target_group: str) -> Findings:
    """The alarm will say nothing of the new side."""
    for alarm in seen.alarms:
        yield observed(
            "AW04",
            where=alarm,
            says=f"the alarm {alarm} watches the old side only",
            evidence=[Trace("", alarm, target_group)],
        )


def _named_in_dns(seen: Inventory, _: str) -> Findings:
    """Who asks by this name passes the load balancer by, and stays with the host."""
    for name, target in seen.records:
        yield observed(
            "AW05",
            where=name,
            says=f"{name} points at {target}, which is a host",
            evidence=[Trace("", name, target)],
        )


_RULES: tuple[Callable[[Inventory, str], Findings], ...] = (
    _unreadable,
    _ties_users,
    _managed_elsewhere,
    _admitted_by_group,
    _acts_under_a_role,
    _watched,
    _named_in_dns,
)


def to_plain(seen: Iterable[Finding]) -> str:
    """JSON, to be kept with the survey; ``from_plain`` reads it."""
    rows = [finding.to_plain() for finding in seen]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def from_plain(text: str) -> list[Finding]:
    """Read what ``to_plain`` wrote, also in former versions.  Raises BundleProblem."""
    try:
        return [_finding(row) for row in json.loads(text)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleProblem(
            f"what was seen of the AWS side cannot be read ({error}); "
            "`kirikae survey aws` looks again",
        ) from error


def _finding(row: Mapping[str, Any]) -> Finding:
    """Raises KeyError, ValueError or TypeError for a row that is none."""
    return Finding(
        code=row["code"],
        where=row["where"],
        says=row["says"],
        remedy=row["remedy"],
        severity=Severity(row["severity"]),
        confidence=Confidence(row["confidence"]),
        blocks=tuple(row["blocks"]),
        evidence=tuple(Trace(**trace) for trace in row["evidence"]),
        accepted=row["accepted"],
        count=row.get("count"),
        mends=tuple(row.get("mends", ())),
    )
