"""What becomes of a service while a drill breaks it: looks once and again, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.drill.fleet import Fleet, healthy
from kirikae.drill.windows import Seen
from kirikae.model.errors import KirikaeError
from kirikae.model.said import Said, said


@dataclass(frozen=True, slots=True)
class Look:
    """At one moment, seconds since the plan's begin.  ``healthy``: targets that get requests; None:
    it has no target group."""

    at: float
    desired: int
    running: int
    pending: int
    definition: str
    deployments: int
    healthy: frozenset[tuple[str, int]] | None


class Watcher:
    """Keeps its looks; what AWS does not answer is looked at again, and counted."""

    def __init__(
        self,
        aws: Aws,
        fleet: Fleet,
        every_s: float = 0.5,
    ) -> None:
        self._aws = aws
        self._fleet = fleet
        self._every_s = every_s
        self._next = 0.0
        self.looks: list[Look] = []
        self.missed = 0

    def look(self, at: float) -> None:
        """As often as that is called, but not more often than each ``every_s``."""
        if at < self._next:
            return
        self._next = at + self._every_s
        try:
            self.looks.append(look_at(self._aws, self._fleet, at))
        except KirikaeError:
            self.missed += 1


def look_at(
    aws: Aws,
    fleet: Fleet,
    at: float,
) -> Look:
    """Raises KirikaeError."""
    found = ecs.service(aws, fleet.cluster, fleet.service) or {}
    targets = None
    if fleet.group is not None:
        targets = healthy(tuple(elbv2.targets_at(aws, fleet.group.arn)))
    return Look(
        at=at,
        desired=int(found.get("desiredCount", 0)),
        running=int(found.get("runningCount", 0)),
        pending=int(found.get("pendingCount", 0)),
        definition=str(found.get("taskDefinition", "")),
        deployments=len(found.get("deployments", ())),
        healthy=targets,
    )


def seen_of(
    looks: Sequence[Look],
    fleet: Fleet,
    begins: float,
) -> Seen:
    """From the fault on.  A service that nothing was seen missing of was whole all the time."""
    before = fleet.group.healthy if fleet.group is not None else frozenset()
    later = [look for look in looks if look.at >= begins]
    lacking = [look for look in later if not whole(look, fleet)]
    detection = None
    for look in later:
        if look.healthy is not None and before - look.healthy:
            detection = look.at - begins
            break
    again: float | None = 0.0 if later else None
    if lacking:
        after = [look for look in later if look.at > lacking[-1].at]
        again = after[0].at - begins if after else None
    return Seen(detection, again)


def whole(look: Look, fleet: Fleet) -> bool:
    """As many tasks and targets as before, of the release of before, and nothing is rolled out."""
    enough = look.running >= fleet.desired and look.desired >= fleet.desired
    settled = look.deployments <= 1 and look.definition == fleet.definition
    before = len(fleet.group.healthy) if fleet.group is not None else 0
    return enough and settled and (look.healthy is None or len(look.healthy) >= before)


def changes(looks: Sequence[Look]) -> Iterator[tuple[float, Said]]:
    """What was seen to change, for the timeline."""
    for before, after in pairwise(looks):
        if (before.running, before.desired) != (after.running, after.desired):
            yield after.at, said("drill.fault.tasks", running=after.running, desired=after.desired)
        if before.deployments != after.deployments:
            yield after.at, said("drill.fault.deployments", many=after.deployments)
        if before.definition != after.definition:
            yield (
                after.at,
                said("drill.fault.definition", name=after.definition.rpartition("/")[2]),
            )
        if before.healthy != after.healthy and after.healthy is not None:
            yield after.at, said("drill.fault.targets", healthy=len(after.healthy))
