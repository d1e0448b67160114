"""When a step may be taken: weekly windows and freezes, in the user's own time zone.

Local wall time decides (IANA zone): a window from 10:00 is from 10:00 on the day on which clocks
change, too."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from kirikae.model.said import Said, said
from kirikae.model.texts import shortened

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    r"(?P<days>[A-Za-z,\- ]{3,100}?) +"
    r"(?P<from>[0-9]{2}:[0-9]{2}) *- *(?P<until>[0-9]{2}:[0-9]{2})",
)


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the week (Monday is 0) and minutes of the day; one that ends before it begins ends on
    the next day."""

    days: tuple[int, ...]
    begins: int
    ends: int

    def holds(self, local: datetime.datetime) -> bool:
        """Is it open at this local time?

        After midnight, a window still belongs to the day on which it began.
        """
        minute = local.hour * 60 + local.minute
        day = local.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= minute < self.ends
        return (day in self.days and minute >= self.begins) or (
            (day - 1) % 7 in self.days and minute < self.ends
        )


@dataclass(frozen=True, slots=True)
class Freeze:
    """Days (both included) on which no share rises."""

    begins: datetime.date
    ends: datetime.date
    why: str


def window_from(text: object) -> Window:
    """Read ``"Mon-Fri 10:00-17:00"`` or ``"Tue,Thu 22:00-02:00"``.  Raises ValueError."""
    match = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f'{shortened(text)} is not a window; write for example "Mon-Fri 10:00-17:00" or '
            '"Tue,Thu 22:00-02:00"',
        )
    begins = _minutes(match["from"])
    ends = _minutes(match["until"])
    if begins == ends:
        raise ValueError(f"{text!r}: a window begins and ends at different times")
    return Window(_days(match["days"], str(text)), begins, ends)


def _minutes(text: str) -> int:
    """Of the day, up to 24:00.  Raises ValueError."""
    hours = int(text[:2])
    minutes = int(text[3:])
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError(f"{text} is not a time of day; 00:00 to 24:00")
    return hours * 60 + minutes


def _days(text: str, whole: str) -> tuple[int, ...]:
    """``Mon-Fri`` or ``Tue,Thu`` as numbers; a range may go over the end of the week (``Sat-Mon``).

    Raises ValueError.
    """
    found: set[int] = set()
    for part in text.split(","):
        ends = [name.strip().capitalize() for name in part.split("-")]
        if len(ends) > 2 or any(name not in DAYS for name in ends):
            raise ValueError(
                f"{whole!r}: {part.strip()!r} is not a day or a range of days; they are "
                f"{', '.join(DAYS)}",
            )
        first = DAYS.index(ends[0])
        last = DAYS.index(ends[-1])
        found |= {(first + n) % 7 for n in range((last - first) % 7 + 1)}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Calendar:
    """No window means always; a freeze closes whatever is open."""

    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()

    def closed(self, now: float) -> Said | None:
        """Why no step may be taken at this Unix time, and when one may; None: it may."""
        local = datetime.datetime.fromtimestamp(now, ZoneInfo(self.zone))
        freeze = self._freeze(local)
        if freeze is not None:
            until = freeze.ends.isoformat()
            return said("model.closed.frozen", until=until, why=freeze.why, next=self._next(now))
        if not self._within(local):
            return said("model.closed.outside", next=self._next(now))
        return None

    def _next(self, now: float) -> Said:
        """When a step may be taken next, in words."""
        opens = self.opens(now)
        if opens is None:
            return said("model.closed.never")
        weekday = said(f"model.weekday.{opens.weekday()}")
        return said(
            "model.closed.next",
            weekday=weekday,
            at=f"{opens:%Y-%m-%d %H:%M}",
            zone=self.zone,
        )

    def _freeze(self, local: datetime.datetime) -> Freeze | None:
        """The freeze of this day, if there is one."""
        day = local.date()
        return next((each for each in self.freezes if each.begins <= day <= each.ends), None)

    def _within(self, local: datetime.datetime) -> bool:
        """Is a window open, or are there none?"""
        return not self.windows or any(window.holds(local) for window in self.windows)

    def opens(self, now: float) -> datetime.datetime | None:
        """The next local time at which a step may be taken; None: not within a year."""
        zone = ZoneInfo(self.zone)
        for at in self._edges(datetime.datetime.fromtimestamp(now, zone)):
            if self._freeze(at) is None and self._within(at):
                return at
        return None

    def _edges(self, local: datetime.datetime) -> Sequence[datetime.datetime]:
        """Times at which something may open, in order: now, each midnight, the beginning of each
        window."""
        minutes = sorted({0, *(window.begins for window in self.windows)})
        found = [local]
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        # A year, and a day more for a leap year.
        for day in range(367):
            date = midnight.date() + datetime.timedelta(days=day)
            for minute in minutes:
                at = datetime.datetime.combine(
                    date,
                    datetime.time(minute // 60 % 24, minute % 60),
                    local.tzinfo,
                )
                # A time that the clocks skip is met one hour later: there and back through UTC.
                at = at.astimezone(datetime.UTC).astimezone(local.tzinfo)
                if at > local:
                    found.append(at)
        return found
