"""ECS Deployment State Change: what became of each deployment of each service, told once.

What was told is kept, and kept only after it was told: a control plane that is killed in between
tells it again, as EventBridge may (at least once).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from kirikae.local.rows import Deployment
from kirikae.local.state import State, Table
from kirikae.local.wire import ACCOUNT

DETAIL_TYPE = "ECS Deployment State Change"
_NAMES = {
    "IN_PROGRESS": ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
    "COMPLETED": ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
    "FAILED": ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
}
_BEGINS = "IN_PROGRESS"


class Told(TypedDict):
    """Of one deployment: the last state that was told, and of which service it is."""

    id: str
    service: str
    state: str
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """``at``: since when, in seconds since 1970."""

    id: str
    service: str
    state: str
    reason: str
    at: float

    @property
    def region(self) -> str:
        """Of its service."""
        return self.service.split(":")[3]

    def told(self) -> Told:
        """As it is kept."""
        return {"id": self.id, "service": self.service, "state": self.state, "at": self.at}

    def event(self) -> dict[str, Any]:
        """Amazon ECS Developer Guide, "Amazon ECS service deployment state change events"."""
        kind, name = _NAMES[self.state]
        moment = f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": DETAIL_TYPE,
            "source": "aws.ecs",
            "account": ACCOUNT,
            "time": moment,
            "region": self.region,
            "resources": [self.service],
            "detail": {
                "eventType": kind,
                "eventName": name,
                "deploymentId": self.id,
                "updatedAt": moment,
                "reason": self.reason,
            },
        }


class Deployings:
    """Watches the deployments of all services."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: Table[Told] = Table(state, "toldDeployment")
        self._is_first = True

    def changes(self) -> list[Change]:
        """Since what was told; each is to be kept by ``keep`` once it was."""
        found = [change for now in self._now() for change in self._since_told(now)]
        self._is_first = False
        return found

    def keep(self, change: Change) -> None:
        """It was told."""
        self._told.put(change.id, change.told())

    def forget(self) -> None:
        """Deployments that no service has any more."""
        there = {entry["id"] for row in self._state.services.all() for entry in row["deployments"]}
        self._told.drop_where(lambda row: row["id"] not in there)

    def _now(self) -> Iterator[Change]:
        for service in self._state.services.all():
            for entry in service["deployments"]:
                yield Change(
                    id=entry["id"],
                    service=service["serviceArn"],
                    state=self._state_of(entry),
                    reason=entry["rolloutStateReason"],
                    at=entry["updatedAt"],
                )

    def _state_of(self, entry: Deployment) -> str:
        """What traffic went back from has failed, though ECS shows its entry until it is gone."""
        way = self._state.service_deployments.get(entry["_serviceDeployment"])
        if way is not None and "rollback" in way and way["_target"] == entry["_revision"]:
            return "FAILED"
        return entry["rolloutState"]

    def _since_told(self, now: Change) -> Iterator[Change]:
        row = self._told.get(now.id)
        if row is None and self._is_first and now.state != _BEGINS:
            # It was over before anybody kept what was told.
            self.keep(now)
            return
        before = row["state"] if row is not None else ""
        if before == now.state:
            return
        if row is None and now.state != _BEGINS:
            reason = f"ECS deployment {now.id} in progress."
            yield Change(now.id, now.service, _BEGINS, reason, now.at)
        yield now
