"""What the rooms of moves and releases know of the infrastructure that ``build write`` writes.

AWS is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.build.needs import Needs, Queue
from kirikae.console import policy
from kirikae.jobs.making import stores
from kirikae.jobs.making.stack import Stack
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import Jobs
from kirikae.jobs.workers.settings import WorkersMove
from kirikae.model.project import Project
from kirikae.traffic.settings import TrafficMove


def needs_of(project: Project) -> Needs:
    """From the project file alone."""
    return Needs(
        rule=_rule(project), deploy=policy.to_deploy(project), queues=tuple(_queues(project))
    )


def _rule(project: Project) -> str:
    """Of the first move that turns one; two moves of one rule are refused elsewhere."""
    rules = [
        move.router.listener_rule
        for move in project.moves.values()
        if isinstance(move, TrafficMove) and move.router.listener_rule
    ]
    return rules[0] if rules else ""


def _queues(project: Project) -> Iterator[Queue]:
    for name, move in project.moves.items():
        if isinstance(move, JobsMove) and move.new is not None:
            # What the queue is like does not depend on what the crontab holds.
            yield _of_jobs(Stack(project, name, move, move.new, Jobs(move.named, 0, ())))
        elif isinstance(move, WorkersMove):
            yield Queue(move.queue)


def _of_jobs(stack: Stack) -> Queue:
    """As `jobs write` makes it: whoever comes second finds the same."""
    attributes: Mapping[str, Any] = stores.queue(stack)["Attributes"]
    return Queue(
        name=stack.queue,
        dead=stack.dead_queue,
        hidden_s=int(attributes["VisibilityTimeout"]),
        kept_s=int(attributes["MessageRetentionPeriod"]),
        receives=stores.RECEIVES,
    )
