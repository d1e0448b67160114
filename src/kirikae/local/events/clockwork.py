"""What makes schedules and rules fire: each minute what is due, and what happens to tasks and
deployments.

A firing is written down before it is delivered: a control plane that is killed delivers none twice,
and what was due and not written down while it was away it delivers when it is back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict

from kirikae.local.errors import AwsError, LocalError
from kirikae.local.events.delivery import Delivery, Order
from kirikae.local.events.deploying import Deployings
from kirikae.local.events.kept import Target, Timed
from kirikae.local.events.patterns import fits
from kirikae.local.state import State, Table
from kirikae.local.wire import ACCOUNT
from kirikae.model.crontab.aws import Service

log = logging.getLogger("kirikae.local.events")
_LOOK_S = 1.0
_TASK_EVENT = "ECS Task State Change"


class Fired(TypedDict):
    """Of a schedule or a rule: the minute in which it was first seen, and the last one that was
    looked at."""

    seen: int
    last: int


@dataclass(frozen=True, slots=True)
class Listening:
    """A rule that waits for events."""

    arn: str
    pattern: Mapping[str, Any]
    targets: tuple[Target, ...]


class Kept(Protocol):
    """Whoever keeps schedules and rules.  Raises OSError or AwsError where it does not answer."""

    async def timed(self, region: str) -> list[Timed]:
        """All that fire by time."""
        ...

    async def listening(self, region: str) -> list[Listening]:
        """All that wait for events."""
        ...

    async def gone(self, region: str, timed: Timed) -> None:
        """A schedule that fires no more, and was to be deleted then."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What a change of a task is seen by."""

    arn: str
    region: str
    cluster: str
    status: str
    wanted: str


Describe = Callable[[Task], Any]


class Clockwork:
    """``run`` never ends."""

    def __init__(
        self,
        state: State,
        kept: Kept,
        delivery: Delivery,
        regions: Callable[[], list[str]],
        describe: Describe,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``describe``: a coroutine that answers a task as DescribeTasks does."""
        self._state = state
        self._fired: Table[Fired] = Table(state, "fired")
        self._kept = kept
        self._delivery = delivery
        self._regions = regions
        self._describe = describe
        self._clock = clock
        self._deployings = Deployings(state)
        self._minute: int | None = None
        self._tasks: dict[str, Task] | None = None

    async def run(self) -> None:
        """Each second: the minute that has begun, and tasks that have changed."""
        while True:
            try:
                await self.look()
            except (AwsError, LocalError, OSError) as error:
                log.warning("nothing fires now: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Once.  Raises AwsError, OSError where the stores do not answer: then it is done again."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            for region in self._regions():
                await self._fire(region, minute)
            self._minute = minute
        for task in self._changed():
            await self._tell(task)
        await self._tell_deployments()

    # --- by time

    async def _fire(self, region: str, minute: int) -> None:
        found = await self._kept.timed(region)
        self._forget(region, {timed.arn for timed in found})
        for timed in found:
            row = self._fired.get(timed.arn)
            if row is None:
                # Its first minute is the present one: a rate begins now.
                row = {"seen": minute, "last": minute - 1}
            dues = timed.dues(row["seen"], row["last"], minute)
            self._fired.put(timed.arn, {"seen": row["seen"], "last": minute})
            for due in dues:
                for order in _orders(timed, region, due):
                    self._delivery.begin(order)
            if dues and timed.once and timed.goes_after:
                await self._kept.gone(region, timed)

    def _forget(self, region: str, still: set[str]) -> None:
        """What was disabled or deleted in the meantime begins anew: EventBridge makes up nothing
        of that time."""
        for arn in self._fired.names():
            if _region_of(arn) == region and arn not in still:
                self._fired.drop(arn)

    # --- by events

    def _changed(self) -> list[Task]:
        """Since the last look; the first one only remembers."""
        now = {task.arn: task for task in tasks_of(self._state)}
        before = self._tasks
        self._tasks = now
        if before is None:
            return []
        return [task for task in now.values() if before.get(task.arn) != task]

    async def _tell(self, task: Task) -> None:
        rules = await self._kept.listening(task.region)
        if rules:
            event = event_of(task, await self._describe(task), self._clock())
            self._give(task.region, rules, event)

    async def _tell_deployments(self) -> None:
        for change in self._deployings.changes():
            await self.publish(change.region, change.event())
            self._deployings.keep(change)
        self._deployings.forget()

    async def publish(self, region: str, event: Mapping[str, Any]) -> None:
        """An event of another service, for the rules of this region.  Raises AwsError, OSError
        where the stores do not answer."""
        self._give(region, await self._kept.listening(region), event)

    def _give(self, region: str, rules: Sequence[Listening], event: Mapping[str, Any]) -> None:
        for rule in rules:
            if fits(rule.pattern, event):
                text = json.dumps(event)
                for target in rule.targets:
                    self._delivery.begin(Order(region, rule.arn, event["id"], target, text))


def _region_of(arn: str) -> str:
    return arn.split(":")[3]


def tasks_of(state: State) -> Iterator[Task]:
    """Every task that there is."""
    for row in state.tasks.all():
        arn = str(row["taskArn"])
        yield Task(
            arn, _region_of(arn), str(row["clusterArn"]), row["lastStatus"], row["desiredStatus"]
        )


def event_of(task: Task, detail: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Amazon ECS Developer Guide, "Amazon ECS task state change events"."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": _TASK_EVENT,
        "source": "aws.ecs",
        "account": ACCOUNT,
        "time": _time(now),
        "region": task.region,
        "resources": [task.arn],
        "detail": dict(detail),
    }


def _orders(timed: Timed, region: str, due: int) -> Iterator[Order]:
    at = _time(due * 60)
    for target in timed.targets:
        body = (
            "{}" if timed.kind is Service.SCHEDULER else json.dumps(_scheduled(timed, region, at))
        )
        yield Order(region, timed.arn, at, target, body)


def _scheduled(timed: Timed, region: str, at: str) -> dict[str, Any]:
    """What a rule's target is told (EventBridge User Guide, "Creating a rule that runs on a
    schedule")."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": at,
        "region": region,
        "resources": [timed.arn],
        "detail": {},
    }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
