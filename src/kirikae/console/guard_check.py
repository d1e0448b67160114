"""``kirikae guard check``: what Fargate, NIST SP 800-190 and twelve factors have against files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.context import load_project
from kirikae.console.findings import Manner, plain
from kirikae.console.guard_objects import objects_from
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.guard.checks import PROFILES, Asked, day_of, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.seen import Looked, Outcome
from kirikae.model.errors import Exit
from kirikae.model.finding import Finding, Severity, with_accepted
from kirikae.model.project import Project
from kirikae.model.said import said, words_of

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
        return sorted(found, key=lambda each: _GRAVEST_FIRST.index(each.severity))

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

    def accepted(self, project: Project | None, day: date) -> Checked:
        """With the answers of the project file."""
        if project is None:
            return self
        looks = [
            replace(look, findings=tuple(with_accepted(look.findings, project.accepted, day)))
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
        """For people: findings with their remedy, then what was not checked, then the figures."""
        say = manner.speech.say
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
                said("guard.not_checked", code=look.code, where=look.where, why=list(look.why))
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
    from kirikae.console.catalogue import catalogue

    language = manner.speech.language
    return finding.says if language == "en" else catalogue()[finding.code].titled(language)


def speech_of(here: Here, lang: str | None) -> Speech:
    """Guard's words besides those of the console."""
    common = Speech(here.language(lang))
    return Speech(common.language, words=common.words.plus(words_of("kirikae.guard")))


def project_of(here: Here) -> Project | None:
    """None: there is none, and nobody answers for anything."""
    return load_project(here) if Path(here.project_file).is_file() else None


OBJECTS = click.argument("objects", nargs=-1, required=True, type=click.Path(path_type=Path))
STRICT = click.option("--strict", is_flag=True, help="What is not checked ends with exit code 6.")
ENVFILES = click.option(
    "--envfile",
    "envfiles",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Variables for ecspresso's templates, NAME=value a line; later ones win.",
)


def _profiles(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> list[tuple[str, date | None]]:
    try:
        return [day_of(value) for value in values or PROFILES]
    except ValueError as error:
        raise click.BadParameter(
            f"write one of {', '.join(PROFILES)}, or fargate@YYYY-MM-DD", ctx, param
        ) from error


@click.command("check")
@OBJECTS
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    callback=_profiles,
    metavar="NAME",
    help="nist-800-190, fargate (fargate@DATE: by the limits of that day), twelve-factor; may be "
    "given several times (default: all).",
)
@click.option(
    "--threshold",
    type=click.Choice([each.value for each in Severity]),
    default=Severity.HIGH.value,
    show_default=True,
    help="Findings of this severity and graver ones end with exit code 6.",
)
@STRICT
@ENVFILES
@LANG
@JSON
@click.pass_obj
def check(
    here: Here,
    objects: Sequence[Path],
    profiles: Sequence[tuple[str, date | None]],
    threshold: str,
    strict: bool,
    envfiles: Sequence[Path],
    lang: str | None,
) -> Answer:
    """Check files: Dockerfiles; task definitions as the API, ecspresso, CloudFormation or a plan of
    Terraform has them.  Nothing is changed, and AWS is not asked."""
    days = [day for _, day in profiles if day is not None]
    asked = Asked(tuple(name for name, _ in profiles), limits(today(), days[-1] if days else None))
    looks = looked_at(objects_from(here, objects, envfiles), asked)
    project = project_of(here)
    checked = Checked(looks, Severity(threshold), strict).accepted(project, today())
    speech = speech_of(here, lang)
    manner = Manner(speech, () if project is None else project.accepted)
    answer = Answer(checked.to_plain(speech), list(checked.lines(manner)), checked.exit)
    if project is None:
        return answer
    return doubting(answer, doubts(project, today(), checked.findings), speech)
