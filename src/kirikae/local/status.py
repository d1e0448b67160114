"""What kirikae local says of itself: plain data, shown by ``kirikae local status``."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from kirikae.local.ecs.pace import Pace
from kirikae.local.elb.kinds import listens
from kirikae.local.pulse import MUCH, Load, Measure
from kirikae.local.settings import Settings
from kirikae.local.state import State


class LoadStatus(TypedDict):
    """How busy this machine is, and what follows.  Seconds are None where nothing was measured
    lately."""

    overloaded: bool
    engine_answers_s: float | None
    container_starts_s: float | None
    empty_check_s: float | None
    loop_late_s: float | None
    much: dict[str, float]
    """From which figure on it is overloaded."""
    starts_at_once: int
    starting: int
    waiting: int
    """Tasks that wait for their turn to start."""
    tasks_in_doubt: int
    """Tasks of which checks that could not run in time do not count."""


class Status(TypedDict):
    """``pid`` and ``directory`` are known to who asks from outside."""

    instance: str
    endpoint: str
    network: str
    region: str
    trouble: str
    """What does not go well, in words; empty: nothing."""
    tasks: int
    services: int
    registry: str
    listeners: list[str]
    load: LoadStatus
    pid: NotRequired[int]
    directory: NotRequired[str]


def status_of(
    settings: Settings,
    state: State,
    trouble: str,
    registry: str,
    load: Load,
    pace: Pace,
) -> Status:
    """Taken from the rows at this moment; asking changes nothing."""
    live = [task for task in state.tasks.all() if task["lastStatus"] != "STOPPED"]
    active = [service for service in state.services.all() if service["status"] == "ACTIVE"]
    listeners = state.listeners.all()
    in_doubt = [task for task in live if any("_excused" in each for each in task["containers"])]
    return {
        "instance": settings.instance,
        "endpoint": f"http://127.0.0.1:{settings.port}",
        "network": settings.instance,
        "region": settings.region,
        "trouble": trouble,
        "tasks": len(live),
        "services": len(active),
        "registry": registry,
        "listeners": [f"127.0.0.1:{each['port']}" for each in filter(listens, listeners)],
        "load": _load_status(load, pace, len(in_doubt)),
    }


def _load_status(load: Load, pace: Pace, in_doubt: int) -> LoadStatus:
    """How busy the machine is, and how many starts that allows."""
    return {
        "overloaded": load.overloaded,
        "engine_answers_s": load.of(Measure.ANSWER),
        "container_starts_s": load.of(Measure.START),
        "empty_check_s": load.of(Measure.CHECK),
        "loop_late_s": load.of(Measure.LOOP),
        "much": {str(what): most for what, most in MUCH.items()},
        "starts_at_once": pace.at_once,
        "starting": pace.starting,
        "waiting": pace.waiting,
        "tasks_in_doubt": in_doubt,
    }
