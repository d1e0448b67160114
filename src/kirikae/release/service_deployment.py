"""Wait for one service deployment of ECS, and tell the truth about how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kirikae.aws import ecs, ecs_definitions, elbv2
from kirikae.aws.errors import AwsRefused
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable
from kirikae.release.ecs.until import reached
from kirikae.release.ending import Ending, Sight, judged
from kirikae.release.errors import NotFinished, NothingRuns, RolledBack
from kirikae.release.stopped import StoppedTask, Stops

_HEALTHY = "healthy"
POLL_S = 1.0
_QUICK_S = 0.2
"""The least between two looks: ECS throttles the calls of a whole account."""
_OF_WAITED = 0.05
"""A look comes after so much of what was waited already: news is that late at most."""
_DEPLOYMENT: Mapping[str, type] = {
    "id": str,
    "taskDefinition": str,
    "desiredCount": int,
    "pendingCount": int,
    "runningCount": int,
}
_EVENT = {"id", "createdAt", "message"}
"""What is read of them."""
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
    ending: Ending | None = None
    """None: it goes on."""
    stage: str = ""
    """The lifecycle stage, where ECS shifts traffic by itself."""
    deployments: int = 1
    """Of the service, those that drain among them."""


@dataclass(frozen=True, slots=True)
class ServiceDeployment:
    """One deployment of a service, by its ID.

    ``arn``: of its service deployment, which says most exactly how it ended; empty: AWS did not
    name it.  ``former``: the task definition that ran before.  ``wants_pause``: a pause that waits
    for a person is what is waited for.
    """

    aws: Aws
    cluster: str
    service: str
    id: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    arn: str = ""
    former: str = ""
    wants_pause: bool = False
    until_alone: bool = False
    """Also until the former tasks are gone."""
    until_stage: str = ""
    """Or until ECS, which shifts traffic by itself, has come to this stage."""

    def wait(self, timeout_s: float) -> Iterator[Progress]:
        """Look until this very deployment is done, and its tasks run and answer.  Raises
        RolledBack, NotFinished or NothingRuns: there is no third way out."""
        began = self.clock()
        deadline = began + timeout_s
        told = _Told()
        while True:
            progress = self._look(told)
            if progress is not None:
                yield progress
                if progress.done:
                    return
            if self.clock() > deadline:
                self._time_out(timeout_s, progress)
            self.sleep(pause_s(self.clock() - began))

    def _time_out(self, timeout_s: float, last: Progress | None) -> NoReturn:
        """``last``: None: what became of it is not known.  Raises NotFinished."""
        again = "`kirikae release status` looks again"
        if last is None:
            raise NotFinished(
                f"after {timeout_s:.0f} s AWS does not say what became of the deployment of "
                f"{self.service}; {again}",
                ending=Ending.TIMED_OUT,
            )
        stopped = self._stops.of(self.id)
        raise NotFinished(
            f"after {timeout_s:.0f} s the deployment of {self.service} is still going on"
            f"{_because(stopped)}; {again}",
            stopped,
            Ending.TIMED_OUT,
        )

    @property
    def _stops(self) -> Stops:
        return Stops(
            self.aws,
            self.cluster,
            self.service,
        )

    def _look(self, told: _Told) -> Progress | None:
        """None: AWS did not answer, or half, which says nothing about the deployment."""
        try:
            row = ecs.service(
                self.aws,
                self.cluster,
                self.service,
            )
            if row is None:
                raise NotFinished(
                    f"the service {self.service} is gone; somebody deleted it",
                    ending=Ending.SUPERSEDED,
                )
            if not _is_whole(row):
                return None
            way = self._way()
            own = next((each for each in row["deployments"] if each["id"] == self.id), None)
            ending = judged(
                self._sight(
                    row,
                    own,
                    way,
                )
            )
        except AwsUnreachable:
            return None
        if ending is Ending.PAUSED and reached(way, self.until_stage):
            ending = None
        if ending is not None and ending is not Ending.SUCCEEDED:
            self._end(
                ending,
                row,
                own,
                way,
            )
        return self._progress(
            row,
            own,
            way,
            ending,
            told,
        )

    def _way(self) -> Row:
        """The service deployment; empty where AWS does not tell of it."""
        if not self.arn:
            return {}
        try:
            return ecs_definitions.service_deployment(self.aws, self.arn) or {}
        except AwsRefused:
            # Who may deploy need not be allowed to look at this: the service tells enough.
            return {}

    def _sight(
        self,
        row: Row,
        own: Row | None,
        way: Row,
    ) -> Sight:
        primary = row["deployments"][0]
        is_primary = own is not None and primary["id"] == self.id
        entry = own or {}
        rollout = str(entry.get("rolloutState", ""))
        complete = rollout == "COMPLETED" or way.get("status") == "SUCCESSFUL"
        return Sight(
            status=str(way.get("status", "")),
            rollout=rollout,
            is_primary=is_primary,
            desired=int(entry.get("desiredCount", 0)),
            serves=is_primary and complete and self._serves(row, entry),
            paused=_is_paused(way),
            former_serves=bool(self.former) and primary["taskDefinition"] == self.former,
        )

    def _progress(
        self,
        row: Row,
        own: Row | None,
        way: Row,
        ending: Ending | None,
        told: _Told,
    ) -> Progress:
        entry = own or row["deployments"][0]
        alone = len(row["deployments"]) == 1 or not self.until_alone
        there = ending is Ending.SUCCEEDED and alone
        return Progress(
            entry["runningCount"],
            entry["pendingCount"],
            entry["desiredCount"],
            _fresh_events(
                row,
                entry,
                told.events,
            ),
            there
            or (ending is Ending.PAUSED and self.wants_pause)
            or (ending is None and reached(way, self.until_stage)),
            self._fresh_stops(entry, told),
            ending,
            str(way.get("lifecycleStage", "")),
            len(row["deployments"]),
        )

    def _end(
        self,
        ending: Ending,
        row: Row,
        own: Row | None,
        way: Row,
    ) -> None:
        """Raises what this ending is, unless it was asked for."""
        primary = row["deployments"][0]
        if ending is Ending.PAUSED:
            if not self.wants_pause:
                raise NotFinished(
                    f"the deployment of {self.service} is paused and waits for somebody "
                    f"({way.get('lifecycleStage', 'a hook')}): continue or stop it",
                    ending=ending,
                )
            return
        if ending is Ending.SUPERSEDED:
            raise NotFinished(
                f"another deployment of {self.service} took over ({primary['id']}); this one is "
                "not waited for any more",
                ending=ending,
            )
        if ending is Ending.SCALED_TO_ZERO:
            raise NothingRuns(
                f"{self.service} is set to {_revision(own or primary)}, but its desired count is "
                "0: nothing runs, so nothing was proven; raise it (aws ecs update-service "
                "--desired-count), then run this again",
                ending=ending,
            )
        self._failed(
            ending,
            primary,
            own or {},
            way,
        )

    def _failed(
        self,
        ending: Ending,
        primary: Row,
        own: Row,
        way: Row,
    ) -> None:
        stopped = self._stops.of(self.id)
        why = own.get("rolloutStateReason") or way.get("statusReason") or "AWS says not why."
        if ending is Ending.STOPPED:
            raise NotFinished(
                f"the deployment was stopped ({way.get('status')}): {why} "
                f"{_now_serving(primary)}{_because(stopped)}",
                stopped,
                ending,
            )
        raise RolledBack(
            f"the deployment failed: {why} {_now_serving(primary)}{_because(stopped)}",
            stopped,
            ending,
        )

    def _serves(self, row: Row, own: Row) -> bool:
        """Raises AwsUnreachable."""
        if own["runningCount"] < own["desiredCount"]:
            return False
        groups = [each.get("targetGroupArn") for each in row.get("loadBalancers") or ()]
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


def pause_s(waited_s: float) -> float:
    """Until the next look: often at first, where a quick deployment ends, then every second."""
    return min(POLL_S, max(_QUICK_S, _OF_WAITED * waited_s))


@dataclass
class _Told:
    """What was told already: IDs of events, and causes of stopped tasks."""

    events: set[str] = field(default_factory=set)
    causes: set[str] = field(default_factory=set)
    signs: tuple[int, int] = (0, 0)


def _is_whole(row: Row) -> bool:
    """Every deployment of a service has a name, a beginning and counts (API reference)."""
    rows = row.get("deployments")
    if not isinstance(rows, list) or not rows:
        return False
    if any(each.get("createdAt") is None for each in rows):
        return False
    return all(
        isinstance(each.get(key), kind) for each in rows for key, kind in _DEPLOYMENT.items()
    )


def _is_paused(way: Row) -> bool:
    """A hook of type PAUSE waits until somebody says how to go on."""
    hooks = way.get("lifecycleHookDetails", ())
    return any(each.get("status") == "AWAITING_ACTION" for each in hooks)


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
    whole = [event for event in row.get("events") or () if event.keys() >= _EVENT]
    since = [event for event in whole if event["createdAt"] >= own["createdAt"]]
    fresh = [event for event in reversed(since) if event["id"] not in told]
    told.update(event["id"] for event in fresh)
    return tuple(event["message"] for event in fresh)


def lines_of(progress: Progress) -> Iterator[str]:
    """What is new since the last look: events, then why tasks stopped."""
    yield from progress.events
    for stopped in progress.stopped:
        yield from stopped.lines()


def counts_of(progress: Progress) -> str:
    """How far it is, in a line; told again only where it is another one."""
    stage = f", {progress.stage}" if progress.stage else ""
    return (
        f"{progress.running} of {progress.desired} tasks run, {progress.pending} on their way"
        f"{stage}"
    )
