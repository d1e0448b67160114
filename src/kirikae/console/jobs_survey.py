"""What ``kirikae jobs lint --survey`` tells: every crontab that the survey collected, and what else
runs by time on the hosts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.jobs_options import speech_of
from kirikae.console.speech import Speech
from kirikae.console.surveyed import bundles_of
from kirikae.jobs.files import Crontab, zone_of
from kirikae.jobs.lint import Note, lint
from kirikae.model.bundle import Bundle
from kirikae.model.crontab.systemd import crontab_times
from kirikae.model.errors import Exit, KirikaeError
from kirikae.model.said import Said, Words, said
from kirikae.survey.errors import NoSurvey
from kirikae.survey.schedules import Job, Schedules

_CALENDAR = "OnCalendar="
_ANACRON = re.compile(r"\s*(?P<period>\d+|@\w+)\s+(?P<delay>\d+)\s+(?P<id>\S+)\s+(?P<command>.*)")


@dataclass(frozen=True, slots=True)
class Linted:
    """One crontab of one host.  ``passed_over``: why its cron does not read it."""

    host: str
    crontab: Crontab
    passed_over: str
    notes: list[Note]


def lint_survey(here: Here, lang: str | None) -> Answer:
    """Raises NoSurvey."""
    bundles = bundles_of(here, load_project(here)).every
    if not bundles:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    speech = speech_of(here, lang)
    linted: list[Linted] = []
    elsewhere: list[tuple[str, Job, Said]] = []
    for bundle in bundles:
        linted += _linted(bundle)
        elsewhere += _elsewhere(bundle)
    return Answer(
        {
            "crontabs": [_plain(one) for one in linted],
            "elsewhere": [_elsewhere_plain(*each) for each in elsewhere],
        },
        list(_told(linted, elsewhere, speech)),
        Exit.FOUND if any(one.passed_over or one.notes for one in linted) else Exit.DONE,
    )


def _told(
    linted: Sequence[Linted],
    elsewhere: Sequence[tuple[str, Job, Said]],
    speech: Speech,
) -> Iterator[str]:
    """Crontabs first."""
    for one in linted:
        yield from _lines(one, speech)
    for host, job, says in elsewhere:
        yield f"{host}: {job.where}: {speech.say(says)}"


def _linted(bundle: Bundle) -> Iterator[Linted]:
    try:
        zone = zone_of(bundle.zone or "UTC")
    except KirikaeError:
        zone = zone_of("UTC")
    now = int(time.time() // 60)
    for tab in Schedules(bundle).tabs():
        if tab.passed_over and not (tab.table.written or tab.table.faults):
            continue  # a package's .placeholder: nothing is lost by passing over it
        crontab = Crontab(f"{bundle.host}:{tab.path}", tab.table)
        yield Linted(
            bundle.host,
            crontab,
            tab.passed_over,
            lint(
                crontab,
                zone,
                now,
            ),
        )


def _lines(one: Linted, speech: Speech) -> Iterator[str]:
    named = one.crontab.named
    if one.passed_over:
        yield f"{named}: {speech.say(said('jobs.lint.passed_over', why=one.passed_over))}"
        return
    for note in one.notes:
        at = f"{named}:{note.line}" if note.line else named
        yield f"{at}: {speech.say(note.says)}"
    if not one.notes:
        nothing = said(
            "jobs.lint.none",
            file=named,
            n=len(one.crontab.table.entries),
        )
        yield speech.say(nothing)


def _elsewhere(bundle: Bundle) -> Iterator[tuple[str, Job, Said]]:
    """Jobs of run-parts, anacron and timers, with what they mean in a crontab's words; then those
    of ``at``, which are lost with the host."""
    found = Schedules(bundle)
    for job in found.elsewhere:
        yield bundle.host, job, _meaning(job)
    for text in found.waiting:
        line = next(iter(text.numbered()))
        yield bundle.host, Job(text.path, line), said("jobs.lint.at")


def _meaning(job: Job) -> Said:
    anacron = _ANACRON.fullmatch(job.says) if job.where.endswith("anacrontab") else None
    if anacron is not None:
        return said("jobs.lint.anacron", **anacron.groupdict())
    if not job.where.endswith(".timer"):
        return said("jobs.lint.run_parts", job=job.says)
    waits = re.split(r", (?=On)", job.says.partition(": ")[0])
    times = [crontab_times(each.removeprefix(_CALENDAR)) for each in waits]
    lines = [" ".join(filter(None, each)) for each in times if each is not None]
    if len(lines) < len(waits) or not all(each.startswith(_CALENDAR) for each in waits):
        return said("jobs.lint.timer_odd", job=job.says)
    return said(
        "jobs.lint.timer",
        job=job.says,
        lines=lines,
    )


def _plain(one: Linted) -> dict[str, Any]:
    english = Words.of("kirikae.jobs")
    return {
        "host": one.host,
        "file": one.crontab.named.partition(":")[2],
        "dialect": str(one.crontab.table.dialect),
        "passed_over": one.passed_over,
        "ignored": one.crontab.table.ignored,
        "jobs": 0 if one.passed_over else len(one.crontab.table.entries),
        "notes": [
            {
                "line": note.line,
                "weight": str(note.weight),
                "says": note.says.to_plain(),
                "sentence": english.say(note.says),
            }
            for note in one.notes
        ],
    }


def _elsewhere_plain(
    host: str,
    job: Job,
    says: Said,
) -> dict[str, Any]:
    english = Words.of("kirikae.jobs")
    told = {
        "says": says.to_plain(),
        "sentence": english.say(says),
    }
    return {
        "host": host,
        "where": job.where,
        "job": job.says,
        **told,
    }
