"""What both sides finish, period by period: lines of the units' journals and of the tasks' logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kirikae.aws import queues
from kirikae.aws.session import Aws
from kirikae.jobs.workers.ladder import Ladder
from kirikae.jobs.workers.settings import Outcomes, WorkersMove
from kirikae.jobs.workers.tasks import Service
from kirikae.jobs.workers.trial import Period
from kirikae.jobs.workers.units import Counted, Units
from kirikae.model.move import Move
from kirikae.move.journal import Journal


def counting(outcomes: Outcomes) -> Callable[[Iterable[str]], Counted]:
    """A line that says both is a failure."""
    done = re.compile(outcomes.done)
    failed = re.compile(outcomes.failed)

    def count(lines: Iterable[str]) -> Counted:
        good = 0
        bad = 0
        for line in lines:
            if failed.search(line):
                bad += 1
            elif done.search(line):
                good += 1
        return Counted(good, bad)

    return count


def record(journal: Journal, move: Move, period: Period) -> bool:
    """Keep it for ever; False if another driver recorded this time already."""
    return journal.record(move, f"{period.start:014.3f}", period.to_plain())


def recorded(journal: Journal, move: Move) -> list[Period]:
    """All periods of the current attempt, oldest first."""
    return [Period.from_plain(raw) for raw in journal.records(move)]


@dataclass(frozen=True, slots=True)
class Source:
    """Both sides' logs, and the queue."""

    aws: Aws
    settings: WorkersMove
    ladder: Ladder
    units: Units
    service: Service

    def period(self, move: Move, start: int, now: float) -> Period:
        """[start, start + period).  Raises HostSilent, CommandFailed, NotThere, AwsUnreachable:
        what could not be asked is not zero."""
        seconds = int(self.settings.figures.period)
        until = start + seconds
        count = counting(self.settings.outcomes)
        old = self.units.counted(start, until, count)
        wanted = self.service.look()
        groups = self.service.definition(wanted.definition).groups
        new = self.service.counted(groups, start, until, count)
        return Period(
            float(start),
            float(seconds),
            move.share,
            move.stepped,
            old,
            new,
            wanted.running,
            self.ladder.tasks_at(move.share),
            queues.oldest_s(self.aws, self.settings.queue, now),
        )

    def past(self, until: int, seconds: int) -> Counted:
        """What the old side finished before; raises as ``period`` does."""
        return self.units.counted(until - seconds, until, counting(self.settings.outcomes))
