"""Task scale-in protection."""

from __future__ import annotations

import time

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import invalid
from kirikae.local.ecs.taskrow import is_live, protected, service_of
from kirikae.local.plain import Plain
from kirikae.local.rows import Task
from kirikae.local.state import State
from kirikae.local.wire import Handlers

MINUTES = 120
# botocore's model of UpdateTaskProtection: up to 48 hours; two hours unless it is said.
_MOST_MINUTES = 2880
_MINUTE_S = 60
_MOST_READ = 100
_MOST_CHANGED = 10


class Protection:
    """A protected task is not stopped by scaling in, nor by a deployment."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        lookup: Lookup,
        agenda: Agenda,
    ) -> None:
        """Protection stands in the tasks' own rows; nothing is kept here."""
        self._state = state
        self._clusters = clusters
        self._lookup = lookup
        self._agenda = agenda

    async def get(self, params: Plain) -> Plain:
        """GetTaskProtection: the named tasks (at most 100), or without names every protected task
        of the cluster.  What is not there stands in ``failures`` as MISSING."""
        now = time.time()
        if params.get("tasks"):
            found, failures = self._lookup.tasks(params, _MOST_READ)
        else:
            arn = self._clusters.find(params["cluster"])["clusterArn"]
            every = [task for task in self._state.tasks.all() if task["clusterArn"] == arn]
            found = [task for task in every if protected(task, now)]
            failures = []
        return {
            "protectedTasks": [_show(task, now) for task in found],
            "failures": failures,
        }

    async def update(self, params: Plain) -> Plain:
        """UpdateTaskProtection, for at most 10 tasks: on for so many minutes (1 to 2880, else 120)
        from now, or off.  A task that belongs to no service or is asked to stop stands in
        ``failures`` as TASK_NOT_VALID.  Their service is woken: it may have waited to scale in."""
        minutes = params.get("expiresInMinutes", MINUTES)
        if not 1 <= minutes <= _MOST_MINUTES:
            raise invalid(f"expiresInMinutes must be between 1 and {_MOST_MINUTES}.")
        if not params["tasks"]:
            raise invalid("Tasks cannot be empty.")
        now = time.time()
        until = now + minutes * _MINUTE_S if params["protectionEnabled"] else 0.0
        found, failures = self._lookup.tasks(params, _MOST_CHANGED)
        shown = []
        for task in found:
            if not task["_revision"] or not is_live(task):
                failures.append(
                    {
                        "arn": task["taskArn"],
                        "reason": "TASK_NOT_VALID",
                    }
                )
                continue
            changed: Task = {
                **task,
                "_protectedUntil": until,
            }
            shown.append(_show(self._state.tasks.put(task["id"], changed), now))
            self._agenda.wake(service_of(task))
        return {
            "protectedTasks": shown,
            "failures": failures,
        }


def _show(task: Task, now: float) -> Plain:
    """Protection that has run out is shown as none."""
    on = protected(task, now)
    shown: Plain = {
        "taskArn": task["taskArn"],
        "protectionEnabled": on,
    }
    if on:
        shown["expirationDate"] = task["_protectedUntil"]
    return shown


OPERATIONS: Handlers[Protection] = {
    "GetTaskProtection": Protection.get,
    "UpdateTaskProtection": Protection.update,
}
