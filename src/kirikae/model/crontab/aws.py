"""AWS's schedule expressions: ``cron(...)``, ``rate(...)``, ``at(...)``; what is refused, and when
they run.

Sources: Amazon EventBridge User Guide, "Setting a schedule pattern"; EventBridge Scheduler User
Guide, "Schedule types".  Rules know UTC alone.  Scheduler has a zone for each schedule: a time in a
gap is passed over, one that comes twice runs the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kirikae.model.crontab.aws_fields import DayRule, Values, read_days, read_values
from kirikae.model.crontab.fields import HOUR, MINUTE, MONTH
from kirikae.model.crontab.schedule import DAY_MIN, month_of
from kirikae.model.crontab.zones import Zone
from kirikae.model.errors import RefusedByAws
from kirikae.model.said import Said, said

MOST_LETTERS = 256
FIRST_YEAR = 1970
LAST_YEAR = 2199


class Service(StrEnum):
    """Who evaluates it: rules of an event bus, or EventBridge Scheduler."""

    RULES = "rules"
    SCHEDULER = "scheduler"


@dataclass(frozen=True, slots=True)
class Cron:
    """``years`` is None for every year."""

    minutes: Values
    hours: Values
    months: Values
    days: DayRule
    years: frozenset[int] | None

    def days_of(
        self,
        year: int,
        month: int,
    ) -> int:
        """Bit d stands for day d of this month."""
        if self.years is not None and year not in self.years:
            return 0
        return self.days.mask(*month_of(year, month)) if self.months.mask >> month & 1 else 0

    def minutes_of_day(self) -> list[int]:
        """The minutes of each of its days."""
        return [hour * 60 + minute for hour in self.hours.all() for minute in self.minutes.all()]

    def walls(
        self,
        begin: int,
        end: int,
    ) -> Iterator[int]:
        """All wall minutes in [begin, end) at which it is due."""
        times = self.minutes_of_day()
        for day in range(begin // DAY_MIN, (end - 1) // DAY_MIN + 1):
            if self.has_day(day):
                for time in times:
                    if begin <= day * DAY_MIN + time < end:
                        yield day * DAY_MIN + time

    def has_day(self, day: int) -> bool:
        """``day``: since 1970-01-01."""
        found = _date(day)
        return bool(self.days_of(found.year, found.month) >> found.day & 1)


@dataclass(frozen=True, slots=True)
class Rate:
    """Its phase is when it was made, which the API does not tell."""

    every_min: int


@dataclass(frozen=True, slots=True)
class At:
    """Once, at this wall time."""

    wall: datetime


Expression = Cron | Rate | At


def read_expression(text: str, service: Service) -> Expression | Said:
    """Words of ``model.crontab.aws`` where this service refuses it."""
    if len(text) > MOST_LETTERS:
        return said(
            "model.aws_schedule.long",
            n=len(text),
            most=MOST_LETTERS,
        )
    found = _FORM.fullmatch(text)
    if found is None:
        return said("model.aws_schedule.form", text=text)
    match found["form"]:
        case "cron":
            return _cron(found["inner"])
        case "rate":
            return _rate(found["inner"], service)
        case _:
            return _at(found["inner"], service)


_FORM = re.compile(r"(?P<form>cron|rate|at)\((?P<inner>[^()]*)\)")
_RATE = re.compile(r"(?P<count>[0-9]{1,9}) (?P<unit>minute|hour|day)(?P<many>s?)")
_MINUTES = {
    "minute": 1,
    "hour": 60,
    "day": DAY_MIN,
}
_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


def _cron(inner: str) -> Cron | Said:
    words = inner.split(" ")
    if len(words) != 6:
        return said("model.aws_schedule.six", n=len(words))
    minute, hour, day, month, weekday, year = words
    try:
        if (day == "?") is (weekday == "?"):
            raise RefusedByAws(
                said(
                    "model.aws_schedule.question",
                    day=day,
                    weekday=weekday,
                )
            )
        years = read_values(
            year,
            "year",
            FIRST_YEAR,
            LAST_YEAR,
        )
        return Cron(
            read_values(
                minute,
                MINUTE.name,
                0,
                59,
            ),
            read_values(
                hour,
                HOUR.name,
                0,
                23,
            ),
            read_values(
                month,
                MONTH.name,
                1,
                12,
                MONTH.names,
            ),
            read_days(day, weekday),
            None if year == "*" else frozenset(years.all()),
        )
    except RefusedByAws as error:
        return error.why


def _rate(inner: str, service: Service) -> Rate | Said:
    found = _RATE.fullmatch(inner)
    count = int(found["count"]) if found else 0
    if found is None or not count:
        return said("model.aws_schedule.rate", text=inner)
    if service is Service.RULES and (count == 1) is bool(found["many"]):
        return said("model.aws_schedule.singular", text=inner)
    return Rate(count * _MINUTES[found["unit"]])


def _at(inner: str, service: Service) -> At | Said:
    if service is Service.RULES:
        return said("model.aws_schedule.at_rules")
    try:
        if not _AT.fullmatch(inner):
            raise ValueError(inner)
        return At(datetime.fromisoformat(inner))
    except ValueError:
        return said("model.aws_schedule.at", text=inner)


def dues(
    expression: Expression,
    zone: Zone,
    begin: int,
    end: int,
    first: int | None = None,
) -> Iterator[int]:
    """All minutes of UTC in [begin, end) in which it is due.

    ``first``: a minute in which a ``rate`` was seen; without one nobody knows its phase, and there
    are none.
    """
    match expression:
        case Cron():
            for wall in _walls(
                expression,
                zone,
                begin,
                end,
            ):
                yield from _once(
                    zone,
                    wall,
                    begin,
                    end,
                )
        case Rate():
            if first is not None:
                late = (begin - first) % expression.every_min
                yield from range(
                    begin + (expression.every_min - late if late else 0),
                    end,
                    expression.every_min,
                )
        case At():
            yield from _once(
                zone,
                _wall_minute(expression.wall),
                begin,
                end,
            )


def _walls(
    cron: Cron,
    zone: Zone,
    begin: int,
    end: int,
) -> Iterator[int]:
    """Somewhat more than enough: no zone is farther from UTC than a day."""
    return cron.walls(begin - DAY_MIN, end + DAY_MIN)


def _once(
    zone: Zone,
    wall: int,
    begin: int,
    end: int,
) -> Iterator[int]:
    """Not in a gap, and of two times the first."""
    minute = zone.first_at(wall)
    if minute is not None and begin <= minute < end:
        yield minute


_EPOCH = datetime(
    1970,
    1,
    1,
)


def _wall_minute(wall: datetime) -> int:
    return int((wall - _EPOCH).total_seconds()) // 60


def _date(day: int) -> datetime:
    return datetime.fromordinal(day + _EPOCH.toordinal())
