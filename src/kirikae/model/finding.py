"""A finding: one thing seen, with code, evidence, confidence and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

EVERY_KIND = "*"
"""In ``blocks``: no kind of move may start, not even one that comes later."""


class Severity(StrEnum):
    """Blocks the move; loses data or breaks with two tasks; work to do; good to know."""

    BLOCKS = "blocks"
    HIGH = "high"
    WORK = "work"
    HYGIENE = "hygiene"


class Confidence(StrEnum):
    """A setting says so; things on disk agree; it was seen happening."""

    CONFIGURED = "configured"
    PRESENT = "present"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True)
class Trace:
    """One piece of evidence: where it was seen (a path or a command of a host, or an ARN) and what
    it says, secrets masked."""

    host: str
    at: str
    says: str
    line: int = 0

    @property
    def place(self) -> str:
        """``host:place:line``; parts that are not known are left out."""
        place = f"{self.host}:{self.at}" if self.host else self.at
        return f"{place}:{self.line}" if self.line else place

    def __str__(self) -> str:
        """Its place, and what it says."""
        return f"{self.place}: {self.says}"


@dataclass(frozen=True, slots=True)
class Finding:
    """``blocks`` names the kinds of move that must not start while this stands (empty: none).
    ``mends`` those that end it by being carried out: nobody has to answer for it before them."""

    code: str
    where: str
    says: str
    remedy: str
    severity: Severity = Severity.WORK
    confidence: Confidence = Confidence.OBSERVED
    blocks: tuple[str, ...] = ()
    evidence: tuple[Trace, ...] = ()
    accepted: str = ""
    """Who answers for it, until when and why; empty: nobody."""
    count: int | None = None
    """How many things it speaks of, where it counts some."""
    mends: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it was seen, by name; none for what was seen of AWS."""
        return tuple(sorted({t.host for t in self.evidence if t.host}))

    def stops(self, kind: str) -> bool:
        """Must a move of this kind not start while it stands?"""
        if kind in self.mends:
            return False
        return kind in self.blocks or EVERY_KIND in self.blocks

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``, the hosts of its evidence among it."""
        return asdict(self) | {"hosts": list(self.hosts)}

    def __str__(self) -> str:
        """One line for people: code, what was seen, the first piece of evidence, what to do."""
        seen = f" ({self.evidence[0]})" if self.evidence else ""
        return f"{self.code} {self.says}{seen}: {self.remedy}"


class Acceptance(Protocol):
    """Somebody answers for a finding until a day: a row of ``accepted`` in the project file."""

    @property
    def finding(self) -> str: ...

    @property
    def where(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def by(self) -> str: ...

    @property
    def until(self) -> date: ...


def with_accepted(
    findings: Iterable[Finding],
    accepted: Iterable[Acceptance],
    today: date,
) -> list[Finding]:
    """The findings, of which those that somebody answers for (same code, same place, day not over)
    block nothing."""
    answered = {(a.finding, a.where): a for a in accepted if a.until >= today}
    out = []
    for finding in findings:
        answer = answered.get((finding.code, finding.where))
        if answer is not None:
            finding = replace(
                finding,
                accepted=f"by {answer.by} until {answer.until}: {answer.why}",
                blocks=(),
            )
        out.append(finding)
    return out


def blocking(findings: Iterable[Finding], kind: str) -> list[Finding]:
    """Those that stand in the way of this kind of move."""
    return [finding for finding in findings if finding.stops(kind)]


def mended(findings: Iterable[Finding], kind: str) -> list[Finding]:
    """Those that this kind of move ends, without those that somebody answers for anyway."""
    return [each for each in findings if kind in each.mends and not each.accepted]
