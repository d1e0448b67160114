"""Container instances as records: where a task of the launch type EC2 would be (pure functions).

All of them run on this machine; what an instance was registered with is what its tasks may take of
it together, as on AWS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kirikae.local.ecs.constraints import Wish, on, rank, unsatisfied
from kirikae.local.ecs.ports import RESERVED
from kirikae.local.plain import Plain
from kirikae.local.rows import Instance, Task

DEFAULT_TOTAL = (("CPU", 4096), ("MEMORY", 16_384))
"""CPU units and MiB of an instance whose registration does not say (ours)."""
_ANYWHERE = Wish()


def total_of(asked: Sequence[Plain]) -> dict[str, int]:
    """CPU units and MiB that an instance is registered with."""
    given = {each.get("name"): int(each.get("integerValue") or 0) for each in asked}
    return {name: given.get(name) or usual for name, usual in DEFAULT_TOTAL}


def needs_of(task: Task) -> dict[str, int]:
    """What a task takes of its instance: its own size, else the sum of its containers'."""
    cpu = int(task["cpu"] or 0) or sum(int(each.get("cpu") or 0) for each in task["containers"])
    memory = int(task["memory"] or 0) or sum(
        int(each.get("memoryReservation") or each.get("memory") or 0) for each in task["containers"]
    )
    return {"CPU": cpu, "MEMORY": memory}


def left_of(instance: Instance, tasks: Iterable[Task]) -> dict[str, int]:
    """What is still free there."""
    taken = [needs_of(task) for task in on(instance, tasks)]
    return {
        name: total - sum(each[name] for each in taken)
        for name, total in instance["_total"].items()
    }


def ports_taken(tasks: Iterable[Task]) -> set[tuple[str, int]]:
    """Ports of this machine that these tasks publish: protocol and number."""
    return {
        (each["protocol"], each["hostPort"])
        for task in tasks
        for each in task.get("_ports", [])
        if each["hostPort"] and task["lastStatus"] != "STOPPED"
    }


def lacks(
    instance: Instance,
    task: Task,
    tasks: Sequence[Task],
    wish: Wish = _ANYWHERE,
) -> str | None:
    """Why this task does not go there, in ECS's words; None where it does.

    All instances are this machine: a port that a task of one publishes is free on none (ours).
    """
    if instance["status"] != "ACTIVE":
        return "INACTIVE"
    left = left_of(instance, tasks)
    for name, needed in needs_of(task).items():
        if needed > left[name]:
            return f"RESOURCE:{name}"
    if ports_taken([task]) & ports_taken(tasks):
        return "RESOURCE:PORTS"
    return unsatisfied(wish, instance, task, on(instance, tasks))


def chosen(
    instances: Sequence[Instance],
    task: Task,
    tasks: Sequence[Task],
    wish: Wish = _ANYWHERE,
) -> Instance | None:
    """The instance that the strategies prefer, then the one with the fewest tasks, among those that
    have room (ours; AWS spreads by zone); None where none has."""
    fitting = [each for each in instances if lacks(each, task, tasks, wish) is None]
    if not fitting:
        return None
    beside = [
        (each, other)
        for each in instances
        for other in on(each, tasks)
        if other["group"] == task["group"]
    ]
    return min(
        fitting,
        key=lambda each: (
            rank(wish, each, left_of(each, tasks), task, beside),
            len(on(each, tasks)),
            each["containerInstanceArn"],
        ),
    )


def show_resources(amounts: dict[str, int], tasks: Iterable[Task] = ()) -> list[Plain]:
    """As DescribeContainerInstances gives what was registered, or is left beside these tasks."""
    taken = sorted(ports_taken(tasks))
    tcp, udp = ([str(n) for kind, n in taken if kind == each] for each in ("tcp", "udp"))
    ports = [("PORTS", [*RESERVED, *tcp]), ("PORTS_UDP", udp)]
    shown: list[Plain] = [_amount(name, number) for name, number in amounts.items()]
    return [*shown, *(_texts(name, texts) for name, texts in ports)]


def _amount(name: str, number: int) -> Plain:
    """A resource that is counted."""
    return {
        "name": name,
        "type": "INTEGER",
        "doubleValue": 0.0,
        "longValue": 0,
        "integerValue": number,
    }


def _texts(name: str, texts: list[str]) -> Plain:
    """A resource that is listed."""
    return {
        "name": name,
        "type": "STRINGSET",
        "doubleValue": 0.0,
        "longValue": 0,
        "integerValue": 0,
        "stringSetValue": texts,
    }
