"""The old side as the way back: its size is pinned while a move goes on, and it is known whether it
can take everything.

A back-out is a promise only while the old side can take 100%.  At start its Auto Scaling group's
minimum is raised to its peak of two weeks plus headroom; what it was before stands in the journal's
store first, and is put back after retire or abandon."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from kirikae.aws import autoscaling, elbv2
from kirikae.aws.session import Aws
from kirikae.model.move import Move
from kirikae.model.project import OldFleet
from kirikae.model.said import Said, said
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

    def to_plain(self) -> dict[str, Any]:
        return asdict(self) | {"takes_all": self.takes_all}

    @property
    def says(self) -> Said:
        least = said("traffic.fact.no_least")
        if self.least is not None:
            least = said("traffic.fact.least", n=self.least)
        return said(
            "traffic.fact.old_side",
            healthy=self.healthy,
            targets=self.targets,
            least=least,
            can=self._can(),
        )

    def _can(self) -> Said:
        if not self.healthy:
            return said("traffic.fact.nowhere")
        if not self.takes_all:
            return said("traffic.fact.may_not_take_all", at_start=self.at_start)
        return said("traffic.fact.takes_all")


class Pin:
    """Raises the old group's minimum and puts it back; each may be called again after a crash."""

    def __init__(
        self,
        aws: Aws,
        fleet: OldFleet,
        journal: Journal,
        clock: Callable[[], float] = time.time,
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
                autoscaling.set_bounds(
                    self._aws,
                    name,
                    least,
                    most,
                )

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
            autoscaling.set_bounds(
                self._aws,
                group.name,
                before["least"],
                before["most"],
            )

    def look(self, move: Move | None, old: elbv2.TargetGroup) -> OldSide:
        states = [target.state for target in elbv2.targets(self._aws, old)]
        before = self._before(move)
        least: int | None = None
        desired: int | None = None
        if self._fleet.autoscaling_group is not None:
            group = autoscaling.group(self._aws, self._fleet.autoscaling_group)
            least = group.least
            desired = group.desired
        return OldSide(
            states.count("healthy"),
            len(states),
            before.get("healthy", 0),
            least,
            desired,
            _added(move, before),
        )

    def _before(self, move: Move | None) -> dict[str, Any]:
        note = None if move is None else self._journal.note(move, "old-side")
        return note or {}


def _added(move: Move | None, before: dict[str, Any]) -> int:
    """Instances that the pin has added and that still run."""
    if move is None or move.over:
        return 0
    added: int = before.get("wanted", 0) - before.get("in_service", 0)
    return max(0, added)
