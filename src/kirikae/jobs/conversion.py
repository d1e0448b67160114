"""A crontab entry as schedule expressions of AWS: exactly the same minutes, or a reason why not.

EventBridge Scheduler has a zone for each schedule, so nothing is shifted.  Rules know UTC alone:
times of another fixed offset are shifted, and those that cross midnight take their day with them
(``shift``).  Two expressions of one entry may meet in one minute: whoever runs them tells them
apart by (job, due).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kirikae.jobs.errors import TooHard
from kirikae.jobs.shift import Days, Piece, direct, shifted
from kirikae.model.crontab.aws import MOST_LETTERS, Cron, Service, dues, read_expression
from kirikae.model.crontab.schedule import DAY_MIN
from kirikae.model.crontab.table import Entry
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said, said

RULES_A_BUS = 300
_YEAR_MIN = 366 * DAY_MIN
_LOOKED_AHEAD_YEARS = 3
FIXED_FOR_YEARS = 10
"""So long must a zone's offset stay the same, as far as is known, for rules in UTC."""
_OWN_TO_A_SHELL = ("SHELL", "MAILTO")


@dataclass(frozen=True, slots=True)
class Export:
    """What becomes of one entry: ``expressions``, or ``refused`` with a reason.

    ``zone``: of the schedule; None for rules.  ``until``: the last year that the expressions know;
    None: for ever.  ``warnings``: minutes that differ, and what the target must do itself.
    """

    entry: Entry
    expressions: tuple[str, ...] = ()
    zone: str | None = None
    until: int | None = None
    warnings: tuple[Said, ...] = ()
    refused: Said | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """``now``: a minute of UTC.  ``worker``: kirikae's own worker runs the command, which knows
    ``%``, MAILTO and SHELL."""

    service: Service
    zone: Zone
    now: int
    worker: bool = False


def export(entries: Sequence[Entry], wish: Wish) -> list[Export]:
    """By entry; rules beyond the quota of a bus are refused."""
    found: list[Export] = []
    rules = 0
    for entry in entries:
        one = _export(entry, wish)
        rules += len(one.expressions)
        if wish.service is Service.RULES and rules > RULES_A_BUS:
            one = Export(entry, refused=said("jobs.export.too_many", most=RULES_A_BUS))
        found.append(one)
    return found


def _export(entry: Entry, wish: Wish) -> Export:
    why = _refused(entry, wish)
    if why is not None:
        return Export(entry, refused=why)
    zone = _zone_of(entry, wish)
    try:
        pieces = _pieces(
            entry,
            wish,
            zone,
        )
    except TooHard as error:
        return Export(entry, refused=error.why)
    expressions = tuple(piece.expression() for piece in pieces)
    if any(len(each) > MOST_LETTERS for each in expressions):
        return Export(entry, refused=said("jobs.export.long", most=MOST_LETTERS))
    years = [piece.until for piece in pieces if piece.until is not None]
    return Export(
        entry,
        expressions,
        zone.name if wish.service is Service.SCHEDULER else None,
        min(years, default=None),
        tuple(
            _warnings(
                entry,
                wish,
                zone,
                pieces,
            )
        ),
    )


def _zone_of(entry: Entry, wish: Wish) -> Zone:
    return wish.zone if entry.zone is None else Zone(entry.zone)


def _refused(entry: Entry, wish: Wish) -> Said | None:
    if entry.schedule is None:
        return said("jobs.export.reboot")
    if entry.schedule.next_wall(wish.now) is None:
        return said("jobs.export.never")
    if wish.worker:
        return None
    if entry.stdin is not None:
        return said("jobs.export.stdin")
    own = [name for name in _OWN_TO_A_SHELL if entry.variables.get(name)]
    return said("jobs.export.shell", names=own) if own else None


def _pieces(
    entry: Entry,
    wish: Wish,
    zone: Zone,
) -> list[Piece]:
    """Raises TooHard."""
    assert entry.schedule is not None
    days = Days.of(entry.schedule)
    if wish.service is Service.SCHEDULER:
        return list(direct(entry.schedule, days))
    offset = _fixed_offset(zone, wish.now)
    if offset is None:
        raise TooHard(said("jobs.export.clock_changes", zone=zone.name))
    return list(
        shifted(
            entry.schedule,
            days,
            offset,
            zone.wall(wish.now).year,
        )
    )


def _fixed_offset(zone: Zone, now: int) -> int | None:
    """None where the clock changes within the years that are looked at."""
    offset = zone.stretch(now).offset
    minute = now
    while minute < now + FIXED_FOR_YEARS * _YEAR_MIN:
        stretch = zone.stretch(minute)
        if stretch.offset != offset:
            return None
        minute = stretch.end
    return offset


@dataclass(slots=True)
class _Differences:
    """Around each change of the clock: what cron runs and AWS does not, and the other way round."""

    missing: list[int] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)


def _warnings(
    entry: Entry,
    wish: Wish,
    zone: Zone,
    pieces: Sequence[Piece],
) -> Iterator[Said]:
    assert entry.schedule is not None
    if len(pieces) > 1 and any(piece.meets for piece in pieces):
        yield said("jobs.export.meets")
    if wish.service is Service.RULES:
        return
    found = _Differences()
    for change in _changes(zone, wish.now):
        begin = change - DAY_MIN
        end = change + DAY_MIN
        by_cron = set(zone.dues(entry.schedule, begin, end))
        by_aws = _by_aws(pieces, zone, begin, end)
        found.missing += sorted(by_cron - by_aws)
        found.extra += sorted(by_aws - by_cron)
    if found.missing:
        yield _differs("jobs.export.missing", found.missing, zone)
    if found.extra:
        yield _differs("jobs.export.extra", found.extra, zone)


def _by_aws(pieces: Sequence[Piece], zone: Zone, begin: int, end: int) -> set[int]:
    """All minutes of UTC in [begin, end) in which one of them is due."""
    found: set[int] = set()
    for piece in pieces:
        read = read_expression(piece.expression(), Service.SCHEDULER)
        assert isinstance(read, Cron), read
        found.update(
            dues(
                read,
                zone,
                begin,
                end,
            )
        )
    return found


def _changes(zone: Zone, now: int) -> Iterator[int]:
    """The minutes from which another offset holds."""
    minute = now
    while minute < now + _LOOKED_AHEAD_YEARS * _YEAR_MIN:
        minute = zone.stretch(minute).end
        stretch = zone.stretch(minute)
        if stretch.offset != stretch.before:
            yield minute


def _differs(
    key: str,
    minutes: Sequence[int],
    zone: Zone,
) -> Said:
    first = f"{zone.wall(minutes[0]):%Y-%m-%d %H:%M %z}"
    return said(
        key,
        n=len(minutes),
        first=first,
        years=_LOOKED_AHEAD_YEARS,
    )
