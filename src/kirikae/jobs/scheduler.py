"""A scheduler: each minute it writes down what is due, and sends what it was the first to write.

Any number of them run at once, without a leader: the ledger's key says who was first, the queue's
de-duplication ID lets two that send the same send it once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from kirikae.aws.sqs import Outgoing
from kirikae.jobs.errors import LedgerAway, NoCrontab, NoTable
from kirikae.jobs.job import Firing, State
from kirikae.jobs.ledger import Admitted, Ledger, Mark, Wanted
from kirikae.jobs.messages import outgoing
from kirikae.jobs.scheduling import CORRECTION_MIN, Moment, plan
from kirikae.jobs.tables import Jobs
from kirikae.jobs.watching import not_begun, windows
from kirikae.model.errors import KirikaeError

log = logging.getLogger(__name__)
WARN_SKEW_S = 5.0
MOST_SKEW_S = 60.0
_AHEAD_MIN = 5
_AT_ONCE = 1000
_MOST_LOOKED_AT = 5000
_SWEEP_S = 5.0
_RELOAD_S = 5.0
_LOOK_S = 1.0


class Sends(Protocol):
    """A queue, as far as a scheduler needs one."""

    def send(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Which of them were taken.  Raises AwsRefused, AwsUnreachable."""
        ...


@dataclass(slots=True)
class Counts:
    """Since the process began."""

    registered: int = 0
    admitted: int = 0
    deduped: int = 0
    sent: int = 0
    send_failed: int = 0
    missed: int = 0
    late: int = 0
    lost: int = 0
    stale: int = 0
    stood_down: int = 0
    reload_failed: int = 0
    ledger_away: int = 0

    def to_plain(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)

    def as_sqsjfr(self) -> dict[str, Any]:
        """What sqsjfr answers at ``/stats/metrics``, so that its monitoring goes on."""
        return {
            "entries": {"registered": self.registered},
            "invocations": {
                "succeeded": self.sent,
                "failed": self.send_failed,
            },
        }


@dataclass(frozen=True, slots=True)
class Clocks:
    """``wall`` decides what is due; ``steady`` tells a clock that was put from time that passed.

    ``skews``: what others say of the wall clock, in seconds that it is ahead; None: not known."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    skews: Sequence[Callable[[], float | None]] = ()


def asked_anew(
    skew: Callable[[], float | None], ask: Callable[[], object]
) -> Callable[[], float | None]:
    """What was heard before a machine slept says that its clock is wrong when it wakes, since the
    clock that counts on has slept, too: a skew is believed when somebody says it now."""

    def found() -> float | None:
        heard = skew()
        if heard is None or abs(heard) <= WARN_SKEW_S:
            return heard
        with suppress(KirikaeError):
            ask()
        return skew()

    return found


@dataclass(slots=True)
class _Memory:
    """What this process saw last."""

    ticked: int | None = None
    alive_since: int | None = None
    wall: float | None = None
    steady: float = 0.0
    swept: float = -1e9
    reloaded: float = -1e9
    told: dict[str, int] = field(default_factory=dict)


class Scheduler:
    """``load`` reads the table, and raises NoTable or NoCrontab; None: it has not changed.

    ``tell``: hears of firings that were missed or lost, and of trouble."""

    def __init__(
        self,
        load: Callable[[], Jobs | None],
        ledger: Ledger,
        queue: Sends,
        clocks: Clocks = Clocks(),
        tell: Callable[[str, Firing | None], None] = lambda says, firing: None,
        offset_s: float = 0.0,
        release: str = "",
    ) -> None:
        """``offset_s``: how long after the minute it looks.  ``release``: runs ``@reboot``.

        Raises NoTable, NoCrontab: a first table must be right."""
        self._load = load
        self._ledger = ledger
        self._queue = queue
        self._clocks = clocks
        self._tell = tell
        self._offset_s = offset_s
        self._release = release
        self._memory = _Memory()
        self.counts = Counts()
        first = load()
        assert first is not None
        self._jobs = first
        self._announced: Jobs | None = None
        self._since: dict[str, int] = {}
        self.counts.registered = len(first.timed)

    @property
    def jobs(self) -> Jobs:
        """The table that is in force."""
        return self._jobs

    # --- the loop

    def run(self, stopped: threading.Event) -> None:
        """Until it is stopped; whatever is away may come back."""
        while not stopped.is_set():
            self.look()
            stopped.wait(self._until_next_look())

    def _until_next_look(self) -> float:
        """Every second, and right at the minute."""
        now = self._clocks.wall() - self._offset_s
        return min(_LOOK_S, 60 - now % 60 + 0.01)

    def look(self) -> None:
        """What is to be done at this moment."""
        self._reload()
        try:
            now = self._clocks.wall()
            minute = int((now - self._offset_s) // 60)
            begins = self._memory.ticked != minute and self._clock_agrees(now)
            if begins:
                self._tick(minute)
                self._memory.ticked = minute
            self.send_waiting()
            if begins:
                # Afterwards: whoever is due now does not wait for it.
                self._tell_waiting(minute)
            self._sweep()
        except LedgerAway as error:
            self.counts.ledger_away += 1
            self._complain("ledger", str(error))

    def _complain(self, about: str, says: str) -> None:
        """Once a minute of the same thing."""
        minute = int(self._clocks.steady() // 60)
        if self._memory.told.get(about) != minute:
            self._memory.told[about] = minute
            log.warning("%s", says)
            self._tell(says, None)

    def _reload(self) -> None:
        """A table that cannot be read leaves the old one in force."""
        if self._clocks.steady() - self._memory.reloaded < _RELOAD_S:
            return
        self._memory.reloaded = self._clocks.steady()
        try:
            found = self._load()
        except (NoTable, NoCrontab) as error:
            self.counts.reload_failed += 1
            self._complain("table", f"the former table stays in force: {error}")
            return
        if found is not None:
            self._jobs = found
            self.counts.registered = len(found.timed)
            log.info("%d jobs are in force", len(found.timed))

    # --- the minute

    def _clock_agrees(self, now: float) -> bool:
        """A clock that is a minute off would admit the wrong firings: others stand in for it."""
        known = [now - self._ledger.now()]
        known += [skew for each in self._clocks.skews if (skew := each()) is not None]
        worst = max(known, key=abs)
        if abs(worst) <= WARN_SKEW_S:
            return True
        says = f"this machine's clock is {worst:+.0f} s off"
        if abs(worst) <= MOST_SKEW_S:
            self._complain("clock", f"{says}; set it right (chrony, or Amazon Time Sync)")
            return True
        self.counts.stood_down += 1
        self._complain("clock", f"{says}: this scheduler admits nothing until it is set right")
        return False

    def _moment(self, minute: int) -> Moment:
        """What this process lived through."""
        memory = self._memory
        wall = self._clocks.wall()
        steady = self._clocks.steady()
        jumped = False
        if memory.wall is not None:
            jump_s = (wall - memory.wall) - (steady - memory.steady)
            jumped = jump_s > CORRECTION_MIN * 60
        memory.wall = wall
        memory.steady = steady
        if memory.alive_since is None:
            memory.alive_since = minute
        return Moment(
            minute,
            memory.alive_since,
            jumped,
        )

    def _tick(self, minute: int) -> None:
        jobs = self._jobs
        mark = self._ledger.mark(jobs.name)
        if mark is not None and mark.serial > jobs.serial:
            self.counts.stale += 1
            self._complain(
                "serial",
                f"table {jobs.name} of serial {mark.serial} is in force, this one is of "
                f"{jobs.serial}: nothing of it is admitted",
            )
            return
        if mark is not None and mark.minute > minute + _AHEAD_MIN:
            ahead = mark.minute - minute
            self._complain("mark", f"somebody admitted firings {ahead} minutes ahead of this clock")
        self._announce(jobs, minute)
        found = plan(
            jobs,
            mark,
            self._moment(minute),
            self._since,
        )
        if found.untold:
            self._complain("missed", f"{found.untold} more firings were missed than are listed")
        wanted = [*found.wanted, *self._at_release(jobs, minute)]
        for at in range(
            0,
            len(wanted),
            _AT_ONCE,
        ):
            self._admitted(self._ledger.admit(wanted[at : at + _AT_ONCE]))
        self._ledger.raise_mark(jobs.name, Mark(jobs.serial, minute))

    def _announce(self, jobs: Jobs, minute: int) -> None:
        """Workers find definitions in the ledger; nothing is made up before a job was known."""
        if self._announced is jobs:
            return
        self._ledger.define([timed.job for timed in jobs.timed])
        self._since = dict(self._ledger.since(jobs.ids, minute))
        self._announced = jobs

    def _at_release(self, jobs: Jobs, minute: int) -> list[Wanted]:
        """``@reboot`` runs once for each release, at the minute that the first scheduler of it
        saw."""
        if not self._release:
            return []
        starting = [
            timed
            for timed in jobs.timed
            if timed.entry.schedule is None and timed.expression is None
        ]
        names = [f"{timed.job.id}@{self._release}" for timed in starting]
        if not names:
            return []
        since = self._ledger.since(names, minute)
        return [
            Wanted(
                timed.job.id,
                since[name],
                timed.digest,
                jobs.serial,
                timed.job.in_ledger,
            )
            for timed, name in zip(
                starting,
                names,
                strict=True,
            )
        ]

    def _admitted(self, answers: Sequence[Admitted]) -> None:
        for answer in answers:
            if not answer.fresh:
                self.counts.deduped += 1
            elif answer.firing.state is State.MISSED:
                self.counts.missed += 1
                self._tell("missed", answer.firing)
            else:
                self.counts.admitted += 1

    def _tell_waiting(self, minute: int) -> None:
        """Firings that nobody began.  One of all schedulers tells it."""
        jobs = {timed.job.id: timed.job for timed in self._jobs.timed}
        rows: dict[str, Firing] = {}
        for begin, end in windows(jobs.values(), minute):
            found = self._ledger.history(None, begin, end, _MOST_LOOKED_AT)
            rows |= {firing.id: firing for firing in found}
        for firing in not_begun(rows.values(), jobs, self._clocks.wall()):
            name = f"late:{firing.job}"
            told = self._ledger.mark(name)
            if told is None or told.minute < firing.due:
                self._ledger.raise_mark(name, Mark(0, firing.due))
                self.counts.late += 1
                self._tell("late", firing)

    # --- the queue, and what was left behind

    def send_waiting(self) -> None:
        """All that no message carries yet: of this minute, of a retry, of a queue that was away."""
        while waiting := self._ledger.unsent(_AT_ONCE):
            if not self._send(waiting) or len(waiting) < _AT_ONCE:
                return

    def _send(self, waiting: Sequence[Firing]) -> bool:
        taken: list[Firing] = []
        for at in range(
            0,
            len(waiting),
            10,
        ):
            batch = waiting[at : at + 10]
            try:
                answers = self._queue.send([outgoing(firing) for firing in batch])
            except KirikaeError as error:
                self.counts.send_failed += len(batch)
                self._complain("queue", f"{len(waiting) - at} firings wait for the queue: {error}")
                break
            taken += [
                firing
                for firing, ok in zip(
                    batch,
                    answers,
                    strict=True,
                )
                if ok
            ]
            self.counts.send_failed += answers.count(False)
        if taken:
            self._ledger.sent(taken)
            self.counts.sent += len(taken)
        return len(taken) == len(waiting)

    def _sweep(self) -> None:
        """Leases that ran out, starts that come too late."""
        if self._clocks.steady() - self._memory.swept < _SWEEP_S:
            return
        self._memory.swept = self._clocks.steady()
        for firing in self._ledger.sweep():
            if firing.state is State.MISSED:
                self.counts.missed += 1
                self._tell("missed", firing)
            elif firing.state is State.LOST:
                self.counts.lost += 1
                self._tell("failure", firing)
