"""The arithmetic of times that cross midnight: one crontab entry as pieces of AWS's ``cron(...)``.

A wall minute at offset o is minute m - o of UTC.  Hours that leave the day take it along: weekdays
turn by one; day d becomes d - 1 or d + 1, which in another month is its last day (``L``) or its
first, and only where the month has a day d at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from kirikae.jobs.errors import TooHard
from kirikae.model.crontab.aws import LAST_YEAR
from kirikae.model.crontab.fields import ranges_of
from kirikae.model.crontab.schedule import DAY_MIN, Schedule
from kirikae.model.said import said

_ALL_DAYS = (1 << 32) - 2
_ALL_MONTHS = (1 << 13) - 2
_ALL_WEEKDAYS = (1 << 7) - 1
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY = 1 << 2
_MARCH = 1 << 3
_LEAP_YEARS = 18
_OTHER_YEARS = 40
"""So many are written out: an expression has 256 letters."""
_WEEKS = tuple(((1 << 7) - 1) << 1 + 7 * week for week in range(4))


@dataclass(frozen=True, slots=True)
class Days:
    """Which days an entry runs on: ``days`` or ``weekdays`` or, in ``both``, days that are in both.

    None: that field does not decide.
    """

    months: int
    days: int | None
    weekdays: int | None
    both: bool

    @classmethod
    def of(cls, schedule: Schedule) -> Days:
        """A field that holds everything decides nothing in an AND, and everything in an OR."""
        every_day = schedule.days & _ALL_DAYS == _ALL_DAYS
        every_weekday = schedule.weekdays & _ALL_WEEKDAYS == _ALL_WEEKDAYS
        if not schedule.both and (every_day or every_weekday):
            return cls(
                schedule.months,
                None,
                None,
                False,
            )
        days = None if every_day else schedule.days
        weekdays = None if every_weekday else schedule.weekdays
        both = schedule.both and days is not None and weekdays is not None
        return cls(
            schedule.months,
            days,
            weekdays,
            both,
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """One ``cron(...)``.  ``until``: the last year in its list.  ``meets``: may be due in the same
    minute as another piece of its entry."""

    minutes: int
    hours: int
    day: str
    months: int
    weekday: str
    years: tuple[int, ...] = ()
    meets: bool = False

    @property
    def until(self) -> int | None:
        """None: for ever."""
        return max(self.years) if self.years and max(self.years) < LAST_YEAR else None

    def expression(self) -> str:
        """As AWS takes it."""
        minutes = _written(self.minutes, (1 << 60) - 1)
        hours = _written(self.hours, (1 << 24) - 1)
        months = _written(self.months, _ALL_MONTHS)
        years = ",".join(map(str, self.years)) or "*"
        return f"cron({minutes} {hours} {self.day} {months} {self.weekday} {years})"


def _written(mask: int, everything: int) -> str:
    if mask & everything == everything:
        return "*"
    return ",".join(ranges_of(_values(mask)))


def _values(mask: int) -> list[int]:
    return [value for value in range(mask.bit_length()) if mask >> value & 1]


def _weekday_text(weekdays: int) -> str:
    """There Sunday is 1."""
    return ",".join(ranges_of([value + 1 for value in _values(weekdays)]))


class _Time(NamedTuple):
    """Minutes and hours of one piece; ``turn``: days that it is off its wall day."""

    minutes: int
    hours: int
    turn: int


def direct(schedule: Schedule, days: Days) -> Iterator[Piece]:
    """Nothing is shifted.  Raises TooHard."""
    yield from _with_days(
        _Time(
            schedule.minutes,
            schedule.hours,
            0,
        ),
        days,
        0,
    )


def shifted(
    schedule: Schedule,
    days: Days,
    offset: int,
    year: int,
) -> Iterator[Piece]:
    """``offset``: minutes that the wall is ahead of UTC.  ``year``: where lists of years begin.

    Raises TooHard.
    """
    every_day = days.days is None and days.weekdays is None and days.months == _ALL_MONTHS
    for time in _times(
        schedule,
        offset,
        every_day,
    ):
        yield from _with_days(
            time,
            days,
            year,
        )


def _times(
    schedule: Schedule,
    offset: int,
    every_day: bool,
) -> list[_Time]:
    """``every_day``: the day does not matter, so that nothing has to be split by it."""
    hours_of: dict[tuple[int, int], int] = defaultdict(int)
    for minute in _values(schedule.minutes):
        for hour in _values(schedule.hours):
            turn, time = divmod(hour * 60 + minute - offset, DAY_MIN)
            hours_of[0 if every_day else turn, time % 60] |= 1 << time // 60
    minutes_of: dict[tuple[int, int], int] = defaultdict(int)
    for (turn, minute), hours in hours_of.items():
        minutes_of[turn, hours] |= 1 << minute
    return [
        _Time(
            minutes,
            hours,
            turn,
        )
        for (turn, hours), minutes in sorted(minutes_of.items())
    ]


def _with_days(
    time: _Time,
    days: Days,
    year: int,
) -> Iterator[Piece]:
    if days.both:
        yield from _in_both(time, days)
        return
    if days.days is None and days.weekdays is None:
        yield from _by_day(
            time,
            _ALL_DAYS,
            days.months,
            year,
        )
        return
    meets = days.days is not None and days.weekdays is not None
    if days.days is not None:
        for piece in _by_day(
            time,
            days.days,
            days.months,
            year,
        ):
            yield replace(piece, meets=meets)
    if days.weekdays is not None:
        yield replace(_by_weekday(time, days), meets=meets)


def _by_weekday(time: _Time, days: Days) -> Piece:
    assert days.weekdays is not None
    if time.turn and days.months != _ALL_MONTHS:
        raise TooHard(said("jobs.export.weekday_and_month"))
    twice = days.weekdays | days.weekdays << 7
    turned = twice >> -time.turn % 7 & _ALL_WEEKDAYS
    return Piece(
        time.minutes,
        time.hours,
        "?",
        days.months,
        _weekday_text(turned),
    )


def _in_both(time: _Time, days: Days) -> Iterator[Piece]:
    """Only whole weeks of a month have a form: the first Monday, the third one."""
    assert days.days is not None and days.weekdays is not None
    weeks = [week for week, mask in enumerate(_WEEKS, 1) if days.days & mask == mask]
    whole = sum(_WEEKS[week - 1] for week in weeks)
    if time.turn or whole != days.days & _ALL_DAYS:
        raise TooHard(said("jobs.export.both"))
    for week in weeks:
        for weekday in _values(days.weekdays):
            yield Piece(
                time.minutes,
                time.hours,
                "?",
                days.months,
                f"{weekday + 1}#{week}",
            )


def _by_day(
    time: _Time,
    days: int,
    months: int,
    year: int,
) -> Iterator[Piece]:
    everything = days == _ALL_DAYS and months == _ALL_MONTHS
    if not time.turn or everything:
        text = _written(days, _ALL_DAYS)
        yield Piece(
            time.minutes,
            time.hours,
            text,
            months,
            "?",
        )
        return
    for found in _turned(
        days,
        months,
        time.turn,
        year,
    ):
        yield Piece(
            time.minutes,
            time.hours,
            found.day,
            found.months,
            "?",
            found.years,
        )


class _Turned(NamedTuple):
    day: str
    months: int
    years: tuple[int, ...] = ()


def _turned(
    days: int,
    months: int,
    turn: int,
    year: int,
) -> Iterator[_Turned]:
    """Days that became the one before (``turn`` -1) or the one after."""
    inside = _inside(
        days,
        months,
        turn,
    )
    for mask, fit in _by_mask(inside):
        yield _Turned(_written(mask, _ALL_DAYS), fit)
    if turn < 0:
        yield from _back(
            days,
            months,
            year,
        )
    else:
        yield from _on(
            days,
            months,
            year,
        )


def _inside(
    days: int,
    months: int,
    turn: int,
) -> Mapping[int, int]:
    """Month -> its days that stay in it, each as long as in a common year."""
    found = {}
    for month in _values(months):
        here = days & (1 << _LENGTHS[month - 1] + 1) - 2
        stays = here & ~(1 << 1) if turn < 0 else here & ~(1 << _LENGTHS[month - 1])
        found[month] = stays >> 1 if turn < 0 else stays << 1
    return found


def _by_mask(inside: Mapping[int, int]) -> list[tuple[int, int]]:
    """(days, the months in which they are these)."""
    found: dict[int, int] = defaultdict(int)
    for month, mask in inside.items():
        if mask:
            found[mask] |= 1 << month
    return sorted(found.items())


def _back(
    days: int,
    months: int,
    year: int,
) -> Iterator[_Turned]:
    """The 1st is the last day of the month before; a 29 February is the 28th of a leap year."""
    if days >> 1 & 1:
        before = months >> 1 & _ALL_MONTHS | (1 << 12 if months >> 1 & 1 else 0)
        yield _Turned("L", before)
    if days >> 29 & 1 and months & _FEBRUARY:
        yield _Turned(
            "28",
            _FEBRUARY,
            _leap_years(year),
        )


def _on(
    days: int,
    months: int,
    year: int,
) -> Iterator[_Turned]:
    """A month's last day is the next one's 1st; the 28 February is so in common years alone."""
    last = 0
    for month in _values(months & ~_FEBRUARY):
        if days >> _LENGTHS[month - 1] & 1:
            last |= 1 << month % 12 + 1
    if last:
        yield _Turned("1", last)
    if not months & _FEBRUARY:
        return
    if days >> 28 & 1:
        yield _Turned("29", _FEBRUARY)
        yield _Turned(
            "1",
            _MARCH,
            _common_years(year),
        )
    if days >> 29 & 1:
        yield _Turned(
            "1",
            _MARCH,
            _leap_years(year),
        )


def _leap_years(year: int) -> tuple[int, ...]:
    leap = (each for each in range(year, LAST_YEAR + 1) if _is_leap(each))
    return tuple(leap)[:_LEAP_YEARS]


def _common_years(year: int) -> tuple[int, ...]:
    common = (each for each in range(year, LAST_YEAR + 1) if not _is_leap(each))
    return tuple(common)[:_OTHER_YEARS]


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
