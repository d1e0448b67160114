"""What must hold before consumers move, and what should be known."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.aws import queues
from kirikae.jobs.workers.settings import WorkersMove
from kirikae.jobs.workers.tasks import Definition, Wanted
from kirikae.jobs.workers.units import States
from kirikae.model.catalogue import load
from kirikae.model.finding import Confidence, Finding, Trace


def _found(code: str, where: str, says: str) -> Finding:
    entry = load("kirikae.jobs.workers")[code]
    return entry.found(
        where,
        entry.title,
        [Trace("", where, says)],
        Confidence.OBSERVED,
    )


def of_the_queue(settings: WorkersMove, queue: queues.Queue | None) -> Iterator[Finding]:
    name = settings.queue
    if queue is None:
        yield _found("WK01", name, "GetQueueUrl finds no such queue")
        return
    if queue.dead_letters is None:
        yield _found("WK05", name, "RedrivePolicy: none")


def of_the_units(states: States) -> Iterator[Finding]:
    for consumer, unit in states.items():
        if not unit.loaded:
            yield _found("WK02", str(consumer), "systemd does not know it")
        elif not (unit.runs or unit.drains):
            yield _found("WK02", str(consumer), f"ActiveState={unit.state}")


def of_the_stopping(
    states: States, queue: queues.Queue | None, definition: Definition, service: str
) -> Iterator[Finding]:
    """A consumer that is killed gives its messages back only when their visibility runs out."""
    if queue is None:
        return
    for consumer, unit in states.items():
        if unit.stop_s is not None and unit.stop_s < queue.visibility_s:
            says = f"TimeoutStopSec {unit.stop_s:.0f} s, visibility timeout {queue.visibility_s} s"
            yield _found("WK04", str(consumer), says)
    if definition.stop_s < queue.visibility_s:
        says = f"stopTimeout {definition.stop_s} s, visibility timeout {queue.visibility_s} s"
        yield _found("WK04", service, says)


def of_the_service(
    settings: WorkersMove, wanted: Wanted, definition: Definition
) -> Iterator[Finding]:
    name = settings.new.ecs_service
    if wanted.balanced:
        yield _found("WK03", name, "loadBalancers: it has a target group")
    if not definition.groups:
        yield _found("WK06", name, f"{wanted.definition}: no container logs by awslogs")
