"""The arithmetic of a rolling service deployment: pure functions over counts (ECS API reference,
DeploymentConfiguration)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kirikae.local.rows import Threshold

STARTS_PER_SECOND = 10
"""Tasks that one service starts in a second at most (ours)."""
LONGEST_DELAY_S = 900
_PATIENCE = 3
"""Failures in a row from which the pauses grow."""
_LARGEST_POWER = 10
_DEFAULT: Threshold = {"type": "BOUNDED_PERCENT", "value": 50}
_BOUNDS = (3, 200)


def floor_healthy(desired: int, minimum_percent: int) -> int:
    """Tasks that must stay healthy: rounded up."""
    return -(-desired * minimum_percent // 100)


def ceiling_live(desired: int, maximum_percent: int) -> int:
    """Tasks that may be live (PENDING or RUNNING): rounded down."""
    return desired * maximum_percent // 100


@dataclass(frozen=True, slots=True)
class Tick:
    """What to do now: start so many, stop so many of the former definition, of the sick ones."""

    start: int
    stop_leaving: int
    stop_sick: int


def rolling_tick(
    desired: int,
    minimum_percent: int,
    maximum_percent: int,
    leaving: Sequence[bool],
    arriving: Sequence[bool],
    sick: int = 0,
) -> Tick:
    """One look at a service.

    ``leaving`` and ``arriving`` hold one "is healthy" per live task of the former and of the newest
    definition; ``sick`` counts tasks of the newest one that failed their checks: each gets its
    replacement first where the maximum allows it, else one goes at a time.

    Unhealthy leaving tasks may still be the only ones that serve (a target group without a healthy
    target sends to all): they go only as far as the minimum is kept by them and the healthy ones
    together, or one at a time where nothing could be started otherwise."""
    live = len(leaving) + len(arriving) + sick
    start = max(0, min(desired - len(arriving), ceiling_live(desired, maximum_percent) - live))
    healthy = sum(leaving) + sum(arriving)
    spare = healthy - floor_healthy(desired, minimum_percent)
    unhealthy = list(leaving).count(False)
    stop_unhealthy = min(unhealthy, max(0, spare + unhealthy))
    stop_leaving = stop_unhealthy + min(sum(leaving), max(0, spare))
    if unhealthy and not start and not stop_leaving and len(arriving) < desired and all(arriving):
        stop_leaving = 1
    replaced = max(0, sum(arriving) + sick - desired)
    blocked = sick > 0 and start == 0 and len(arriving) < desired and stop_leaving == 0
    return Tick(start, stop_leaving, min(sick, max(replaced, 1 if blocked else 0)))


def stuck(desired: int, minimum_percent: int, maximum_percent: int) -> bool:
    """True if no task can ever be started or stopped under these percentages.

    Such are 100 and 100, 75 and 100 of two tasks, 100 and 125 of three, and for a single task any
    minimum above 0 with a maximum below 200.
    """
    return (
        desired > 0
        and floor_healthy(desired, minimum_percent) >= desired
        and ceiling_live(desired, maximum_percent) <= desired
    )


def breaker_threshold(desired: int, configuration: Threshold | None = None) -> int:
    """Failed tasks that trip the deployment circuit breaker (ECS API reference,
    ThresholdConfiguration).

    BOUNDED_PERCENT (the default, value 50): that part of desired, rounded up, from 3 to 200.
    """
    chosen: Threshold = {**_DEFAULT, **(configuration or {})}
    if chosen["type"] == "COUNT":
        return chosen["value"]
    part = -(-desired * chosen["value"] // 100)
    if chosen["type"] == "BOUNDED_PERCENT":
        least, most = _BOUNDS
        return min(most, max(least, part))
    return max(1, part)


def retry_delay_s(failures_in_a_row: int) -> float:
    """Seconds to wait before another start (ours; AWS publishes "up to 15 minutes" only): 1, 2, 4
    .. from the third on."""
    if failures_in_a_row < _PATIENCE:
        return 0.0
    power = min(_LARGEST_POWER, failures_in_a_row - _PATIENCE)
    return float(min(LONGEST_DELAY_S, 2**power))
