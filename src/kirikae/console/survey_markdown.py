"""Findings as Markdown (CommonMark), for a ticket or a wiki: whatever a host said stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kirikae.console.findings import Manner
from kirikae.console.survey_summary import Summary, by_severity
from kirikae.model.finding import Finding
from kirikae.model.shown import clean

_PUNCTUATION = re.compile(r"([\\`*_\[\]<>#|~&$])")
_TICKS = re.compile(r"`+")
_EVIDENCE_AT_MOST = 10


def markdown(summary: Summary, manner: Manner) -> Iterator[str]:
    """A heading for each severity, gravest first."""
    yield f"# {_text(summary.title(manner))}"
    yield ""
    for line in summary.lead(manner):
        yield _text(line)
        yield ""
    for severity, findings in by_severity(summary.findings):
        word = manner.speech.say(severity)
        yield f"## {_text(word)} ({len(findings)})"
        yield ""
        for finding in findings:
            yield from _finding(finding, manner)


def _finding(finding: Finding, manner: Manner) -> Iterator[str]:
    """One item, its evidence as a list inside of it."""
    yield f"### {finding.code}: {_text(manner.says(finding))}"
    yield ""
    yield f"- {_code(finding.where)} ({_text(manner.seen_on(finding))})"
    yield f"- {_text(manner.remedy_line(finding))}"
    if finding.accepted:
        yield f"- {_text(manner.accepted(finding))}"
    yield from _evidence(finding, manner)
    yield ""


def _evidence(finding: Finding, manner: Manner) -> Iterator[str]:
    """What was seen, as it stood there."""
    shown: Sequence[object] = finding.evidence[:_EVIDENCE_AT_MOST]
    for trace in shown:
        yield f"  - {_code(str(trace))}"
    more = len(finding.evidence) - len(shown)
    if more:
        yield f"  - {_text(manner.more_evidence(more))}"


def _text(words: str) -> str:
    """Punctuation that means something is escaped; a line break would end the line."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(clean(words).split()))


def _code(words: str) -> str:
    """A code span whose fence is longer than any in it (CommonMark, 6.1)."""
    text = " ".join(clean(words).split()) or " "
    fence = "`" * (max(map(len, _TICKS.findall(text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"
