"""``kirikae jobs``: what a crontab means, and when it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import click

from kirikae.console.here import Answer, Here
from kirikae.console.jobs_export import export
from kirikae.console.jobs_guard import guard, unwrap, wrap
from kirikae.console.jobs_options import DIALECT, FILE, SYSTEM, ZONE, speech_of
from kirikae.console.jobs_serve import serve
from kirikae.console.jobs_write import write
from kirikae.console.options import JSON, LANG, Whole
from kirikae.console.speech import Speech
from kirikae.jobs.calendar import Due, calendar, utc
from kirikae.jobs.errors import NoCrontab
from kirikae.jobs.files import Crontab, read, zone_of
from kirikae.jobs.lint import Note
from kirikae.jobs.lint import lint as notes_of
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
@DIALECT
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
    crontab = read(file, Dialect(dialect), system)
    notes = notes_of(crontab, zone_of(zone), int(time.time() // 60))
    speech = speech_of(here, lang)
    lines = [f"{_at(file, note)}: {speech.say(note.says)}" for note in notes]
    if not notes:
        nothing = said("jobs.lint.none", file=file, n=len(crontab.table.entries))
        lines.append(speech.say(nothing))
    return Answer(_plain(crontab, notes), lines, Exit.FOUND if notes else Exit.DONE)


def _at(file: str, note: Note) -> str:
    return f"{file}:{note.line}" if note.line else file


def _plain(crontab: Crontab, notes: Sequence[Note]) -> dict[str, Any]:
    english = Words.of("kirikae.jobs")
    return {
        "file": crontab.named,
        "dialect": str(crontab.table.dialect),
        "ignored": crontab.table.ignored or crontab.unread,
        "jobs": 0 if crontab.unread else len(crontab.table.entries),
        "notes": [
            {
                "line": note.line,
                "text": note.text,
                "weight": str(note.weight),
                "says": note.says.to_plain(),
                "sentence": english.say(note.says),
            }
            for note in notes
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
@DIALECT
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
    crontab = read(file, Dialect(dialect), system)
    clock = zone_of(zone)
    period = _period(clock, begin, end)
    speech = speech_of(here, lang)
    entries = () if crontab.unread else crontab.table.entries
    found = list(calendar(entries, clock, period.begin, period.end))
    lines = [_line(due) for due in islice(found, most)]
    if len(found) > most:
        lines.append(speech.say(said("jobs.next.more", n=len(found) - most, all=len(found))))
    if not found:
        times = {"begin": f"{utc(period.begin):%Y-%m-%dT%H:%MZ}"}
        times["end"] = f"{utc(period.end):%Y-%m-%dT%H:%MZ}"
        lines.append(speech.say(said("jobs.next.none", file=file, **times)))
    return Answer(
        lines=lines, notes=_ignored(crontab, speech), listed=[due.to_plain() for due in found]
    )


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
