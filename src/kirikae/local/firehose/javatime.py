"""Patterns of Java's DateTimeFormatter, as Firehose's prefixes use them; pure.

Java SE API specification, java.time.format.DateTimeFormatter, "Patterns for Formatting and
Parsing".
Names of days and months are English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kirikae.local.errors import PatternError

_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']|'")
_RESERVED = frozenset("{}#")
_SHORT = 3
_FULL = 4
_NARROW = 5
_MINUTE_S = 60
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class _Letters:
    """A run of one letter."""

    letter: str
    count: int


def formatted(pattern: str, when: datetime) -> str:
    """The moment (with its zone) in this pattern.  Raises PatternError."""
    return "".join(_shown(token, when) for token in _tokens(pattern))


def _tokens(pattern: str) -> Iterator[_Letters | str]:
    """Runs of letters, and texts that stand for themselves."""
    for match in _TOKEN.finditer(pattern):
        found = match.group()
        if match[1]:
            yield _Letters(match[1], len(found))
        elif found == "'":
            raise PatternError(f"Pattern ends with an incomplete string literal: {pattern}")
        elif found in _RESERVED:
            raise PatternError(f"Pattern includes reserved character: '{found}'")
        elif found == "''":
            yield "'"
        elif found.startswith("'"):
            yield found[1:-1].replace("''", "'")
        elif found not in "[]":  # what is optional is always shown
            yield found


def _shown(token: _Letters | str, when: datetime) -> str:
    """Raises PatternError for a letter that is not read here, and for too many of one."""
    if isinstance(token, str):
        return token
    show = _LETTERS.get(token.letter)
    if show is None:
        raise PatternError(f"kirikae local does not read the pattern letter {token.letter}")
    return show(when, token.count)


def _number(of: Callable[[datetime], int], most: int) -> Callable[[datetime, int], str]:
    """Padded with zeros to as many digits as there are letters."""

    def show(when: datetime, count: int) -> str:
        if count > most:
            raise PatternError(f"Too many pattern letters: {count} of one of which {most} may be")
        return str(of(when)).zfill(count)

    return show


def _year(when: datetime, count: int) -> str:
    """Two letters are the last two digits."""
    return f"{when.year % 100:02d}" if count == 2 else str(when.year).zfill(count)


def _month(when: datetime, count: int) -> str:
    return _named(when, count, when.month, "%b", "%B")


def _quarter(when: datetime, count: int) -> str:
    quarter = (when.month + 2) // 3
    words = {_SHORT: f"Q{quarter}", _FULL: ("1st", "2nd", "3rd", "4th")[quarter - 1] + " quarter"}
    return words.get(count, str(quarter).zfill(min(count, 2)))


def _named(when: datetime, count: int, number: int, short: str, full: str) -> str:
    """A number up to two letters, then names: short, full, their first letter."""
    if count < _SHORT:
        return str(number).zfill(count)
    if count > _NARROW:
        raise PatternError(f"Too many pattern letters: {count}")
    name = when.strftime(short if count == _SHORT else full)
    return name[0] if count == _NARROW else name


def _weekday(when: datetime, count: int) -> str:
    return _named(when, max(count, _SHORT), 0, "%a", "%A")


def _era(when: datetime, count: int) -> str:
    return {_FULL: "Anno Domini", _NARROW: "A"}.get(count, "AD")


def _fraction(when: datetime, count: int) -> str:
    if count > 9:
        raise PatternError(f"Too many pattern letters: {count} of S")
    return f"{when.microsecond:06d}000"[:count]


def _half(when: datetime, count: int) -> str:
    return "AM" if when.hour < 12 else "PM"


def _offset_s(when: datetime) -> int:
    return round((when.utcoffset() or timedelta()).total_seconds())


def _offset(when: datetime, count: int, zero: str) -> str:
    """One letter: hours, and minutes if there are any; two and four: ``+0900``; three and five:
    ``+09:00``."""
    if count > _NARROW:
        raise PatternError(f"Too many pattern letters: {count}")
    seconds = _offset_s(when)
    if seconds == 0 and zero:
        return zero
    hours, rest = divmod(abs(seconds), _HOUR_S)
    text = f"{'-' if seconds < 0 else '+'}{hours:02d}"
    minutes = rest // _MINUTE_S
    if count == 1:
        return f"{text}{minutes:02d}" if minutes else text
    return f"{text}{':' if count % 2 else ''}{minutes:02d}"


def _without_z(when: datetime, count: int) -> str:
    return _offset(when, count, "")


def _with_z(when: datetime, count: int) -> str:
    return _offset(when, count, "Z")


def _rfc_822(when: datetime, count: int) -> str:
    """One to three letters: ``+0900``; four: ``GMT+09:00``; five: ``+09:00``, Z for none."""
    if count <= _SHORT:
        return _offset(when, 2, "")
    return _gmt(when, _FULL) if count == _FULL else _offset(when, _NARROW, "Z")


def _gmt(when: datetime, count: int) -> str:
    """One letter: ``GMT+9``; four: ``GMT+09:00``."""
    if count not in (1, _FULL):
        raise PatternError(f"Pattern letter count must be 1 or 4: {count}")
    if (seconds := _offset_s(when)) == 0:
        return "GMT"
    full = _offset(when, _SHORT, "")
    if count == _FULL:
        return f"GMT{full}"
    hours, rest = divmod(abs(seconds), _HOUR_S)
    minutes = f":{rest // _MINUTE_S:02d}" if rest else ""
    return f"GMT{full[0]}{hours}{minutes}"


def _zone_id(when: datetime, count: int) -> str:
    if count != 2:
        raise PatternError("Pattern letter count must be 2: V")
    return str(when.tzinfo)


def _zone_name(when: datetime, count: int) -> str:
    """Full names of zones are Java's own data."""
    if count > _SHORT:
        raise PatternError("kirikae local does not write out the names of zones: zzzz")
    return when.tzname() or ""


def _nano_of_day(when: datetime) -> int:
    seconds = when.hour * _HOUR_S + when.minute * _MINUTE_S + when.second
    return seconds * 10**9 + when.microsecond * 1000


_MOST = 19
_LETTERS: Mapping[str, Callable[[datetime, int], str]] = {
    "G": _era,
    "u": _year,
    "y": _year,
    "D": _number(lambda when: when.timetuple().tm_yday, 3),
    "M": _month,
    "L": _month,
    "d": _number(lambda when: when.day, 2),
    "Q": _quarter,
    "q": _quarter,
    "E": _weekday,
    "a": _half,
    "h": _number(lambda when: (when.hour + 11) % 12 + 1, 2),
    "K": _number(lambda when: when.hour % 12, 2),
    "k": _number(lambda when: (when.hour + 23) % 24 + 1, 2),
    "H": _number(lambda when: when.hour, 2),
    "m": _number(lambda when: when.minute, 2),
    "s": _number(lambda when: when.second, 2),
    "S": _fraction,
    "A": _number(lambda when: _nano_of_day(when) // 10**6, _MOST),
    "n": _number(lambda when: when.microsecond * 1000, _MOST),
    "N": _number(_nano_of_day, _MOST),
    "V": _zone_id,
    "z": _zone_name,
    "O": _gmt,
    "X": _with_z,
    "x": _without_z,
    "Z": _rfc_822,
}
"""Weeks and eras of other calendars go by a locale that AWS does not tell; they are not here."""
