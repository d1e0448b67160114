"""Search for rules that hold a limit at the least cost, and judge them on a week never seen.

The best of many candidates fits the days it was searched on: it is tried on several weeks, on a
louder one and on one with a flash crowd a day, and what is told of it comes from a week that took
no part (Storn and Price, "Differential Evolution", 1997, here current-to-best/1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kirikae.capacity.cost import Price, of_run
from kirikae.capacity.errors import TraceProblem
from kirikae.capacity.settings import CapacityFile, DailySettings, PolicySettings
from kirikae.capacity.simulate import Daily, Rules, simulate
from kirikae.capacity.trace import Trace
from kirikae.model.scaling import Numbers, StepScaling, TargetTracking

POPULATION = 64
GENERATIONS = 15
_FACTOR = 0.6
_CROSSED = 0.7
_OVERSHOOT = 50.0
_KEPT_BACK = 0.5
"""So much of the limit is searched with: a week that has not come yet holds other crowds."""
LOUDER = 1.3
"""The training weeks once more with so many times their load: room for growth."""
_WEEK = 7 * 24 * 60
_JUDGED = 8
"""So many of the best are tried on the unseen week."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One number that is searched: where it stands in the file, and between which values."""

    path: tuple[str | int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Split:
    """``seen``: weeks to search on, ``unseen``: the last one, to judge by."""

    seen: tuple[Trace, ...]
    unseen: Trace


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate on the unseen week.  ``usd``: at the middle of its band; ``louder_bad``: with
    1.3 times the load."""

    rules: CapacityFile
    usd: float
    bad: float
    louder_bad: float
    changes: int
    most_tasks: int


def split(trace: Trace) -> Split:
    """Raises TraceProblem where there are not two whole weeks."""
    weeks = tuple(trace.weeks())
    if len(weeks) < 2:
        raise TraceProblem(
            f"the trace has {trace.minutes / _WEEK:.1f} weeks; tuning needs two whole ones at "
            "least: one to search on and one, never seen, to judge by. CloudWatch keeps figures of "
            "every minute for 15 days, and of five minutes for 63"
        )
    return Split(weeks[:-1], weeks[-1])


def knobs(file: CapacityFile) -> tuple[Knob, ...]:
    """What may be turned: targets, cool-downs, floors, thresholds, amounts and hours."""
    found = [
        Knob(
            ("tasks", "min"),
            1,
            max(2.0, 0.8 * file.tasks.max),
        )
    ]
    for index, policy in enumerate(file.policies):
        found += _policy_knobs(
            index,
            policy,
            file,
        )
    for index, _ in enumerate(file.daily):
        found.append(
            Knob(
                ("daily", index, "minute"),
                0,
                1439,
            )
        )
        found.append(
            Knob(
                ("daily", index, "min"),
                1,
                max(2.0, 0.8 * file.tasks.max),
            )
        )
    return tuple(found)


def _policy_knobs(index: int, policy: PolicySettings, file: CapacityFile) -> Iterator[Knob]:
    here = ("policies", index)
    full = 100.0 if policy.metric != "requests" else file.task.requests_per_s * 60
    if policy.target is not None:
        yield Knob(
            (*here, "target"),
            0.2 * full,
            0.95 * full,
        )
        yield Knob(
            (*here, "in_cooldown_s"),
            60,
            1200,
        )
    threshold = "above" if policy.above is not None else "below"
    if policy.target is None:
        yield Knob(
            (*here, threshold),
            0.2 * full,
            0.98 * full,
        )
        for number, step in enumerate(policy.steps):
            if policy.by == "tasks" and step.add > 0:
                yield Knob(
                    (*here, "steps", number, "add"),
                    1,
                    max(2.0, file.tasks.max / 2),
                )
    yield Knob(
        (*here, "out_cooldown_s"),
        0,
        600,
    )


def tune(
    file: CapacityFile,
    split: Split,
    hour: Price,
    seed: int = 1,
    tell: Callable[[int, int], None] = lambda done, of: None,
    generations: int = GENERATIONS,
) -> list[Tried]:
    """The file's own rules first, then the front of cost against bad requests, cheapest first; all
    judged on the unseen week."""
    draw = np.random.default_rng(seed)
    search = _Search(file, split, hour, knobs(file), searched(split, draw))
    people = search.begin(draw)
    scores = search.scores(people)
    for generation in range(generations):
        children = search.children(people, scores, draw)
        theirs = search.scores(children)
        better = theirs < scores
        people[better] = children[better]
        scores = np.where(better, theirs, scores)
        tell(generation + 1, generations)
    best = people[np.argsort(scores)[:_JUDGED]]
    found = [with_knobs(file, search.turned, person) for person in best]
    return [
        judged(file, split.unseen, hour),
        *_front([judged(rules, split.unseen, hour) for rules in found]),
    ]


def searched(split: Split, draw: np.random.Generator) -> tuple[Trace, ...]:
    """The weeks that were seen, and the last one of them louder and with crowds: what has not come
    yet."""
    last = split.seen[-1]
    return (*split.seen, last.scaled(LOUDER), last.crowded(draw))


def _front(tried: Sequence[Tried]) -> list[Tried]:
    """Without those that another one beats in both; equal rules once."""
    kept: list[Tried] = []
    for each in sorted(tried, key=lambda one: (one.usd, one.bad)):
        if not kept or each.bad < kept[-1].bad:
            kept.append(each)
    return kept


def judged(file: CapacityFile, trace: Trace, hour: Price) -> Tried:
    """These rules on this trace, and on 1.3 times its load."""
    run = simulate(
        (trace, trace.scaled(LOUDER)),
        file.one_task(),
        file.rules(trace.begins),
        file.limit_ms / 1000,
        _base(file),
    )
    bands, _ = of_run(
        run,
        hour,
        file.tasks.spot,
    )
    return Tried(
        rules=file,
        usd=(bands[0].least + bands[0].most) / 2,
        bad=float(run.bad[0]),
        louder_bad=float(run.bad[1]),
        changes=int(run.changes[0]),
        most_tasks=int(run.most_tasks[0]),
    )


def _base(file: CapacityFile) -> int:
    return file.tasks.base if file.tasks.spot else 0


@dataclass(frozen=True)
class _Search:
    """What all generations have in common; one row of ``people`` is one candidate's numbers."""

    file: CapacityFile
    split: Split
    hour: Price
    turned: tuple[Knob, ...]
    weeks: tuple[Trace, ...]

    @cached_property
    def _low(self) -> Numbers:
        return np.array([knob.low for knob in self.turned])

    @cached_property
    def _high(self) -> Numbers:
        return np.array([knob.high for knob in self.turned])

    def begin(self, draw: np.random.Generator) -> Numbers:
        """Anywhere within the bounds; the first one has the file's own numbers."""
        people = draw.uniform(self._low, self._high, (POPULATION, len(self.turned)))
        people[0] = np.clip(_now(self.file, self.turned), self._low, self._high)
        return people

    def children(self, people: Numbers, scores: Numbers, draw: np.random.Generator) -> Numbers:
        """Current-to-best/1: towards the best, and a step between two others."""
        count, width = people.shape
        best = people[int(np.argmin(scores))]
        one = people[draw.permutation(count)]
        other = people[draw.permutation(count)]
        mutant = people + _FACTOR * (best - people) + _FACTOR * (one - other)
        crossed = draw.random((count, width)) < _CROSSED
        crossed[np.arange(count), draw.integers(0, width, count)] = True
        return np.clip(np.where(crossed, mutant, people), self._low, self._high)

    def scores(self, people: Numbers) -> Numbers:
        """Cost, made dearer by what goes over the limit; summed over the weeks."""
        weeks = self.weeks
        values = {
            knob.path: np.tile(np.round(people[:, index]), len(weeks))
            for index, knob in enumerate(self.turned)
        }
        run = simulate(
            [week for week in weeks for _ in people],
            self.file.one_task(),
            _rules(self.file, values, self.split.unseen.begins),
            self.file.limit_ms / 1000,
            _base(self.file),
        )
        bands, _ = of_run(run, self.hour, self.file.tasks.spot)
        usd = np.array([(band.least + band.most) / 2 for band in bands])
        limit = _KEPT_BACK * self.file.bad_percent / 100
        over = np.maximum(run.bad - limit, 0) / limit
        score: Numbers = usd * (1 + _OVERSHOOT * over)
        total: Numbers = score.reshape(len(weeks), len(people)).sum(axis=0)
        return total


Values = dict[tuple[str | int, ...], Numbers]


def _rules(file: CapacityFile, values: Values, at: int) -> Rules:
    """The file's rules with the candidates' numbers in them."""
    plain = file.rules(at)
    policies = []
    for index, policy in enumerate(plain.policies):
        mine = {
            path[2:]: value for path, value in values.items() if path[:2] == ("policies", index)
        }
        policies.append(_turned(policy, mine))
    schedules = [
        Daily(
            minute=(values["daily", index, "minute"] + _shift(each, at)) % 1440,
            least=values["daily", index, "min"],
        )
        for index, each in enumerate(file.daily)
    ]
    return Rules(
        tuple(policies),
        values["tasks", "min"],
        plain.most,
        tuple(schedules),
    )


def _shift(each: DailySettings, at: int) -> int:
    """From wall minutes to minutes in UTC."""
    wall = int(each.at[:2]) * 60 + int(each.at[3:])
    return each.utc_minute(at) - wall


def _turned(policy: TargetTracking | StepScaling, mine: Values) -> TargetTracking | StepScaling:
    if isinstance(policy, TargetTracking):
        return TargetTracking(
            policy.name,
            policy.metric,
            mine["target",],
            mine["out_cooldown_s",],
            mine["in_cooldown_s",],
            policy.scale_in,
        )
    threshold = mine.get(("above",), mine.get(("below",)))
    assert threshold is not None
    steps = tuple(
        type(step)(
            step.lower,
            step.upper,
            mine.get(("steps", number, "add"), step.amount),
        )
        for number, step in enumerate(policy.steps)
    )
    return StepScaling(
        policy.name,
        policy.metric,
        threshold,
        policy.above,
        steps,
        policy.adjustment,
        policy.datapoints,
        mine["out_cooldown_s",],
        policy.least_change,
    )


def _now(file: CapacityFile, turned: tuple[Knob, ...]) -> NDArray[np.float64]:
    """The file's own numbers."""
    plain = file.model_dump()
    found = []
    for knob in turned:
        if knob.path[-1] == "minute":
            wall = file.daily[int(knob.path[1])].at
            found.append(float(wall[:2]) * 60 + float(wall[3:]))
            continue
        node: object = plain
        for part in knob.path:
            node = node[part]  # type: ignore[index]
        assert isinstance(node, int | float)
        found.append(float(node))
    return np.array(found)


def with_knobs(file: CapacityFile, turned: tuple[Knob, ...], person: Numbers) -> CapacityFile:
    """The file with one candidate's numbers, whole ones as a person would write them."""
    plain = file.model_dump(by_alias=True)
    for knob, value in zip(
        turned,
        np.round(person),
        strict=True,
    ):
        node: object = plain
        for part in knob.path[:-1]:
            node = node[part]  # type: ignore[index]
        assert isinstance(node, dict)
        if knob.path[-1] == "minute":
            node["at"] = f"{int(value) // 60:02}:{int(value) % 60:02}"
        else:
            node[knob.path[-1]] = int(value)
    return CapacityFile.model_validate(plain)
