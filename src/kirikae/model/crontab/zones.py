"""What daylight saving does to an entry, as Debian's cron and cronie do it.

Where the clock is put forward, minutes do not exist on the wall: an entry of fixed minute and hour
that falls into them runs at once after the gap, a wild one does not run.  Where it is put back,
minutes come twice: a fixed entry runs in the first pass, a wild one in both.  A change of over
three hours is a correction: nothing is made up.  Source: cron(8), cron.c.

The one deviation: what a real cron would run twice in the minute after a gap is due there once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kirikae.model.crontab.schedule import YEARS, Bits, Schedule, bits_of

_CORRECTION_MIN = 180
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_DAY_MIN = 1440


class Stretch(NamedTuple):
    """Minutes of UTC [begin, end) of one offset.  ``before``: the offset of what came before."""

    begin: int
    end: int
    offset: int
    before: int

    @property
    def gap(self) -> int:
        """Minutes that the wall clock jumped over at its begin."""
        return _counted(self.offset - self.before)

    @property
    def fold(self) -> int:
        """Minutes that come a second time from its begin on."""
        return _counted(self.before - self.offset)


def _counted(minutes: int) -> int:
    return minutes if 0 < minutes <= _CORRECTION_MIN else 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A minute of UTC: the wall minutes at which wild and fixed entries are asked."""

    wild: tuple[Bits, ...]
    fixed: tuple[Bits, ...]

    def due(self, schedule: Schedule) -> bool:
        """Is this entry due in this minute?"""
        return any(map(schedule.fits, self.wild if schedule.wild else self.fixed))

    def select(self, schedules: Sequence[Schedule]) -> list[int]:
        """The places in the list of those that are due: all of a big table at once."""
        if not self.fixed or len(self.fixed) > 1:
            return [at for at, schedule in enumerate(schedules) if self.due(schedule)]
        # Nearly every minute: the same for wild and fixed; the minute rules most of them out.
        (here,) = self.wild
        minute = here.minute
        near = [at for at, schedule in enumerate(schedules) if schedule.minutes & minute]
        return [at for at in near if schedules[at].fits(here)]


class Zone:
    """A time zone of the IANA data base; minutes of UTC are counted from 1970-01-01."""

    def __init__(self, name: str) -> None:
        """Raises ValueError or KeyError (ZoneInfoNotFoundError) for one that there is not."""
        self.name = name
        self.info = ZoneInfo(name)
        self._last = Stretch(0, 0, 0, 0)

    def moment(self, minute: int) -> Moment:
        """What is asked of entries in this minute of UTC."""
        stretch = self.stretch(minute)
        wall = minute + stretch.offset
        here = bits_of(wall)
        if minute - stretch.begin < stretch.fold:
            return Moment((here,), ())
        skipped = stretch.gap if minute == stretch.begin else 0
        return Moment((here,), (*(bits_of(wall - ago) for ago in range(skipped, 0, -1)), here))

    def following(self, schedule: Schedule, after: int) -> int | None:
        """The next minute of UTC in which it is due; None: never."""
        begin = after + 1
        limit = begin + YEARS * 366 * _DAY_MIN
        stretch = self._last
        if not stretch.begin <= begin < stretch.end:
            stretch = self.stretch(begin)
        while begin < limit:
            found = _within(schedule, begin, stretch)
            if found is None or found < stretch.end:
                return found
            begin = stretch.end
            self._last = stretch = self.stretch(begin)
        return None

    def dues(self, schedule: Schedule, begin: int, end: int) -> Iterator[int]:
        """All minutes of UTC in [begin, end) in which it is due."""
        found = self.following(schedule, begin - 1)
        while found is not None and found < end:
            yield found
            found = self.following(schedule, found)

    def stretch(self, minute: int) -> Stretch:
        """The stretch of one offset that this minute lies in; a year's end ends it, too."""
        begins, stretches = _stretches(self.name, _time(minute).year)
        return stretches[bisect_right(begins, minute) - 1]

    def wall(self, minute: int) -> datetime:
        """What the clock on the wall shows."""
        return _time(minute).astimezone(self.info)

    def first_at(self, wall: int) -> int | None:
        """The first minute of UTC at which the wall shows this minute; None: a gap left it out."""
        for before in (_DAY_MIN, -_DAY_MIN):
            minute = wall - self.stretch(wall - before).offset
            if minute + self.stretch(minute).offset == wall:
                return minute
        return None

    def minute_of(self, wall: datetime) -> int:
        """The minute of UTC of a wall time; of one that comes twice, the first."""
        return minute_of(wall.replace(tzinfo=self.info))


def _within(schedule: Schedule, begin: int, stretch: Stretch) -> int | None:
    """As if this stretch went on for ever; None: never."""
    wall = begin + stretch.offset
    if not schedule.wild:
        if begin == stretch.begin and stretch.gap:
            made_up = schedule.next_wall(begin + stretch.before)
            if made_up is not None and made_up < wall:
                return begin
        wall = max(wall, stretch.begin + stretch.offset + stretch.fold)
    found = schedule.next_wall(wall)
    return None if found is None else found - stretch.offset


def minute_of(time: datetime) -> int:
    """Minutes of UTC since 1970-01-01, seconds cut off."""
    return (time - _EPOCH) // _MINUTE


def _time(minute: int) -> datetime:
    return _EPOCH + minute * _MINUTE


def _offset(info: ZoneInfo, minute: int) -> int:
    """Minutes that the wall clock is ahead of UTC."""
    offset = _time(minute).astimezone(info).utcoffset()
    return 0 if offset is None else offset // _MINUTE


@cache
def _stretches(name: str, year: int) -> tuple[list[int], list[Stretch]]:
    """(where they begin, the stretches) of this year."""
    info = ZoneInfo(name)
    begin = minute_of(datetime(year, 1, 1, tzinfo=UTC))
    end = minute_of(datetime(year + 1, 1, 1, tzinfo=UTC))
    begins = [begin]
    for day in range(begin, end, _DAY_MIN):
        morrow = min(day + _DAY_MIN, end)
        if _offset(info, day) != _offset(info, morrow):
            changed = _change(info, day, morrow)
            begins += [changed] if changed < end else []
    return begins, [
        Stretch(each, until, _offset(info, each), _offset(info, each - 1))
        for each, until in zip(begins, [*begins[1:], end], strict=True)
    ]


def _change(info: ZoneInfo, low: int, high: int) -> int:
    """The first minute of the new offset."""
    before = _offset(info, low)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(info, middle) == before:
            low = middle
        else:
            high = middle
    return high
