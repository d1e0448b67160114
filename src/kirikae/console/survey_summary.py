"""What every written form of a survey says first: of which service, of what day, how many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from kirikae.console.findings import Manner
from kirikae.model.finding import Finding, Severity, blocking, mended
from kirikae.model.said import Said, said


@dataclass(frozen=True, slots=True)
class Summary:
    """Findings with what a reader must know of them."""

    service: str
    environment: str
    day: date
    findings: Sequence[Finding]
    kind: str

    @property
    def in_the_way(self) -> int:
        """Findings because of which no move of this kind starts."""
        return len(blocking(self.findings, self.kind))

    def title(self, manner: Manner) -> str:
        """In one line."""
        return manner.speech.say(
            said(
                "console.survey_report.title",
                service=self.service,
                environment=self.environment,
            )
        )

    def lead(self, manner: Manner) -> Iterator[str]:
        """Of when it is, and what stands in the way."""
        hosts = sorted({host for finding in self.findings for host in finding.hosts})
        yield manner.speech.say(
            said("console.survey_report.lead", day=self.day.isoformat(), hosts=hosts)
        )
        yield manner.counted(
            len(self.findings),
            self.in_the_way,
            self.kind,
        )
        yield from manner.mended(mended(self.findings, self.kind), self.kind)


def by_severity(findings: Sequence[Finding]) -> Iterator[tuple[Said, list[Finding]]]:
    """The word of each severity with its findings, gravest first; without those of none."""
    for severity in Severity:
        these = [finding for finding in findings if finding.severity is severity]
        if these:
            yield said(f"console.severity.{severity}"), these
