"""When a line happened: one reader for each format, line by line.  This is the plain path; what the
fast one (``fast.py``) does must be the same.

combined: Apache's and nginx' access log.  ltsv: labels and values (ltsv.org).  json: one object a
line.  out_file: what fluentd's out_file and out_s3 write.  alb: access log of an Application Load
Balancer.  cloudfront: its standard log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from kirikae.logs.errors import NoLayout
from kirikae.logs.zones import DAY_S, HOUR_S, epoch_of

BOM = b"\xef\xbb\xbf"
PIECE = 16384
"""Container runtimes cut lines at 16 KiB: a line of just this length goes on in the next."""
_MONTHS = {
    name: number
    for number, name in enumerate(
        (
            b"Jan",
            b"Feb",
            b"Mar",
            b"Apr",
            b"May",
            b"Jun",
            b"Jul",
            b"Aug",
            b"Sep",
            b"Oct",
            b"Nov",
            b"Dec",
        ),
        start=1,
    )
}


class Untimed(StrEnum):
    """Why a line has no time to go by."""

    NONE = "no_time"
    MALFORMED = "malformed"
    ABSURD = "absurd"


Stamp = datetime | Untimed
"""With an offset, or without one: then the tree's zone counts."""

_CLF = (
    rb"\[(\d\d)/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/(\d{4})"
    rb":(\d\d):(\d\d):(\d\d) ([+-]\d{4})\]"
)
_BEFORE_REQUEST = re.compile(_CLF + rb' "')
"""A user's name may hold a bracket; the time is what stands before the request in quotes."""
_IN_BRACKETS = re.compile(_CLF)
_ISO = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?"
)
_ALB = re.compile(rb"(?:http|https|h2|grpcs|ws|wss) (\S+) ")
_CLOUDFRONT = re.compile(rb"(\d{4}-\d\d-\d\d)\t(\d\d:\d\d:\d\d)\t")


def _made(
    parts: tuple[bytes, ...],
    month: int,
    offset: bytes | None,
) -> Stamp:
    """``parts``: year, day, hour, minute, second.  A leap second is the one before it."""
    year, day, hour, minute, second = map(int, parts)
    try:
        found = datetime(
            year,
            month,
            day,
            hour,
            minute,
            59 if second == 60 else second,
        )
        return found if offset is None else found.replace(tzinfo=_offset(offset))
    except ValueError:
        return Untimed.MALFORMED


def _offset(text: bytes) -> timezone:
    """Raises ValueError for one of a day and more."""
    if text == b"Z":
        return UTC
    digits = text[1:].replace(b":", b"")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if text[:1] == b"-" else minutes))


def _clf(match: re.Match[bytes]) -> Stamp:
    day, month, year, hour, minute, second, offset = match.groups()
    return _made((year, day, hour, minute, second), _MONTHS[month], offset)


def _iso(text: bytes) -> Stamp:
    """The whole of it."""
    match = _ISO.fullmatch(text)
    if match is None:
        return Untimed.MALFORMED
    year, month, day, hour, minute, second, offset = match.groups()
    return _made((year, day, hour, minute, second), int(month), offset)


def _bare(line: bytes) -> bytes:
    """Without a byte order mark: the first line of a file may have one."""
    return line[3:] if line.startswith(BOM) else line


def _combined(line: bytes, key: bytes) -> Stamp:
    match = _BEFORE_REQUEST.search(line) or _IN_BRACKETS.search(line)
    if match is not None:
        return _clf(match)
    return Untimed.MALFORMED if b"[" in line else Untimed.NONE


def _ltsv(line: bytes, key: bytes) -> Stamp:
    label = key + b":"
    for part in _bare(line).rstrip(b"\r").split(b"\t"):
        if part.startswith(label):
            value = part[len(label) :]
            bracketed = _IN_BRACKETS.fullmatch(value)
            return _iso(value) if bracketed is None else _clf(bracketed)
    return Untimed.NONE


def _json(line: bytes, key: bytes) -> Stamp:
    """A line that was cut still has its time, if that stands first."""
    bare = _bare(line)
    first = re.match(rb'\{\s*"' + re.escape(key) + rb'"\s*:\s*"([^"\\]*)"', bare)
    if first is not None:
        return _iso(first[1])
    try:
        row = json.loads(bare.decode("utf-8", "replace"), object_pairs_hook=_first_wins)
    except (ValueError, RecursionError):
        return Untimed.MALFORMED
    value = row.get(key.decode()) if isinstance(row, dict) else None
    if isinstance(value, str):
        return _iso(value.encode("utf-8", "replace"))
    return _number(value)


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _number(value: object) -> Stamp:
    """Unix seconds."""
    if value is None:
        return Untimed.NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Untimed.MALFORMED
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return Untimed.MALFORMED


def _out_file(line: bytes, key: bytes) -> Stamp:
    bare = _bare(line)
    first, tab, _ = bare.partition(b"\t")
    return _iso(first) if tab else Untimed.NONE


def _alb(line: bytes, key: bytes) -> Stamp:
    match = _ALB.match(_bare(line))
    return _iso(match[1]) if match is not None else Untimed.NONE


def _cloudfront(line: bytes, key: bytes) -> Stamp:
    match = _CLOUDFRONT.match(_bare(line))
    if match is None:
        return Untimed.NONE
    return _iso(match[1] + b"T" + match[2] + b"Z")


@dataclass(frozen=True, slots=True)
class Format:
    """One form of lines.

    ``key``: the label of the time, where a line has labels.  ``headed``: objects begin with lines
    of ``#`` that are no records, and readers leave them out.
    """

    name: str
    stamp: Callable[[bytes, bytes], Stamp]
    key: bytes = b"time"
    headed: bool = False

    def labelled(self, key: str) -> Format:
        """With another label of the time."""
        return replace(self, key=key.encode())


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("combined", _combined),
        Format("ltsv", _ltsv),
        Format("json", _json),
        Format("out_file", _out_file),
        Format("alb", _alb),
        Format("cloudfront", _cloudfront, headed=True),
    )
}


def format_named(name: str) -> Format:
    """Raises NoLayout."""
    if name not in FORMATS:
        raise NoLayout(f"{name[:60]!r} is no format of lines; write one of {', '.join(FORMATS)}")
    return FORMATS[name]


@dataclass(frozen=True, slots=True)
class Clock:
    """How a line's time becomes a point of the axis.

    ``zone``: for lines that name no offset.  ``earliest``, ``latest``: what lies outside is absurd;
    both are whole hours, so that the fast path need not look at minutes for them.
    """

    zone: ZoneInfo
    earliest: int
    latest: int

    @classmethod
    def at(
        cls,
        zone: ZoneInfo,
        now: float,
        began: int = 0,
    ) -> Clock:
        """``began``: before it the service was not there.  A day ahead is put up with."""
        last = int(now) // HOUR_S * HOUR_S + DAY_S + HOUR_S
        return cls(zone, began // HOUR_S * HOUR_S, last)

    def epoch(self, stamp: Stamp) -> int | Untimed:
        """Unix seconds."""
        if isinstance(stamp, Untimed):
            return stamp
        try:
            found = self._epoch(stamp)
        except (OverflowError, ValueError):
            return Untimed.ABSURD
        return found if self.earliest <= found < self.latest else Untimed.ABSURD

    def _epoch(self, stamp: datetime) -> int:
        if stamp.tzinfo is None:
            return epoch_of(stamp, self.zone)
        return int(stamp.timestamp() // 1)


def header_length(block: bytes) -> int:
    """Of the lines at the beginning of an object that begin with ``#``."""
    at = 3 if block.startswith(BOM) else 0
    while block[at : at + 1] == b"#":
        end = block.find(b"\n", at) + 1
        if not end:
            return len(block)
        at = end
    return at if at > 3 else 0
