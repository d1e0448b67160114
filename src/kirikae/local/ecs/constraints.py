"""Placement constraints and strategies of tasks on container instances (API reference,
PlacementConstraint, PlacementStrategy): what is taken, and what it means; pure functions."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kirikae.local.ecs.names import invalid
from kirikae.local.ecs.query import Seen, parsed
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Instance,
    PlacementConstraint,
    PlacementStrategy,
    ServiceChange,
    Task,
)

MOST_CONSTRAINTS = 10
MOST_STRATEGIES = 5
_CONSTRAINTS = ("distinctInstance", "memberOf")
_HOST = ("instanceId", "host")
_ATTRIBUTE = "attribute:"
_BY_SIZE = {"cpu": "CPU", "memory": "MEMORY"}
UNSATISFIED = "{} placement constraint unsatisfied."
"""ECS's reason of a task that was not placed (developer guide, "API failure reasons")."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Where tasks may be and where they rather are."""

    constraints: Sequence[PlacementConstraint] = ()
    strategies: Sequence[PlacementStrategy] = ()


def checked(params: Plain, of_definition: Sequence[PlacementConstraint] = ()) -> Wish:
    """What a request asks, together with what its task definition does.  Raises AwsError for what
    AWS refuses."""
    asked: list[PlacementConstraint] = params.get("placementConstraints") or []
    check_constraints(asked, _CONSTRAINTS)
    constraints = [*asked, *of_definition]
    if len(constraints) > MOST_CONSTRAINTS:
        raise invalid(f"placementConstraints can have at most {MOST_CONSTRAINTS} items.")
    strategies: list[PlacementStrategy] = params.get("placementStrategy") or []
    if len(strategies) > MOST_STRATEGIES:
        raise invalid(f"placementStrategy can have at most {MOST_STRATEGIES} items.")
    for strategy in strategies:
        _check_strategy(strategy)
    return Wish(constraints, strategies)


def check_constraints(asked: Iterable[PlacementConstraint], kinds: Sequence[str]) -> None:
    """Raise AwsError for a type that is none of ``kinds``, and for an expression that is missing,
    too much or none."""
    for each in asked:
        kind = each.get("type", "")
        expression = each.get("expression", "")
        if kind not in kinds:
            raise invalid(f"placement constraint type should be one of [{','.join(kinds)}]")
        if kind == "memberOf":
            parsed(expression)
        elif expression:
            raise invalid(f"The placement constraint {kind} takes no expression.")


def _check_strategy(strategy: PlacementStrategy) -> None:
    """Raise AwsError for a field that this type does not have (API reference,
    PlacementStrategy.field)."""
    kind = strategy.get("type", "")
    field = strategy.get("field", "")
    spreads = field.lower() in map(str.lower, _HOST) or field.startswith(_ATTRIBUTE)
    fits = {
        "random": not field,
        "spread": spreads,
        "binpack": field.lower() in _BY_SIZE,
    }
    if kind not in fits:
        raise invalid(f"placement strategy type should be one of [{','.join(sorted(fits))}]")
    if not fits[kind]:
        raise invalid(f"The field '{field}' is not valid for the placement strategy {kind}.")


def unsatisfied(
    wish: Wish,
    instance: Instance,
    task: Task,
    there: Sequence[Task],
) -> str | None:
    """Why this task may not go there, in ECS's words, beside those that are ``there``; None where
    it may."""
    seen = _seen(instance, there)
    for each in wish.constraints:
        if each["type"] == "memberOf":
            holds = parsed(each.get("expression", ""))(seen)
            name = "MemberOf"
        else:
            holds = task["group"] not in seen.groups
            name = "DistinctInstance"
        if not holds:
            return UNSATISFIED.format(name)
    return None


def _seen(instance: Instance, there: Sequence[Task]) -> Seen:
    """As an expression sees it."""
    running = sum(task["lastStatus"] == "RUNNING" for task in there)
    facts = {
        "ec2InstanceId": instance["ec2InstanceId"],
        "agentConnected": "true",
        "agentVersion": str(instance["versionInfo"].get("agentVersion", "")),
        "registeredAt": f"{instance['registeredAt']:.0f}",
        "runningTasksCount": str(running),
    }
    return Seen(_attributes(instance), facts, frozenset(task["group"] for task in there))


def matching(text: str, instances: Sequence[Instance], tasks: Sequence[Task]) -> list[Instance]:
    """Those that an expression means.  Raises AwsError for what is none."""
    test = parsed(text)
    return [each for each in instances if test(_seen(each, on(each, tasks)))]


def on(instance: Instance, tasks: Iterable[Task]) -> list[Task]:
    """Tasks that take room there: all that have not stopped."""
    arn = instance["containerInstanceArn"]
    return [
        task
        for task in tasks
        if task.get("containerInstanceArn") == arn and task["lastStatus"] != "STOPPED"
    ]


def _attributes(instance: Instance) -> dict[str, str]:
    """By name."""
    return {each["name"]: each.get("value", "") for each in instance["attributes"]}


def rank(
    wish: Wish,
    instance: Instance,
    left: dict[str, int],
    task: Task,
    beside: Sequence[tuple[Instance, Task]],
) -> tuple[int, ...]:
    """The lower, the rather; ``beside``: the tasks of the same group, and where they are."""
    return tuple(_rank(each, instance, left, task, beside) for each in wish.strategies)


def _rank(
    strategy: PlacementStrategy,
    instance: Instance,
    left: dict[str, int],
    task: Task,
    beside: Sequence[tuple[Instance, Task]],
) -> int:
    """By one strategy.  Chance is the same for the same task, so that a restart changes nothing."""
    field = strategy.get("field", "")
    if strategy["type"] == "random":
        return zlib.crc32(f"{task['id']} {instance['containerInstanceArn']}".encode())
    if strategy["type"] == "binpack":
        return left[_BY_SIZE[field.lower()]]
    own = _value(instance, field)
    return sum(_value(other, field) == own for other, _ in beside)


def _value(instance: Instance, field: str) -> str:
    """What ``spread`` spreads over."""
    if field.startswith(_ATTRIBUTE):
        return _attributes(instance).get(field.removeprefix(_ATTRIBUTE), "")
    return instance["containerInstanceArn"]


def wished(wish: Wish) -> ServiceChange:
    """As a service's row keeps it, and as it is shown."""
    return {
        "placementConstraints": list(wish.constraints),
        "placementStrategy": list(wish.strategies),
    }
