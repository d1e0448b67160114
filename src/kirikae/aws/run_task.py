"""ECS tasks of their own: started once for a token, looked at, stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws.errors import AwsRefused
from kirikae.aws.light import ECS, LightAws, Plain


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """RunTask answered 200 with ``failures``: there is no room, or something is missing."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskState:
    """``exit_code``: of the container that was asked for; None while it runs, or where it never
    ran.  ``started``: ECS says that it did."""

    arn: str
    stopped: bool
    exit_code: int | None = None
    reason: str = ""
    started: bool = False
    taken_away: bool = False
    """Spot capacity was."""


def run_task(aws: LightAws, wanted: Mapping[str, Any]) -> str | NotPlaced:
    """The task's ARN; with a ``clientToken`` that was used before, that task's.

    Raises AwsRefused, AwsUnreachable: then it is not known whether it was started."""
    try:
        told = aws.call(
            ECS,
            "RunTask",
            wanted,
        )
    except AwsRefused as error:
        # The token was used with other parameters: AWS names the tasks that it brought.
        known = error.told.get("resourceIds") or ()
        if error.code == "ConflictException" and known:
            return str(known[0])
        raise
    if told.get("tasks"):
        return str(told["tasks"][0]["taskArn"])
    return NotPlaced(tuple(str(each.get("reason", "")) for each in told.get("failures", ())))


def task_state(aws: LightAws, cluster: str, arn: str, container: str) -> TaskState | None:
    """None: ECS knows it no more, about an hour after it has stopped."""
    told = aws.call(
        ECS,
        "DescribeTasks",
        {
            "cluster": cluster,
            "tasks": [arn],
        },
    )
    if not told.get("tasks"):
        return None
    task = told["tasks"][0]
    stopped = task.get("lastStatus") == "STOPPED"
    found = _container(task, container)
    reasons = (task.get("stoppedReason", ""), found.get("reason", ""))
    return TaskState(
        arn,
        stopped,
        found.get("exitCode") if stopped else None,
        "; ".join(filter(None, reasons)),
        "startedAt" in task or task.get("lastStatus") == "RUNNING",
        task.get("stopCode") == "SpotInterruption",
    )


def _container(task: Plain, name: str) -> Plain:
    found = [each for each in task.get("containers", ()) if each.get("name") == name]
    return dict(found[0]) if found else {}


def stop_task(aws: LightAws, cluster: str, arn: str, reason: str) -> None:
    """Harmless where it has stopped already."""
    asked = {
        "cluster": cluster,
        "task": arn,
        "reason": reason[:255],
    }
    aws.call(
        ECS,
        "StopTask",
        asked,
    )
