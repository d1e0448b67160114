"""The control plane, put together from the bottom up: each part is given what it needs when it is
made."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kirikae.local.bridge import LINK_LOCAL, link_local_bind
from kirikae.local.clock import Clock, clock_of, keep_ahead
from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.alarmstates import AlarmStates
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.courses import Courses
from kirikae.local.ecs.doubt import Doubt
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.ecs.firelens import FireLens
from kirikae.local.ecs.functions import Functions
from kirikae.local.ecs.images import Images
from kirikae.local.ecs.logs import Arrived, Logs
from kirikae.local.ecs.making import Maker, Told
from kirikae.local.ecs.metadata import Metadata
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.pace import Pace
from kirikae.local.ecs.pause import PausePool
from kirikae.local.ecs.services import Services
from kirikae.local.ecs.stopwatch import Stopwatch
from kirikae.local.ecs.targets import TaskTargets
from kirikae.local.ecs.taskrow import service_of, target_keys
from kirikae.local.ecs.tasks import Hands, Tasks
from kirikae.local.ecs.usage import Usage
from kirikae.local.elb import cloudwatch
from kirikae.local.elb.accesslog import AccessLogs
from kirikae.local.elb.api import Elb
from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.elb.configuration import Places
from kirikae.local.elb.figures import Recorder
from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.elb.health import HealthChecks
from kirikae.local.elb.known import Known
from kirikae.local.elb.networking import OfStores
from kirikae.local.elb.pems import Pems, StoredPems
from kirikae.local.elb.targets import Targets
from kirikae.local.engine import Engine, engine_socket
from kirikae.local.errors import EngineError, LocalError
from kirikae.local.events.clockwork import Clockwork
from kirikae.local.events.making import clockwork_of
from kirikae.local.folder import MAKING
from kirikae.local.gateway import Gateway
from kirikae.local.house import House, Household
from kirikae.local.pulse import Pulse
from kirikae.local.registry import Registry
from kirikae.local.reset import Reset
from kirikae.local.rows import Target
from kirikae.local.scaling.making import Scaled
from kirikae.local.scaling.rounds import Rounds
from kirikae.local.settings import Settings
from kirikae.local.shipping import Shipping
from kirikae.local.sqs.api import QUERY_CODES, Sqs
from kirikae.local.sqs.figures import QueueFigures
from kirikae.local.sqs.places import Place
from kirikae.local.sqs.queues import Queues
from kirikae.local.state import State, Within
from kirikae.local.status import Status, status_of
from kirikae.local.stores import Stores
from kirikae.local.wire import ACCOUNT, Cbor, Json, Operation, Query, Service, bound

_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,10}){1,3}-[0-9]")


@dataclass(frozen=True, slots=True)
class Base:
    """What everything else stands on: files, and processes that outlive us."""

    directory: Path
    settings: Settings
    state: State
    queues: Queues
    pulse: Pulse
    engine: Engine
    stores: Stores
    registry: Registry
    clock: Clock

    @classmethod
    def of(cls, directory: Path, settings: Settings) -> Base:
        """Opens the files of this directory; no process is started yet."""
        pulse = Pulse()
        state = State(directory / "state.db")
        making = directory / MAKING
        making.mkdir(exist_ok=True)
        return cls(
            directory,
            settings,
            state,
            Queues(directory / "sqs.db", lambda: int(time.time() * 1000), settings.region),
            pulse,
            Engine(engine_socket(), pulse.heard, making),
            Stores(directory, settings.stores_port, settings.region),
            Registry(directory, settings.registry_port),
            clock_of(state),
        )

    async def close(self) -> None:
        """Connections and files; processes that outlive us run on."""
        await self.stores.close()
        await self.engine.close()
        self.state.close()
        self.queues.close()


@dataclass(frozen=True, slots=True)
class Network:
    """The instance's own bridge.  ``gateway``: this machine's address on it.  ``subnet``: where its
    tasks have theirs.  ``link_local``: HAProxy's bind for tasks' metadata, empty where it cannot be
    had."""

    bridge: str
    gateway: str
    subnet: str
    link_local: str

    @classmethod
    async def asserted(cls, engine: Engine, name: str) -> Network:
        """As it is; made where it is missing."""
        try:
            seen = await engine.network(name)
        except EngineError as error:
            if error.status != 404:
                raise LocalError(f"the network {name} cannot be looked at: {error}") from error
            await engine.create_network(name, EngineNames(name).labels)
            seen = await engine.network(name)
        bridge = f"br-{seen['Id'][:12]}"
        own = seen["IPAM"]["Config"][0]
        return cls(bridge, str(own["Gateway"]), str(own["Subnet"]), await link_local_bind(bridge))

    def metadata(self, port: int) -> str:
        """The beginning of the address where a task finds its metadata."""
        if self.link_local:
            return f"http://{LINK_LOCAL}"
        return f"http://{self.gateway}:{port}/_kirikae/metadata"


@dataclass(frozen=True, slots=True)
class Balancing:
    """The load balancer: HAProxy, and who keeps what it serves."""

    known: Known
    door: FrontDoor
    health: HealthChecks
    targets: Targets
    access_logs: AccessLogs
    recorder: Recorder
    pems: StoredPems

    @classmethod
    def of(
        cls,
        base: Base,
        network: Network,
        agenda: Agenda,
    ) -> Balancing:
        """Wired only: HAProxy is not touched."""
        settings = base.settings
        port = settings.port
        places = Places(
            Path(settings.run),
            base.directory / "weights.map",
            (f"127.0.0.1:{port}", f"{network.gateway}:{port}"),
            settings.control_port,
            settings.stores_port,
            network.link_local,
            ("127.0.0.0/8", network.subnet),
        )
        known = Known(base.state)
        door = FrontDoor(base.state, base.directory, places)
        news = _TargetNews(base.state, door, agenda)
        health = HealthChecks(base.state, base.pulse, news.changed)
        access_logs = AccessLogs(
            base.state, base.directory, base.stores, settings.region, time.time
        )
        return cls(
            known,
            door,
            health,
            Targets(base.state, known, door, health),
            access_logs,
            Recorder(base.state, base.directory / "haproxy.log.pipe", access_logs.keep, base.clock),
            StoredPems(base.stores, base.directory / "certificates"),
        )


@dataclass(frozen=True, slots=True)
class _TargetNews:
    """Whom a change of a target's health concerns."""

    state: State
    door: FrontDoor
    agenda: Agenda

    async def changed(self, target: Target) -> None:
        """Any change of one target's health may open or close the whole group (fail open)."""
        await self.door.set_targets(target["group"])
        for task in self.state.tasks.all():
            if target["key"] in target_keys(task):
                self.agenda.wake(service_of(task))


@dataclass(frozen=True, slots=True)
class Working:
    """Those who run tasks and keep services."""

    names: EngineNames
    pool: PausePool
    logs: Logs
    pace: Pace
    tasks: Tasks
    ecs: Ecs
    services: Services
    courses: Courses
    agenda: Agenda

    @classmethod
    def of(
        cls,
        base: Base,
        network: Network,
        balancing: Balancing,
        agenda: Agenda,
        changing: asyncio.Lock,
        arrived: Arrived | None = None,
    ) -> Working:
        """Wired only: no task is driven, no service looked at."""
        names = EngineNames(base.settings.instance)
        pool = PausePool(base.engine, base.state, names, base.settings.pool)
        logs = Logs(base.state, base.engine, base.stores, arrived)
        pace = Pace(base.pulse.load, os.cpu_count() or 1)
        hands = Hands(
            base.engine,
            names,
            pool,
            _maker(base, network, names),
            TaskTargets(base.state, balancing.targets),
            logs,
            pace,
            Doubt(base.pulse, Stopwatch(base.engine, base.pulse)),
        )
        tasks = Tasks(base.state, agenda, hands)
        ecs = Ecs(base.state, tasks, balancing.targets, agenda, base.settings.region)
        services = Services(base.state, agenda, tasks, ecs.new_tasks.start_of_service, pace.room)
        endpoint = f"http://127.0.0.1:{base.settings.port}"
        courses = Courses(
            base.state,
            agenda,
            services.is_whole,
            balancing.door.assert_all,
            changing,
            lambda region: outside_of(base.stores, endpoint, region),
        )
        return cls(names, pool, logs, pace, tasks, ecs, services, courses, agenda)


def _maker(base: Base, network: Network, names: EngineNames) -> Maker:
    """What every task is told: the endpoint in AWS's own variables, so that any SDK finds it, and
    keys that the stores take from anybody."""
    settings = base.settings
    environment = {
        "AWS_ENDPOINT_URL": f"http://{network.gateway}:{settings.port}",
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": "kirikae",
        "AWS_SECRET_ACCESS_KEY": "kirikae",
    }
    images = Images(base.engine, base.registry.place)
    told = Told(environment, network.metadata(settings.port))
    firelens = FireLens(base.state, Path(settings.run), settings.region)
    return Maker(base.state, base.engine, base.stores, images, names, told, firelens)


def _no_more(region: str) -> Mapping[str, Service]:
    """No services but those of ``Regions``."""
    return {}


@dataclass(frozen=True, slots=True)
class Regions:
    """Every region has its own API over the same rows; whoever runs tasks and carries requests
    knows nothing of regions."""

    state: State
    queues: Queues
    tasks: Tasks
    targets: Targets
    door: FrontDoor
    agenda: Agenda
    stores: Stores
    home: str
    endpoint: str
    figures_delay_s: int
    changing: asyncio.Lock
    known: dict[str, Mapping[str, Service]]
    """Those that were asked already."""
    more: Callable[[str], Mapping[str, Service]] = _no_more
    """Region -> the services that bring logs on their way."""
    clock: Callable[[], float] = time.time
    """By which figures are kept."""
    pems: Pems | None = None
    """None: nothing is encrypted."""

    @property
    def scaled(self) -> Scaled:
        """Alarms and scaling."""
        return Scaled(self.state, self.agenda, self.clock, self.home)

    @classmethod
    def of(
        cls,
        base: Base,
        balancing: Balancing,
        working: Working,
        changing: asyncio.Lock,
        more: Callable[[str], Mapping[str, Service]],
        clock: Callable[[], float],
    ) -> Regions:
        """The API, region by region."""
        settings = base.settings
        return cls(
            base.state,
            base.queues,
            working.tasks,
            balancing.targets,
            balancing.door,
            working.agenda,
            base.stores,
            settings.region,
            f"http://127.0.0.1:{settings.port}",
            settings.figures_delay_s,
            changing,
            {},
            more,
            clock,
            pems=balancing.pems,
        )

    def services(self, region: str) -> Mapping[str, Service]:
        """Signing name -> who answers in this region; the instance's own one where it is none."""
        if not _REGION.fullmatch(region):
            region = self.home
        if region not in self.known:
            self.known[region] = self._services(region)
        return self.known[region]

    def _services(self, region: str) -> Mapping[str, Service]:
        """The API of one region."""
        state = Within(self.state, region, self.home)
        outside = outside_of(self.stores, self.endpoint, region)
        elb = Elb(
            state,
            Known(state),
            self.door,
            self.targets,
            self.stores.put_object,
            f"arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:",
            self.changing,
            outside.networking,
            self.pems,
        )
        ecs = Ecs(state, self.tasks, self.targets, self.agenda, region, outside)
        place = Place(region, self.home, self.endpoint)
        figures = CloudWatch(state, self.figures_delay_s, self.clock, place)
        sqs = Sqs(self.queues, place)
        scaled = self.scaled
        return {
            **services_of(ecs, elb, figures, sqs, scaled.alarms(region)),
            "application-autoscaling": scaled.service(region),
            **self.more(region),
        }


def outside_of(stores: Stores, endpoint: str, region: str) -> Outside:
    """Whom ECS asks in this region."""
    networking = OfStores(stores, region)
    return Outside(networking, Functions(stores, region), AlarmStates(stores, endpoint, region))


def services_of(
    ecs: Ecs,
    elb: Elb,
    cloud_watch: CloudWatch,
    queues: Sqs,
    alarms: Mapping[str, Operation],
) -> dict[str, Service]:
    """Signing name -> the service in its protocol."""
    sqs = queues.operations()
    figures = {**bound(cloudwatch.OPERATIONS, cloud_watch), **alarms}
    wrong_figure = "InvalidParameterValueException"
    wrong_queue = "InvalidParameterValue"
    no_queues = "UnsupportedOperation"
    return {
        "ecs": Service(
            Json("ecs", "InvalidParameterException"),
            ecs.operations(),
            "UnsupportedFeatureException",
        ),
        "elasticloadbalancing": Service(
            Query("elbv2", "ValidationError"), elb.operations(), "InvalidAction"
        ),
        "monitoring": Service(Json("cloudwatch", wrong_figure), figures, "InvalidAction"),
        "monitoring-cbor": Service(Cbor("cloudwatch", wrong_figure), figures, "InvalidAction"),
        "monitoring-query": Service(
            Query("cloudwatch", "InvalidParameterValue"), figures, "InvalidAction"
        ),
        "sqs": Service(Json("sqs", wrong_queue), sqs, no_queues, QUERY_CODES),
        "sqs-query": Service(Query("sqs", wrong_queue), sqs, no_queues, QUERY_CODES),
    }


@dataclass(frozen=True, slots=True)
class Plane:
    """All of it."""

    base: Base
    network: Network
    balancing: Balancing
    working: Working
    house: House
    changing: asyncio.Lock
    """Held by whoever changes rows that HAProxy is told of."""
    regions: Regions
    clockwork: Clockwork
    shipping: Shipping
    rounds: Rounds

    @classmethod
    def of(cls, base: Base, network: Network) -> Plane:
        """Everything wired, nothing begun: that is the server's."""
        agenda = Agenda(time.time)
        balancing = Balancing.of(base, network, agenda)
        clock = base.clock
        shipping = Shipping.of(base.directory, base.state, base.stores, base.settings, clock)
        changing = asyncio.Lock()
        working = Working.of(base, network, balancing, agenda, changing, shipping.arrived)
        household = Household(
            base.state,
            base.engine,
            base.stores,
            base.registry,
            balancing.door,
            balancing.health,
            balancing.targets,
            balancing.recorder,
            balancing.access_logs,
            working.tasks,
            working.ecs,
            balancing.pems,
            Usage(base.state, base.engine, working.names),
            QueueFigures(base.queues, base.state),
            network.bridge,
            working.names.label,
            base.settings.figures_delay_s == 0,
            clock,
        )
        regions = Regions.of(base, balancing, working, changing, shipping.services, clock)
        clockwork = clockwork_of(base.state, base.stores, regions)
        house = House(household)
        rounds = regions.scaled.rounds(
            base.stores, clockwork.publish, regions.endpoint, regions.figures_delay_s
        )
        return cls(
            base, network, balancing, working, house, changing, regions, clockwork, shipping, rounds
        )

    def gateway(self) -> Gateway:
        """The HTTP side; made once everything else stands."""
        metadata = Metadata(
            self.base.state,
            self.base.engine,
            self.working.names,
            self.working.tasks.definition,
            self.base.settings.region,
            self.working.ecs.protection,
            self.working.ecs.tags,
        )
        return Gateway(
            self.regions.services,
            self.base.stores,
            metadata,
            self.status,
            self.working.ecs.interrupt_spot,
            self._reset() if self.base.settings.test_mode else None,
            self.base.clock if self.base.settings.test_mode else None,
            partial(keep_ahead, self.base.state),
        )

    def _reset(self) -> Reset:
        """In the order in which a task's life ends: no request, then no container."""
        return Reset(
            self.base.state,
            self.base.queues,
            self.changing,
            self.balancing.door.assert_all,
            self.working.tasks.forget_all,
            self.shipping.forget_all,
            self._clock_back,
        )

    async def _clock_back(self) -> None:
        keep_ahead(self.base.state, 0.0)

    def status(self) -> Status:
        """What ``kirikae local status`` shows, as it is now."""
        return status_of(
            self.base.settings,
            self.base.state,
            self.house.trouble,
            self.base.registry.place,
            self.base.pulse.load(),
            self.working.pace,
        )

    async def close(self) -> None:
        """In the order in which things depend on each other; tasks and HAProxy run on."""
        self.balancing.recorder.stop()
        await self.working.courses.close()
        await self.working.tasks.close()
        await self.working.logs.close()
        await self.balancing.health.close()
        await self.shipping.close()
        await self.base.close()
