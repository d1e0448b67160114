"""A session in a container of a service: which one, whether ECS Exec is on there, and AWS's own
program that speaks with it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs, ecs_definitions
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.release.ecs.config import EcsConfig

PLUGIN = "session-manager-plugin"
_AGENT = "ExecuteCommandAgent"


@dataclass(frozen=True, slots=True)
class Wanted:
    """``arn``: of the task; ``runtime``: the container's own ID."""

    arn: str
    container: str
    runtime: str

    @property
    def task(self) -> str:
        return self.arn.rpartition("/")[2]


def wanted(
    aws: Aws,
    config: EcsConfig,
    task: str,
    container: str,
) -> Wanted:
    """Raises UsageProblem, KirikaeError where ECS Exec is not on."""
    rows = ecs.tasks(
        aws,
        config.cluster,
        config.service,
        "RUNNING",
    )
    running = [row for row in rows if row.get("lastStatus") == "RUNNING"]
    chosen = _task(
        running,
        task,
        config.service,
    )
    if not chosen.get("enableExecuteCommand"):
        raise KirikaeError(
            f"ECS Exec is off for {config.service}: set `enableExecuteCommand: true` in "
            "the service definition and deploy it; only tasks that start afterwards have it"
        )
    row = _container(chosen, container)
    agents = [each for each in row.get("managedAgents", ()) if each.get("name") == _AGENT]
    if agents and agents[0].get("lastStatus") != "RUNNING":
        raise KirikaeError(
            f"the agent of ECS Exec in {row['name']} is {agents[0].get('lastStatus')}: "
            f"{agents[0].get('reason', 'the task role may lack ssmmessages:*')}"
        )
    return Wanted(
        str(chosen["taskArn"]),
        str(row["name"]),
        str(row.get("runtimeId", "")),
    )


def _task(running: Sequence[Mapping[str, Any]], task: str, service: str) -> Mapping[str, Any]:
    if not running:
        raise UsageProblem(f"no task of {service} runs")
    if task:
        found = [row for row in running if row["taskArn"].rpartition("/")[2].startswith(task)]
        if len(found) != 1:
            names = ", ".join(row["taskArn"].rpartition("/")[2] for row in running)
            raise UsageProblem(f"--id {task} is not one of the tasks that run: {names}")
        return found[0]
    return max(running, key=lambda row: row["createdAt"])


def _container(task: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    rows = task.get("containers") or []
    found = [row for row in rows if not name or row["name"] == name]
    if not found:
        names = ", ".join(row["name"] for row in rows)
        raise UsageProblem(f"--container {name} is not one of {names}")
    first: Mapping[str, Any] = found[0]
    return first


def run(
    aws: Aws,
    config: EcsConfig,
    at: Wanted,
    command: str,
) -> int:
    """The exit code of AWS's program.  Raises UsageProblem where it is not installed."""
    program = shutil.which(PLUGIN)
    if program is None:
        raise UsageProblem(
            f"{PLUGIN} is not installed; AWS's Systems Manager user guide says how, under "
            '"Install the Session Manager plugin"'
        )
    answer = ecs_definitions.execute_command(
        aws,
        config.cluster,
        at.arn,
        at.container,
        command,
    )
    client = aws.client("ecs")
    cluster = config.cluster.rpartition("/")[2]
    target = {"Target": f"ecs:{cluster}_{at.task}_{at.runtime}"}
    words = [
        program,
        json.dumps(answer["session"]),
        client.meta.region_name,
        "StartSession",
        "",
        json.dumps(target),
        client.meta.endpoint_url,
    ]
    return subprocess.run(words, check=False).returncode
