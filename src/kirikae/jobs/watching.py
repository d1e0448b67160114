"""What people should hear of while it lasts: a firing that does not begin, a run that goes on, an
error in its output.  Pure; each thing is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kirikae.jobs.job import Firing, Job, Owner, State
from kirikae.jobs.notices import Event, Notice

LOOKED_AT_MIN = 3
"""A scheduler that was away for longer tells nothing of what did not begin meanwhile."""
_WAITING = (State.ADMITTED, State.SENT)


def not_begun(rows: Iterable[Firing], jobs: Mapping[str, Job], now: float) -> Iterator[Firing]:
    """The new side's firings that have waited for so long since a moment ago."""
    for row in rows:
        job = jobs.get(row.job)
        if job is None or row.side is not Owner.NEW or row.state not in _WAITING:
            continue
        waited_s = now - max(row.due * 60.0, row.not_before)
        if row.attempt == 1 and job.late_s < waited_s <= job.late_s + LOOKED_AT_MIN * 60:
            yield row


def windows(jobs: Iterable[Job], minute: int) -> list[tuple[int, int]]:
    """Due minutes, each time the last not included, of which some may be told now: a few minutes
    for each patience that there is, however far apart these are."""
    late = sorted({int(job.late_s // 60) for job in jobs})
    return [(minute - each - LOOKED_AT_MIN - 1, minute - each + 1) for each in late]


def waits(firing: Firing, now: float) -> Notice:
    """Nobody has begun it."""
    minutes = int((now - firing.due * 60.0) // 60)
    says = f"has not begun {minutes} minutes after it was due; do workers run?"
    return Notice(Event.LATE, firing.job, firing.id, says)


@dataclass(frozen=True, slots=True)
class Seen:
    """A run that goes on.  ``started`` and ``now``: seconds since 1970.  ``next_due``: of its job,
    in seconds; None: never, or not known."""

    job: Job
    firing: Firing
    started: float
    now: float
    matched: tuple[str, ...] = ()
    matches: int = 0
    next_due: float | None = None


def seen(run: Seen) -> Iterator[Notice]:
    """All that is to be told of it; who tells remembers what was told already."""
    late_by_s = run.started - run.firing.due * 60.0
    if run.firing.attempt == 1 and late_by_s > run.job.late_s:
        says = f"began {late_by_s:.0f} s after it was due"
        yield Notice(Event.LATE, run.job.id, run.firing.id, says)
    if _overruns(run):
        says = f"still runs after {run.now - run.started:.0f} s"
        yield Notice(Event.OVERRUN, run.job.id, run.firing.id, says)
    if run.matched:
        says = f"{run.matches} lines match: {run.matched[0][:120]}"
        yield Notice(Event.STDERR, run.job.id, run.firing.id, says, run.matched)


def _overruns(run: Seen) -> bool:
    if run.job.overrun_s is not None:
        return run.now - run.started > run.job.overrun_s
    return run.next_due is not None and run.now >= run.next_due


def next_due(job: Job, firing: Firing) -> float | None:
    """In seconds.  The crontab's reader is imported only where a run takes longer than a minute,
    which no schedule is shorter than."""
    from kirikae.model.crontab.fields import Dialect
    from kirikae.model.crontab.table import read_entry
    from kirikae.model.crontab.zones import Zone
    from kirikae.model.said import Said

    if job.dialect not in list(Dialect):
        return None
    entry = read_entry(f"{job.when} true", Dialect(job.dialect), with_user=False)
    if isinstance(entry, Said) or entry.schedule is None:
        return None
    try:
        zone = Zone(job.zone)
    except (KeyError, ValueError, OSError):
        # An image may have no time zones; then nobody says here when the next one is due.
        return None
    found = zone.following(entry.schedule, firing.due)
    return None if found is None else found * 60.0
