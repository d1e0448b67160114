"""A service's tasks through a trace of load, for many candidates of rules at once.

A fluid queue in steps of a few seconds; the law of scaling is ``model/scaling.py``, the same that
`kirikae local` scales by.  Assumed, not measured (fit them with your own figures): the answer time
grows as ``answer x (1 + 0.69 r/(1-r))`` with the utilisation r, plus what waits in the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kirikae.capacity.trace import MINUTE, Trace
from kirikae.model.scaling import (
    PUBLISHED_AFTER_S,
    Bounds,
    Measured,
    Metric,
    Number,
    Numbers,
    Policy,
    Scaling,
    Seen,
    Suspended,
    advance,
)

STEP_S = 5
_FULL = 0.995
_WAITS_S = 60.0
"""A request that would wait longer has gone: the queue holds no more."""


@dataclass(frozen=True, slots=True)
class Task:
    """``answer_s``: p99 of an idle task.  ``start_s``: from the decision until it takes requests,
    ``drain_s``: from its end as a target until it is gone."""

    requests_per_s: float
    answer_s: float
    start_s: float
    drain_s: float


@dataclass(frozen=True, slots=True)
class Daily:
    """A scheduled action for every day at ``minute`` of the day (UTC)."""

    minute: Number
    least: Number


@dataclass(frozen=True, slots=True)
class Rules:
    """Candidates of rules: structure in common, numbers one for each or the same for all."""

    policies: tuple[Policy, ...]
    least: Number
    most: Number
    schedules: tuple[Daily, ...] = ()
    suspended: Suspended = field(default_factory=Suspended)


@dataclass(frozen=True, slots=True)
class Change:
    """One decision, of the first candidate.  ``by``: the policy's name; empty: a schedule."""

    at: float
    former: int
    desired: int
    by: str


@dataclass(frozen=True, slots=True)
class Run:
    """What became of each candidate.

    ``bad``: share of the requests that came while p99 was above the limit or the queue was full;
    ``lost``: those that found it full.  ``task_s``: task seconds, of which ``base_s`` are among the
    first ``base`` tasks.  ``tasks``: those of the first candidate that ran at each minute's end;
    ``there``: with those that start and drain.
    """

    bad: Numbers
    lost: Numbers
    task_s: Numbers
    base_s: Numbers
    changes: Numbers
    most_tasks: Numbers
    tasks: Numbers
    there: Numbers
    log: tuple[Change, ...]


class _Fleet:
    """Tasks of every candidate: running, on their way, draining."""

    def __init__(self, running: Numbers, task: Task):
        self.running = running.copy()
        self.pending = np.zeros_like(running)
        self.draining = np.zeros_like(running)
        self._start = max(1, round(task.start_s / STEP_S))
        self._drain = max(1, round(task.drain_s / STEP_S))
        self._launches = np.zeros((self._start, len(running)))
        self._drains = np.zeros((self._drain, len(running)))

    @property
    def there(self) -> Numbers:
        """All that AWS bills: from the pull of the image to the stop."""
        return self.running + self.pending + self.draining

    def step(self, index: int) -> None:
        """What ends now: launches that take requests, drains that are gone."""
        launched = self._launches[index % self._start]
        self.running += launched
        self.pending -= launched
        launched[:] = 0
        drained = self._drains[index % self._drain]
        self.draining -= drained
        drained[:] = 0

    def towards(self, desired: Numbers, index: int) -> None:
        """Launch what is missing; of too many, what is on its way goes first."""
        missing = desired - self.running - self.pending
        more = np.maximum(missing, 0)
        self._launches[index % self._start] += more
        self.pending += more
        over = self._cancelled(np.maximum(-missing, 0), index)
        ended = np.minimum(over, self.running)
        self.running -= ended
        self.draining += ended
        self._drains[index % self._drain] += ended

    def _cancelled(self, over: Numbers, index: int) -> Numbers:
        """Give up launches under way, the youngest first; answers what is still too many."""
        for age in range(self._start):
            if not over.any():
                break
            launches = self._launches[(index - age) % self._start]
            gone = np.minimum(over, launches)
            launches -= gone
            self.pending -= gone
            over = over - gone
        return over


class _Figures:
    """Datapoints of each metric, known when AWS would know them."""

    def __init__(self, metrics: set[Measured], candidates: int):
        self._sums = {metric: np.zeros(candidates) for metric in metrics}
        self._coming: list[tuple[float, Measured, Numbers]] = []

    def add(self, utilisation: Numbers, per_task: Numbers) -> None:
        for metric, total in self._sums.items():
            total += per_task if metric == Metric.REQUESTS else utilisation

    def at(self, now: float) -> dict[Measured, Numbers]:
        """What has become known by now, and close the periods that end now."""
        for metric, total in self._sums.items():
            if now % metric.period_s == 0:
                steps = metric.period_s / STEP_S
                value = total * (MINUTE / metric.period_s)
                if metric != Metric.REQUESTS:
                    value = total / steps
                known = now + PUBLISHED_AFTER_S[metric.period_s]
                self._coming.append((known, metric, value.copy()))
                total[:] = 0
        due = {metric: value for known, metric, value in self._coming if known <= now}
        if due:
            self._coming = [each for each in self._coming if each[0] > now]
        return due


def simulate(
    traces: Sequence[Trace],
    task: Task,
    rules: Rules,
    limit_s: float,
    base: int = 0,
) -> Run:
    """Run one candidate through each trace; they are of equal length, and all numbers of the rules
    are one for each trace, or the same for all.  ``limit_s``: p99 above it makes requests bad.

    Begins with as many tasks as carry the first minute at 60%, within bounds.
    """
    rates = np.stack([trace.rates for trace in traces], axis=1)
    begins = np.array([trace.begins for trace in traces], np.float64)
    course = Course(rates, begins, task, rules, limit_s)
    for index in range(len(rates) * MINUTE // STEP_S):
        course.serve(index)
        course.sums.bill(course.fleet, base)
        course.decide(index)
    return course.sums.run(rates)


class Course:
    """All candidates on their way through the traces; ``scale`` may be somebody else's."""

    def __init__(
        self, rates: Numbers, begins: Numbers, task: Task, rules: Rules, limit_s: float
    ) -> None:
        minutes, candidates = rates.shape
        first = np.ceil(rates[0] / task.requests_per_s / 0.6)
        first = np.clip(first, rules.least, rules.most)
        self._rates = rates
        self._begins = begins
        self._task = task
        self._rules = rules
        self._limit_s = limit_s
        self._state = Scaling.of(first, rules.least, rules.most, candidates)
        self._queue = np.zeros(candidates)
        self._figures = _Figures({policy.metric for policy in rules.policies}, candidates)
        self.fleet = _Fleet(self._state.desired, task)
        self.sums = _Sums(candidates, minutes)

    def serve(self, index: int) -> None:
        """One step of the queue."""
        fleet = self.fleet
        task = self._task
        fleet.step(index)
        rate = self._rates[index * STEP_S // MINUTE]
        can = fleet.running * task.requests_per_s
        waiting = self._queue + rate * STEP_S
        served = np.minimum(waiting, can * STEP_S)
        left = waiting - served
        lost = np.maximum(left - np.maximum(can, task.requests_per_s) * _WAITS_S, 0)
        left -= lost
        none = can <= 0
        safe = np.where(none, 1.0, can)
        used = np.minimum(rate / safe, _FULL)
        p99 = task.answer_s * (1 + 0.69 * used / (1 - used)) + left / safe
        self.sums.bad += np.where(none | (p99 > self._limit_s), rate * STEP_S, lost)
        self.sums.lost += lost
        self._queue = left
        self._figures.add(
            utilisation=np.where(none, np.nan, 100 * served / (safe * STEP_S)),
            per_task=np.where(none, 0.0, served / np.maximum(fleet.running, 1)),
        )

    def decide(self, index: int) -> None:
        """At the end of a step: what AWS knows by then, and what it does."""
        ended = float((index + 1) * STEP_S)
        seen = Seen(
            now=ended,
            running=self.fleet.running,
            datapoints=self._figures.at(ended),
            scheduled=_due(self._rules.schedules, self._begins, ended),
        )
        if seen.datapoints or seen.scheduled:
            self.scale(index, seen)
        if ended % MINUTE == 0:
            minute = int(ended // MINUTE) - 1
            self.sums.tasks[minute] = self.fleet.running[0]
            self.sums.there[minute] = self.fleet.there[0]

    def scale(self, index: int, seen: Seen) -> None:
        """Decide, and let the fleet follow."""
        policies = self._rules.policies
        former = self._state.desired
        self._state, decision = advance(policies, self._state, seen, self._rules.suspended)
        if decision.out.any() or decision.into.any():
            desired = self._state.desired
            self.fleet.towards(desired, index)
            self.sums.changed(seen.now, former, desired, decision.by, policies)


def _due(schedules: Sequence[Daily], begins: Numbers, ended: float) -> tuple[Bounds, ...]:
    if ended % MINUTE or not schedules:
        return ()
    minute = (begins + ended) // MINUTE % 1440
    due = []
    for each in schedules:
        where = np.asarray(each.minute) == minute
        if where.any():
            due.append(Bounds(least=each.least, where=where))
    return tuple(due)


class _Sums:
    """What is counted over a run."""

    def __init__(self, candidates: int, minutes: int):
        self.bad = np.zeros(candidates)
        self.lost = np.zeros(candidates)
        self.tasks = np.zeros(minutes)
        self.there = np.zeros(minutes)
        self._task_s = np.zeros(candidates)
        self._base_s = np.zeros(candidates)
        self._changes = np.zeros(candidates)
        self._most = np.zeros(candidates)
        self._log: list[Change] = []

    def bill(self, fleet: _Fleet, base: int) -> None:
        """One step of every candidate."""
        there = fleet.there
        self._task_s += there * STEP_S
        self._base_s += np.minimum(there, base) * STEP_S
        np.maximum(
            self._most,
            there,
            out=self._most,
        )

    def changed(
        self,
        at: float,
        former: Numbers,
        desired: Numbers,
        by: Numbers | np.ndarray[tuple[int, ...], np.dtype[np.int64]],
        policies: tuple[Policy, ...],
    ) -> None:
        self._changes += former != desired
        if former[0] != desired[0]:
            name = policies[int(by[0])].name if by[0] >= 0 else ""
            self._log.append(
                Change(
                    at,
                    int(former[0]),
                    int(desired[0]),
                    name,
                )
            )

    def run(self, rates: Numbers) -> Run:
        requests = np.maximum(rates.sum(axis=0) * MINUTE, 1e-9)
        return Run(
            bad=self.bad / requests,
            lost=self.lost / requests,
            task_s=self._task_s,
            base_s=self._base_s,
            changes=self._changes,
            most_tasks=self._most,
            tasks=self.tasks,
            there=self.there,
            log=tuple(self._log),
        )
