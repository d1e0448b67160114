"""When an entry runs: five masks and two flags, and the next minute by bit tricks.

A *wall minute* counts minutes since 1970-01-01 00:00 as the clock on the wall shows them, without
zone: ``zones`` turns it into minutes of UTC.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

DAY_MIN = 1440
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_WEEKDAY = 4
"""1970-01-01 was a Thursday; Sunday is 0."""
_LAST_MONTH = 9998 * 12
YEARS = 50
"""An entry that does not run within so many years never runs: the longest wait for a 29 February
of a certain weekday is 40."""


class Bits(NamedTuple):
    """One wall minute as a bit in each mask."""

    minute: int
    hour: int
    day: int
    month: int
    weekday: int


def bits_of(wall: int) -> Bits:
    """The masks' bits of this wall minute."""
    days, minute = divmod(wall, DAY_MIN)
    found = date.fromordinal(days + _EPOCH)
    hour, minute = divmod(minute, 60)
    weekday = (days + _FIRST_WEEKDAY) % 7
    return Bits(1 << minute, 1 << hour, 1 << found.day, 1 << found.month, 1 << weekday)


@dataclass(frozen=True, slots=True)
class Schedule:
    """``both``: day and weekday must both fit, since one of them begins with ``*``; otherwise
    either is enough.  ``wild``: minute or hour begins with ``*``, so it follows the wall clock."""

    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    both: bool
    wild: bool

    def fits(self, bits: Bits) -> bool:
        """Is it due at this wall minute?"""
        if not (self.minutes & bits.minute and self.hours & bits.hour and self.months & bits.month):
            return False
        if self.both:
            return bool(self.days & bits.day and self.weekdays & bits.weekday)
        return bool(self.days & bits.day or self.weekdays & bits.weekday)

    def next_wall(self, wall: int) -> int | None:
        """The first wall minute from this one on; None: never."""
        if not (self.minutes and self.hours):
            return None
        day, minute = divmod(wall, DAY_MIN)
        if self._has_day(day):
            found = self._in_day(minute)
            if found is not None:
                return day * DAY_MIN + found
        following = self._next_day(day + 1)
        if following is None:
            return None
        return following * DAY_MIN + _low(self.hours) * 60 + _low(self.minutes)

    def _in_day(self, minute: int) -> int | None:
        hour, minute = divmod(minute, 60)
        if self.hours >> hour & 1 and self.minutes >> minute:
            return hour * 60 + minute + _low(self.minutes >> minute)
        later = self.hours >> hour + 1
        if not later:
            return None
        return (hour + 1 + _low(later)) * 60 + _low(self.minutes)

    def _has_day(self, day: int) -> bool:
        found = date.fromordinal(day + _EPOCH)
        if not self.months >> found.month & 1:
            return False
        return bool(self._days_of(found.year, found.month) >> found.day & 1)

    def _next_day(self, day: int) -> int | None:
        """From this day on, in days since 1970-01-01."""
        begin = date.fromordinal(day + _EPOCH)
        left = self._days_of(begin.year, begin.month) >> begin.day
        if self.months >> begin.month & 1 and left:
            return day + _low(left)
        first = begin.year * 12 + begin.month
        for month in range(first, min(first + YEARS * 12, _LAST_MONTH)):
            found = self._first_day(*divmod(month, 12))
            if found is not None:
                return found
        return None

    def _first_day(self, year: int, month: int) -> int | None:
        """Of a month, which counts from 0 here, in days since 1970-01-01."""
        if not self.months >> month + 1 & 1:
            return None
        days = self._days_of(year, month + 1)
        return date(year, month + 1, _low(days)).toordinal() - _EPOCH if days else None

    def _days_of(self, year: int, month: int) -> int:
        """Bit d stands for day d of this month."""
        first, length = month_of(year, month)
        exists = (1 << length + 1) - 2
        weekdays = _days_by_weekday(self.weekdays, first)
        found = self.days & weekdays if self.both else self.days | weekdays
        return found & exists


def _low(mask: int) -> int:
    """The number of the lowest bit."""
    return (mask & -mask).bit_length() - 1


@lru_cache(4096)
def month_of(year: int, month: int) -> tuple[int, int]:
    """(weekday of its first day, Sunday is 0; its length)."""
    first, length = monthrange(year, month)
    return (first + 1) % 7, length


@lru_cache(1024)
def _days_by_weekday(weekdays: int, first: int) -> int:
    """Days 1 to 31 of a month that begins with this weekday, as far as they fall on these."""
    return sum(1 << day for day in range(1, 32) if weekdays >> (first + day - 1) % 7 & 1)
