"""Dask's scheduler and workers as ECS tasks: their definitions, and one run of them.

The tasks bear the move's name (``startedBy``): the next run stops those that a killed owner left.
They also end by themselves: workers a minute after their scheduler, the scheduler after a quarter
of an hour without work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws.light import ECS, LightAws
from kirikae.aws.run_task import NotPlaced, run_task, stop_task
from kirikae.logs.errors import LogsNotReady, TreeTrouble
from kirikae.logs.pools import DASK, PORT
from kirikae.model.errors import Unfinished

Plain = dict[str, Any]
_IDLE = "15m"
_ALONE = "60s"
_CONTAINER = "dask"
_COMMANDS = {
    "scheduler": ("scheduler", "--port", str(PORT), "--no-dashboard", "--idle-timeout", _IDLE),
    "worker": (
        "worker",
        "--nthreads",
        "1",
        # All of the task's memory is the worker's, however many cores the machine has.
        "--memory-limit",
        "0",
        "--no-dashboard",
        "--death-timeout",
        _ALONE,
    ),
}
_LOOKS_EVERY_S = 1.0
_UP_WITHIN_S = 600.0
_KEPT_UP_EVERY_S = 15.0
_AT_ONCE = 10
_LONGEST_NAME = 36
"""Of ``startedBy`` (ECS API reference, RunTask)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that the definitions are made of."""

    name: str
    cluster: str
    region: str
    image: str
    cpu: int
    memory: int
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    execution_role: str
    task_role: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def started_by(self) -> str:
        return self.name[:_LONGEST_NAME]

    def family(self, part: str) -> str:
        return f"{self.name}-{part}"


def definition(wanted: Wanted, part: str) -> Plain:
    """Of ``scheduler`` or ``worker``; what RegisterTaskDefinition takes.  One thread a worker:
    the work is Python's own, and each worker may be given one core."""
    log = {
        "awslogs-group": f"/kirikae/{wanted.name}",
        "awslogs-region": wanted.region,
        "awslogs-stream-prefix": part,
        "awslogs-create-group": "true",
    }
    variables = {
        "AWS_REGION": wanted.region,
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "5",
        **wanted.variables,
    }
    container = {
        "name": _CONTAINER,
        "image": wanted.image,
        "essential": True,
        "entryPoint": ["/opt/kirikae/bin/python", "-m", "dask"],
        "command": list(_COMMANDS[part]),
        "environment": [{"name": key, "value": value} for key, value in variables.items()],
        "logConfiguration": {"logDriver": "awslogs", "options": log},
    }
    small = part == "scheduler"
    made: Plain = {
        "family": wanted.family(part),
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "512" if small else str(wanted.cpu),
        "memory": "1024" if small else str(wanted.memory),
        "executionRoleArn": wanted.execution_role,
        "containerDefinitions": [container],
    }
    if wanted.task_role is not None:
        made["taskRoleArn"] = wanted.task_role
    return made


def definitions(wanted: Wanted) -> dict[str, Plain]:
    """By name of file."""
    parts = ("scheduler", "worker")
    return {f"{part}-task-def.json": definition(wanted, part) for part in parts}


@dataclass
class Workers:
    """A scheduler and ``count`` workers, for one run."""

    aws: LightAws
    wanted: Wanted
    count: int
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _worker: str = ""
    _address: str = ""
    _kept_up_at: float = 0.0

    def start(self) -> str:
        """``dask://HOST:PORT``.  Raises LogsNotReady, TreeTrouble, AwsRefused, AwsUnreachable."""
        self.stop()
        scheduler = self._register("scheduler")
        self._worker = self._register("worker")
        self._run(scheduler, ())
        host = self._host_of(scheduler)
        self._address = f"tcp://{host}:{PORT}"
        self._start_workers(self.count)
        return f"{DASK}{host}:{PORT}"

    def keep_up(self) -> None:
        """Workers that are gone are made up for; where ECS does not answer or has no room, the
        next time."""
        now = self.clock()
        if now - self._kept_up_at < _KEPT_UP_EVERY_S:
            return
        self._kept_up_at = now
        with suppress(Unfinished, LogsNotReady):
            there = [task for task in self._tasks() if task["taskDefinitionArn"] == self._worker]
            if len(there) < self.count:
                self._start_workers(self.count - len(there))

    def stop(self) -> None:
        """All of them, whoever started them."""
        for task in self._tasks():
            stop_task(self.aws, self.wanted.cluster, task["taskArn"], "kirikae logs backfill")

    def _register(self, part: str) -> str:
        asked = definition(self.wanted, part)
        told = self.aws.call(ECS, "RegisterTaskDefinition", asked)
        return str(told["taskDefinition"]["taskDefinitionArn"])

    def _start_workers(self, count: int) -> None:
        for begin in range(0, count, _AT_ONCE):
            self._run(self._worker, (self._address,), min(_AT_ONCE, count - begin))

    def _run(
        self,
        arn: str,
        words: Sequence[str],
        count: int = 1,
    ) -> None:
        """``words``: for the end of the command.  Raises LogsNotReady where there is no room."""
        network = {
            "subnets": list(self.wanted.subnets),
            "securityGroups": list(self.wanted.security_groups),
            "assignPublicIp": "DISABLED",
        }
        asked: Plain = {
            "cluster": self.wanted.cluster,
            "taskDefinition": arn,
            "count": count,
            "launchType": "FARGATE",
            "startedBy": self.wanted.started_by,
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        if words:
            override = {"name": _CONTAINER, "command": [*_COMMANDS["worker"], *words]}
            asked["overrides"] = {"containerOverrides": [override]}
        found = run_task(self.aws, asked)
        if isinstance(found, NotPlaced):
            raise LogsNotReady(
                f"ECS started no task in {self.wanted.cluster}: {'; '.join(found.reasons)}; "
                "make room, or use --workers on this machine"
            )

    def _tasks(self) -> list[Plain]:
        """Those of this move that run or are on their way up."""
        asked = {
            "cluster": self.wanted.cluster,
            "startedBy": self.wanted.started_by,
            "desiredStatus": "RUNNING",
        }
        found: list[Plain] = []
        while True:
            told = self.aws.call(ECS, "ListTasks", asked)
            found += self._described(told["taskArns"])
            if not told.get("nextToken"):
                return found
            asked["nextToken"] = told["nextToken"]

    def _described(self, arns: list[str]) -> list[Plain]:
        """At most a hundred, as a page of ListTasks has."""
        if not arns:
            return []
        asked = {
            "cluster": self.wanted.cluster,
            "tasks": arns,
        }
        return list(self.aws.call(ECS, "DescribeTasks", asked)["tasks"])

    def _host_of(self, arn: str) -> str:
        """The address of the scheduler's network interface, once it runs.  Raises TreeTrouble."""
        end = self.clock() + _UP_WITHIN_S
        while self.clock() < end:
            mine = [task for task in self._tasks() if task["taskDefinitionArn"] == arn]
            if not mine:
                raise TreeTrouble(
                    f"the scheduler of Dask ended at once; see /kirikae/{self.wanted.name} in "
                    "CloudWatch Logs, and the image"
                )
            host = _private_address(mine[0])
            if mine[0]["lastStatus"] == "RUNNING" and host:
                return host
            self.sleep(_LOOKS_EVERY_S)
        raise TreeTrouble(
            f"the scheduler of Dask did not run within {_UP_WITHIN_S:.0f} s; see its task in "
            f"{self.wanted.cluster}"
        )


def _private_address(task: Plain) -> str:
    """Of the task's own network interface (ECS API reference, Attachment)."""
    for attachment in task.get("attachments", ()):
        for detail in attachment.get("details", ()):
            if detail["name"] == "privateIPv4Address":
                return str(detail["value"])
    return ""
