"""The live tasks of a service at one look, and which of them go: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kirikae.local.ecs.capacity import most_crowded
from kirikae.local.ecs.rolling import Tick, floor_healthy, rolling_tick
from kirikae.local.ecs.taskrow import protected
from kirikae.local.rows import Service, Task


@dataclass(frozen=True, slots=True)
class Crew:
    """``leaving``: of a former deployment.  ``sick``: of the newest, and failed their checks.
    ``arriving``: the others of the newest."""

    leaving: Sequence[Task]
    arriving: Sequence[Task]
    sick: Sequence[Task]
    healthy: frozenset[str]
    """IDs of those that count towards the minimum."""
    reasons: Mapping[str, str]
    """ID -> why it must be replaced; empty while it is well."""

    def is_healthy(self, task: Task) -> bool:
        """Does this task count towards the minimum?"""
        return task["id"] in self.healthy

    def healthy_among(self, tasks: Iterable[Task]) -> int:
        """How many of these count towards the minimum."""
        return sum(self.is_healthy(task) for task in tasks)

    def is_whole(self, desired: int) -> bool:
        """Just the wanted tasks of the newest deployment, all of them healthy?"""
        if self.leaving or self.sick:
            return False
        return len(self.arriving) == desired == self.healthy_among(self.arriving)

    def without(self, gone: Sequence[Task]) -> Crew:
        """The crew as it is once these arriving tasks are on their way out."""
        return replace(self, arriving=[task for task in self.arriving if task not in gone])


def crew_of(
    service: Service,
    live: Iterable[Task],
    healthy: Iterable[str],
    reasons: Mapping[str, str],
) -> Crew:
    """The live tasks, sorted by what is to become of them.

    ``healthy`` holds task IDs; ``reasons`` has an entry for every live task, empty for one that is
    well.
    """
    newest = service["deployments"][0]["id"]
    leaving = [task for task in live if task["startedBy"] != newest]
    current = [task for task in live if task["startedBy"] == newest]
    return Crew(
        leaving,
        [task for task in current if not reasons[task["id"]]],
        [task for task in current if reasons[task["id"]]],
        frozenset(healthy),
        reasons,
    )


def tick_of(service: Service, crew: Crew) -> Tick:
    """What one look at the service decides: how many tasks start and how many go (``rolling_tick``
    has the arithmetic)."""
    return rolling_tick(
        service["desiredCount"],
        service["minimumHealthyPercent"],
        service["maximumPercent"],
        [crew.is_healthy(task) for task in crew.leaving],
        [crew.is_healthy(task) for task in crew.arriving],
        len(crew.sick),
    )


def going(
    service: Service,
    crew: Crew,
    tick: Tick,
    now: float,
) -> list[Task]:
    """Who makes room: of the former deployment those that nothing protects, unhealthy ones first
    and no more healthy ones than can be spared; then sick ones."""
    spare = max(0, _spare(service, crew, [*crew.leaving, *crew.arriving]))
    free = sorted(_free(crew.leaving, now), key=_age)
    unhealthy = [task for task in free if not crew.is_healthy(task)]
    healthy = [task for task in free if crew.is_healthy(task)]
    chosen = [*unhealthy, *healthy[:spare]][: tick.stop_leaving]
    return [*chosen, *crew.sick[: tick.stop_sick]]


def surplus(service: Service, crew: Crew, now: float) -> list[Task]:
    """Who goes where more arrive than are wanted."""
    staying = list(crew.arriving)
    gone: list[Task] = []
    while len(staying) > service["desiredCount"]:
        pick = _next_to_go(service, crew, staying, now)
        if pick is None:
            break
        staying.remove(pick)
        gone.append(pick)
    return gone


def _next_to_go(
    service: Service,
    crew: Crew,
    staying: Sequence[Task],
    now: float,
) -> Task | None:
    """An unhealthy one, else one of the provider that has too many; the newest of them.

    Where protected tasks are the unhealthy ones, the minimum must be kept by the others."""
    free = _free(staying, now)
    unhealthy = [task for task in free if not crew.is_healthy(task)]
    if unhealthy:
        return max(unhealthy, key=_age)
    if not free or _spare(service, crew, staying) <= 0:
        return None
    strategy = service.get("capacityProviderStrategy", [])
    crowded = most_crowded(strategy, Counter(map(provider_of, staying)))
    of_crowded = [task for task in free if provider_of(task) == crowded]
    return max(of_crowded or free, key=_age)


def provider_of(task: Task) -> str:
    """FARGATE or FARGATE_SPOT; empty for a task that was started by launch type."""
    return task.get("capacityProviderName", "")


def _free(tasks: Iterable[Task], now: float) -> list[Task]:
    """Those that nothing protects."""
    return [task for task in tasks if not protected(task, now)]


def _age(task: Task) -> float:
    """Sorts the oldest first."""
    return task["createdAt"]


def _spare(service: Service, crew: Crew, tasks: Iterable[Task]) -> int:
    """Healthy tasks beyond the minimum."""
    floor = floor_healthy(service["desiredCount"], service["minimumHealthyPercent"])
    return crew.healthy_among(tasks) - floor
