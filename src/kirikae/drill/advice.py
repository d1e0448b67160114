"""What to change after a fault: from what it cost to what would have made it cost less."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.drill.faults import Prepared
from kirikae.drill.fleet import Fleet
from kirikae.drill.windows import Cost
from kirikae.model.said import Said, said

_POLITE = ("kill-task", "spot-notice", "drain-target", "scale-in", "az-loss", "scheduler-loss")
"""Faults of which ECS and the balancer know beforehand: nobody need lose a request."""
_RUDE = ("crash-task", "hang-task", "net-blackhole")
_LONG_S = 60.0
_GOOD_CHECK_S = 15.0


def advice(fleet: Fleet, prepared: Prepared, cost: Cost) -> Iterator[Said]:
    """Nothing for a fault that nobody noticed; nothing follows from figures that are in doubt."""
    if cost.doubts:
        yield said("drill.advice.again")
        return
    if cost.recovery_s is None:
        yield said("drill.advice.not_recovered")
    if prepared.name in _POLITE and cost.lost:
        yield said("drill.advice.drain", lost=cost.lost)
    if prepared.name in _RUDE and cost.bad:
        yield from _found_late(fleet, cost)
    if prepared.name == "bad-release":
        yield from _release(fleet, cost)
    if prepared.name == "db-failover" and cost.bad:
        yield said("drill.advice.database", bad=cost.bad)
    if prepared.name in ("cpu-hog", "net-latency", "net-loss") and cost.bad:
        yield said("drill.advice.slow_task", bad=cost.bad)
    whole = cost.seen.whole_s
    if prepared.name != "bad-release" and (whole is None or whole > _LONG_S):
        took = said("drill.fault.not_within") if whole is None else f"{whole:.0f} s"
        yield said("drill.advice.slow_start", took=took)


def _found_late(fleet: Fleet, cost: Cost) -> Iterator[Said]:
    """What a task in hand loses is rate x share x time: a quicker check, or more and smaller
    tasks."""
    group = fleet.group
    if group is not None and group.detection_s > _GOOD_CHECK_S:
        yield said(
            "drill.advice.health_check",
            seconds=group.detection_s,
            interval=group.interval_s,
            count=group.unhealthy_count,
            bad=cost.bad,
        )
    if cost.expected.share > 1 / 3:
        yield said("drill.advice.more_tasks", tasks=len(fleet.tasks), share=cost.expected.share)


def _release(fleet: Fleet, cost: Cost) -> Iterator[Said]:
    if not fleet.rolls_back:
        yield said("drill.advice.circuit_breaker")
    if cost.bad:
        yield said("drill.advice.minimum_healthy", bad=cost.bad)
