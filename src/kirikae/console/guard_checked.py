"""What ``kirikae guard`` found, as data and in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from kirikae.console.catalogue import catalogue
from kirikae.console.findings import Manner, plain
from kirikae.console.speech import Speech
from kirikae.guard.seen import Looked, Outcome
from kirikae.model.errors import Exit
from kirikae.model.finding import Finding, Severity, with_accepted
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.shown import unbroken

_GRAVEST_FIRST = list(Severity)


@dataclass(frozen=True, slots=True)
class Checked:
    """All that was looked at, and from which severity on a finding counts."""

    looks: Sequence[Looked]
    threshold: Severity
    strict: bool = False

    @property
    def findings(self) -> list[Finding]:
        """Gravest first."""
        found = [each for look in self.looks for each in look.findings]
        return sorted(
            found,
            key=lambda each: _GRAVEST_FIRST.index(each.severity),
        )

    @property
    def grave(self) -> list[Finding]:
        """Those because of which a build fails: nobody answers for them."""
        counted = _GRAVEST_FIRST[: _GRAVEST_FIRST.index(self.threshold) + 1]
        return [each for each in self.findings if each.severity in counted and not each.accepted]

    def of(self, outcome: Outcome) -> list[Looked]:
        """The checks that ended so."""
        return [look for look in self.looks if look.outcome is outcome]

    @property
    def unchecked(self) -> list[Looked]:
        """Those of which something is not known, a fault elsewhere or not."""
        return [look for look in self.looks if look.why and not _does_not_apply(look)]

    @property
    def exit(self) -> Exit:
        """Exit.FOUND for a grave finding; under ``strict`` also for what was not checked."""
        return Exit.FOUND if self.grave or (self.strict and self.unchecked) else Exit.DONE

    def accepted(
        self,
        project: Project | None,
        day: date,
    ) -> Checked:
        """With the answers of the project file."""
        if project is None:
            return self
        looks = [
            replace(
                look,
                findings=tuple(
                    with_accepted(
                        look.findings,
                        project.accepted,
                        day,
                    )
                ),
            )
            for look in self.looks
        ]
        return replace(self, looks=looks)

    def to_plain(self, speech: Speech) -> dict[str, Any]:
        """Plain data for ``--json``: every check with its outcome."""
        return {
            "findings": plain(self.findings),
            "threshold": self.threshold.value,
            "grave": len(self.grave),
            "checks": [
                {
                    "code": look.code,
                    "where": look.where,
                    "outcome": look.outcome.value,
                    "why": [each.to_plain() | {"text": speech.say(each)} for each in look.why],
                }
                for look in self.looks
            ],
        }

    def lines(self, manner: Manner) -> Iterator[str]:
        """For people: findings with their remedy, then what was not checked, then the figures.
        Names in images and files may have line breaks, which would begin a finding."""

        def say(words: Said) -> str:
            return unbroken(manner.speech.say(words))

        for finding in self.findings:
            yield say(
                said(
                    "guard.row",
                    severity=said(f"console.severity.{finding.severity}"),
                    code=finding.code,
                    where=_shown(finding),
                    says=_title(finding, manner),
                )
            )
            yield f"    {manner.accepted(finding) or manner.remedy(finding)}"
        for look in self.unchecked:
            yield say(
                said(
                    "guard.not_checked",
                    code=look.code,
                    where=look.where,
                    why=list(look.why),
                )
            )
        yield say(
            said(
                "guard.counted",
                n=len(self.findings),
                grave=len(self.grave),
                threshold=said(f"console.severity.{self.threshold}"),
                passed=len(self.of(Outcome.PASS)),
                open=len(self.unchecked),
                elsewhere=len(self.of(Outcome.NOT_APPLICABLE)),
            )
        )


def _does_not_apply(look: Looked) -> bool:
    return look.outcome is Outcome.NOT_APPLICABLE


def _shown(finding: Finding) -> str:
    """With the line where there is one."""
    line = finding.evidence[0].line
    return f"{finding.where} ({line})" if line else finding.where


def _title(finding: Finding, manner: Manner) -> str:
    """What a check saw is told in English; in Japanese the catalogue's words stand for it, and the
    place stands there already."""
    language = manner.speech.language
    return finding.says if language == "en" else catalogue()[finding.code].titled(language)
