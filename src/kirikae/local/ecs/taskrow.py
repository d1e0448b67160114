"""What a task's row says: pure questions that several parts ask."""

from __future__ import annotations

from collections.abc import Iterable

from kirikae.local.ecs.names import short
from kirikae.local.rows import Service, Task

STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")


ENDING = ("STOPPING", "DEPROVISIONING", "STOPPED")


def is_live(task: Task) -> bool:
    """Does it count in a deployment's arithmetic?  PENDING or RUNNING and not asked to stop."""
    return task["desiredStatus"] == "RUNNING" and task["lastStatus"] != "STOPPED"


def service_of(task: Task) -> str:
    """ARN of the service that the task belongs to; empty for a task of its own."""
    group = task["group"]
    if not group.startswith("service:") or not task.get("_revision"):
        return ""
    place = task["clusterArn"].replace(":cluster/", ":service/")
    return f"{place}/{group.removeprefix('service:')}"


def tasks_of(service: Service, tasks: Iterable[Task]) -> list[Task]:
    """Those of these tasks that belong to the service, stopped ones among them."""
    return [task for task in tasks if service_of(task) == service["serviceArn"]]


def protected(task: Task, now: float) -> bool:
    """Is it under task scale-in protection now?"""
    return task.get("_protectedUntil", 0) > now


def target_keys(task: Task) -> list[str]:
    """Keys of the task's targets, one for each of its bindings."""
    return [
        f"{short(binding['targetGroupArn'])}|{task.get('address')}:{binding['containerPort']}"
        for binding in task["_bindings"]
    ]


def family_and_revision(task: Task) -> tuple[str, str]:
    """The family and the revision of the definition that it runs, as texts."""
    family, _, revision = short(task["taskDefinitionArn"]).partition(":")
    return family, revision


def launch_type_of(task: Task) -> str:
    """As it is shown."""
    return "EC2" if task.get("containerInstanceArn") else "FARGATE"
