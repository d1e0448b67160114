"""What lives on the old hosts beside what was moved: a box for each job, backup, mail and file, in
every removal plan, whatever kind of move has ended."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.console.catalogue import catalogue
from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.console.surveyed import bundles_of, survey_findings
from kirikae.model.bundle import Bundle
from kirikae.model.errors import KirikaeError
from kirikae.model.finding import Finding
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.shown import code_span, markdown
from kirikae.survey.schedules import Schedules

_GONE_WITH_HOSTS = ("JB", "ST", "ML", "PR18")
"""How codes of the survey begin for jobs, backups among them, for state, for mail and for workers
of a queue."""
_A_BOX_FOR_EACH = "JB01"
"""Tells how many jobs stand in a file: each of them has a box of its own here."""


def what_lives_there(
    here: Here,
    project: Project,
    speech: Speech,
) -> list[str]:
    """Whoever follows the list must not lose what only lies there."""
    told = [speech.say(said("console.retired.lives")), ""]
    try:
        found = survey_findings(here, project)
        jobs = [each for bundle in bundles_of(here, project).every for each in _jobs(bundle)]
    except KirikaeError as error:
        return [*told, speech.say(said("console.retired.unknown", why=markdown(str(error))))]
    rows = [_box(each, speech) for each in found if _has_a_box(each, bool(jobs))]
    rows += [speech.say(job) for job in jobs]
    return told + (rows or [speech.say(said("console.retired.none"))])


def _has_a_box(finding: Finding, jobs_by_line: bool) -> bool:
    """Where each job has a box of its own, their number has none."""
    counted = finding.code == _A_BOX_FOR_EACH and jobs_by_line
    return finding.code.startswith(_GONE_WITH_HOSTS) and not counted


def _jobs(bundle: Bundle) -> Iterator[Said]:
    """Every line of a crontab, program of run-parts, line of anacron, timer, and job of ``at``."""
    found = Schedules(bundle)
    for job in found.jobs:
        at = job.line.at if job.line.number else job.where
        yield said(
            "console.retired.job",
            host=bundle.host,
            where=markdown(at),
            says=code_span(job.says),
        )
    for text in found.waiting:
        last = [line.text for line in text.numbered() if line.text.strip()][-1:]
        says = f"at: {last[0] if last else ''}"
        yield said(
            "console.retired.job",
            host=bundle.host,
            where=markdown(text.path),
            says=code_span(says),
        )


def _box(finding: Finding, speech: Speech) -> str:
    """What a rule quotes from a host is not translated; its place is the same in both."""
    hosts = list(finding.hosts) or ["-"]
    entry = catalogue().get(finding.code)
    japanese = speech.language == "ja" and entry is not None
    says = entry.title_ja if entry is not None and japanese else finding.says
    blanks = {
        "code": finding.code,
        "where": markdown(finding.where),
        "hosts": [markdown(host) for host in hosts],
        "says": markdown(says),
    }
    return speech.say(Said("console.retired.finding", blanks))
