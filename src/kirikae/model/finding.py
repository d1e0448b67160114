"""A finding: one thing seen, with code, evidence, confidence and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from kirikae.model.project import Accepted


class Severity(StrEnum):
    BLOCKS = "blocks"
    WARNS = "warns"
    NOTES = "notes"


class Confidence(StrEnum):
    SURE = "sure"
    LIKELY = "likely"
    GUESS = "guess"


@dataclass(frozen=True, slots=True)
class Finding:
    """``blocks`` names the kinds of move that must not start while this stands (empty: none)."""

    code: str
    where: str
    says: str
    evidence: str
    remedy: str
    severity: Severity = Severity.WARNS
    confidence: Confidence = Confidence.SURE
    blocks: tuple[str, ...] = ()


def with_accepted(findings: Iterable[Finding], accepted: Iterable[Accepted], today: date) -> list[Finding]:
    """The findings, of which those that somebody answers for (same code, same place, day not over) block nothing."""
    answered = {(a.finding, a.where): a for a in accepted if a.until >= today}
    out = []
    for finding in findings:
        answer = answered.get((finding.code, finding.where))
        if answer is not None:
            says = f"{finding.says} (accepted by {answer.by} until {answer.until}: {answer.why})"
            finding = replace(finding, says=says, severity=Severity.NOTES, blocks=())
        out.append(finding)
    return out
