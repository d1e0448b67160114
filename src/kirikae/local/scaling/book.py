"""What Application Auto Scaling keeps, in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kirikae.local.alarms.book import region_of
from kirikae.local.scaling.activities import with_new
from kirikae.local.scaling.rows import Activities, Activity, Planned, Policy, Target
from kirikae.local.state import State, Table
from kirikae.local.wire import ACCOUNT


class Book:
    """Of a region, or of all where ``store`` is the whole one."""

    def __init__(
        self,
        store: State,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.now = clock
        self.targets: Table[Target] = Table(store, "scalabletarget")
        self.policies: Table[Policy] = Table(store, "scalingpolicy")
        self.planned: Table[Planned] = Table(store, "scheduledaction")
        self.activities: Table[Activities] = Table(store, "scalingactivities")

    def target(self, resource: str) -> Target | None:
        """Of this region."""
        found = (each for each in self.targets.all() if each["resource"] == resource)
        return next(found, None)

    def policies_of(self, target: Target) -> list[Policy]:
        """Of one service."""
        return [
            each
            for each in self.policies.all()
            if _is_of(
                each["arn"],
                each,
                target,
            )
        ]

    def planned_of(self, target: Target) -> list[Planned]:
        """Of one service, in the order in which they were made."""
        found = [
            each
            for each in self.planned.all()
            if _is_of(
                each["arn"],
                each,
                target,
            )
        ]
        return sorted(found, key=lambda each: each["number"])

    def items(
        self,
        region: str,
        resource: str,
    ) -> list[Activity]:
        """The newest first."""
        found = self.activities.get(_activities_key(region, resource))
        return found["items"] if found is not None else []

    def note(
        self,
        region: str,
        resource: str,
        more: Sequence[Activity],
    ) -> None:
        """Activities, the oldest first."""
        if more:
            before = self.items(region, resource)
            self.keep_items(
                region,
                resource,
                with_new(before, more),
            )

    def keep_items(
        self,
        region: str,
        resource: str,
        items: list[Activity],
    ) -> None:
        """Instead of those that were there; the same ones are not written again."""
        if items != self.items(region, resource):
            row: Activities = {"resource": resource, "items": items}
            self.activities.put(_activities_key(region, resource), row)


def _is_of(
    arn: str,
    row: Policy | Planned,
    target: Target,
) -> bool:
    is_here = region_of(arn) == region_of(target["arn"])
    return is_here and row["resource"] == target["resource"]


def _activities_key(region: str, resource: str) -> str:
    """As an ARN is made, so that it says its region."""
    return f"arn:aws:application-autoscaling:{region}:{ACCOUNT}:activities/{resource}"
