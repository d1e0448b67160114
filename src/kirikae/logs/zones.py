"""Time on the wall and on the axis: which seconds a slice of a path names, in any zone.

A zone with summer time has an hour that is there twice and one that is not there at all; an offset
need not be whole hours (+05:30, +05:45).  Nothing here adds nine hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kirikae.logs.errors import NoLayout

QUARTER_S = 900
"""Every offset since 1972 is a multiple of it (IANA time zone database)."""
HOUR_S = 3600
DAY_S = 86400


class Grain(StrEnum):
    """How long the time is that one path stands for."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return timedelta(hours=1) if self is Grain.HOUR else timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Unix seconds; ``end`` is not part of it.  Empty for an hour that a clock leaps over."""

    begin: int
    end: int

    @property
    def empty(self) -> bool:
        return self.end <= self.begin

    def touches(self, other: Span) -> bool:
        return self.begin < other.end and other.begin < self.end


@cache
def zone_named(name: str) -> ZoneInfo:
    """Raises NoLayout."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise NoLayout(
            f"{name[:60]!r} is not a time zone; write its IANA name, such as Asia/Tokyo"
        ) from error


def epoch_of(wall: datetime, zone: ZoneInfo) -> int:
    """A time that is there twice: the first; one that is leapt over: as if it were not
    (PEP 495)."""
    return int(wall.replace(tzinfo=zone, fold=0).timestamp())


def wall_of(epoch: int, zone: ZoneInfo) -> datetime:
    """Without a zone."""
    return datetime.fromtimestamp(epoch, UTC).astimezone(zone).replace(tzinfo=None)


def span_of(
    begin: datetime,
    length: timedelta,
    zone: ZoneInfo,
) -> Span:
    """What a slice that begins at this time of the wall holds: two hours of an hour that is there
    twice, none of one that is leapt over."""
    return Span(epoch_of(begin, zone), epoch_of(begin + length, zone))


def begin_of(wall: datetime, grain: Grain) -> datetime:
    """The slice that this time lies in."""
    hour = 0 if grain is Grain.DAY else wall.hour
    return wall.replace(
        hour=hour,
        minute=0,
        second=0,
        microsecond=0,
    )


@cache
def whole_hours(zone: ZoneInfo) -> bool:
    """Are all offsets of this zone whole hours, for as long as there have been logs?"""
    first = datetime(
        1995,
        1,
        1,
        tzinfo=UTC,
    )
    weeks = (first + timedelta(weeks=number) for number in range(52 * 45))
    return all(_is_whole(each.astimezone(zone)) for each in weeks)


def _is_whole(when: datetime) -> bool:
    offset = when.utcoffset()
    assert offset is not None
    return offset % timedelta(hours=1) == timedelta(0)
