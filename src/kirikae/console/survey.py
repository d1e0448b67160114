"""``kirikae survey``: look at the hosts and the AWS side, and read what was found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from kirikae.console.acceptances import doubting, doubts
from kirikae.console.catalogue import catalogue
from kirikae.console.collecting import (
    chosen_hosts,
    collect_files,
    collect_from,
    files_of,
    look_at_amazon,
    silent,
    would_collect,
    would_look_at_amazon,
)
from kirikae.console.completion import CODES, HOSTS
from kirikae.console.context import load_project
from kirikae.console.explaining import entry_of
from kirikae.console.findings import Difference, Explained, Listing, Manner, Questions, plain
from kirikae.console.here import Answer, Here, to_json
from kirikae.console.options import DRY, JSON, LANG, STREAM, YEN, Whole, seconds
from kirikae.console.speech import Speech
from kirikae.console.survey_report import report
from kirikae.console.survey_verdict import verdict
from kirikae.console.survey_watch import Seen, Watched, Watching, findings_of_watch, would_watch
from kirikae.console.surveyed import (
    about_code,
    about_path,
    differences,
    evidence_of,
    open_questions,
    survey_findings,
    today,
    year_after,
)
from kirikae.model.finding import Severity
from kirikae.model.project import Project
from kirikae.model.said import Said
from kirikae.model.shown import clean, writable

TIME_LIMIT = "10m"

_COLOURS = {
    Severity.BLOCKS: "red",
    Severity.HIGH: "yellow",
    Severity.WORK: None,
    Severity.HYGIENE: "bright_black",
}


def _painted(severity: Severity, head: str) -> str:
    """In colour on a terminal; click takes colours out of pipes."""
    return click.style(head, fg=_COLOURS[severity])


def _manner(
    here: Here,
    project: Project,
    lang: str | None,
) -> Manner:
    """In the reader's language, with who answers for what."""
    return Manner(Speech(here.language(lang)), project.accepted, _painted)


@click.group(cls=Whole)
def survey() -> None:
    """Look at the hosts and the AWS side: state, jobs, configuration, dependencies."""


@survey.command()
@click.argument("hosts", nargs=-1, shell_complete=HOSTS)
@click.option(
    "--time-limit",
    callback=seconds,
    default=TIME_LIMIT,
    show_default=True,
    help="How long the look at one host may take, such as 30m for a busy one.",
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Look at the files of one of HOSTS in DIR instead, such as a mounted disk.",
)
@click.option(
    "--tar",
    metavar="FILE",
    help="Look at the files of one of HOSTS in a tar archive instead; -: from standard input.",
)
@JSON
@DRY
@click.pass_obj
def collect(
    here: Here,
    hosts: tuple[str, ...],
    time_limit: float,
    root: Path | None,
    tar: str | None,
    dry_run: bool,
) -> Answer:
    """Look at HOSTS (default: all of the project file) over SSH; nothing is installed or written
    there."""
    project = load_project(here)
    chosen = chosen_hosts(project, hosts)
    if root is not None or tar is not None:
        files = files_of(chosen, root, tar)
        return files.would() if dry_run else collect_files(here, project, files).answer()
    if dry_run:
        return would_collect(chosen)
    return collect_from(here, project, chosen, time_limit, _progress(here)).answer()


def _progress(here: Here) -> Callable[[Said], None]:
    """On a terminal: a look takes minutes on a busy host."""
    if not sys.stderr.isatty():
        return silent
    speech = Speech(here.language())
    return lambda what: click.echo(clean(speech.say(what)), err=True)


@survey.command()
@LANG
@JSON
@DRY
@click.pass_obj
def aws(
    here: Here,
    lang: str | None,
    dry_run: bool,
) -> Answer:
    """Look at the AWS side (read only): rules, stickiness, security groups, roles, alarms, DNS
    records."""
    project = load_project(here)
    if dry_run:
        return would_look_at_amazon(project)
    seen = look_at_amazon(here, project)
    manner = _manner(here, project, lang)
    return Answer({"findings": plain(seen)}, list(manner.listing(seen, everything=False)))


@survey.command()
@LANG
@JSON
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is only good to know, and what was accepted.",
)
@click.option(
    "--kind",
    default="traffic",
    show_default=True,
    help="Say what blocks this kind of move.",
)
@click.pass_obj
def show(
    here: Here,
    lang: str | None,
    everything: bool,
    kind: str,
) -> Answer:
    """Show the findings of the newest survey, gravest first (exit code 6: something blocks)."""
    project = load_project(here)
    found = survey_findings(here, project)
    manner = _manner(here, project, lang)
    answer = Listing(found, kind).answer(manner, everything)
    return doubting(answer, doubts(project, today(), found), manner.speech)


@survey.command()
@click.argument("what", shell_complete=CODES)
@LANG
@JSON
@click.pass_obj
def explain(
    here: Here,
    what: str,
    lang: str | None,
) -> Answer:
    """Everything that is known about WHAT: a code such as ST03, or a path on the hosts."""
    project = load_project(here)
    manner = _manner(here, project, lang)
    found = survey_findings(here, project)
    known = catalogue()
    entry = known.get(what) or known.get(what.upper())
    if entry is not None:
        return Explained(entry.code, entry, about_code(found, entry.code)).answer(manner)
    evidence = evidence_of(here, project, what)
    there = about_path(found, what)
    if not what.startswith("/") and not there and not evidence:
        # A code that was mistyped, or a path without its beginning: not a clean bill.
        entry_of(what)
    return Explained(what, None, there, evidence).answer(manner)


@survey.command()
@click.argument("first", shell_complete=HOSTS)
@click.argument("second", shell_complete=HOSTS)
@LANG
@JSON
@click.pass_obj
def diff(
    here: Here,
    first: str,
    second: str,
    lang: str | None,
) -> Answer:
    """What differs between two surveyed hosts (exit code 6: something does)."""
    project = load_project(here)
    found = differences(here, project, first, second)
    return Difference(first, second, found).answer(_manner(here, project, lang))


@survey.command()
@LANG
@JSON
@click.pass_obj
def ask(here: Here, lang: str | None) -> Answer:
    """The questions that only a person can answer, with the lines for kirikae.yml that answer
    them."""
    project = load_project(here)
    questions = Questions(open_questions(here, project), year_after(today()))
    manner = _manner(here, project, lang)
    told = doubts(project, today(), survey_findings(here, project))
    return doubting(questions.answer(manner), told, manner.speech)


@survey.command()
@click.argument("hosts", nargs=-1, shell_complete=HOSTS)
@click.option(
    "--for",
    "for_s",
    callback=seconds,
    default="24h",
    show_default=True,
    help="How long each host is watched, such as 7d to see a whole week.",
)
@click.option(
    "--every",
    "every_s",
    callback=seconds,
    default="10m",
    show_default=True,
    help="How often each host is looked at.",
)
@LANG
@STREAM
@DRY
@click.pass_obj
def watch(
    here: Here,
    hosts: tuple[str, ...],
    for_s: float,
    every_s: float,
    lang: str | None,
    as_json: bool,
    dry_run: bool,
) -> Answer:
    """Watch HOSTS (default: all of the project file) and say what is really written there; a watch
    that was stopped goes on."""
    project = load_project(here)
    chosen = chosen_hosts(project, hosts)
    if dry_run:
        return would_watch(chosen, for_s, every_s)
    speech = Speech(here.language(lang))

    def tell(seen: Seen) -> None:
        """One object a line; for people on the error stream, so that a pipe gets the end alone."""
        if as_json:
            click.echo(writable(to_json(seen.to_plain())))
        else:
            click.echo(clean(speech.say(seen.in_words(for_s))), err=True)

    seen = Watching(
        here,
        project,
        chosen,
        for_s,
        every_s,
        tell,
    ).run()
    return Watched(seen, findings_of_watch(here, project), for_s).answer(speech)


@survey.command("verdict")
@YEN
@LANG
@JSON
@click.pass_obj
def where_it_runs(
    here: Here,
    yen_per_dollar: float | None,
    lang: str | None,
) -> Answer:
    """Where each host's service can run: on Fargate, on EC2 capacity, or where it is; with what the
    new side costs."""
    project = load_project(here)
    found = survey_findings(here, project)
    judged = verdict(here, project, found, yen_per_dollar)
    return judged.answer(_manner(here, project, lang))


survey.add_command(report)
