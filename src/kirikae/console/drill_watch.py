"""What is looked at beside the requests of a long drill: CloudWatch, the log, tasks that ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import click

from kirikae.aws import cloudwatch, ecs, logs
from kirikae.aws.errors import AwsRefused
from kirikae.console.drill_ground import Scene, scene
from kirikae.console.drill_options import Command
from kirikae.console.here import Here
from kirikae.drill.columns import Record
from kirikae.drill.symptoms import PATTERN, Around, Ended

_MOST_LINES = 10_000
_WATCH = (
    click.option(
        "--watch",
        is_flag=True,
        help="Also look at the service's CPU, memory, log lines and tasks that end.",
    ),
    click.option("--cluster", help="--watch: default: that of the project file's new side."),
    click.option("--service", help="--watch: default: that of the project file's new side."),
)


def watching(command: Command) -> Command:
    """Gives a verb the options that ``around_of`` reads."""
    for option in reversed(_WATCH):
        command = option(command)
    return command


def around_of(here: Here, options: Mapping[str, Any]) -> Callable[[Record], Around]:
    """Asked before the drill, so that what is wrong is told before it; looked at after it."""
    if not (options["watch"] or options["cluster"] or options["service"]):
        return lambda _: Around()
    found = scene(here, options["cluster"], options["service"])
    fleet = found.fleet()
    group = _log_group(ecs.task_definition(found.ground.aws, fleet.definition))
    return lambda record: _around(found, group, record)


def _log_group(definition: Mapping[str, Any]) -> str:
    """Where its first container with CloudWatch Logs writes to; empty: none does."""
    for container in definition["containerDefinitions"]:
        written = container.get("logConfiguration", {})
        if written.get("logDriver") == "awslogs":
            return str(written["options"].get("awslogs-group", ""))
    return ""


def _around(found: Scene, group: str, record: Record) -> Around:
    aws = found.ground.aws
    since = record.wall
    until = since + float((max(record.done.max(), record.due.max()) - record.began_ns) / 1e9)
    return Around(
        service=found.service,
        cpu=_figures(found, "CPUUtilization", since, until),
        memory=_figures(found, "MemoryUtilization", since, until),
        lines=_lines(found, group, since) if group else (),
        ended=[
            Ended(
                str(task["taskArn"]),
                str(task.get("stoppedReason", "")),
                _exit_code(task),
            )
            for task in ecs.tasks(aws, found.cluster, found.service, "STOPPED")
            if _stopped_within(task, since)
        ],
    )


def _figures(found: Scene, metric: str, since: float, until: float) -> list[float] | None:
    """None: CloudWatch has none (a drill under a minute, or not allowed)."""
    dimensions = {"ClusterName": found.cluster, "ServiceName": found.service}
    try:
        values = cloudwatch.maxima(found.ground.aws, "AWS/ECS", metric, dimensions, since, until)
    except AwsRefused:
        return None
    return values or None


def _lines(found: Scene, group: str, since: float) -> list[str]:
    """Those that may say something; a log that cannot be read says nothing."""
    try:
        events = logs.events(found.ground.aws, group, since, PATTERN)
        return [event.message for event in islice(events, _MOST_LINES)]
    except AwsRefused:
        return []


def _stopped_within(task: Mapping[str, Any], since: float) -> bool:
    """And not because somebody scaled in or released."""
    at = task.get("stoppedAt")
    asked = str(task.get("stopCode", "")) in ("ServiceSchedulerInitiated", "UserInitiated")
    unhealthy = "health" in str(task.get("stoppedReason", "")).lower()
    return at is not None and at.timestamp() >= since and (unhealthy or not asked)


def _exit_code(task: Mapping[str, Any]) -> int | None:
    codes = [each["exitCode"] for each in task.get("containers", ()) if "exitCode" in each]
    return int(codes[0]) if codes else None
