"""What every odd line of a crontab really means, as the host's own cron proves it.

A note says what will happen, not what is bad style; a file without notes runs as it reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from kirikae.jobs.errors import NoTable
from kirikae.jobs.files import Crontab
from kirikae.jobs.tables import jobs_of, settings_above
from kirikae.model.crontab.fields import Dialect, Field, ranges_of
from kirikae.model.crontab.schedule import Schedule
from kirikae.model.crontab.table import Entry, Table, Variable
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said, said
from kirikae.model.said import text as words

_YEAR_MIN = 366 * 1440
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIXTH = re.compile(r"(?:\*|\?|[0-9]+)(?:[-/,][0-9*]+)*")


class Weight(StrEnum):
    """What it does to the job."""

    LOST = "lost"
    """It does not run."""
    ODD = "odd"
    """It runs, and not as most people would read it."""


@dataclass(frozen=True, slots=True)
class Note:
    """``line`` counts from 1; 0 is the file as a whole."""

    line: int
    text: str
    weight: Weight
    says: Said


def lint(crontab: Crontab, zone: Zone, now: int) -> list[Note]:
    """By line.  ``now``: minutes of UTC; changes of the clock within a year from then are told."""
    notes = [*_of_file(crontab), *_of_table(crontab.table), *_of_settings(crontab, zone)]
    for entry in crontab.table.written:
        notes += _of_entry(entry, crontab.table.dialect)
        notes += _of_clock(entry, zone, now)
    for variable in crontab.table.variables:
        notes += _of_variable(variable, crontab.table)
    return sorted(notes, key=lambda note: note.line)


def _of_file(crontab: Crontab) -> Iterator[Note]:
    table = crontab.table
    if crontab.unread:
        yield Note(
            0,
            crontab.named,
            Weight.LOST,
            said("jobs.lint.unread"),
        )
    if crontab.users:
        line = crontab.users[0]
        entry = next(each for each in table.written if each.line == line)
        says = said("jobs.lint.perhaps_user", word=entry.command.split()[0])
        yield Note(line, entry.text, Weight.LOST, says)
    if table.ignored:
        lines = [fault.line for fault in table.faults]
        says = said("jobs.lint.ignored", lines=lines, n=len(table.written))
        yield Note(
            0,
            crontab.named,
            Weight.LOST,
            says,
        )


def _of_table(table: Table) -> Iterator[Note]:
    for fault in table.faults:
        yield Note(
            fault.line,
            fault.text,
            Weight.LOST,
            fault.why,
        )
    count = Counter(entry.text for entry in table.written)
    for entry in table.written:
        if count[entry.text] > 1:
            says = said("jobs.lint.twice", n=count[entry.text])
            yield Note(
                entry.line,
                entry.text,
                Weight.ODD,
                says,
            )


def _of_settings(crontab: Crontab, zone: Zone) -> Iterator[Note]:
    """Comments to cron; schedulers and guards read them."""
    if not crontab.text:
        return
    found = list(settings_notes(crontab.text, crontab.table.entries, crontab.named))
    yield from found
    if found:
        return
    try:
        jobs_of(crontab.table, crontab.text, crontab.named, zone, crontab.named)
    except NoTable as error:
        # Two jobs of one ID.
        yield Note(0, crontab.named, Weight.ODD, _refused(error))


class Placed(Protocol):
    """A line that is a job."""

    @property
    def line(self) -> int: ...

    @property
    def text(self) -> str: ...


def settings_notes(text: str, jobs: Iterable[Placed], named: str) -> Iterator[Note]:
    """Settings above these lines that are none."""
    lines = text.split("\n")
    for job in jobs:
        try:
            settings_above(lines, job.line, named)
        except NoTable as error:
            yield Note(job.line, job.text, Weight.ODD, _refused(error))


def _refused(error: NoTable) -> Said:
    return said("jobs.lint.settings", why=words(str(error)))


def _of_entry(entry: Entry, dialect: Dialect) -> Iterator[Note]:
    for weight, says in (*_times(entry), *_days(entry), *_command(entry, dialect)):
        yield Note(
            entry.line,
            entry.text,
            weight,
            says,
        )


def _times(entry: Entry) -> Iterator[tuple[Weight, Said]]:
    if entry.schedule is None:
        yield Weight.ODD, said("jobs.lint.reboot")
        return
    for each in entry.fields:
        yield from ((Weight.ODD, says) for says in _of_field(each))
    if entry.schedule.next_wall(0) is None:
        yield Weight.LOST, said("jobs.lint.never")


def _of_field(field: Field) -> Iterator[Said]:
    means = list(ranges_of(field.values))
    name = said(f"jobs.field.{field.span.name}")
    if field.dropped:
        yield said(
            "jobs.lint.dropped",
            field=name,
            text=field.text,
            rest=field.dropped,
            means=means,
        )
    for hollow in field.hollow:
        yield said("jobs.lint.hollow", field=name, text=hollow)
    for step in field.steps_over:
        yield said(
            "jobs.lint.steps_over",
            field=name,
            text=step,
            means=means,
        )


def _days(entry: Entry) -> Iterator[tuple[Weight, Said]]:
    """Day and weekday together surprise nearly everybody."""
    if not entry.fields or entry.schedule is None:
        return
    _, _, day, _, weekday = entry.fields
    if entry.schedule.both:
        if not day.whole and not weekday.whole:
            yield Weight.ODD, said("jobs.lint.both", day=day.text, weekday=weekday.text)
        return
    if day.whole or weekday.whole:
        yield Weight.ODD, said("jobs.lint.every_day", day=day.text, weekday=weekday.text)
    else:
        yield Weight.ODD, said("jobs.lint.either", day=day.text, weekday=weekday.text)


def _command(entry: Entry, dialect: Dialect) -> Iterator[tuple[Weight, Said]]:
    if not entry.raw_command.strip():
        yield Weight.LOST, said("jobs.lint.nothing")
        return
    if entry.stdin is not None:
        yield Weight.ODD, said("jobs.lint.percent", command=entry.command, stdin=entry.stdin)
    elif dialect is Dialect.DEBIAN and "\\\\" in entry.raw_command:
        yield Weight.ODD, said("jobs.lint.backslashes", command=entry.command)
    if entry.raw_command.endswith("\r"):
        yield Weight.ODD, said("jobs.lint.return")
    first = entry.raw_command.split()[0]
    if _SIXTH.fullmatch(first):
        yield Weight.ODD, said("jobs.lint.sixth", word=first)
    if dialect is Dialect.DEBIAN and first == "-n":
        yield Weight.ODD, said("jobs.lint.dash_n")


def _of_clock(entry: Entry, zone: Zone, now: int) -> Iterator[Note]:
    """The changes of the clock within a year that this entry meets; what runs each hour is expected
    to do so."""
    if entry.schedule is None or entry.fields[1].whole:
        return
    for minute in changes(zone, now):
        note = _met(entry, entry.schedule, zone, minute)
        if note is not None:
            yield note


def changes(zone: Zone, now: int) -> Iterator[int]:
    """The first minute after each change of the clock within a year, and after a year's end."""
    minute = zone.stretch(now).end
    while minute < now + _YEAR_MIN:
        yield minute
        minute = zone.stretch(minute).end


def _met(entry: Entry, schedule: Schedule, zone: Zone, minute: int) -> Note | None:
    """``minute``: the first after a change, or after a year's end."""
    after = zone.stretch(minute)
    key = "jobs.lint.fold"
    if after.gap:
        key = "jobs.lint.gap_wild" if schedule.wild else "jobs.lint.gap"
    elif not schedule.wild:
        return None
    end = minute + after.before + after.gap
    begin = end - after.gap - after.fold
    wall = schedule.next_wall(begin)
    if wall is None or wall >= end:
        return None
    return Note(entry.line, entry.text, Weight.ODD, at_change(key, zone, minute, wall - begin))


def at_change(key: str, zone: Zone, minute: int, into: int) -> Said:
    """``into``: minutes from the begin of the gap or of the repeated time."""
    before = zone.wall(minute - 1).replace(tzinfo=None) + timedelta(minutes=1)
    after = zone.wall(minute)
    begin = before if before < after.replace(tzinfo=None) else after.replace(tzinfo=None)
    return said(
        key,
        zone=zone.name,
        day=f"{before:%Y-%m-%d}",
        time=f"{begin + timedelta(minutes=into):%H:%M}",
        after=f"{after:%H:%M}",
    )


def _of_variable(variable: Variable, table: Table) -> Iterator[Note]:
    for says in _oddities(variable, table):
        text = f"{variable.name}={variable.value}"
        yield Note(
            variable.line,
            text,
            Weight.ODD,
            says,
        )


def _oddities(variable: Variable, table: Table) -> Iterator[Said]:
    above = [entry for entry in table.written if entry.line < variable.line]
    if above:
        yield said("jobs.lint.below", name=variable.name, n=len(above))
    if not _NAME.fullmatch(variable.name):
        yield said("jobs.lint.name", name=variable.name)
    if variable.cut:
        yield said("jobs.lint.cut", name=variable.name)
    expands = _EXPANDED if table.dialect is Dialect.CRONIE else ()
    if "$" in variable.value and variable.name not in expands:
        yield said("jobs.lint.literal", name=variable.name, value=variable.value)
    key = _MEANINGS.get((variable.name, table.dialect))
    if key is not None:
        yield said(key, name=variable.name, value=variable.value)


_EXPANDED = ("MAILTO", "MAILFROM")
_MEANINGS = {
    ("CRON_TZ", Dialect.DEBIAN): "jobs.lint.ignored_variable",
    ("RANDOM_DELAY", Dialect.DEBIAN): "jobs.lint.ignored_variable",
    ("RANDOM_DELAY", Dialect.CRONIE): "jobs.lint.delay",
    ("TZ", Dialect.DEBIAN): "jobs.lint.tz",
    ("TZ", Dialect.CRONIE): "jobs.lint.tz",
}
