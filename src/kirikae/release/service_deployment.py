"""Wait for one service deployment of ECS, and tell the truth about how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable
from kirikae.release.errors import NotFinished, RolledBack

POLL_S = 1.0
Row = Mapping[str, Any]
"""A service, a deployment or an event, with the API's own keys."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at the service saw; ``events`` are new since the last look, oldest first."""

    running: int
    pending: int
    desired: int
    events: tuple[str, ...]
    done: bool = False


@dataclass(frozen=True, slots=True)
class ServiceDeployment:
    """One deployment of a service, by its ID."""

    aws: Aws
    cluster: str
    service: str
    id: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, timeout_s: float) -> Iterator[Progress]:
        """Look until this very deployment is COMPLETED.  Raises RolledBack or NotFinished: there is
        no third way out."""
        deadline = self.clock() + timeout_s
        told: set[str] = set()
        while True:
            progress = self._look(told)
            if progress is not None:
                yield progress
                if progress.done:
                    return
            if self.clock() > deadline:
                raise NotFinished(
                    f"after {timeout_s:.0f} s the deployment of {self.service} is still going on; "
                    "`kirikae release status` looks again"
                )
            self.sleep(POLL_S)

    def _look(self, told: set[str]) -> Progress | None:
        """None: AWS did not answer, which says nothing about the deployment.

        ``told`` are the IDs of the events that were told already; it grows.
        """
        try:
            row = ecs.service(self.aws, self.cluster, self.service)
        except AwsUnreachable:
            return None
        if row is None:
            raise NotFinished(f"the service {self.service} is gone; somebody deleted it")
        own = self._own(row)
        return Progress(
            own["runningCount"],
            own["pendingCount"],
            own["desiredCount"],
            _fresh_events(row, own, told),
            own["rolloutState"] == "COMPLETED",
        )

    def _own(self, row: Row) -> Row:
        """This deployment, while it goes on as the service's primary one.  Raises RolledBack,
        NotFinished."""
        primary = row["deployments"][0]
        found = [each for each in row["deployments"] if each["id"] == self.id]
        if found and found[0]["rolloutState"] == "FAILED":
            raise RolledBack(
                f"the deployment failed: {found[0]['rolloutStateReason']} What serves is "
                f"{primary['taskDefinition'].rpartition('/')[2]}"
            )
        if not found or primary["id"] != self.id:
            raise NotFinished(
                f"another deployment of {self.service} took over ({primary['id']}); this one is "
                "not waited for any more"
            )
        return dict(found[0])


def _fresh_events(row: Row, own: Row, told: set[str]) -> tuple[str, ...]:
    """Those since this deployment began that were not told yet, oldest first."""
    since = [event for event in row["events"] if event["createdAt"] >= own["createdAt"]]
    fresh = [event for event in reversed(since) if event["id"] not in told]
    told.update(event["id"] for event in fresh)
    return tuple(event["message"] for event in fresh)
