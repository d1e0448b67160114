"""What every odd line of a table of AWS's expressions really means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from kirikae.jobs.aws_table import Line, read_lines
from kirikae.jobs.lint import Note, Weight, at_change, changes, settings_notes
from kirikae.model.crontab.aws import FIRST_YEAR, At, Cron, Rate, dues
from kirikae.model.crontab.fields import HOUR
from kirikae.model.crontab.schedule import DAY_MIN, YEARS
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said, said

_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEKDAY = re.compile(r"(?:^|[,-])[1-7]")
_EVERY_HOUR = (1 << HOUR.high + 1) - 1


def lint_aws(text: str, zone: Zone, now: int, named: str) -> list[Note]:
    """By line.  ``now``: minutes of UTC; changes of the clock within a year from then are told."""
    lines = list(read_lines(text, zone))
    notes = list(settings_notes(text, lines, named))
    for line in lines:
        for weight, says in _of_line(line, now):
            notes.append(Note(line.line, line.text, weight, says))
    if wrong := [line.line for line in lines if line.wrong is not None]:
        refused = said("jobs.aws_table.refused", lines=wrong)
        notes.append(Note(0, named, Weight.LOST, refused))
    return sorted(notes, key=lambda note: note.line)


def _of_line(line: Line, now: int) -> Iterator[tuple[Weight, Said]]:
    if line.wrong is not None:
        yield Weight.LOST, line.wrong
        return
    match line.expression:
        case Rate():
            yield Weight.ODD, said("jobs.aws_table.rate", when=line.when)
        case At():
            if not [*dues(line.expression, line.zone, now, now + YEARS * 366 * DAY_MIN)]:
                yield Weight.LOST, said("jobs.aws_table.past", zone=line.zone.name)
        case Cron():
            yield from _of_cron(line, line.expression, now)


def _of_cron(line: Line, cron: Cron, now: int) -> Iterator[tuple[Weight, Said]]:
    weekday = line.when.split(" ")[4]
    if _WEEKDAY.search(weekday):
        named = list(_names(cron))
        yield Weight.ODD, said("jobs.aws_table.weekday", text=weekday, means=named)
    if not _has_a_day(cron, now // DAY_MIN):
        yield Weight.LOST, said("jobs.lint.never")
        return
    if cron.hours.mask != _EVERY_HOUR:
        yield from ((Weight.ODD, says) for says in _in_gaps(cron, line.zone, now))


def _has_a_day(cron: Cron, today: int) -> bool:
    """Yesterday's may be today elsewhere."""
    years = cron.years
    last = today + YEARS * 366 if years is None else _first_day(max(years) + 1)
    return any(cron.has_day(day) for day in range(today - 1, last))


def _first_day(year: int) -> int:
    """Since 1970-01-01."""
    return (date(year, 1, 1) - date(FIRST_YEAR, 1, 1)).days


def _names(cron: Cron) -> Iterator[str]:
    days = cron.days
    mask = days.weekdays or 0
    if days.last_weekday is not None:
        mask = 1 << days.last_weekday
    if days.nth is not None:
        mask = 1 << days.nth[1]
    return (name for at, name in enumerate(_WEEKDAYS) if mask >> at & 1)


def _in_gaps(cron: Cron, zone: Zone, now: int) -> Iterator[Said]:
    """EventBridge passes over what does not exist on the wall; a time that comes twice runs once,
    as anybody expects."""
    for minute in changes(zone, now):
        after = zone.stretch(minute)
        begin = minute + after.before
        wall = next(cron.walls(begin, begin + after.gap), None) if after.gap else None
        if wall is not None:
            yield at_change("jobs.lint.gap_wild", zone, minute, wall - begin)
