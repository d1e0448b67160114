"""``kirikae guard tickets``: one for each finding and object, opened, opened again, closed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click

from kirikae.console.errors import NotSent
from kirikae.console.findings import Manner
from kirikae.console.guard_check import ENVFILES, OBJECTS, project_of, speech_of
from kirikae.console.guard_checked import Checked
from kirikae.console.guard_github import GitHub
from kirikae.console.guard_jira import Jira
from kirikae.console.guard_objects import objects_from
from kirikae.console.guard_webhook import Webhook
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.options import DRY, JSON, LANG
from kirikae.console.surveyed import today
from kirikae.guard.checks import PROFILES, Asked, looked_at
from kirikae.guard.limits import limits
from kirikae.guard.tickets import Act, Ticket, acts
from kirikae.hosts.files import STATE_FOLDER
from kirikae.model.errors import Unfinished, UsageProblem
from kirikae.model.finding import Finding, Severity
from kirikae.model.said import said
from kirikae.model.shown import markdown, one_line, unbroken

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_PROJECT = re.compile(r"[A-Z][A-Z0-9_]{1,20}")
_TITLE_MOST = 250


class Tracker(Protocol):
    """Where tickets are kept."""

    def there(self) -> list[Ticket]:
        """Guard's own, open and closed.  Raises NotSent."""

    def carry_out(
        self,
        act: Act,
        title: str,
        body: str,
    ) -> int:
        """The number of the ticket.  Raises NotSent."""


class Wanted(NamedTuple):
    """Which tracker, as it was asked for."""

    github: str | None
    jira: str | None
    webhook: str | None
    token: str | None
    api: str | None
    jira_user: str
    jira_version: int
    jira_kind: str
    ledger: Path | None


_TOKENS = {"github": "env:GITHUB_TOKEN", "jira": "env:JIRA_TOKEN"}


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


def _tracker(here: Here, wanted: Wanted) -> Tracker:
    """Raises UsageProblem where none or several are named."""
    named = [each for each in (wanted.github, wanted.jira, wanted.webhook) if each is not None]
    if len(named) != 1:
        raise UsageProblem("name one of --github OWNER/NAME, --jira PROJECT, --webhook env:NAME")
    if wanted.github is not None:
        return _github(
            here,
            wanted,
            wanted.github,
        )
    if wanted.jira is not None:
        return _jira(
            here,
            wanted,
            wanted.jira,
        )
    ledger = wanted.ledger or here.folder / STATE_FOLDER / "guard-webhook.jsonl"
    token = "" if wanted.token is None else _token(here, wanted.token)
    assert wanted.webhook is not None
    return Webhook.of(
        _token(here, wanted.webhook),
        token,
        ledger,
    )


def _github(
    here: Here,
    wanted: Wanted,
    repository: str,
) -> Tracker:
    if not _REPOSITORY.fullmatch(repository):
        raise UsageProblem(f"--github {repository}: write OWNER/NAME")
    token = _token(here, wanted.token or _TOKENS["github"])
    return GitHub.of(
        wanted.api or "https://api.github.com",
        repository,
        token,
    )


def _jira(
    here: Here,
    wanted: Wanted,
    project: str,
) -> Tracker:
    if not _PROJECT.fullmatch(project):
        raise UsageProblem(f"--jira {project}: write the project's key, such as SHOP")
    if wanted.api is None:
        raise UsageProblem("--jira: name the server, --api https://example.atlassian.net")
    token = _token(here, wanted.token or _TOKENS["jira"])
    return Jira.of(
        wanted.api, project, token, wanted.jira_user, wanted.jira_version, wanted.jira_kind
    )


def _written(finding: Finding | None, manner: Manner) -> tuple[str, str]:
    """Title and body: what was found, where, and what to do; empty for what is gone."""
    if finding is None:
        return "", ""
    title = one_line(f"{finding.code}: {manner.says(finding)} ({finding.where})")
    first = finding.evidence[0]
    line = f":{first.line}" if first.line else ""
    rows = [
        markdown(manner.says(finding)),
        markdown(f"{finding.where} ({first.at}{line})"),
        markdown(manner.remedy(finding)),
        f"`kirikae explain {finding.code}`",
    ]
    return title[:_TITLE_MOST], "\n\n".join(rows)


def _line(
    act: Act,
    number: int | None,
    manner: Manner,
) -> str:
    where = act.finding.where if act.finding is not None else ""
    kind = "double" if act.stays is not None else act.deed
    return unbroken(
        manner.speech.say(
            said(
                f"guard.ticket.{kind}",
                number=number,
                code=act.mark.code,
                where=where,
                stays=act.stays,
            )
        )
    )


def _plain(act: Act, number: int | None) -> dict[str, Any]:
    where = act.finding.where if act.finding is not None else None
    return {
        "deed": act.deed.value,
        "code": act.mark.code,
        "where": where,
        "number": number,
        "stays": act.stays,
    }


def _carried_out(
    tracker: Tracker,
    todo: Sequence[Act],
    manner: Manner,
) -> Answer:
    """Each once; what is done stays done when a later one fails.  Raises Unfinished, NotSent."""
    done: list[tuple[Act, int]] = []
    for act in todo:
        title, body = _written(act.finding, manner)
        try:
            number = tracker.carry_out(act, title, body)
            done.append((act, number))
        except NotSent as problem:
            raise Unfinished(
                f"{len(done)} of {len(todo)} done, then {problem}; run the same command again: it "
                "goes on, and makes no ticket twice"
            ) from problem
    lines = [
        _line(
            act,
            number,
            manner,
        )
        for act, number in done
    ]
    plain = {"tickets": [_plain(act, number) for act, number in done]}
    return Answer(plain, lines)


@click.command("tickets")
@OBJECTS
@click.option(
    "--github",
    metavar="OWNER/NAME",
    help="Issues of this repository.",
)
@click.option(
    "--jira",
    metavar="PROJECT",
    help="Issues of this project of Jira; needs --api.",
)
@click.option(
    "--webhook",
    metavar="env:NAME",
    help="The variable with an address that takes an event for each ticket.",
)
@click.option(
    "--token",
    metavar="env:NAME",
    help="The variable with a token that may read and write issues (default: env:GITHUB_TOKEN, "
    "env:JIRA_TOKEN; for a webhook none).",
)
@click.option(
    "--api",
    metavar="URL",
    help="The server (default for --github: api.github.com).",
)
@click.option(
    "--jira-user",
    default="",
    metavar="MAIL",
    help="Whose token it is, in Jira's cloud.",
)
@click.option(
    "--jira-version",
    type=click.IntRange(2, 3),
    default=3,
    show_default=True,
    help="Of Jira's REST API: 3 in the cloud, 2 on a server of your own.",
)
@click.option(
    "--jira-type", "jira_kind", default="Task", show_default=True, help="Kind of a new issue."
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="What a webhook took already (default: .kirikae/guard-webhook.jsonl).",
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
    /,
    objects: Sequence[Path],
    threshold: str,
    envfiles: Sequence[Path],
    lang: str | None,
    dry_run: bool,
    **named: Any,
) -> Answer:
    """Keep one ticket for each finding and object: open it, open it again when the finding comes
    back, say what is new, close it when it is gone or somebody answers for it."""
    here.assert_may_change("guard tickets", dry_run)
    tracker = _tracker(here, Wanted(**named))
    things = objects_from(
        here,
        objects,
        envfiles,
    )
    looks = looked_at(things, Asked(PROFILES, limits(today())))
    project = project_of(here)
    checked = Checked(looks, Severity(threshold)).accepted(
        project,
        today(),
    )
    manner = Manner(
        speech_of(here, lang),
        () if project is None else project.accepted,
    )
    todo = acts(
        checked.looks,
        checked.grave,
        tracker.there(),
    )
    if dry_run:
        lines = [
            _line(
                act,
                act.number,
                manner,
            )
            for act in todo
        ]
        plain = {"tickets": [_plain(act, act.number) for act in todo]}
        return Answer(
            plain,
            lines,
            outcome=DRY_RUN,
        )
    if not todo:
        lines = [manner.speech.say(said("guard.ticket.nothing"))]
        return Answer(
            {"tickets": []},
            lines,
            outcome=NOTHING_TO_DO,
        )
    return _carried_out(
        tracker,
        todo,
        manner,
    )
