"""ExecuteCommand: refused with the command that does the same here, once AWS would take it.

A session goes over SSM's websocket on AWS; the container engine of this machine has an entrance of
its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import invalid, unsupported
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Container, Task
from kirikae.local.wire import Handlers

_NOT_ENABLED = (
    "The execute command failed because execute command was not enabled when the task was run or "
    "the execute command agent isn't running. Wait and try again or run a new task with execute "
    "command enabled and try again."
)


class ExecApi:
    """Whether a task would take a command is asked of its row."""

    def __init__(
        self,
        clusters: Clusters,
        lookup: Lookup,
        engine_name: Callable[[str, str], str],
    ) -> None:
        """``engine_name``: a task's ID and a container's name -> what the engine calls it."""
        self._clusters = clusters
        self._lookup = lookup
        self._engine_name = engine_name

    async def execute(self, params: Plain) -> Plain:
        """Raises AwsError as AWS does, and for a session that would begin: with the command that
        does it."""
        cluster = self._clusters.find(params.get("cluster"))
        task = self._lookup.task(cluster, params["task"])
        if task is None:
            raise invalid("The task provided in the request was not found.")
        if not params["interactive"]:
            raise invalid("Interactive is the only mode supported currently.")
        if not task.get("enableExecuteCommand"):
            raise invalid(_NOT_ENABLED)
        container = _chosen(task, params.get("container"))
        name = shlex.quote(self._engine_name(task["id"], container["name"]))
        raise unsupported(
            "kirikae local has no sessions of SSM; run on this machine: "
            f"docker exec -it {name} {params['command']}"
        )


def _chosen(task: Task, name: str | None) -> Container:
    """The container that is meant: the only one, or the one that is named.  Raises AwsError where
    it does not run."""
    containers = task["containers"]
    if name is None and len(containers) > 1:
        raise invalid("A container name is needed for a task of several containers.")
    for container in containers:
        if name in (None, container["name"]):
            if container["lastStatus"] != "RUNNING":
                break
            return container
    raise AwsError(
        "TargetNotConnectedException",
        "The container does not run, or there is none of this name in the task.",
    )


OPERATIONS: Handlers[ExecApi] = {
    "ExecuteCommand": ExecApi.execute,
}
PARTLY = {
    "ExecuteCommand": "checked as on AWS, then refused with the `docker exec` that does it",
}
"""Operations of which something is missing, and what."""
