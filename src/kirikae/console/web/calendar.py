"""A day of jobs in a zone: what was due, what ran, what was missed or skipped, hour by hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kirikae.console.web.kept import tried
from kirikae.jobs.files import read_text, table_of, zone_of
from kirikae.jobs.job import Firing, State
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import jobs_of
from kirikae.model.errors import UsageProblem

Firings = Callable[[int, int], Sequence[Firing]]
"""Of a ledger, from a minute until another (of UTC, since 1970)."""
_RAN = "ran"
_TONES = {
    State.SUCCEEDED: _RAN,
    State.RECORDED: "old",
    State.SKIPPED: "skipped",
    State.MISSED: "missed",
    State.NOT_STARTED: "missed",
    State.FAILED: "failed",
    State.LOST: "failed",
}
_GRAVEST = ("failed", "missed", "skipped", "unrecorded", "under_way", "due", "old", _RAN)


def tone_of(state: State) -> str:
    """A word of ``console.web.jobs``; what is under way or still to come has the same."""
    return _TONES.get(state, "under_way")


@dataclass(frozen=True, slots=True)
class Cell:
    """One job in one hour: how many firings, and the gravest of what became of them."""

    count: int
    tone: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """``rows``: job -> an hour's cells in order of ``hours``; None: nothing in that hour."""

    zone: str
    day: date
    hours: Sequence[str]
    rows: Mapping[str, Sequence[Cell | None]]
    firings: Sequence[Firing]
    trouble: str = ""

    @property
    def before(self) -> date:
        return self.day - timedelta(days=1)

    @property
    def after(self) -> date:
        return self.day + timedelta(days=1)

    def local(self, minute: int) -> str:
        """A due minute on the wall clock of the zone."""
        return f"{datetime.fromtimestamp(minute * 60, ZoneInfo(self.zone)):%H:%M}"

    def to_plain(self) -> dict[str, Any]:
        """Firings as `jobs history --json` has them."""
        return {
            "zone": self.zone,
            "day": self.day.isoformat(),
            "trouble": self.trouble,
            "firings": [firing.to_plain() for firing in self.firings],
        }


def calendar_of(
    folder: Path,
    settings: JobsMove,
    zone: str,
    day: str,
    firings: Firings,
) -> Calendar:
    """A ledger that does not answer leaves what the crontab says.  Raises UsageProblem."""
    clock = _zone(zone)
    chosen = _day(day, clock)
    begin, end = _minutes(chosen, clock)
    ledger = tried(lambda: firings(begin, end - 1))
    planned = tried(
        lambda: _planned(
            folder,
            settings,
            begin,
            end,
        )
    )
    found = ledger.value or ()
    seen = _seen(
        found,
        planned.value or (),
        bool(ledger.trouble),
    )
    trouble = " ".join(filter(None, (ledger.trouble, planned.trouble)))
    hours = [begin + 60 * number for number in range(-(-(end - begin) // 60))]
    names = [f"{datetime.fromtimestamp(minute * 60, clock):%H}" for minute in hours]
    return Calendar(
        zone,
        chosen,
        names,
        _rows(
            seen,
            begin,
            len(hours),
        ),
        found,
        trouble,
    )


Told = tuple[str, int, str]
"""A job, a due minute, and what became of it."""


def _seen(found: Sequence[Firing], planned: Sequence[tuple[str, int]], unknown: bool) -> list[Told]:
    """``unknown``: the ledger did not answer, so nothing is claimed of the past."""
    seen = [(each.job, each.due, tone_of(each.state)) for each in found]
    known = {(job, due) for job, due, _ in seen}
    now = int(time.time() // 60)
    for job, due in planned:
        if (job, due) not in known:
            seen.append((job, due, "due" if due >= now or unknown else "unrecorded"))
    return seen


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageProblem(f"{name[:80]} is no time zone; write one such as Asia/Tokyo") from error


def _day(text: str, zone: ZoneInfo) -> date:
    if not text:
        return datetime.now(zone).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(f"{text[:40]} is no day; write one such as 2026-11-28") from error


def _minutes(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """A day of the zone has 23 to 25 hours.  Raises UsageProblem at the ends of time."""
    try:
        begin = datetime(
            day.year,
            day.month,
            day.day,
            tzinfo=zone,
        )
        after = day + timedelta(days=1)
        end = datetime(
            after.year,
            after.month,
            after.day,
            tzinfo=zone,
        )
        return _minute(begin), _minute(end)
    except OverflowError as error:
        raise UsageProblem(f"{day}: no calendar goes there") from error


def _minute(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() // 60)


def _planned(
    folder: Path,
    settings: JobsMove,
    begin: int,
    end: int,
) -> Sequence[tuple[str, int]]:
    """By the crontab that lies beside the project file.  Raises NoCrontab, NoTable."""
    file = folder / settings.crontab
    text = read_text(str(file))
    zone = zone_of(settings.time_zone)
    table = table_of(
        str(file),
        text,
        settings.rules,
        settings.system,
    )
    found = jobs_of(
        table,
        text,
        settings.named,
        zone,
        str(file),
    )
    planned = []
    for timed in found.timed:
        if timed.entry.schedule is not None:
            dues = timed.zone.dues(
                timed.entry.schedule,
                begin,
                end,
            )
            planned += [(timed.job.id, minute) for minute in dues]
    return planned


def _rows(seen: Sequence[Told], begin: int, hours: int) -> dict[str, list[Cell | None]]:
    """Jobs by name."""
    tones: dict[str, dict[int, list[str]]] = {}
    for job, due, tone in seen:
        tones.setdefault(job, {}).setdefault((due - begin) // 60, []).append(tone)
    return {
        job: [_cell(found.get(hour)) for hour in range(hours)]
        for job, found in sorted(tones.items())
    }


def _cell(tones: Sequence[str] | None) -> Cell | None:
    if not tones:
        return None
    gravest = next((tone for tone in _GRAVEST if tone in tones), _RAN)
    return Cell(len(tones), gravest)
