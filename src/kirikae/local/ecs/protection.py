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
        self._state = state
        self._clusters = clusters
        self._lookup = lookup
        self._agenda = agenda

    async def get(self, params: Plain) -> Plain:
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
        minutes = params.get("expiresInMinutes", MINUTES)
        if not 1 <= minutes <= _MOST_MINUTES:
            raise invalid(f"expiresInMinutes must be between 1 and {_MOST_MINUTES}.")
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
