"""Whether the engine is believed when it says that a container is unhealthy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from kirikae.local.ecs.checks import (
    DEFAULT_TIMEOUT_S,
    Judged,
    Run,
    failed_runs,
    judged,
    out_of_time,
)
from kirikae.local.ecs.stopwatch import Stopwatch
from kirikae.local.plain import Plain
from kirikae.local.pulse import Pulse
from kirikae.local.rows import Container, ContainerDefinition, HealthCheck, Task

log = logging.getLogger("kirikae.local.doubt")

_MOST_OF_TIMEOUT = 0.5
"""Where a check that does nothing takes this part of the time that it has, nothing is proven."""


class Doubt:
    """Weighs the engine's word against what this machine could carry when the checks ran.

    It costs nothing while checks pass: only a check that ran out of time is asked about.
    """

    def __init__(
        self,
        pulse: Pulse,
        stopwatch: Stopwatch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``pulse`` remembers when this machine was late, ``stopwatch`` measures how long the
        engine takes for a check that does nothing; ``clock`` answers Unix seconds."""
        self._pulse = pulse
        self._stopwatch = stopwatch
        self._clock = clock

    async def weighed(
        self,
        task: Task,
        container: ContainerDefinition,
        before: Container,
        after: Container,
        seen: Plain | None,
    ) -> Container:
        """``after`` as it is believed: the engine's word, or the health of before with what is
        excused."""
        if after["healthStatus"] != "UNHEALTHY" or before["healthStatus"] == "UNHEALTHY":
            return _without_excuse(after)
        check = container.get("healthCheck")
        health = seen["State"].get("Health") if seen is not None else None
        if check is None or health is None:
            return after
        judgement = await self._judge(task, check, before, health)
        if judgement.unhealthy or judgement.excused is None:
            return _without_excuse(after)
        if judgement.excused != before.get("_excused"):
            log.info(
                "task %s: %d checks of %s ran out of time while this machine was overloaded; "
                "they do not count",
                task["id"],
                judgement.excused["runs"],
                container["name"],
            )
        return {
            **after,
            "healthStatus": before["healthStatus"],
            "_excused": judgement.excused,
        }

    async def _judge(
        self,
        task: Task,
        check: HealthCheck,
        before: Container,
        health: Plain,
    ) -> Judged:
        """The stopwatch is asked only where the pulse does not already explain every late run: it
        costs the engine a start."""
        runs = out_of_time(failed_runs(health))
        slow = not all(map(self._was_late, runs)) and await self._is_slow(task, check)
        return judged(
            health,
            check,
            before.get("_excused"),
            lambda run: slow or self._was_late(run),
            self._clock(),
        )

    def _was_late(self, run: Run) -> bool:
        """Was this machine overloaded while the check ran?"""
        return self._pulse.was_late(run.began, run.ended)

    async def _is_slow(self, task: Task, check: HealthCheck) -> bool:
        """Does a check that does nothing take most of the time that this one has?"""
        pause = task.get("_pause")
        if pause is None:
            return False
        took_s = await self._stopwatch.empty_check_s(pause)
        return took_s >= _MOST_OF_TIMEOUT * check.get("timeout", DEFAULT_TIMEOUT_S)


def _without_excuse(container: Container) -> Container:
    """The container without an excuse: the engine's word counts in full again."""
    if "_excused" not in container:
        return container
    plain: Container = {**container}
    del plain["_excused"]
    return plain
