"""CPU and memory use per service by the minute, or by 20 seconds where a service asks for it:
used ÷ reserved × 100 (ECS developer guide, "Service utilization metrics")."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.names import short
from kirikae.local.engine import Engine
from kirikae.local.plain import Plain
from kirikae.local.rows import Service, Task
from kirikae.local.state import State

_MIB = 1024 * 1024
_MINUTE_S = 60
_FINE_S = 20
_MOST_BACK_S = 3 * 3600
"""Figures are kept for so long."""


@dataclass
class _Use:
    """CPU in units of 1024 to a vCPU, memory in MiB."""

    cpu: float = 0.0
    cpu_reserved: float = 0.0
    memory: float = 0.0
    memory_reserved: float = 0.0

    def to_plain(self) -> dict[str, float]:
        """In per cent; what is not reserved has no figure."""
        figures = {}
        if self.cpu_reserved:
            figures["CPUUtilization"] = 100 * self.cpu / self.cpu_reserved
        if self.memory_reserved:
            figures["MemoryUtilization"] = 100 * self.memory / self.memory_reserved
        return figures


@dataclass(frozen=True, slots=True)
class _Counter:
    """A container's CPU seconds, and when they were read."""

    at: float
    used_s: float


class Usage:
    """A figure needs two looks: the engine tells seconds of CPU since the container's start."""

    def __init__(
        self,
        state: State,
        engine: Engine,
        names: EngineNames,
    ) -> None:
        """The first look after a start only reads the counters: figures come from the second on."""
        self._state = state
        self._engine = engine
        self._names = names
        self._before: dict[str, _Counter] = {}
        self._filed: float | None = None

    @property
    def period_s(self) -> int:
        """Between two points: a minute, or less where any service asks for it."""
        fine = any(map(_is_fine, self._state.services.all()))
        return _FINE_S if fine else _MINUTE_S

    async def measure(self, now: float, filed: float | None = None) -> None:
        """One point for each service with running tasks: the sum over its tasks, since the last
        look.

        It is written at this minute, and at those since the last one that a clock has jumped over.
        ``filed``: the time of the clock by which figures are kept; ``now`` is the machine's.
        """
        totals: dict[str, _Use] = defaultdict(_Use)
        former = self._before
        self._before = {}
        for task in self._state.tasks.all():
            if task["lastStatus"] == "RUNNING" and task["group"].startswith("service:"):
                service = task["group"].removeprefix("service:")
                subject = f"{short(task['clusterArn'])}/{service}"
                await self._add(task, former, totals[subject], now)
        points = self._points(now if filed is None else filed)
        for subject, use in totals.items():
            if figures := use.to_plain():
                for point in points:
                    self._state.put_figure(f"ecs/{subject}", point, figures)

    def _points(self, now: float) -> range:
        """Begins of periods: this one, and those since the last look."""
        period = self.period_s
        last = int(now) // period
        before = last - 1 if self._filed is None else int(self._filed) // period
        self._filed = now
        oldest = last - _MOST_BACK_S // period
        first = min(max(before, oldest) + 1, last)
        return range(first * period, last * period + 1, period)

    async def _add(
        self,
        task: Task,
        former: dict[str, _Counter],
        total: _Use,
        now: float,
    ) -> None:
        """Add a task's use; one that was not seen before cannot be measured yet."""
        cpu = 0.0
        memory = 0.0
        known = bool(task["containers"])
        for container in task["containers"]:
            name = self._names.container(task["id"], container["name"])
            stats = await self._engine.stats(name)
            if not stats or not stats.get("memory_stats"):
                continue
            counter = _Counter(now, stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9)
            self._before[name] = counter
            memory += _memory_mib(stats)
            before = former.get(name)
            if before is None or now <= before.at:
                known = False
            else:
                cpu += 1024 * (counter.used_s - before.used_s) / (now - before.at)
        if known:
            total.cpu += cpu
            total.cpu_reserved += float(task["cpu"])
            total.memory += memory
            total.memory_reserved += float(task["memory"])


def _is_fine(service: Service) -> bool:
    """Does it ask for figures of 20 seconds?"""
    told = service.get("monitoring", {}).get("metricConfigurations", ())
    return any(each.get("resolutionSeconds") == _FINE_S for each in told)


def _memory_mib(stats: Plain) -> float:
    """Without the page cache that can be given back."""
    memory = stats["memory_stats"]
    cache = memory.get("stats", {}).get("total_inactive_file", 0)
    return float((memory.get("usage", 0) - cache) / _MIB)
