"""The AWS side of a survey, read only: listener rules, stickiness, security groups, roles, alarms,
DNS records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from kirikae.aws import inventory
from kirikae.aws.session import Aws
from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.model.project import Project
from kirikae.survey.catalogue import found

_OWNERS = (
    "aws:cloudformation:stack-name",
    "terraform",
    "Terraform",
    "managed-by",
    "ManagedBy",
    "aws:cdk:path",
)


def look(aws: Aws, project: Project, rules: Sequence[str]) -> list[Finding]:
    """Findings on what the old side hangs on.  A part that AWS does not let us see is a finding
    `unreadable`.  ``rules``: the listener rules that moves turn."""
    out: list[Finding] = []
    old = project.fleets.old
    seen = inventory.of(aws, old.target_group, rules)
    for what, why in seen.unreadable:
        out.append(
            found(
                "unreadable",
                what,
                f"{what} could not be looked at: {why}",
                [Trace("", what, why)],
                Confidence.OBSERVED,
            )
        )
    if seen.stickiness_s:
        out.append(
            found(
                "ST19",
                old.target_group,
                f"{old.target_group} ties users to a host for {seen.stickiness_s} s",
                [Trace("", seen.group_arn, "stickiness.enabled")],
                Confidence.OBSERVED,
            )
        )
    for rule, tags in seen.rules.items():
        if owner := next((f"{k}={v}" for k, v in tags.items() if k in _OWNERS), ""):
            out.append(
                found(
                    "AW01",
                    rule,
                    f"the rule is managed elsewhere ({owner})",
                    [Trace("", rule, owner)],
                    Confidence.OBSERVED,
                )
            )
    for group, port, of in seen.admitted:
        says = f"{group} lets {of} in at port {port}; the tasks will not be in {of}"
        out.append(
            found(
                "AW02",
                f"{group}:{port}",
                says,
                [Trace("", group, f"port {port} from {of}")],
                Confidence.OBSERVED,
            )
        )
    for instance, role in seen.roles:
        out.append(
            found(
                "AW03",
                role,
                f"{instance} acts under {role}",
                [Trace("", instance, role)],
                Confidence.OBSERVED,
            )
        )
    for alarm in seen.alarms:
        out.append(
            found(
                "AW04",
                alarm,
                f"the alarm {alarm} watches the old side only",
                [Trace("", alarm, old.target_group)],
                Confidence.OBSERVED,
            )
        )
    for name, target in seen.records:
        out.append(
            found(
                "AW05",
                name,
                f"{name} points at {target}, which is a host",
                [Trace("", name, target)],
                Confidence.OBSERVED,
            )
        )
    return out


def to_plain(seen: Iterable[Finding]) -> str:
    return json.dumps([f.to_plain() for f in seen], ensure_ascii=False, indent=1)


def from_plain(text: str) -> list[Finding]:
    """Read what ``to_plain`` wrote."""
    out = []
    for row in json.loads(text):
        row.pop("hosts")
        evidence = tuple(Trace(**t) for t in row.pop("evidence"))
        out.append(
            Finding(
                **{
                    **row,
                    "severity": Severity(row["severity"]),
                    "confidence": Confidence(row["confidence"]),
                    "blocks": tuple(row["blocks"]),
                },
                evidence=evidence,
            )
        )
    return out
