"""The clockwork, put together; and what the gateway asks before moto keeps a schedule."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from kirikae.local.errors import AwsError
from kirikae.local.events.clockwork import Clockwork, Task
from kirikae.local.events.delivery import Delivery
from kirikae.local.events.kept import refusal, regions
from kirikae.local.events.moto import OfMoto
from kirikae.local.events.patterns import problem_of
from kirikae.local.plain import Plain
from kirikae.local.state import State
from kirikae.local.stores import Stores

_NAME = re.compile("[0-9a-zA-Z._-]{1,64}")
"""Amazon EventBridge Scheduler API reference, CreateSchedule.Name."""


class ByRegion(Protocol):
    """The API, region by region."""

    @property
    def home(self) -> str:
        """The instance's own region."""
        ...

    @property
    def endpoint(self) -> str:
        """Of queues' URLs."""
        ...

    @property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        """Regions that were asked already."""
        ...

    def services(self, region: str) -> Mapping[str, Any]:
        """Signing name -> who answers."""
        ...


def clockwork_of(state: State, stores: Stores, api: ByRegion) -> Clockwork:
    """Wired only: nothing fires yet."""
    delivery = Delivery(api.services, api.endpoint)

    async def describe(task: Task) -> Plain:
        """As ECS itself tells it; what it knows no more is told by its statuses."""
        asked = {"cluster": task.cluster, "tasks": [task.arn], "include": ["TAGS"]}
        told = await delivery.ask(task.region, "ecs", "DescribeTasks", asked)
        found: list[Plain] = told.get("tasks", [])
        bare = {
            "taskArn": task.arn,
            "clusterArn": task.cluster,
            "lastStatus": task.status,
            "desiredStatus": task.wanted,
        }
        return {**(found[0] if found else {}), **bare}

    def asked() -> list[str]:
        return regions(list(api.known), api.home)

    return Clockwork(state, OfMoto(stores), delivery, asked, describe)


def assert_expression(service: str, request: web.Request, body: bytes) -> None:
    """moto keeps any text; AWS does not.  Raises AwsError."""
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    makes = operation == "PutRule" or (service == "scheduler" and request.method in ("POST", "PUT"))
    if service not in ("events", "scheduler") or not makes:
        return
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return
    if not isinstance(asked, dict):
        return
    if why := refusal(service, operation, asked):
        raise AwsError("ValidationException", why)
    _assert_pattern(asked.get("EventPattern"))
    _assert_name(service, request.path)


def _assert_name(service: str, path: str) -> None:
    """Of a schedule; any other would be kept, and could be asked for by nobody.  Raises
    AwsError."""
    _, is_schedule, name = path.partition("/schedules/")
    if service == "scheduler" and is_schedule and not _NAME.fullmatch(name):
        raise AwsError("ValidationException", f"Name {name!r} must satisfy {_NAME.pattern}")


def _assert_pattern(text: object) -> None:
    """What is no JSON moto refuses itself.  Raises AwsError."""
    if not isinstance(text, str) or not text:
        return
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError):
        return
    if why := problem_of(pattern):
        raise AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {why}")
