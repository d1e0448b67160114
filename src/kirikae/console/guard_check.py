"""``kirikae guard check``: what Fargate, NIST SP 800-190 and twelve factors have against files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.context import load_project
from kirikae.console.findings import Manner
from kirikae.console.guard_checked import Checked
from kirikae.console.guard_forms import Form, junit, sarif_text
from kirikae.console.guard_objects import objects_from
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.guard.checks import PROFILES, Asked, day_of, looked_at
from kirikae.guard.limits import limits
from kirikae.model.finding import Severity
from kirikae.model.project import Project
from kirikae.model.said import words_of


def speech_of(here: Here, lang: str | None) -> Speech:
    """Guard's words besides those of the console."""
    common = Speech(here.language(lang))
    return Speech(
        common.language,
        words=common.words.plus(words_of("kirikae.guard")),
    )


def project_of(here: Here) -> Project | None:
    """None: there is none, and nobody answers for anything."""
    return load_project(here) if Path(here.project_file).is_file() else None


OBJECTS = click.argument(
    "objects",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
FORMS: Mapping[str, Form] = {"junit": junit, "sarif": sarif_text}
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="What is not checked ends with exit code 6.",
)
ENVFILES = click.option(
    "--envfile",
    "envfiles",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Variables for ecspresso's templates, NAME=value a line; later ones win.",
)


def _profiles(
    ctx: click.Context,
    param: click.Parameter,
    values: Sequence[str],
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
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", *FORMS]),
    default="text",
    show_default=True,
    help="What is printed: SARIF 2.1.0 for viewers of code, JUnit's XML for CI.",
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
    form: str,
    strict: bool,
    envfiles: Sequence[Path],
    lang: str | None,
) -> Answer:
    """Check Dockerfiles, images (docker save, OCI layouts), definitions (of the API, ecspresso,
    CloudFormation, plans of Terraform), results of scanners, and things of an account
    (service:CLUSTER/NAME, task:FAMILY, repository:NAME[:TAG], policy:ARN, role:NAME).  Nothing is
    changed."""
    days = [day for _, day in profiles if day is not None]
    asked = Asked(
        tuple(name for name, _ in profiles),
        limits(today(), days[-1] if days else None),
    )
    looks = looked_at(
        objects_from(
            here,
            objects,
            envfiles,
        ),
        asked,
    )
    project = project_of(here)
    checked = Checked(
        looks,
        Severity(threshold),
        strict,
    ).accepted(
        project,
        today(),
    )
    speech = speech_of(here, lang)
    manner = Manner(
        speech,
        () if project is None else project.accepted,
    )
    lines = FORMS[form](checked, manner).split("\n") if form in FORMS else checked.lines(manner)
    answer = Answer(
        checked.to_plain(speech),
        list(lines),
        checked.exit,
    )
    if project is None:
        return answer
    return doubting(
        answer,
        doubts(
            project,
            today(),
            checked.findings,
        ),
        speech,
    )
