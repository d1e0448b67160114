"""kirikae local without an engine and without HAProxy: its whole API over a store of its own.

HAProxy's file is written all the same, so that what cannot be written is met as on a real one; what
tasks would do is played by nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.metadata import Metadata
from kirikae.local.elb.api import Elb
from kirikae.local.elb.configuration import Configuration, Places
from kirikae.local.elb.known import Known
from kirikae.local.elb.targets import Targets
from kirikae.local.gateway import Gateway
from kirikae.local.plane import Regions
from kirikae.local.reset import Reset
from kirikae.local.scaling.making import Scaled
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

    def is_told(self, key: str) -> bool:
        """HAProxy's part: it hears of everything."""
        return True

    def poke(self, task_id: str) -> None:
        """The engine's part."""

    def stop(self, task_id: str, code: str, reason: str) -> None:
        task = self._state.tasks[task_id]
        self._state.tasks.put(
            task_id,
            {**task, "desiredStatus": "STOPPED", "stopCode": code, "stoppedReason": reason},
        )

    def engine_name(self, task_id: str, container: str) -> str:
        return f"engine-{task_id}-{container}"

    def definition(self, task: Any) -> Any:
        return self._state.definitions[task["taskDefinitionArn"]]


class AtOnce(Nobody):
    """Tasks: whatever is to run runs at once, and whatever is to stop has stopped."""

    def poke(self, task_id: str) -> None:
        task = self._state.tasks[task_id]
        if task["lastStatus"] == "PROVISIONING":
            self._turn(task, "RUNNING", startedAt=time.time(), connectivity="CONNECTED")

    def stop(self, task_id: str, code: str, reason: str) -> None:
        if self._state.tasks[task_id]["lastStatus"] != "STOPPED":
            super().stop(task_id, code, reason)
            self._turn(self._state.tasks[task_id], "STOPPED", stoppedAt=time.time())

    def _turn(self, task: Any, status: str, **more: Any) -> None:
        containers = [{**each, "lastStatus": status} for each in task["containers"]]
        changed = {**task, "lastStatus": status, "containers": containers, **more}
        self._state.tasks.put(task["id"], changed)


class NoStores:
    """moto's part: nobody listens there."""

    url = "http://127.0.0.1:1"

    @property
    def http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """S3's part."""

    async def query(self, service: str, params: Any, region: str) -> str:
        """EC2's part: nobody answers."""
        raise OSError("there are no stores")


class LocalPlane:
    """``ask``: one operation, with its parameters as a client's library would send them."""

    def __init__(
        self,
        folder: Path,
        region: str = REGION,
        stores: Any = None,
        runs_at_once: bool = False,
    ) -> None:
        self.region = region
        self.state = State(folder / "state.db")
        self.queues = Queues(folder / "sqs.db", lambda: int(time.time() * 1000), region)
        places = Places(folder, folder / "weights.map", ("127.0.0.1:1",), 2, 3)
        self.configuration = Configuration(self.state, places)
        self.door = Door(self.configuration)
        self.stores = stores or NoStores()
        self.tasks: Any = (AtOnce if runs_at_once else Nobody)(self.state)
        known = Known(self.state)
        door: Any = self.door
        self.targets = Targets(self.state, known, door, self.tasks)
        self.agenda = Agenda(time.time)
        self.ecs = Ecs(self.state, self.tasks, self.targets, self.agenda, region)
        self.elb = Elb(self.state, known, door, self.targets, self.stores.put_object, PREFIX)
        self.changing = asyncio.Lock()
        engine: Any = None
        self.metadata = Metadata(
            self.state,
            engine,
            EngineNames("kirikae-00000000"),
            self.tasks.definition,
            region,
            self.ecs.protection,
            self.ecs.tags,
        )
        self.interrupt_spot: Callable[[int, bool], list[str]] = self.ecs.interrupt_spot

    def tables(self) -> list[Table[Any]]:
        """Everything that is kept, but figures and messages."""
        return [each for each in vars(self.state).values() if isinstance(each, Table)]

    def scaled(self, clock: Callable[[], float]) -> Scaled:
        """Alarms and scaling."""
        return Scaled(self.state, self.agenda, clock, self.region)

    def regions(self, clock: Callable[[], float] = time.time) -> Regions:
        """The API, region by region."""
        door: Any = self.door
        return Regions(
            self.state,
            self.queues,
            self.tasks,
            self.targets,
            door,
            self.agenda,
            self.stores,
            self.region,
            "http://127.0.0.1:1",
            0,
            self.changing,
            {},
            clock=clock,
        )

    def services(
        self, region: str = "", clock: Callable[[], float] = time.time
    ) -> Mapping[str, Service]:
        """Signing name -> who answers."""
        return self.regions(clock).services(region)

    def gateway(self, test_mode: bool = False) -> Gateway:
        """The HTTP side over it; there are no stores behind it unless they were given."""
        reset = Reset(self.state, self.queues, self.changing, self.door.assert_all)
        return Gateway(
            self.regions().services,
            self.stores,
            self.metadata,
            dict,  # type: ignore[arg-type]
            self.interrupt_spot,
            reset if test_mode else None,
        )

    def close(self) -> None:
        self.state.close()
        self.queues.close()
