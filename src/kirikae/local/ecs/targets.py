"""Tasks of services in the target groups of their services: in when they run, out before they
stop."""

from __future__ import annotations

import logging
import time

from kirikae.local.ecs.deployments import tell
from kirikae.local.ecs.names import short
from kirikae.local.ecs.taskrow import service_of, target_keys
from kirikae.local.elb.targets import Targets
from kirikae.local.errors import AwsError
from kirikae.local.rows import Binding, Task
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.tasks")


class TaskTargets:
    """What a task's life means for its target groups, and what its service tells of it."""

    def __init__(self, state: State, targets: Targets) -> None:
        """Which targets a task has follows from its row (``target_keys``); nothing is kept here."""
        self._state = state
        self._targets = targets

    async def register(self, task_id: str) -> None:
        """Put the task into its service's target groups; what is registered already stays."""
        task = self._state.tasks.get(task_id)
        if task is None or task["desiredStatus"] == "STOPPED":
            return
        for binding in task["_bindings"]:
            try:
                await self._register(task, binding)
            except (AwsError, OSError) as error:
                log.warning("task %s cannot be registered yet: %s", task_id, error)
        self._targets.check_all()

    async def _register(self, task: Task, binding: Binding) -> None:
        """In one target group; its service tells of it only where the target is new there.

        Raises AwsError where the group is gone or full.
        """
        arn = binding["targetGroupArn"]
        group = self._targets.group(arn)
        key, fresh = self._targets.register(group, task["address"], binding["containerPort"])
        if fresh:
            self._tell(task, f"registered 1 targets in (target-group {arn})")
            log.info("target %s registered", key)
            await self._targets.tell_door(group["id"])

    async def take_out(self, task: Task) -> None:
        """A dead process needs no draining: out of the load balancer at once, before anything else
        is looked at."""
        if task["desiredStatus"] == "STOPPED" or task["lastStatus"] != "RUNNING":
            return
        for key in target_keys(task):
            self._targets.forget(key)
        for binding in task["_bindings"]:
            await self._targets.tell_door(short(binding["targetGroupArn"]))

    async def begin_draining(self, task: Task) -> list[str]:
        """No new request; the answer is what still drains."""
        keys = [key for key in target_keys(task) if self._state.targets.get(key) is not None]
        for key in keys:
            await self._targets.deregister(key)
        return keys

    def tell_draining(self, task: Task) -> None:
        """The service's events for the targets of this task that begin to drain."""
        draining = "has begun draining connections on 1 tasks."
        tell(self._state, service_of(task), draining, time.time(), task["startedBy"])
        for binding in task["_bindings"]:
            group = binding["targetGroupArn"]
            self._tell(task, f"deregistered 1 targets in (target-group {group})")

    async def drained(self, keys: list[str]) -> None:
        """Wait until none of these targets is left; each goes when nothing is in flight or its
        delay is over."""
        for key in keys:
            await self._targets.drained(key)

    def _tell(self, task: Task, message: str) -> None:
        """An event of the task's service."""
        tell(self._state, service_of(task), message, time.time())
