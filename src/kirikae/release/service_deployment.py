"""Wait for one service deployment of ECS, and tell the truth about how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable
from kirikae.release.errors import NotFinished, NothingRuns, RolledBack
from kirikae.release.stopped import StoppedTask, Stops

_HEALTHY = "healthy"
POLL_S = 1.0
Row = Mapping[str, Any]
"""A service, a deployment or an event, with the API's own keys."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at the service saw; ``events`` are new since the last look, oldest first, and
    ``stopped`` says why tasks stopped, where more of them did since then."""

    running: int
    pending: int
    desired: int
    events: tuple[str, ...]
    done: bool = False
    stopped: tuple[StoppedTask, ...] = ()


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
        """Look until this very deployment is COMPLETED, and its tasks run and answer.  Raises
        RolledBack, NotFinished or NothingRuns: there is no third way out."""
        deadline = self.clock() + timeout_s
        told = _Told()
        while True:
            progress = self._look(told)
            if progress is not None:
                yield progress
                if progress.done:
                    return
            if self.clock() > deadline:
                stopped = self._stops.of(self.id)
                raise NotFinished(
                    f"after {timeout_s:.0f} s the deployment of {self.service} is still going on"
                    f"{_because(stopped)}; `kirikae release status` looks again",
                    stopped,
                )
            self.sleep(POLL_S)

    @property
    def _stops(self) -> Stops:
        return Stops(self.aws, self.cluster, self.service)

    def _look(self, told: _Told) -> Progress | None:
        """None: AWS did not answer, which says nothing about the deployment."""
        try:
            row = ecs.service(self.aws, self.cluster, self.service)
            if row is None:
                raise NotFinished(f"the service {self.service} is gone; somebody deleted it")
            own = self._own(row)
            done = own["rolloutState"] == "COMPLETED" and self._serves(row, own)
        except AwsUnreachable:
            return None
        return Progress(
            own["runningCount"],
            own["pendingCount"],
            own["desiredCount"],
            _fresh_events(row, own, told.events),
            done,
            self._fresh_stops(own, told),
        )

    def _own(self, row: Row) -> Row:
        """This deployment, while it goes on as the service's primary one.  Raises RolledBack,
        NotFinished."""
        primary = row["deployments"][0]
        found = [each for each in row["deployments"] if each["id"] == self.id]
        if found and found[0]["rolloutState"] == "FAILED":
            stopped = self._stops.of(self.id)
            raise RolledBack(
                f"the deployment failed: {found[0].get('rolloutStateReason', 'AWS says not why.')} "
                f"{_now_serving(primary)}{_because(stopped)}",
                stopped,
            )
        if not found or primary["id"] != self.id:
            raise NotFinished(
                f"another deployment of {self.service} took over ({primary['id']}); this one is "
                "not waited for any more"
            )
        return dict(found[0])

    def _serves(self, row: Row, own: Row) -> bool:
        """A deployment without tasks is COMPLETED, too.  Raises NothingRuns, AwsUnreachable."""
        if not own["desiredCount"]:
            raise NothingRuns(
                f"{self.service} is set to {_revision(own)}, but its desired count is 0: nothing "
                "runs, so nothing was proven; raise it (aws ecs update-service --desired-count), "
                "then run this again"
            )
        if own["runningCount"] < own["desiredCount"]:
            return False
        groups = [each.get("targetGroupArn") for each in row.get("loadBalancers", ())]
        return all(self._answers(arn) for arn in groups if arn)

    def _answers(self, target_group: str) -> bool:
        """The load balancer takes at least one target for healthy."""
        states = elbv2.targets(self.aws, elbv2.TargetGroup(target_group, target_group))
        return any(target.state == _HEALTHY for target in states)

    def _fresh_stops(self, own: Row, told: _Told) -> tuple[StoppedTask, ...]:
        """Asked for once more where ECS counts more failed tasks than at the last look, or where a
        start was told of: a task that ends after it ran counts as no failure."""
        signs = (own.get("failedTasks", 0), len(told.events))
        if signs == told.signs:
            return ()
        told.signs = signs
        found = self._stops.of(self.id)
        fresh = tuple(each for each in found if each.cause not in told.causes)
        told.causes.update(each.cause for each in fresh)
        return fresh


@dataclass
class _Told:
    """What was told already: IDs of events, and causes of stopped tasks."""

    events: set[str] = field(default_factory=set)
    causes: set[str] = field(default_factory=set)
    signs: tuple[int, int] = (0, 0)


def _revision(row: Row) -> str:
    return str(row["taskDefinition"]).rpartition("/")[2]


def _now_serving(primary: Row) -> str:
    """After ECS went back."""
    if primary["runningCount"]:
        return f"What serves is {_revision(primary)}"
    return (
        f"Nothing serves: the service is set to {_revision(primary)}, and 0 of "
        f"{primary['desiredCount']} tasks run"
    )


def _because(stopped: Sequence[StoppedTask]) -> str:
    return "".join(f"; {each.says}" for each in stopped[:1])


def _fresh_events(row: Row, own: Row, told: set[str]) -> tuple[str, ...]:
    """Those since this deployment began that were not told yet, oldest first."""
    since = [event for event in row["events"] if event["createdAt"] >= own["createdAt"]]
    fresh = [event for event in reversed(since) if event["id"] not in told]
    told.update(event["id"] for event in fresh)
    return tuple(event["message"] for event in fresh)
