"""Bring an event to its target: a message into a queue, or tasks into a cluster.

Targets are asked through the API that clients use, in this process.  What cannot be delivered goes
to the dead-letter queue (EventBridge Scheduler User Guide, "Configuring a dead-letter queue").
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kirikae.local.errors import AwsError
from kirikae.local.events.kept import Target, of_queue
from kirikae.local.plain import Plain
from kirikae.local.wire import ACCOUNT

log = logging.getLogger("kirikae.local.events")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_TARGETS = {"sqs": "AmazonSQS", "ecs": "AmazonEC2ContainerServiceV20141113"}


class Reply(Protocol):
    """What a service of ours answers."""

    status: int
    body: bytes


class Serves(Protocol):
    """A service of ours, as clients reach it."""

    async def serve(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """One request."""
        ...


Services = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """One delivery.  ``by``: ARN of the schedule or rule; ``moment``: what makes it another one
    than the next; ``body``: the event, where the target has no input of its own."""

    region: str
    by: str
    moment: str
    target: Target
    body: str

    @property
    def token(self) -> str:
        """The same for every attempt."""
        return hashlib.sha256(f"{self.by} {self.moment} {self.target.arn}".encode()).hexdigest()

    @property
    def started_by(self) -> str:
        """As ECS shows it."""
        kind = "chronos-schedule" if ":scheduler:" in self.by else "events-rule"
        return f"{kind}/{self.by.rpartition('/')[2]}"[:128]

    def text(self, attempt: int) -> str:
        """The target's own input, with what Scheduler puts in (User Guide, "Adding context
        attributes")."""
        if self.target.input is None:
            return self.body
        words = {
            "<aws.scheduler.schedule-arn>": self.by,
            "<aws.scheduler.scheduled-time>": self.moment,
            "<aws.scheduler.execution-id>": self.token[:32],
            "<aws.scheduler.attempt-number>": str(attempt),
        }
        text = self.target.input
        if ":scheduler:" in self.by:
            for word, value in words.items():
                text = text.replace(word, value)
        return text


_AS_TOLD = {
    "LaunchType": "launchType",
    "PlatformVersion": "platformVersion",
    "Group": "group",
    "EnableExecuteCommand": "enableExecuteCommand",
    "PropagateTags": "propagateTags",
    "CapacityProviderStrategy": "capacityProviderStrategy",
    "PlacementConstraints": "placementConstraints",
    "PlacementStrategy": "placementStrategy",
    "EnableECSManagedTags": "enableECSManagedTags",
    "ReferenceId": "referenceId",
}
"""A target's word -> RunTask's."""


def run_task_of(order: Order, text: str) -> Plain:
    """RunTask's parameters; the input is the overrides."""
    told = order.target.ecs or {}
    asked: Plain = {
        "cluster": order.target.arn,
        "taskDefinition": told.get("TaskDefinitionArn", ""),
        "count": int(told.get("TaskCount", 1)),
        "startedBy": order.started_by,
        "clientToken": order.token,
    }
    asked |= {ours: told[theirs] for theirs, ours in _AS_TOLD.items() if theirs in told}
    network = (told.get("NetworkConfiguration") or {}).get("awsvpcConfiguration")
    if network:
        inside = {name[0].lower() + name[1:]: value for name, value in network.items()}
        asked["networkConfiguration"] = {"awsvpcConfiguration": inside}
    if tags := [_tag(each) for each in told.get("Tags") or []]:
        asked["tags"] = tags
    overrides = _overrides(text)
    if overrides:
        asked["overrides"] = overrides
    return asked


def _tag(told: Mapping[str, str]) -> Plain:
    """Rules write ``Key`` and ``Value``, schedules any case."""
    return {name.lower(): value for name, value in told.items()}


def _overrides(text: str) -> Plain:
    """An input that is no object with overrides is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    wanted = ("containerOverrides", "cpu", "memory", "taskRoleArn", "executionRoleArn")
    if not isinstance(found, dict):
        return {}
    return {name: found[name] for name in wanted if name in found}


class Delivery:
    """Each order in a task of its own; ``close`` ends those that are under way."""

    def __init__(
        self,
        services: Services,
        endpoint: str,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        """``endpoint``: of queues' URLs."""
        self._services = services
        self._endpoint = endpoint
        self._pause = pause
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, order: Order) -> None:
        """It is under way."""
        task = asyncio.create_task(self.deliver(order))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """What is not delivered yet is not delivered."""
        for task in self._under_way:
            task.cancel()

    async def deliver(self, order: Order) -> None:
        """Tried again where the service failed; given up where it refuses."""
        spent_s = 0.0
        pause_s = _FIRST_PAUSE_S
        attempt = 1
        while True:
            try:
                await self._once(order, order.text(attempt))
                return
            except AwsError as error:
                last = error
            over = attempt > order.target.attempts or spent_s + pause_s > order.target.age_s
            if last.status < 500 or over:
                break
            await self._pause(pause_s)
            spent_s += pause_s
            attempt += 1
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        log.warning("%s was not delivered to %s: %s", order.by, order.target.arn, last)
        await self._give_up(order, order.text(attempt), last)

    async def _once(self, order: Order, text: str) -> None:
        """Raises AwsError."""
        if of_queue(order.target.arn):
            await self._send(order.target.arn, text, order.target.group)
            return
        told = await self.ask(order.region, "ecs", "RunTask", run_task_of(order, text))
        if told.get("failures"):
            reasons = ", ".join(str(each.get("reason")) for each in told["failures"])
            raise AwsError("TargetNotPlaced", reasons, 503)

    async def _give_up(self, order: Order, text: str, error: AwsError) -> None:
        if not order.target.dead:
            return
        attributes = {
            "ERROR_CODE": {"DataType": "String", "StringValue": error.code},
            "ERROR_MESSAGE": {"DataType": "String", "StringValue": error.message[:1000] or "-"},
            "TARGET_ARN": {"DataType": "String", "StringValue": order.target.arn},
        }
        try:
            await self._send(order.target.dead, text, "", MessageAttributes=attributes)
        except AwsError as again:
            log.error("%s reached no dead-letter queue either: %s", order.by, again)

    async def _send(self, arn: str, text: str, group: str, **more: object) -> None:
        """Raises AwsError."""
        _, _, _, region, _, name = arn.split(":", 5)
        asked: Plain = {"QueueUrl": self._url(region, name), "MessageBody": text, **more}
        if group:
            asked["MessageGroupId"] = group
        await self.ask(region, "sqs", "SendMessage", asked)

    def _url(self, region: str, name: str) -> str:
        """Any host will do; the region is the one that is asked."""
        return f"{self._endpoint}/{ACCOUNT}/{name}"

    async def ask(self, region: str, name: str, operation: str, asked: Plain) -> Plain:
        """Raises AwsError."""
        service: Serves = self._services(region)[name]
        headers = {"X-Amz-Target": f"{_TARGETS[name]}.{operation}"}
        reply = await service.serve(headers, json.dumps(asked).encode())
        told: Plain = json.loads(reply.body or b"{}")
        if reply.status != 200:
            code = str(told.get("__type", reply.status)).rpartition("#")[2]
            raise AwsError(code, str(told.get("message", "")), reply.status)
        return told
