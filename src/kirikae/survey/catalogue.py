"""Findings with what the survey's catalogue knows about their codes, in three tiers of confidence:
a setting says so, things on disk agree, it was seen happening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kirikae.model.catalogue import Entry, load
from kirikae.model.finding import Confidence, Finding, Trace

Kinds = tuple[str, ...]
"""Of moves, that a finding blocks."""


def catalogue() -> Mapping[str, Entry]:
    return load("kirikae.survey")


def found(
    code: str,
    where: str,
    says: str,
    evidence: Iterable[Trace],
    confidence: Confidence = Confidence.CONFIGURED,
    *,
    blocks: Kinds | None = None,
    count: int | None = None,
) -> Finding:
    """``blocks``: other kinds of move than the catalogue's."""
    finding = catalogue()[code].found(where, says, evidence, confidence, blocks)
    return finding if count is None else replace(finding, count=count)


def configured(
    code: str,
    where: str,
    says: str,
    *evidence: Trace,
    blocks: Kinds | None = None,
    count: int | None = None,
) -> Finding:
    return found(code, where, says, evidence, Confidence.CONFIGURED, blocks=blocks, count=count)


def present(
    code: str,
    where: str,
    says: str,
    *evidence: Trace,
    blocks: Kinds | None = None,
    count: int | None = None,
) -> Finding:
    return found(code, where, says, evidence, Confidence.PRESENT, blocks=blocks, count=count)


def observed(code: str, where: str, says: str, *evidence: Trace) -> Finding:
    return found(code, where, says, evidence, Confidence.OBSERVED)
