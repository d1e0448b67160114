"""One field of AWS's ``cron(...)``: like a crontab's, and with ``? L W #`` of its own.

Where AWS's pages do not say what a form means, it is refused here: a wrapping range among them,
whose example on those pages contradicts itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kirikae.model.crontab.fields import WEEKDAY
from kirikae.model.errors import RefusedByAws
from kirikae.model.said import said

_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<first>[A-Za-z0-9]+)(?:-(?P<last>[A-Za-z0-9]+))?)"
    r"(?:/(?P<step>[0-9]{1,4}))?"
)
_WEEKDAYS = {name: number + 1 for name, number in WEEKDAY.names.items()}
_NTH = re.compile(r"(?P<day>[A-Za-z0-9]+)#(?P<nth>[1-5])")
_NEAREST = re.compile(r"(?P<day>[0-9]{1,2})W")
_LAST_WEEKDAY = re.compile(r"(?P<day>[A-Za-z0-9]+)L")
_SATURDAY = 6


@dataclass(frozen=True, slots=True)
class Values:
    """Bit n stands for value n."""

    mask: int

    def all(self) -> list[int]:
        """Rising."""
        return [value for value in range(self.mask.bit_length()) if self.mask >> value & 1]


@dataclass(frozen=True, slots=True)
class DayRule:
    """Which days of a month: exactly one of these is given.

    ``days``: bit d.  ``weekdays``: bit 0 is Sunday.  ``nearest``: the working day nearest to this
    one.  ``last_weekday``: the last one of the month; ``nth``: (which one, weekday).
    """

    days: int | None = None
    last: bool = False
    nearest: int | None = None
    weekdays: int | None = None
    last_weekday: int | None = None
    nth: tuple[int, int] | None = None

    def mask(
        self,
        first: int,
        length: int,
    ) -> int:
        """Of a month whose first day is this weekday (Sunday is 0), and which is so long."""
        exists = (1 << length + 1) - 2
        if self.days is not None:
            return self.days & exists
        if self.last:
            return 1 << length
        if self.nearest is not None:
            return _nearest(
                self.nearest,
                first,
                length,
            )
        if self.weekdays is not None:
            fit = (day for day in range(1, length + 1) if self.weekdays >> _weekday(first, day) & 1)
            return sum(1 << day for day in fit)
        return self._of_one_weekday(first, length)

    def _of_one_weekday(
        self,
        first: int,
        length: int,
    ) -> int:
        if self.nth is not None:
            which, weekday = self.nth
            day = 1 + (weekday - first) % 7 + 7 * (which - 1)
            return 1 << day if day <= length else 0
        assert self.last_weekday is not None
        return 1 << length - (_weekday(first, length) - self.last_weekday) % 7


def _weekday(first: int, day: int) -> int:
    return (first + day - 1) % 7


def _nearest(
    day: int,
    first: int,
    length: int,
) -> int:
    """A Saturday goes back, a Sunday on, neither into another month; Quartz, whose ``W`` it is."""
    if day > length:
        return 0
    weekday = _weekday(first, day)
    if weekday == _SATURDAY:
        day += -1 if day > 1 else 2
    elif weekday == 0:
        day += 1 if day < length else -2
    return 1 << day


def read_values(
    text: str,
    name: str,
    low: int,
    high: int,
    names: Mapping[str, int] | None = None,
) -> Values:
    """Raises RefusedByAws."""
    mask = 0
    for item in text.split(","):
        found = _ITEM.fullmatch(item)
        if found is None:
            raise _wrong(name, text)
        first, last = _ends(
            found,
            name,
            text,
            low,
            high,
            names or {},
        )
        step = int(found["step"] or 1)
        if not step:
            raise _wrong(name, text)
        for value in range(
            first,
            last + 1,
            step,
        ):
            mask |= 1 << value
    return Values(mask)


def _ends(
    found: re.Match[str],
    name: str,
    text: str,
    low: int,
    high: int,
    names: Mapping[str, int],
) -> tuple[int, int]:
    if found["star"]:
        return low, high
    first = _value(found["first"], names)
    last = _value(found["last"], names) if found["last"] else first
    if found["step"] and not found["last"]:
        last = high
    if first is None or last is None:
        raise _wrong(name, text)
    if not (low <= first <= high and low <= last <= high):
        raise RefusedByAws(
            said(
                "model.aws_schedule.range",
                name=name,
                value=text,
                low=low,
                high=high,
            )
        )
    if first > last:
        raise RefusedByAws(
            said(
                "model.aws_schedule.wraps",
                name=name,
                value=text,
            )
        )
    return first, last


def _value(word: str, names: Mapping[str, int]) -> int | None:
    if word.isdigit() and len(word) < 5:
        return int(word)
    return names.get(word.lower())


def _wrong(name: str, text: str) -> RefusedByAws:
    return RefusedByAws(
        said(
            "model.aws_schedule.shape",
            name=name,
            value=text,
        )
    )


def read_days(day: str, weekday: str) -> DayRule:
    """One of them is ``?``.  Raises RefusedByAws."""
    return _of_day(day) if weekday == "?" else _of_weekday(weekday)


def _of_day(text: str) -> DayRule:
    if text == "L":
        return DayRule(last=True)
    nearest = _NEAREST.fullmatch(text)
    if nearest is None:
        return DayRule(
            days=read_values(
                text,
                "day",
                1,
                31,
            ).mask
        )
    day = int(nearest["day"])
    if not 1 <= day <= 31:
        raise _wrong("day", text)
    return DayRule(nearest=day)


def _of_weekday(text: str) -> DayRule:
    if text == "L":
        return DayRule(weekdays=1 << _SATURDAY)
    nth = _NTH.fullmatch(text)
    if nth is not None:
        return DayRule(nth=(int(nth["nth"]), _one_weekday(nth["day"], text)))
    last = _LAST_WEEKDAY.fullmatch(text)
    if last is not None:
        return DayRule(last_weekday=_one_weekday(last["day"], text))
    return DayRule(
        weekdays=read_values(
            text,
            "weekday",
            1,
            7,
            _WEEKDAYS,
        ).mask
        >> 1
    )


def _one_weekday(word: str, text: str) -> int:
    """Sunday is 0 here and 1 there."""
    value = _value(word, _WEEKDAYS)
    if value is None or not 1 <= value <= 7:
        raise _wrong("weekday", text)
    return value - 1
