"""In which order the containers of a task start and stop, and whether one may start now: pure
functions.

Rules follow the ECS agent's dependency graph and the API reference (ContainerDependency)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from kirikae.local.rows import Container, ContainerDefinition, Dependency


def launch_order(containers: Sequence[ContainerDefinition]) -> list[ContainerDefinition]:
    """Containers so that each comes after those it depends on.  Raises ValueError on a cycle or an
    unknown name."""
    waits_for = {container["name"]: _dependencies(container) for container in containers}
    _check_names(waits_for)
    ordered = list[ContainerDefinition]()
    left = list(containers)
    while left:
        placed = {container["name"] for container in ordered}
        ready = [each for each in left if placed.issuperset(waits_for[each["name"]])]
        if not ready:
            names = ", ".join(sorted(each["name"] for each in left))
            raise ValueError(f"dependsOn goes round in a circle between {names}")
        ordered += ready
        left = [each for each in left if each not in ready]
    return ordered


def _check_names(waits_for: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError for a dependency on a container that the task has not."""
    for name, others in waits_for.items():
        for other in others:
            if other not in waits_for:
                raise ValueError(f"{name} depends on {other}, which is no container of this task")


def _dependencies(container: ContainerDefinition) -> list[str]:
    """Names of the containers that this one waits for."""
    return [dependency["containerName"] for dependency in container.get("dependsOn", [])]


def dependents(containers: Iterable[ContainerDefinition]) -> dict[str, list[str]]:
    """Name -> names of the containers that depend on it: they are stopped before it."""
    found: dict[str, list[str]] = {container["name"]: [] for container in containers}
    for container in containers:
        for name in _dependencies(container):
            found[name].append(container["name"])
    return found


def creation_order(containers: Iterable[ContainerDefinition]) -> list[str]:
    """Names so that each comes after those whose volumes it takes (volumesFrom)."""
    left = {
        container["name"]: {
            source["sourceContainer"] for source in container.get("volumesFrom", [])
        }
        for container in containers
    }
    placed = list[str]()
    while left:
        ready = [name for name, sources in left.items() if not sources & left.keys()]
        # A circle: let the engine refuse it.
        ready = ready or list(left)
        placed += ready
        for name in ready:
            del left[name]
    return placed


class Gate(StrEnum):
    """May this container start?"""

    GO = "go"
    WAIT = "wait"
    NEVER = "never"


def gate(
    container: ContainerDefinition,
    rows: Mapping[str, Container],
    definitions: Mapping[str, ContainerDefinition],
    now: float,
) -> tuple[Gate, str]:
    """Is every dependency met?  ``rows`` holds each container as it is now; the text says why
    never."""
    waits = False
    for dependency in container.get("dependsOn", []):
        name = dependency["containerName"]
        if _met(dependency, rows[name]):
            continue
        why = _never_met(container["name"], dependency, rows[name])
        why = why or _too_late(dependency, rows[name], definitions[name].get("startTimeout"), now)
        if why:
            return Gate.NEVER, f"TaskDependencyError: container {name}{why}"
        waits = True
    return (Gate.WAIT if waits else Gate.GO), ""


def _met(dependency: Dependency, other: Container) -> bool:
    """Is this condition fulfilled now?

    A container that came and went has fulfilled START, but not HEALTHY.
    """
    over = other["lastStatus"] == "STOPPED"
    match dependency["condition"]:
        case "START":
            return over or other["lastStatus"] == "RUNNING"
        case "COMPLETE":
            return over
        case "SUCCESS":
            return over and other.get("exitCode") == 0
        case _:
            return other["healthStatus"] == "HEALTHY" and not over


def _never_met(waiting: str, dependency: Dependency, other: Container) -> str:
    """Why this dependency can not be met any more; empty while it can."""
    condition = dependency["condition"]
    if other["lastStatus"] != "STOPPED" or condition not in ("SUCCESS", "HEALTHY"):
        return ""
    how = "exited before it was healthy"
    if condition == "SUCCESS":
        how = f"exited with {other['exitCode']}" if "exitCode" in other else "did not start"
    return f", which {waiting} awaits ({condition}), {how}"


def _too_late(
    dependency: Dependency,
    other: Container,
    timeout_s: int | None,
    now: float,
) -> str:
    """Why this dependency waited too long; empty while there is time.

    The seconds are counted from the start of the container that is waited for.
    """
    condition = dependency["condition"]
    began = other.get("_began")
    if condition == "START" or not timeout_s or began is None or now - began <= timeout_s:
        return ""
    return f" did not meet {condition} within its startTimeout of {timeout_s} s"
