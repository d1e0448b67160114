"""``kirikae guard tickets``: one for each finding and object, opened, opened again, closed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kirikae.console.errors import NotSent
from kirikae.console.findings import Manner
from kirikae.console.guard_check import ENVFILES, OBJECTS, project_of, speech_of
from kirikae.console.guard_checked import Checked
from kirikae.console.guard_github import GitHub
from kirikae.console.guard_objects import objects_from
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.options import DRY, JSON, LANG
from kirikae.console.surveyed import today
from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.tickets import Act, acts
from kirikae.model.errors import Unfinished, UsageProblem
from kirikae.model.finding import Finding, Severity
from kirikae.model.said import said
from kirikae.model.shown import markdown, one_line

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_TITLE_MOST = 250


def _token(here: Here, named: str) -> str:
    """Raises UsageProblem."""
    kind, _, name = named.partition(":")
    if kind != "env" or not name:
        raise UsageProblem("--token: write env:NAME, never the token itself")
    found = here.environment.get(name, "").strip()
    if not found:
        raise UsageProblem(
            f"the environment variable {name} is not set; put a token into it that may read and "
            "write issues, or name another one with --token env:NAME"
        )
    return found


def _written(finding: Finding, act: Act, manner: Manner) -> tuple[str, str]:
    """Title and body: what was found, where, and what to do."""
    title = one_line(f"{finding.code}: {manner.says(finding)} ({finding.where})")
    first = finding.evidence[0]
    line = f":{first.line}" if first.line else ""
    rows = [
        markdown(manner.says(finding)),
        markdown(f"{finding.where} ({first.at}{line})"),
        markdown(manner.remedy(finding)),
        f"`kirikae explain {finding.code}`",
        str(act.mark),
    ]
    return title[:_TITLE_MOST], "\n\n".join(rows)


def _line(act: Act, number: int | None, manner: Manner) -> str:
    where = act.finding.where if act.finding is not None else ""
    return manner.speech.say(
        said(f"guard.ticket.{act.deed}", number=number, code=act.mark.code, where=where)
    )


def _plain(act: Act, number: int | None) -> dict[str, Any]:
    where = act.finding.where if act.finding is not None else None
    return {"deed": act.deed.value, "code": act.mark.code, "where": where, "number": number}


def _carried_out(tracker: GitHub, todo: Sequence[Act], manner: Manner) -> Answer:
    """Each once; what is done stays done when a later one fails.  Raises Unfinished, NotSent."""
    done: list[tuple[Act, int]] = []
    for act in todo:
        title, body = _written(act.finding, act, manner) if act.finding is not None else ("", "")
        try:
            done.append((act, tracker.carry_out(act, title, body)))
        except NotSent as problem:
            raise Unfinished(
                f"{len(done)} of {len(todo)} done, then {problem}; run the same command again: it "
                "goes on, and makes no ticket twice"
            ) from problem
    lines = [_line(act, number, manner) for act, number in done]
    plain = {"tickets": [_plain(act, number) for act, number in done]}
    return Answer(plain, lines)


@click.command("tickets")
@OBJECTS
@click.option("--github", "repository", required=True, metavar="OWNER/NAME", help="Whose issues.")
@click.option(
    "--token",
    default="env:GITHUB_TOKEN",
    show_default=True,
    metavar="env:NAME",
    help="The variable with a token that may read and write issues.",
)
@click.option(
    "--api",
    default="https://api.github.com",
    show_default=True,
    help="The API of GitHub, or of a server of your own.",
)
@click.option(
    "--threshold",
    type=click.Choice([each.value for each in Severity]),
    default=Severity.HIGH.value,
    show_default=True,
    help="Findings of this severity and graver ones get a ticket.",
)
@ENVFILES
@LANG
@DRY
@JSON
@click.pass_obj
def tickets(
    here: Here,
    objects: Sequence[Path],
    repository: str,
    token: str,
    api: str,
    threshold: str,
    envfiles: Sequence[Path],
    lang: str | None,
    dry_run: bool,
) -> Answer:
    """Keep one issue of GitHub for each finding and object: open it, open it again when the finding
    comes back, close it when it is gone or somebody answers for it."""
    here.assert_may_change("guard tickets", dry_run)
    if not _REPOSITORY.fullmatch(repository):
        raise UsageProblem(f"--github {repository}: write OWNER/NAME")
    things = objects_from(here, objects, envfiles)
    looks = looked_at(things, Asked(PROFILES, limits(today())))
    project = project_of(here)
    checked = Checked(looks, Severity(threshold)).accepted(project, today())
    manner = Manner(speech_of(here, lang), () if project is None else project.accepted)
    tracker = GitHub(api, repository, _token(here, token))
    todo = acts(checked.looks, checked.grave, tracker.there())
    if dry_run:
        lines = [_line(act, act.number, manner) for act in todo]
        plain = {"tickets": [_plain(act, act.number) for act in todo]}
        return Answer(plain, lines, outcome=DRY_RUN)
    if not todo:
        lines = [manner.speech.say(said("guard.ticket.nothing"))]
        return Answer({"tickets": []}, lines, outcome=NOTHING_TO_DO)
    return _carried_out(tracker, todo, manner)
