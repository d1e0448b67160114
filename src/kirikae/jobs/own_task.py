"""A run as an ECS task of its own: started once whatever happens to the worker that watches it.

The client token is of the firing and of how many tasks it has had, so a second worker that takes
over is told the same task, running or stopped, and starts none beside it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kirikae.aws.errors import AwsRefused
from kirikae.aws.light import LightAws
from kirikae.aws.run_task import NotPlaced, TaskState, run_task, stop_task, task_state
from kirikae.aws.task_output import last_lines
from kirikae.jobs.errors import NotStarted
from kirikae.jobs.job import Firing, Job, OnCrash, token
from kirikae.jobs.runner import KEPT_LINES, KEPT_OF_LINE, Ended
from kirikae.model.errors import AwsUnreachable

log = logging.getLogger(__name__)
_LONGEST_START_S = 600.0
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_VANISHED = 3
"""DescribeTasks may not know a task yet, or not know it for a moment."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """``spot``: where a rerun is allowed, on capacity that may be taken away.  ``definition``: a
    family or an ARN; ``container``: the one whose command is replaced."""

    cluster: str
    definition: str
    container: str
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    spot: bool = False
    look_s: float = 5.0


def wanted_task(tasks: Tasks, job: Job, firing: Firing, extra: Mapping[str, str]) -> dict[str, Any]:
    """What RunTask is asked for: pure, and the same for the same firing and task."""
    environment = {
        **job.environment,
        **_without_attempt(extra),
    }
    if job.stdin is not None:
        environment["KIRIKAE_STDIN"] = job.stdin
    pairs = [
        {
            "name": name,
            "value": value,
        }
        for name, value in sorted(environment.items())
    ]
    override = {
        "name": tasks.container,
        "command": [job.environment.get("SHELL", "/bin/sh"), "-c", _command(job)],
        "environment": pairs,
    }
    wanted: dict[str, Any] = {
        "cluster": tasks.cluster,
        "taskDefinition": tasks.definition,
        "count": 1,
        "clientToken": token(firing.id, ordinal(firing)),
        "startedBy": firing.id[:128],
        "overrides": {"containerOverrides": [override]},
    }
    if tasks.spot and job.policy.on_crash is OnCrash.RERUN:
        wanted["capacityProviderStrategy"] = [
            {
                "capacityProvider": "FARGATE_SPOT",
                "weight": 1,
            }
        ]
    else:
        wanted["launchType"] = "FARGATE"
    if tasks.subnets:
        network: dict[str, Any] = {"subnets": list(tasks.subnets)}
        if tasks.security_groups:
            network["securityGroups"] = list(tasks.security_groups)
        wanted["networkConfiguration"] = {"awsvpcConfiguration": network}
    return wanted


def _without_attempt(extra: Mapping[str, str]) -> dict[str, str]:
    """Fence and attempt rise with each worker that watches: the task stays the same."""
    return {name: extra[name] for name in ("KIRIKAE_FIRING",) if name in extra}


def _command(job: Job) -> str:
    """ECS gives a container no standard input."""
    if job.stdin is None:
        return f"{{ {job.command}\n}} </dev/null"
    return f'printf %s "$KIRIKAE_STDIN" | {{ {job.command}\n}}'


def ordinal(firing: Firing) -> int:
    """Which task of this firing: one more than those that are known to have ended."""
    return 1 + sum(1 for run in firing.runs[:-1] if not run.lost)


class TaskRun:
    """One task, watched until it has stopped or until this worker lets go of it."""

    def __init__(
        self,
        aws: LightAws,
        tasks: Tasks,
        job: Job,
        firing: Firing,
        extra: Mapping[str, str],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts it, or finds the one that was started.  ``is_over``: the ledger says that this
        firing has ended, so its task shall, too.  Raises NotStarted."""
        self._aws = aws
        self._tasks = tasks
        self._job = job
        self._is_over = is_over
        self._let_go = threading.Event()
        self._why = ""
        self.arn = self._started(
            wanted_task(
                tasks,
                job,
                firing,
                extra,
            ),
            firing.start_by,
        )

    def _started(self, wanted: Mapping[str, Any], start_by: float | None) -> str:
        """No room and no answer are tried again until the start deadline, under the same token."""
        deadline = time.time() + _LONGEST_START_S if start_by is None else start_by
        pause_s = _FIRST_PAUSE_S * min(1.0, self._tasks.look_s)
        while True:
            try:
                found = run_task(self._aws, wanted)
            except AwsUnreachable as error:
                why = str(error)
            except AwsRefused as error:
                raise NotStarted(f"RunTask: {error.code}: {error}") from error
            else:
                if not isinstance(found, NotPlaced):
                    return found
                why = ", ".join(found.reasons) or "no reason was told"
            if time.time() + pause_s > deadline or self._let_go.wait(pause_s):
                raise NotStarted(f"no task was started before the deadline: {why}")
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def stop(self, reason: str, grace_s: float = 10.0) -> None:
        """Let go of it: the task goes on, and the next worker finds it by its token."""
        self._why = reason
        self._let_go.set()

    def matched(self) -> tuple[tuple[str, ...], int]:
        """Its output is looked at when it has ended."""
        return (), 0

    def wait(self) -> Ended:
        """DescribeTasks decides, whatever events were lost."""
        unknown = 0
        began = time.monotonic()
        timed_out = ""
        while not self._let_go.wait(self._tasks.look_s):
            try:
                found = task_state(
                    self._aws,
                    self._tasks.cluster,
                    self.arn,
                    self._tasks.container,
                )
            except (AwsRefused, AwsUnreachable):
                continue
            unknown = unknown + 1 if found is None else 0
            if unknown >= _VANISHED:
                return Ended(-1, "its task vanished", "", crashed=True)
            if found is not None and found.stopped:
                return self._with_output(_ended(found, timed_out))
            timed_out = timed_out or self._timed_out(time.monotonic() - began)
        if self._is_over():
            self._end_task(self._why)
        return Ended(-1, self._why, "", let_go=True)

    def _timed_out(self, lasted_s: float) -> str:
        """Why its task is told to end; empty: it may go on."""
        timeout_s = self._job.timeout_s
        if timeout_s is None or lasted_s <= timeout_s:
            return ""
        reason = f"timed out after {timeout_s:g} s"
        self._end_task(reason)
        return reason

    def _with_output(self, ended: Ended) -> Ended:
        """Its last lines, and those that its pattern finds among them; without them it has ended
        all the same."""
        tasks = self._tasks
        try:
            lines = last_lines(self._aws, tasks.definition, tasks.container, self.arn, KEPT_LINES)
        except (AwsRefused, AwsUnreachable) as error:
            log.warning("the output of %s cannot be read: %s", self.arn, error)
            return ended
        pattern = re.compile(self._job.match) if self._job.match else None
        matched = tuple(line for line in lines if pattern is not None and pattern.search(line))
        tail = "\n".join(line[:KEPT_OF_LINE] for line in lines)
        return replace(ended, tail=tail, matched=matched, matches=len(matched))

    def _end_task(self, reason: str) -> None:
        try:
            stop_task(
                self._aws,
                self._tasks.cluster,
                self.arn,
                reason,
            )
        except (AwsRefused, AwsUnreachable):
            """Looked at again, and asked again where it must be."""


def _ended(found: TaskState, timed_out: str) -> Ended:
    if found.exit_code is None:
        reason = timed_out or found.reason or "its task stopped without an exit status"
        return Ended(
            -1,
            reason,
            "",
            crashed=not timed_out,
        )
    if timed_out:
        return Ended(
            found.exit_code,
            timed_out,
            "",
        )
    reason = "" if found.exit_code == 0 else f"exit status {found.exit_code}"
    return Ended(
        found.exit_code,
        reason,
        "",
        crashed=found.taken_away,
    )
