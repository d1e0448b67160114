"""Which firings a scheduler admits at a minute: pure, so that every outage is a table of tests.

Minutes that it lived through are due, however late it comes to them, as cron makes them up after a
suspension of five minutes at most; of minutes before that, each job's catch-up rule decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kirikae.jobs.job import CatchUp, Job
from kirikae.jobs.ledger import Mark, Wanted
from kirikae.jobs.tables import Jobs, Timed
from kirikae.model.crontab.aws import dues

SUSPENDED_MIN = 5
MOST_MISSED = 10_000
_DAY_MIN = 1440
CORRECTION_MIN = 180
"""A clock that jumps further was wrong: nothing is made up (cron(8))."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a scheduler looks.  ``minute``: by its clock.  ``alive_since``: the first minute that
    this process saw.  ``jumped``: the clock was put forward by over three hours."""

    minute: int
    alive_since: int
    jumped: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``wanted``: to be admitted, those of earlier minutes first.  ``untold``: so many more were
    missed than are written down."""

    wanted: tuple[Wanted, ...]
    untold: int = 0


def _furthest(jobs: Jobs) -> int:
    """Missed firings of a day are written down; a job may ask for more."""
    windows = [int(timed.job.window_s // 60) for timed in jobs.timed]
    return max([_DAY_MIN, *windows])


@dataclass(slots=True)
class _Late:
    """What one job missed, by its rule."""

    timed: Timed
    minutes: list[int] = field(default_factory=list)


def plan(jobs: Jobs, mark: Mark | None, at: Moment, since: Mapping[str, int]) -> Plan:
    """Everything in (mark, now].  ``since``: the minute at which each job was first heard of."""
    found: list[Wanted] = []
    late: dict[str, _Late] = {}
    for minute in range(_begin(jobs, mark, at), at.minute + 1):
        for timed in due_at(jobs, minute, since):
            if minute < since.get(timed.job.id, at.minute):
                continue
            if _lived_through(minute, at):
                found.append(_wanted(timed, jobs, minute, at))
            else:
                late.setdefault(timed.job.id, _Late(timed)).minutes.append(minute)
    made_up, missed = _made_up(late.values(), jobs, at)
    told = sorted(missed, key=lambda wanted: -wanted.due)[:MOST_MISSED]
    ordered = sorted([*made_up, *told, *found], key=lambda wanted: wanted.due)
    return Plan(tuple(ordered), len(missed) - len(told))


def _begin(jobs: Jobs, mark: Mark | None, at: Moment) -> int:
    """The present minute always: what another version of this table admitted may not be all of
    it."""
    if mark is None or at.jumped:
        return at.minute
    return max(min(mark.minute + 1, at.minute), at.minute - _furthest(jobs))


def _lived_through(minute: int, at: Moment) -> bool:
    if minute == at.minute:
        return True
    return minute >= at.alive_since and at.minute - minute <= SUSPENDED_MIN


def due_at(jobs: Jobs, minute: int, since: Mapping[str, int]) -> Iterator[Timed]:
    """Zone by zone, in the order of the file.  ``since``: a rate begins when its job is first
    heard of."""
    for group in jobs.groups:
        moment = group.zone.moment(minute)
        for at in moment.select(group.schedules):
            yield group.timed[at]
    for timed in jobs.expressed:
        assert timed.expression is not None
        first = since.get(timed.job.id)
        if [*dues(timed.expression, timed.zone, minute, minute + 1, first)]:
            yield timed


def _made_up(late: Iterable[_Late], jobs: Jobs, at: Moment) -> tuple[list[Wanted], list[Wanted]]:
    """(what is run all the same, what is written down as missed)."""
    made_up: list[Wanted] = []
    missed: list[Wanted] = []
    for each in late:
        job = each.timed.job
        inside = [
            minute
            for minute in each.minutes
            if _inside(
                minute,
                at,
                job,
            )
        ]
        chosen = set(_chosen(each.timed, inside))
        for minute in each.minutes:
            wanted = _wanted(
                each.timed,
                jobs,
                minute,
                at,
                missed=minute not in chosen,
            )
            (missed if wanted.missed else made_up).append(wanted)
    return made_up, missed


def _inside(minute: int, at: Moment, job: Job) -> bool:
    return (at.minute - minute) * 60 <= job.window_s


def _chosen(timed: Timed, inside: Sequence[int]) -> Sequence[int]:
    rule = timed.job.catch_up
    if rule is CatchUp.ALL:
        return inside
    if rule is CatchUp.NONE:
        return ()
    schedule = timed.entry.schedule
    if rule is CatchUp.AS_CRON and schedule is not None and not schedule.wild:
        return inside
    return inside[-1:]


def _wanted(timed: Timed, jobs: Jobs, minute: int, at: Moment, missed: bool = False) -> Wanted:
    late_by_s = float((at.minute - minute) * 60)
    job = timed.job
    return Wanted(
        job.id,
        minute,
        timed.digest,
        jobs.serial,
        job.in_ledger,
        late_by_s,
        missed,
    )
