"""The clockwork, put together; and what the gateway asks before moto keeps a schedule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from kirikae.local.errors import AwsError
from kirikae.local.events.clockwork import Clockwork, Task
from kirikae.local.events.delivery import Delivery
from kirikae.local.events.kept import refusal, regions
from kirikae.local.events.moto import OfMoto
from kirikae.local.plain import Plain
from kirikae.local.state import State
from kirikae.local.stores import Stores


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
    except ValueError:
        return
    why = refusal(service, operation, asked) if isinstance(asked, dict) else ""
    if why:
        raise AwsError("ValidationException", why)
