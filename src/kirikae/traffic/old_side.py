"""The old side as the way back: its size is pinned while a move goes on, and it is known whether it
can take everything.

A back-out is a promise only while the old side can take 100%.  At start its Auto Scaling group's
minimum is raised to its peak of two weeks plus headroom; what it was before stands in the journal's
store first, and is put back after retire or abandon."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kirikae.aws import autoscaling, elbv2
from kirikae.aws.session import Aws
from kirikae.model.move import Move
from kirikae.model.project import OldFleet
from kirikae.move.journal import Journal

HEADROOM = 1.2


@dataclass(frozen=True, slots=True)
class OldSide:
    """What the old side has now.  ``at_start``: healthy targets when the move began and it carried
    everything; 0: not begun."""

    healthy: int
    targets: int
    at_start: int
    least: int | None = None
    desired: int | None = None
    added: int = 0

    @property
    def takes_all(self) -> bool:
        return self.healthy > 0 and self.healthy >= self.at_start

    def told(self) -> str:
        counted = f"{self.healthy} of {self.targets} targets healthy"
        if self.least is not None:
            counted += f", its group holds at least {self.least}"
        if not self.healthy:
            return f"{counted}; a back-out HAS NOWHERE TO GO"
        if not self.takes_all:
            return (
                f"{counted}; {self.at_start} carried everything when the move began: IT MAY "
                "NOT TAKE 100% NOW"
            )
        return f"{counted}; it can take 100% now"


class Pin:
    """Raises the old group's minimum and puts it back; each may be called again after a crash."""

    def __init__(
        self, aws: Aws, fleet: OldFleet, journal: Journal, clock: Callable[[], float] = time.time
    ) -> None:
        self._aws = aws
        self._fleet = fleet
        self._journal = journal
        self._clock = clock

    def pin(self, move: Move, old: elbv2.TargetGroup) -> None:
        """What stands now is written down once per life of the move, before anything is changed."""
        name = self._fleet.autoscaling_group
        healthy = sum(target.state == "healthy" for target in elbv2.targets(self._aws, old))
        before: dict[str, Any] = {"healthy": healthy}
        if name is not None:
            group = autoscaling.group(self._aws, name)
            wanted = math.ceil(HEADROOM * autoscaling.peak(self._aws, group, self._clock()))
            before |= {
                "group": name,
                "least": group.least,
                "most": group.most,
                "in_service": group.in_service,
                "wanted": max(wanted, group.least),
            }
        before = self._journal.note_once(move, "old-side", before)
        if name is not None and before.get("group") == name:
            least = before["wanted"]
            most = max(before["most"], before["wanted"])
            if autoscaling.group(self._aws, name).least < least:
                autoscaling.set_bounds(self._aws, name, least, most)

    def release(self, move: Move) -> None:
        """The bounds from before the move; the instances that serve stay until the group's own
        rules take them away."""
        before = self._journal.note(move, "old-side")
        if before is None or "group" not in before:
            return
        group = autoscaling.group(self._aws, before["group"])
        if (group.least, group.most) == (
            before["wanted"],
            max(before["most"], before["wanted"]),
        ):  # else somebody set it since
            autoscaling.set_bounds(self._aws, group.name, before["least"], before["most"])

    def look(self, move: Move | None, old: elbv2.TargetGroup) -> OldSide:
        states = [target.state for target in elbv2.targets(self._aws, old)]
        before = (self._journal.note(move, "old-side") if move is not None else None) or {}
        least = desired = None
        if self._fleet.autoscaling_group is not None:
            group = autoscaling.group(self._aws, self._fleet.autoscaling_group)
            least = group.least
            desired = group.desired
        added = (
            max(0, before.get("wanted", 0) - before.get("in_service", 0))
            if move is not None and not move.over
            else 0
        )
        return OldSide(
            states.count("healthy"), len(states), before.get("healthy", 0), least, desired, added
        )
