"""One time field of a crontab entry: which values it holds, by Debian's cron and by cronie.

Sources: crontab(5) and entry.c of Debian's cron 3.0pl1-162 and of cronie 1.7.  Debian reads a list
item by item and, after an item that is complete, drops whatever follows up to the next blank;
cronie refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache


class Dialect(StrEnum):
    """Whose rules count."""

    DEBIAN = "debian"
    CRONIE = "cronie"


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """What a field may hold: ``low`` to ``high``, and names of three letters for some values."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MINUTE = Span("minute", 0, 59)
HOUR = Span("hour", 0, 23)
DAY = Span("day", 1, 31)
MONTH = Span("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
WEEKDAY = Span("weekday", 0, 7, {name: number for number, name in enumerate(_DAYS)})
SPANS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
_SUNDAY_TOO = 1 << 7


@dataclass(frozen=True, slots=True)
class Field:
    """``mask``: bit n stands for value n; of weekdays 0 to 6, 7 is 0.  ``star``: begins with ``*``.

    ``dropped``: what followed a complete item and is not read.  ``hollow``: ranges that hold
    nothing.  ``steps_over``: steps so large that only their first value is left.
    """

    span: Span
    text: str
    mask: int
    star: bool
    dropped: str = ""
    hollow: tuple[str, ...] = ()
    steps_over: tuple[str, ...] = ()

    @property
    def values(self) -> list[int]:
        """Rising."""
        return [n for n in range(self.span.high + 1) if self.mask >> n & 1]

    @property
    def whole(self) -> bool:
        """Does it hold every value that there is?"""
        high = 6 if self.span is WEEKDAY else self.span.high
        return len(self.values) == high - self.span.low + 1


class Wrong(StrEnum):
    """Why a field is refused."""

    SHAPE = "shape"
    RANGE = "range"
    RANDOM = "random"
    """cronie's ``~``: a value that its daemon chooses by chance at each start."""


@dataclass(slots=True)
class _Reading:
    """What has been read of a field so far."""

    mask: int = 0
    at: int = 0
    hollow: list[str] = field(default_factory=list)
    steps_over: list[str] = field(default_factory=list)


_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<first>[A-Za-z0-9]+)(?:(?P<dash>-)(?P<last>[A-Za-z0-9]*))?)"
)
_STEP = re.compile(r"/([A-Za-z0-9]*)")


@lru_cache(65536)
def read_field(text: str, span: Span, dialect: Dialect) -> Field | Wrong:
    """``text``: one word without blanks."""
    if dialect is Dialect.CRONIE and "~" in text:
        return Wrong.RANDOM
    reading = _Reading()
    while True:
        wrong = _read_item(text, span, dialect, reading)
        if wrong is not None:
            return wrong
        if text[reading.at : reading.at + 1] != ",":
            break
        reading.at += 1
    dropped = text[reading.at :]
    if dropped and dialect is Dialect.CRONIE:
        return Wrong.SHAPE
    return Field(
        span,
        text,
        _one_sunday(reading.mask) if span is WEEKDAY else reading.mask,
        text.startswith("*"),
        dropped,
        tuple(reading.hollow),
        tuple(reading.steps_over),
    )


def _one_sunday(mask: int) -> int:
    return mask & ~_SUNDAY_TOO | (1 if mask & _SUNDAY_TOO else 0)


def _read_item(text: str, span: Span, dialect: Dialect, reading: _Reading) -> Wrong | None:
    begin = reading.at
    item = _ITEM.match(text, begin)
    if item is None:
        return Wrong.SHAPE
    ends = _ends(item, span, dialect)
    if isinstance(ends, Wrong):
        return ends
    first, last = ends
    reading.at = item.end()
    step = 1
    if item["star"] or item["dash"]:
        read = _step(text, reading)
        if read is None:
            return Wrong.SHAPE
        step = read
    elif text[reading.at : reading.at + 1] == "/":
        return Wrong.SHAPE
    for value in range(first, last + 1, step):
        reading.mask |= 1 << value
    _note(text[begin : reading.at], first, last, step, reading)
    return None


def _note(item: str, first: int, last: int, step: int, reading: _Reading) -> None:
    if first > last:
        reading.hollow.append(item)
    elif step > 1 and step > last - first:
        reading.steps_over.append(item)


def _ends(item: re.Match[str], span: Span, dialect: Dialect) -> tuple[int, int] | Wrong:
    if item["star"]:
        return span.low, span.high
    first = _value(item["first"], span)
    last = first if item["dash"] is None else _value(item["last"], span)
    if first is None or last is None:
        return Wrong.SHAPE
    if not span.low <= min(first, last) <= max(first, last) <= span.high:
        return Wrong.RANGE
    if first > last == 0 and span is WEEKDAY and dialect is Dialect.CRONIE:
        # cronie takes the end of ``fri-sun`` for the Sunday after.
        return first, 7
    return first, last


def _value(word: str, span: Span) -> int | None:
    named = span.names.get(word.lower())
    if named is not None:
        return named
    return int(word) if word.isascii() and word.isdigit() and len(word) < 100 else None


def _step(text: str, reading: _Reading) -> int | None:
    """1 where there is none; None where it is no step."""
    found = _STEP.match(text, reading.at)
    if found is None:
        return 1
    reading.at = found.end()
    word = found[1]
    return int(word) or None if word.isdigit() and len(word) < 100 else None


def ranges_of(values: list[int]) -> Iterator[str]:
    """``0-4``, ``7``: runs of values, for people."""
    begin = 0
    for at in range(1, len(values) + 1):
        if at == len(values) or values[at] != values[at - 1] + 1:
            first = values[begin]
            last = values[at - 1]
            yield str(first) if first == last else f"{first}-{last}"
            begin = at
