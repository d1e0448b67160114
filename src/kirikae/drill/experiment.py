"""One experiment: load, a fault in its middle, its undoing always, and what it cost.

Write down, do, write down: what undoes the fault lies in a file before the fault is made, and goes
when it is undone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kirikae.drill.acts import Ground, carry_out
from kirikae.drill.columns import Columns, Error, Record
from kirikae.drill.engine import Settings, attack
from kirikae.drill.errors import CannotBeDone
from kirikae.drill.faults import Prepared
from kirikae.drill.fleet import Fleet
from kirikae.drill.plan import Plan, Stage, of_stages
from kirikae.drill.slo import Limit
from kirikae.drill.targets import Target
from kirikae.drill.undoing import Standing, Undoings
from kirikae.drill.verdict import Verdict, verdicts_of
from kirikae.drill.watching import Look, Watcher, seen_of
from kirikae.drill.windows import Cost, Expected, Span, cost_of
from kirikae.model.errors import KirikaeError
from kirikae.model.said import Said, said

_LATELY_S = 5.0
_OVERDUE_S = 2.0
_BUSY_FOR_EACH_CORE = 4
"""Processes that want each core of this machine: above that everything on it loses requests."""
_JUDGED_LATELY = 20
"""So many requests at least, before a share of them stops anything."""
_PATIENCE_S = 5.0
"""So much longer than planned it is waited for them, before a service of which little is known is
broken: a busy machine sends late, and what was sent late says nothing of the service."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """``before_s``, ``lasts_s``, ``after_s``: the three windows.  ``limits``: the hypothesis.
    ``stop_at``: so large a share of bad requests in the last seconds ends the fault early."""

    rate: float
    before_s: float
    lasts_s: float
    after_s: float
    limits: tuple[Limit, ...] = ()
    slow_s: float | None = None
    warm_s: float = 2.0
    stop_at: float | None = None

    @property
    def plan(self) -> Plan:
        """Even load for all of it."""
        seconds = self.before_s + self.lasts_s + self.after_s
        return of_stages([Stage(self.rate, self.rate, seconds)])


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of it.  ``stopped``: the fault was ended early.  ``trouble``: it could not be
    made.  ``machine``: doubts that this machine gives, which the requests do not show."""

    record: Record
    cost: Cost | None
    looks: tuple[Look, ...]
    timeline: tuple[tuple[float, Said], ...]
    stopped: bool
    trouble: KirikaeError | None
    machine: tuple[Said, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Did somebody end it by hand?"""
        return not self.stopped and bool((self.record.error == Error.STOPPED).any())


@dataclass
class _Course:
    """Makes and undoes the fault, from the load engine's own looks: the requests go on in other
    processes."""

    experiment: Experiment
    prepared: Prepared
    standing: Standing
    ground: Ground
    undoings: Undoings
    watcher: Watcher
    targets: Sequence[Target]
    told: Callable[[Columns, float], None]
    began_s: float | None = None
    ended_s: float | None = None
    stopped: bool = False
    trouble: KirikaeError | None = None
    timeline: list[tuple[float, Said]] = field(default_factory=list)
    base_ns: int = 0

    def look(
        self,
        columns: Columns,
        at: float,
    ) -> None:
        """Some times a second."""
        self.base_ns = time.monotonic_ns() - int(at * 1e9)
        self.told(columns, at)
        if self.began_s is None and at >= self.experiment.before_s and self.trouble is None:
            self._make(columns, at)
        elif self.began_s is not None and self.ended_s is None:
            self._hold(columns, at)
        elif self._is_over(at):
            columns.stop[0] = 1
        self.watcher.look(self._now())

    def _is_over(self, at: float) -> bool:
        """A fault that was ended early need not wait for the plan's own end."""
        if not self.stopped or self.ended_s is None:
            return False
        return at >= self.ended_s + self.experiment.after_s

    def _now(self) -> float:
        """Seconds since the plan's begin."""
        return (time.monotonic_ns() - self.base_ns) / 1e9

    def _make(self, columns: Columns, at: float) -> None:
        share = self._bad_lately(columns, self.experiment.slow_s or _OVERDUE_S)
        if share is None and self._may_still_be_known(at):
            return
        if self._is_too_bad(share):
            self.trouble = CannotBeDone(
                f"{self.prepared.name}: {self.standing.service} was not well before it: more than "
                f"{self.experiment.stop_at:.0%} of the last {_LATELY_S:g} seconds' requests were "
                "bad. Nothing was broken; look at the service first (`kirikae drill load`), or "
                "say --stop-at 100"
            )
            columns.stop[0] = 1
            return
        self.undoings.write(self.standing)
        self.began_s = self._now()
        try:
            for act in self.prepared.inject:
                self.timeline.append((self._now(), said("drill.fault.does", act=str(act))))
                carry_out(self.ground, act)
        except KirikaeError as error:
            self.trouble = error
            columns.stop[0] = 1

    def _hold(
        self,
        columns: Columns,
        at: float,
    ) -> None:
        assert self.began_s is not None
        if at >= self.began_s + self.experiment.lasts_s:
            self.end()
        elif self._is_too_bad(self._bad_lately(columns, self.experiment.slow_s)):
            self.stopped = True
            self.timeline.append((self._now(), said("drill.fault.stopped")))
            self.end()

    def end(self) -> None:
        """The fault is undone; once more does no harm.  Raises UndoFailed."""
        if self.began_s is None or self.ended_s is not None:
            return
        for act in self.standing.undo:
            self.timeline.append((self._now(), said("drill.fault.undoes", act=str(act))))
        self.undoings.undo(self.standing, lambda act: carry_out(self.ground, act))
        self.ended_s = self._now()

    def _bad_lately(self, columns: Columns, overdue_s: float | None) -> float | None:
        """Of what was due in the last seconds, and has ended or waits for longer than that."""
        return bad_lately(
            columns,
            self.targets,
            self.experiment.slow_s,
            self.base_ns,
            overdue_s,
        )

    def _may_still_be_known(self, at: float) -> bool:
        """The plan asks enough beforehand to know, and the machine was too busy."""
        before_s = self.experiment.before_s
        enough = self.experiment.rate * min(before_s, _LATELY_S) >= _JUDGED_LATELY
        guarded = self.experiment.stop_at is not None
        return guarded and enough and at < before_s + _PATIENCE_S

    def _is_too_bad(self, share: float | None) -> bool:
        stop_at = self.experiment.stop_at
        return stop_at is not None and share is not None and share > stop_at


def bad_lately(
    columns: Columns,
    targets: Sequence[Target],
    slow_s: float | None,
    base_ns: int,
    overdue_s: float | None = None,
) -> float | None:
    """Share of bad requests, while the load goes on; None: too few have ended.  What was not sent
    in time is no request of a user and counts on neither side.

    ``overdue_s``: what was asked so long ago and has no answer is bad already.
    """
    now = time.monotonic_ns()
    due = np.frombuffer(columns.due, np.int64)
    first = int(np.searchsorted(due, now - int(_LATELY_S * 1e9)))
    last = int(np.searchsorted(due, now))
    done = np.frombuffer(columns.done, np.int64)[first:last]
    ended = np.flatnonzero(done > 0) + first
    overdue = 0
    if overdue_s is not None:
        overdue = int(((done == 0) & (due[first:last] < now - int(overdue_s * 1e9))).sum())
    part = _part(
        columns,
        ended,
        len(targets),
        base_ns,
    )
    verdicts = verdicts_of(
        part,
        targets,
        slow_s,
    )
    judged = int((~np.isin(verdicts, (Verdict.NOT_SENT, Verdict.STOPPED))).sum()) + overdue
    if judged < _JUDGED_LATELY:
        return None
    bad = int(np.isin(verdicts, (Verdict.SLOW, Verdict.WRONG, Verdict.LOST)).sum())
    return (bad + overdue) / judged


def _part(
    columns: Columns,
    rows: Any,
    targets: int,
    base_ns: int,
) -> Record:
    """These rows of a run that is not over."""

    def taken(name: str, kind: Any) -> Any:
        return np.frombuffer(getattr(columns, name), kind)[rows]

    return Record(
        due=taken("due", np.int64),
        sent=taken("sent", np.int64),
        first=taken("first", np.int64),
        done=taken("done", np.int64),
        status=taken("status", np.int16),
        error=taken("error", np.uint8),
        octets=taken("octets", np.int64),
        target=rows % targets,
        began_ns=base_ns,
        wall=0.0,
        cores=(),
        lacks=taken("lacks", np.uint8),
    )


def run(
    experiment: Experiment,
    fleet: Fleet,
    prepared: Prepared,
    standing: Standing,
    ground: Ground,
    undoings: Undoings,
    targets: Sequence[Target],
    settings: Settings,
    told: Callable[[Columns, float], None] = lambda columns, at: None,
) -> Ran:
    """Whatever happens, the fault is undone before this returns or raises.  Raises UndoFailed."""
    watcher = Watcher(ground.aws, fleet)
    course = _Course(
        experiment,
        prepared,
        standing,
        ground,
        undoings,
        watcher,
        targets,
        told,
    )
    try:
        record = attack(
            experiment.plan,
            targets,
            settings,
            course.look,
        )
    finally:
        with _undisturbed():
            course.end()
    machine = tuple(_of_machine(fleet, os.getloadavg()[0]))
    return Ran(
        record=record,
        cost=_cost(
            experiment,
            fleet,
            prepared,
            course,
            record,
            targets,
            machine,
        ),
        looks=tuple(watcher.looks),
        timeline=tuple(course.timeline),
        stopped=course.stopped,
        trouble=course.trouble,
        machine=machine,
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whoever presses Ctrl-C once more does not keep a fault from being undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signs = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {sign: signal.signal(sign, signal.SIG_IGN) for sign in signs}
    try:
        yield
    finally:
        for sign, handler in former.items():
            signal.signal(sign, handler)


def _cost(
    experiment: Experiment,
    fleet: Fleet,
    prepared: Prepared,
    course: _Course,
    record: Record,
    targets: Sequence[Target],
    machine: tuple[Said, ...],
) -> Cost | None:
    """None: the fault was never made."""
    if course.began_s is None or course.ended_s is None or course.trouble is not None:
        return None
    return judge(
        experiment,
        fleet,
        prepared,
        Span(course.began_s, course.ended_s),
        course.watcher.looks,
        record,
        targets,
        machine,
    )


def judge(
    experiment: Experiment,
    fleet: Fleet,
    prepared: Prepared,
    span: Span,
    looks: Sequence[Look],
    record: Record,
    targets: Sequence[Target],
    machine: Sequence[Said],
) -> Cost:
    """A fault that was made, from what was kept of it: now, or any time later."""
    found = cost_of(
        record,
        targets,
        experiment.limits,
        span,
        Expected(experiment.rate, prepared.share, prepared.detection_s),
        seen_of(looks, fleet, span.begins),
        experiment.slow_s,
        min(experiment.warm_s, experiment.before_s / 2),
    )
    return replace(found, doubts=(*found.doubts, *machine))


def _of_machine(fleet: Fleet, load: float) -> Iterator[Said]:
    """Where the service runs on this machine, too: what others do here hits it as the fault does.
    ``load``: processes that want a core, in the mean of the last minute."""
    cores = os.cpu_count() or 1
    if load > _BUSY_FOR_EACH_CORE * cores and any(task.engine_id for task in fleet.tasks):
        yield said("drill.doubt.machine", load=load, cores=cores)


def standing_of(
    mark: str,
    service: str,
    where: str,
    prepared: Prepared,
    now: float,
) -> Standing:
    """What is to be written down before the fault is made."""
    return Standing(
        mark=mark,
        fault=prepared.name,
        service=service,
        began=now,
        where=where,
        undo=prepared.undo,
    )
