"""A finding: one thing seen, with code, evidence, confidence and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
