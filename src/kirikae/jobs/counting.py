"""Firings that were planned against those that happened: missing, extra, late; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kirikae.jobs.cronlog import Logged
from kirikae.jobs.job import Firing, Owner, State, firing_id
from kirikae.jobs.tables import Timed

_NEVER_RAN = frozenset([State.MISSED, State.NOT_STARTED])


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of UTC [begin, end): firings in it are settled by now."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Count:
    """Firing IDs of each kind.

    ``planned``: how many the crontab has.  ``new``, ``old``: how many each side ran.  ``missing``:
    nobody ran them.  ``extra``: run without being planned, or by the old side's cron although the
    job is the new side's and no guard stands before it.  ``lost``: the worker died in the middle.
    ``failed``: on the new side, by jobs whose last run on the old side was well.  ``silent``: jobs
    that were due on the old side and whose guard was never heard.
    """

    planned: int = 0
    new: int = 0
    old: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    def figures(self) -> dict[str, float]:
        """Numbers, for evidence."""
        counted = {
            name: float(len(getattr(self, name)))
            for name in ("missing", "extra", "late", "lost", "failed", "silent")
        }
        sides = {
            "new": float(self.new),
            "old": float(self.old),
        }
        return {
            "planned": float(self.planned),
            **sides,
            **counted,
        }


@dataclass(slots=True)
class _Tally:
    planned: int = 0
    new: int = 0
    old: int = 0
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Seen:
    """``log``: None where cron's log is not read.  ``owned``: the jobs of the new side."""

    firings: Sequence[Firing]
    owned: frozenset[str]
    log: Sequence[Logged] | None = None


def counted(
    jobs: Sequence[Timed],
    seen: Seen,
    window: Window,
    late_s: float,
) -> Count:
    """Everything of these jobs in this window."""
    rows = {(firing.job, firing.due): firing for firing in seen.firings}
    well = _were_well(seen.firings)
    tally = _Tally()
    for timed in jobs:
        planned = set(_planned(timed, window))
        for due in sorted(planned):
            tally.planned += 1
            _one(
                tally,
                timed.job.id,
                due,
                rows.get((timed.job.id, due)),
                late_s,
                well,
                seen.owned,
            )
        _unplanned(
            tally,
            timed.job.id,
            planned,
            seen.firings,
            window,
        )
    if seen.log is not None:
        tally.extra += _by_cron(
            jobs,
            seen,
            window,
        )
        tally.missing += _not_by_cron(
            jobs,
            rows,
            seen,
            window,
        )
    silent = sorted(tally.due - tally.heard)
    return Count(
        tally.planned,
        tally.new,
        tally.old,
        tuple(tally.missing),
        tuple(tally.extra),
        tuple(tally.late),
        tuple(tally.lost),
        tuple(tally.failed),
        tuple(silent),
    )


def _planned(timed: Timed, window: Window) -> Iterator[int]:
    schedule = timed.entry.schedule
    if schedule is not None:
        yield from timed.zone.dues(
            schedule,
            window.begin,
            window.end,
        )


def _were_well(firings: Iterable[Firing]) -> Mapping[str, bool]:
    """Job -> did its newest run on the old side end well?"""
    old = [each for each in firings if each.side is Owner.OLD and each.runs and each.state.over]
    newest = sorted(old, key=lambda firing: firing.due)
    return {firing.job: firing.state is State.SUCCEEDED for firing in newest}


def _one(
    tally: _Tally,
    job: str,
    due: int,
    row: Firing | None,
    late_s: float,
    well: Mapping[str, bool],
    owned: frozenset[str],
) -> None:
    named = row.id if row is not None else firing_id(job, due)
    side = row.side if row is not None else Owner.NEW if job in owned else Owner.OLD
    if side is Owner.OLD:
        tally.due.add(job)
    if row is None or not row.runs:
        # A skipped one was decided, by its overlap rule; an old one that no guard claimed may have
        # run under cron alone: that is told as a silent guard.
        skipped = row is not None and row.state is State.SKIPPED
        if side is Owner.NEW and not skipped:
            tally.missing.append(named)
        return
    _ran(
        tally,
        row,
        late_s,
        well,
    )


def _ran(
    tally: _Tally,
    row: Firing,
    late_s: float,
    well: Mapping[str, bool],
) -> None:
    if row.side is Owner.OLD:
        tally.old += 1
        tally.heard.add(row.job)
        return
    tally.new += 1
    if row.state is State.LOST:
        tally.lost.append(row.id)
    if row.state in _NEVER_RAN:
        tally.missing.append(row.id)
    if row.state is State.FAILED and well.get(row.job, False):
        tally.failed.append(row.id)
    first = row.runs[0]
    if (first.started or first.began) - row.due * 60 > late_s:
        tally.late.append(row.id)


def _unplanned(
    tally: _Tally,
    job: str,
    planned: set[int],
    firings: Iterable[Firing],
    window: Window,
) -> None:
    """A row whose minute the crontab does not have: schedulers or guards read another one."""
    for firing in firings:
        inside = window.begin <= firing.due < window.end
        if firing.job == job and inside and firing.runs and firing.due not in planned:
            tally.extra.append(firing.id)


def _by_cron(
    jobs: Sequence[Timed],
    seen: Seen,
    window: Window,
) -> list[str]:
    """cron runs a job of the new side's past any guard: it runs twice."""
    commands = {timed.job.command.strip(): timed.job.id for timed in jobs}
    assert seen.log is not None
    return [
        firing_id(job, line.minute)
        for line in seen.log
        if line.job is None and window.begin <= line.minute < window.end
        if (job := commands.get(line.command)) is not None and job in seen.owned
    ]


def _not_by_cron(
    jobs: Sequence[Timed],
    rows: Mapping[tuple[str, int], Firing],
    seen: Seen,
    window: Window,
) -> Iterator[str]:
    """The old side's job was due, no guard claimed it, and cron's log has no line of it."""
    assert seen.log is not None
    begun = {(line.job or line.command, line.minute) for line in seen.log}
    for timed in jobs:
        if timed.job.id not in seen.owned:
            for due in _planned(timed, window):
                if not _was_run(rows.get((timed.job.id, due))) and not _was_logged(
                    timed,
                    due,
                    begun,
                ):
                    yield firing_id(timed.job.id, due)


def _was_run(row: Firing | None) -> bool:
    """Or is it the other side's own affair?"""
    return row is not None and (bool(row.runs) or row.side is Owner.NEW)


def _was_logged(timed: Timed, due: int, begun: set[tuple[str, int]]) -> bool:
    """By its guard's line, or by its command."""
    names = (timed.job.id, timed.job.command.strip())
    return any((name, due) in begun for name in names)
