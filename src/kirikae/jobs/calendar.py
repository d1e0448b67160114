"""When the entries of a crontab run: a calendar in any zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge

from kirikae.jobs.files import zone_of
from kirikae.jobs.tables import Timed
from kirikae.model.crontab.aws import dues
from kirikae.model.crontab.table import Entry
from kirikae.model.crontab.zones import Zone


@dataclass(frozen=True, slots=True)
class Due:
    """``minute``: of UTC, since 1970-01-01.  ``zone``: whose wall clock decided."""

    minute: int
    entry: Entry
    zone: Zone

    @property
    def utc(self) -> str:
        """``2026-03-08T07:00Z``, to the minute."""
        return f"{utc(self.minute):%Y-%m-%dT%H:%MZ}"

    def to_plain(self) -> dict[str, object]:
        """What ``jobs next --json`` prints."""
        return {"line": self.entry.line, "due": self.utc}


def calendar(entries: Iterable[Entry], zone: Zone, begin: int, end: int) -> Iterator[Due]:
    """All firings in [begin, end), by time, then by line.  ``@reboot`` has none.  Raises
    NoCrontab for an entry with a zone of its own that there is not."""
    return merge(
        *(
            _of_entry(
                entry,
                zone,
                begin,
                end,
            )
            for entry in entries
        ),
        key=lambda due: (due.minute, due.entry.line),
    )


def _of_entry(entry: Entry, zone: Zone, begin: int, end: int) -> Iterator[Due]:
    if entry.schedule is None:
        return
    own = zone if entry.zone is None else zone_of(entry.zone)
    for minute in own.dues(entry.schedule, begin, end):
        yield Due(minute, entry, own)


def expressed(timed: Iterable[Timed], begin: int, end: int) -> Iterator[Due]:
    """All firings of jobs by AWS's expressions, in the same order; a rate counts from ``begin``."""
    return merge(
        *(_of_expression(each, begin, end) for each in timed),
        key=lambda due: (due.minute, due.entry.line),
    )


def _of_expression(timed: Timed, begin: int, end: int) -> Iterator[Due]:
    assert timed.expression is not None
    minutes = set(dues(timed.expression, timed.zone, begin, end, begin))
    return (Due(minute, timed.entry, timed.zone) for minute in sorted(minutes))


def utc(minute: int) -> datetime:
    """The time of a minute."""
    return datetime(
        1970,
        1,
        1,
        tzinfo=UTC,
    ) + timedelta(minutes=minute)
