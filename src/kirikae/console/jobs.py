"""``kirikae jobs``: what a crontab means, and when it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.jobs_export import export
from kirikae.console.jobs_guard import guard, unwrap, wrap
from kirikae.console.jobs_options import ANY_DIALECT, AWS, FILE, SYSTEM, ZONE, speech_of
from kirikae.console.jobs_serve import serve
from kirikae.console.jobs_write import write
from kirikae.console.options import JSON, LANG, Whole
from kirikae.console.speech import Speech
from kirikae.jobs.aws_lint import lint_aws
from kirikae.jobs.aws_table import aws_jobs, read_lines
from kirikae.jobs.calendar import Due, calendar, expressed, utc
from kirikae.jobs.errors import NoCrontab
from kirikae.jobs.files import Crontab, read, read_text, zone_of
from kirikae.jobs.lint import Note
from kirikae.jobs.lint import lint as notes_of
from kirikae.jobs.tables import Jobs
from kirikae.model.crontab.aws import Rate
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.zones import Zone, minute_of
from kirikae.model.errors import Exit
from kirikae.model.said import Words, said

_DAY_MIN = 1440
_YEARS = range(1971, 2200)
_LONGEST_MIN = 3653 * _DAY_MIN
_MOST = 200


@click.group(cls=Whole)
def jobs() -> None:
    """Read crontabs as the host's own cron does."""


@jobs.command("lint")
@click.argument("file", type=click.Path(allow_dash=True), required=False)
@click.option("--survey", is_flag=True, help="Every crontab that the survey has collected.")
@ANY_DIALECT
@ZONE
@SYSTEM
@LANG
@JSON
@click.pass_obj
def lint(
    here: Here,
    file: str | None,
    survey: bool,
    dialect: str,
    zone: str,
    system: bool | None,
    lang: str | None,
) -> Answer:
    """What every odd line of the crontab FILE really means (exit code 6: some are odd).

    FILE may be - for the standard input.  With --survey instead: every crontab of every host, by
    its own cron's rules and in its own zone, and what else runs there by time.
    """
    if survey is (file is not None):
        raise NoCrontab("name a crontab, or --survey for those that the survey has collected")
    if file is None:
        from kirikae.console.jobs_survey import lint_survey

        return lint_survey(here, lang)
    linted = _linted(file, dialect, zone_of(zone), system, int(time.time() // 60))
    speech = speech_of(here, lang)
    lines = [f"{_at(file, note)}: {speech.say(note.says)}" for note in linted.notes]
    if not linted.notes:
        nothing = said("jobs.lint.none", file=file, n=linted.jobs)
        lines.append(speech.say(nothing))
    return Answer(_plain(linted), lines, Exit.FOUND if linted.notes else Exit.DONE)


@dataclass(frozen=True, slots=True)
class _Linted:
    """``ignored``: nothing in it runs.  ``jobs``: that do."""

    file: str
    dialect: str
    ignored: bool
    jobs: int
    notes: Sequence[Note]


def _linted(file: str, dialect: str, zone: Zone, system: bool | None, now: int) -> _Linted:
    if dialect == AWS:
        text = read_text(file)
        notes = lint_aws(text, zone, now, file)
        lines = list(read_lines(text, zone))
        ignored = any(line.wrong is not None for line in lines)
        return _Linted(file, dialect, ignored, 0 if ignored else len(lines), notes)
    crontab = read(file, Dialect(dialect), system)
    jobs = 0 if crontab.unread else len(crontab.table.entries)
    ignored = crontab.table.ignored or crontab.unread
    return _Linted(file, dialect, ignored, jobs, notes_of(crontab, zone, now))


def _at(file: str, note: Note) -> str:
    return f"{file}:{note.line}" if note.line else file


def _plain(linted: _Linted) -> dict[str, Any]:
    english = Words.of("kirikae.jobs")
    return {
        "file": linted.file,
        "dialect": linted.dialect,
        "ignored": linted.ignored,
        "jobs": linted.jobs,
        "notes": [
            {
                "line": note.line,
                "text": note.text,
                "weight": str(note.weight),
                "says": note.says.to_plain(),
                "sentence": english.say(note.says),
            }
            for note in linted.notes
        ],
    }


@dataclass(frozen=True, slots=True)
class _Period:
    begin: int
    end: int


def _period(zone: Zone, begin: str | None, end: str | None) -> _Period:
    """``end`` is not part of it.  Raises NoCrontab."""
    first = int(time.time() // 60) if begin is None else _minute(zone, begin, "--from")
    last = first + _DAY_MIN if end is None else _minute(zone, end, "--until")
    if last < first:
        raise NoCrontab(f"--until {end} lies before --from: turn them round")
    if last - first > _LONGEST_MIN:
        raise NoCrontab("a calendar holds ten years at most: ask for less with --from and --until")
    return _Period(first, last)


def _minute(zone: Zone, text: str, option: str) -> int:
    """A time without an offset is one on the wall of this zone."""
    try:
        found = datetime.fromisoformat(text)
        if found.year not in _YEARS:
            raise ValueError("another century")
        return zone.minute_of(found) if found.tzinfo is None else minute_of(found)
    except (ValueError, OverflowError) as error:
        raise NoCrontab(
            f"{option} {text[:40]!r} is no time; write one such as 2026-03-08T02:00Z, "
            "2026-03-08T02:00 (on the wall of --zone) or 2026-03-08, from 1971 to 2199"
        ) from error


@jobs.command("next")
@FILE
@ANY_DIALECT
@ZONE
@SYSTEM
@click.option("--from", "begin", help="First time of the calendar (default: now).")
@click.option("--until", "end", help="Where it ends, not included (default: a day later).")
@click.option(
    "--most",
    type=click.IntRange(1),
    default=_MOST,
    show_default=True,
    help="So many lines are shown; --json has all of them.",
)
@LANG
@JSON
@click.pass_obj
def next_(
    here: Here,
    file: str,
    dialect: str,
    zone: str,
    system: bool | None,
    begin: str | None,
    end: str | None,
    most: int,
    lang: str | None,
) -> Answer:
    """When the jobs of the crontab FILE run, daylight saving shown.

    --json is a list: [{"line": 3, "due": "2026-03-08T07:00Z"}].
    """
    clock = zone_of(zone)
    period = _period(clock, begin, end)
    speech = speech_of(here, lang)
    if dialect == AWS:
        table = aws_jobs(read_text(file), Path(file).name, clock, file)
        found = list(expressed(table.timed, period.begin, period.end))
        notes = _rates(table, period, speech)
    else:
        crontab = read(file, Dialect(dialect), system)
        entries = () if crontab.unread else crontab.table.entries
        found = list(calendar(entries, clock, period.begin, period.end))
        notes = _ignored(crontab, speech)
    lines = [_line(due) for due in islice(found, most)]
    if len(found) > most:
        lines.append(speech.say(said("jobs.next.more", n=len(found) - most, all=len(found))))
    if not found:
        times = {"begin": f"{utc(period.begin):%Y-%m-%dT%H:%MZ}"}
        times["end"] = f"{utc(period.end):%Y-%m-%dT%H:%MZ}"
        lines.append(speech.say(said("jobs.next.none", file=file, **times)))
    return Answer(lines=lines, notes=notes, listed=[due.to_plain() for due in found])


def _rates(table: Jobs, period: _Period, speech: Speech) -> list[str]:
    """Nobody knows the phase of a rate before a scheduler has seen it."""
    begin = f"{utc(period.begin):%Y-%m-%dT%H:%MZ}"
    rates = [each for each in table.timed if isinstance(each.expression, Rate)]
    return [
        speech.say(
            said(
                "jobs.aws_table.rate_here",
                line=each.entry.line,
                when=each.job.when,
                begin=begin,
            )
        )
        for each in rates
    ]


def _ignored(crontab: Crontab, speech: Speech) -> list[str]:
    """An empty calendar of a file that cron passes over must say why it is empty."""
    if crontab.unread:
        return [f"{crontab.named}: {speech.say(said('jobs.lint.unread'))}"]
    if not crontab.table.ignored:
        return []
    lines = [fault.line for fault in crontab.table.faults]
    return [speech.say(said("jobs.next.ignored", file=crontab.named, lines=lines))]


def _line(due: Due) -> str:
    wall = due.zone.wall(due.minute)
    return f"{wall:%Y-%m-%d %a %H:%M %z}  {due.utc}  {due.entry.line:>4}  {due.entry.command}"


for _verb in (serve, guard, wrap, unwrap, export, write):
    jobs.add_command(_verb)
