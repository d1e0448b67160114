"""What a service costs in a month at a trace of load: its rules, the rule that everybody writes by
hand, and a fleet for the peak, each on Fargate, on Spot and on EC2 instances.

Assumed (AWS publishes neither): of an instance's memory ``REGISTERED`` can hold tasks, and an
instance stays for ``STAYS_MINUTES`` after it was last needed, as managed scaling's alarm has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kirikae.capacity.cost import MONTH_H, SPOT_BAND, Price, prices, task_hour
from kirikae.capacity.errors import RulesProblem
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.simulate import Rules, Task, simulate
from kirikae.capacity.trace import MINUTE, Trace
from kirikae.model.scaling import Metric, TargetTracking

UNDATED = "undated"
REGISTERED = 0.93
"""Share of an instance's memory that tasks can have: the system keeps the rest."""
STAYS_MINUTES = 15
_HAND_TARGET = 50.0
_HAND_LEAST = 3
_MOST_BYTES = 1_000_000
_ROW = {"vcpu", "memory_mib", "usd", "seen", "source"}


@dataclass(frozen=True, slots=True)
class Instance:
    """One type of EC2 instance, and what an hour of it costs."""

    name: str
    vcpu: int
    memory_mib: int
    hour: Price

    def holds(self, cpu: int, memory: int) -> int:
        """So many tasks of this size (CPU units, MiB); 0: not even one."""
        return min(self.vcpu * 1024 // cpu, int(self.memory_mib * REGISTERED) // memory)


@dataclass(frozen=True, slots=True)
class Held:
    """What one set of rules asks for.  ``tasks``: there at each minute's end, those that start and
    drain too.  ``task_h``, ``base_h``: task hours of the trace, of all and of the first ``base``
    tasks.  ``bad``: share of slow requests; None: it was not simulated."""

    tasks: NDArray[np.float64]
    task_h: float
    base_h: float
    bad: float | None


@dataclass(frozen=True, slots=True)
class Way:
    """A month of it in one place, in US dollars.  ``place``: ``fargate``, ``fargate_arm``, ``spot``
    or an instance's type.  ``each_holds``: tasks of an instance."""

    place: str
    least: float
    most: float
    seen: str
    each_holds: int | None = None


@dataclass(frozen=True, slots=True)
class Month:
    """``name``: ``own``, ``hand`` or ``peak``."""

    name: str
    mean_tasks: float
    most_tasks: int
    bad: float | None
    ways: tuple[Way, ...]

    def way(self, place: str) -> Way | None:
        """None: it has no price there."""
        return next((each for each in self.ways if each.place == place), None)


def months(file: CapacityFile, trace: Trace, instances: Sequence[Instance]) -> Iterator[Month]:
    """Of the file's own rules, the hand rule, and a fleet for the peak that never changes.

    Raises RulesProblem for a region of which no price at all is known.
    """
    if not instances:
        prices(file.region)
    task = file.one_task()
    own = file.rules(trace.begins)
    yield _month("own", file, _held(file, trace, task, own), instances)
    yield _month("hand", file, _held(file, trace, task, hand_rule(file)), instances)
    needed = for_the_peak(task, float(trace.rates.max()), file.limit_ms / 1000)
    if needed is not None:
        yield _month("peak", file, _still(trace, needed, file.tasks.base), instances)


def hand_rule(file: CapacityFile) -> Rules:
    """Half of the CPU, at least three tasks: what is written where nobody has measured."""
    by_hand = TargetTracking("hand", Metric.CPU, _HAND_TARGET)
    return Rules((by_hand,), float(min(_HAND_LEAST, file.tasks.max)), float(file.tasks.max))


def for_the_peak(task: Task, peak: float, limit_s: float) -> int | None:
    """So many tasks answer the busiest minute within the limit; None: not even an idle one does."""
    if task.answer_s >= limit_s:
        return None
    waits = (limit_s / task.answer_s - 1) / 0.69
    used = min(waits / (1 + waits), 0.99)
    return max(1, ceil(peak / (task.requests_per_s * used)))


def _held(file: CapacityFile, trace: Trace, task: Task, rules: Rules) -> Held:
    run = simulate((trace,), task, rules, file.limit_ms / 1000, file.tasks.base)
    return Held(
        tasks=run.there,
        task_h=float(run.task_s[0]) / 3600,
        base_h=float(run.base_s[0]) / 3600,
        bad=float(run.bad[0]),
    )


def _still(trace: Trace, tasks: int, base: int) -> Held:
    hours = trace.minutes / 60
    there = np.full(trace.minutes, float(tasks))
    return Held(there, tasks * hours, min(tasks, base) * hours, None)


def _month(name: str, file: CapacityFile, held: Held, instances: Sequence[Instance]) -> Month:
    hours = len(held.tasks) * MINUTE / 3600
    return Month(
        name=name,
        mean_tasks=held.task_h / hours,
        most_tasks=int(held.tasks.max()),
        bad=held.bad,
        ways=tuple(_ways(file, held, MONTH_H / hours, instances)),
    )


def _ways(
    file: CapacityFile, held: Held, times: float, instances: Sequence[Instance]
) -> Iterator[Way]:
    """``times``: a month has so many times the trace's hours."""
    for place in ("fargate", "fargate_arm"):
        price = _task_hour(file, arm=place == "fargate_arm")
        if price is not None:
            usd = held.task_h * price.usd * times
            yield Way(place, usd, usd, price.seen)
    price = _task_hour(file, arm=False)
    if price is not None:
        base = held.base_h * price.usd * times
        beyond = (held.task_h - held.base_h) * price.usd * times
        yield Way("spot", base + beyond * SPOT_BAND[0], base + beyond * SPOT_BAND[1], price.seen)
    for each in instances:
        holds = each.holds(file.task.cpu, file.task.memory)
        if holds:
            usd = instance_hours(held.tasks, holds) * each.hour.usd * times
            yield Way(each.name, usd, usd, each.hour.seen, holds)


def _task_hour(file: CapacityFile, arm: bool) -> Price | None:
    """None: no such price is kept for this region."""
    try:
        return task_hour(file.region, file.task.cpu, file.task.memory, arm)
    except RulesProblem:
        return None


def instance_hours(tasks: NDArray[np.float64], holds: int) -> float:
    """Instances follow the tasks, and stay a while after they were last needed."""
    needed = np.ceil(tasks / holds)
    before = np.concatenate([np.zeros(STAYS_MINUTES), needed])
    windows = np.lib.stride_tricks.sliding_window_view(before, STAYS_MINUTES + 1)
    return float(windows.max(axis=1).sum()) * MINUTE / 3600


@cache
def _kept() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    kept: dict[str, dict[str, dict[str, Any]]] = json.loads(
        (files("kirikae.capacity") / "instances.json").read_text()
    )
    return kept


def instances_of(region: str, own: Path | None = None) -> list[Instance]:
    """Those whose prices are kept for this region, and those of a file of your own, which take the
    place of kept ones.  Raises RulesProblem."""
    rows = {**_kept().get(region, {}), **(_read(own) if own is not None else {})}
    return [_instance(name, row) for name, row in rows.items()]


def _instance(name: str, row: Mapping[str, Any]) -> Instance:
    price = Price(float(row["usd"]), str(row["seen"]), str(row["source"]))
    return Instance(name, int(row["vcpu"]), int(row["memory_mib"]), price)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Raises RulesProblem that says how a row is written."""
    shape = (
        '{"m7g.large": {"vcpu": 2, "memory_mib": 8192, "usd": 0.1054, "seen": "2026-11-28", '
        '"source": "where it was read"}}'
    )
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        rows = json.loads(path.read_text(encoding="utf-8"))
        problems = list(_problems(rows))
    except (OSError, ValueError, RecursionError) as error:
        raise RulesProblem(f"{path}: cannot be read: {error}; write {shape}") from error
    if problems:
        raise RulesProblem(f"{path}: {'; '.join(problems[:5])}; write {shape}")
    return dict(rows)


def _problems(rows: object) -> Iterator[str]:
    if not isinstance(rows, dict) or not rows:
        yield "no object of instance types"
        return
    for name, row in rows.items():
        if not isinstance(row, dict) or set(row) != _ROW:
            yield f"{name}: needs {', '.join(sorted(_ROW))}"
        elif not all(_is_number(row[key], most) for key, most in _MOST.items()):
            yield f"{name}: vcpu, memory_mib and usd are numbers above 0 (usd: of one hour)"
        elif not _is_day(row["seen"]) or not isinstance(row["source"], str) or not row["source"]:
            yield f"{name}: seen is the day on which somebody read it, source where"


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value) is not None
    except ValueError:
        return False


_MOST = {"vcpu": 1024, "memory_mib": 64 * 1024 * 1024, "usd": 1000}


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most


def oldest(ways: Sequence[Way]) -> str:
    """The day on which the oldest price was read, of those with a day."""
    return min({each.seen for each in ways} - {UNDATED}, default=UNDATED)


def undated(ways: Sequence[Way]) -> list[str]:
    """Instances whose price has no day."""
    return list(dict.fromkeys(each.place for each in ways if each.seen == UNDATED))


@dataclass(frozen=True, slots=True)
class OldFleet:
    """The VMs that are there now, in US dollars: a month of them, and of the time in which both
    sides run."""

    month: float
    both: float
    seen: str


def old_fleet(instances: Sequence[Instance], kind: str, many: int, both_days: float) -> OldFleet:
    """Raises RulesProblem for a type whose price is not kept."""
    found = next((each for each in instances if each.name == kind), None)
    if found is None:
        known = ", ".join(each.name for each in instances) or "none"
        raise RulesProblem(
            f"no price of {kind} is kept here; known: {known}. Bring it in a file: --prices"
        )
    hour = found.hour.usd * many
    return OldFleet(hour * MONTH_H, hour * 24 * both_days, found.hour.seen)
