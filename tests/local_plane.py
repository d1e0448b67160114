"""kirikae local without an engine and without HAProxy: its whole API over a store of its own.

HAProxy's file is written all the same, so that what cannot be written is met as on a real one; what
tasks would do is played by nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.metadata import Metadata
from kirikae.local.elb.api import Elb
from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.elb.configuration import Configuration, Places
from kirikae.local.elb.known import Known
from kirikae.local.elb.targets import Targets
from kirikae.local.gateway import Gateway
from kirikae.local.plane import services_of
from kirikae.local.sqs.api import Sqs
from kirikae.local.sqs.queues import Queues
from kirikae.local.state import State, Table
from kirikae.local.wire import Service

REGION = "ap-northeast-1"
PREFIX = f"arn:aws:elasticloadbalancing:{REGION}:123456789012:"


class Door:
    """HAProxy's part: every change is written as its file, and kept."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.text = ""

    async def assert_all(self) -> None:
        self.text = self._configuration.rendered().text

    async def set_weights(self) -> None:
        self._configuration.rendered()

    async def set_targets(self, group_id: str) -> None:
        self.text = self._configuration.rendered().text

    async def in_flight(self, group_id: str, slot: int) -> int:
        return 0


class Nobody:
    """Checks and tasks: nothing happens by itself."""

    def __init__(self, state: State) -> None:
        self._state = state

    def assert_all(self) -> None:
        """The checks' part."""

    def poke(self, task_id: str) -> None:
        """The engine's part."""

    def stop(self, task_id: str, code: str, reason: str) -> None:
        task = self._state.tasks[task_id]
        self._state.tasks.put(
            task_id,
            {**task, "desiredStatus": "STOPPED", "stopCode": code, "stoppedReason": reason},
        )

    def definition(self, task: Any) -> Any:
        return self._state.definitions[task["taskDefinitionArn"]]


class NoStores:
    """moto's part: nobody listens there."""

    url = "http://127.0.0.1:1"

    @property
    def http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()


class LocalPlane:
    """``ask``: one operation, with its parameters as a client's library would send them."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state.db")
        self.queues = Queues(folder / "sqs.db", lambda: int(time.time() * 1000))
        places = Places(folder, folder / "weights.map", ("127.0.0.1:1",), 2, 3)
        self.configuration = Configuration(self.state, places)
        self.door = Door(self.configuration)
        tasks: Any = Nobody(self.state)
        known = Known(self.state)
        door: Any = self.door
        targets = Targets(self.state, known, door, tasks)
        self.ecs = Ecs(self.state, tasks, targets, Agenda(time.time), REGION)
        self.elb = Elb(self.state, known, door, targets, self._put_object, PREFIX)
        engine: Any = None
        self.metadata = Metadata(
            self.state,
            engine,
            EngineNames("kirikae-00000000"),
            tasks.definition,
            REGION,
            self.ecs.protection,
            self.ecs.tags,
        )
        self.interrupt_spot: Callable[[int, bool], list[str]] = self.ecs.interrupt_spot

    async def _put_object(self, bucket: str, key: str, body: bytes) -> None:
        """S3's part."""

    def tables(self) -> list[Table[Any]]:
        """Everything that is kept, but figures and messages."""
        return [each for each in vars(self.state).values() if isinstance(each, Table)]

    def services(self) -> dict[str, Service]:
        """Signing name -> who answers."""
        sqs = Sqs(self.queues, REGION, "http://127.0.0.1:1")
        return services_of(self.ecs, self.elb, CloudWatch(self.state, 0), sqs)

    def gateway(self) -> Gateway:
        """The HTTP side over it; there are no stores behind it."""
        stores: Any = NoStores()
        return Gateway(
            self.services(),
            stores,
            self.metadata,
            dict,
            self.interrupt_spot,  # type: ignore[arg-type,return-value,typeddict-item]
        )

    def close(self) -> None:
        self.state.close()
        self.queues.close()
