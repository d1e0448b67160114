"""The arithmetic of a rolling service deployment: pure functions over counts (ECS API reference, DeploymentConfiguration)."""

from __future__ import annotations

from collections.abc import Sequence


def floor_healthy(desired: int, minimum_percent: int) -> int:
    """Tasks that must stay healthy: rounded up."""
    return -(-desired * minimum_percent // 100)


def ceiling_live(desired: int, maximum_percent: int) -> int:
    """Tasks that may be live (PENDING or RUNNING): rounded down."""
    return desired * maximum_percent // 100


def rolling_tick(
    desired: int, minimum_percent: int, maximum_percent: int, leaving: Sequence[bool], arriving: Sequence[bool]
) -> tuple[int, int]:
    """How many tasks to start, and how many leaving ones to stop (unhealthy ones first).

    ``leaving`` and ``arriving`` hold one "is healthy" per live task of the former and of the new definition.
    """
    live = len(leaving) + len(arriving)
    start = max(0, min(desired - len(arriving), ceiling_live(desired, maximum_percent) - live))
    spare = max(0, sum(leaving) + sum(arriving) - floor_healthy(desired, minimum_percent))
    return start, min(len(leaving), list(leaving).count(False) + spare)


def stuck(desired: int, minimum_percent: int, maximum_percent: int) -> bool:
    """True if no task can ever be started or stopped under these percentages."""
    return desired > 0 and floor_healthy(desired, minimum_percent) >= desired and ceiling_live(desired, maximum_percent) <= desired


def breaker_threshold(desired: int) -> int:
    """Failed tasks that trip the deployment circuit breaker: half of desired, from 3 to 200 (BOUNDED_PERCENT 50)."""
    return min(200, max(3, -(-desired // 2)))


def retry_delay_s(failures_in_a_row: int) -> float:
    """Seconds to wait before another start (ours; AWS publishes "up to 15 minutes" only): 1, 2, 4 .. from the third on."""
    return 0.0 if failures_in_a_row < 3 else float(min(900, 2 ** (failures_in_a_row - 3)))
