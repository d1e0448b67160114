"""Findings with what the survey's catalogue knows about their codes, in three tiers of confidence:
a setting says so, things on disk agree, it was seen happening."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from kirikae.model.catalogue import Entry, load
from kirikae.model.finding import Confidence, Finding, Trace

Findings = Iterator[Finding]
Kinds = tuple[str, ...]
"""Of moves, that a finding blocks or that mend it."""


def catalogue() -> Mapping[str, Entry]:
    """Code -> what is known about it (``catalogue.toml`` of the room)."""
    return load("kirikae.survey")


def found(
    code: str,
    *,
    where: str,
    says: str,
    evidence: Iterable[Trace],
    confidence: Confidence,
    blocks: Kinds | None = None,
    count: int | None = None,
    mends: Kinds | None = None,
) -> Finding:
    """``blocks``, ``mends``: other kinds of move than the catalogue's."""
    finding = catalogue()[code].found(
        where,
        says,
        evidence,
        confidence,
        blocks,
        mends=mends,
    )
    return replace(finding, count=count)


configured = partial(found, confidence=Confidence.CONFIGURED)
present = partial(found, confidence=Confidence.PRESENT)
observed = partial(found, confidence=Confidence.OBSERVED)
