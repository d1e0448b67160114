"""The control plane of kirikae local: one asyncio process that owns the state directory.

It may be killed at any moment: HAProxy, moto and the tasks go on without it, and it takes them up
again."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TextIO

from aiohttp import web

from kirikae.local.bridge import LINK_LOCAL, link_local_bind
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.images import Images
from kirikae.local.ecs.logs import Logs
from kirikae.local.ecs.metadata import Metadata, Usage
from kirikae.local.ecs.pause import PausePool
from kirikae.local.ecs.services import Services
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.elb.accesslog import EVERY_S, AccessLogs
from kirikae.local.elb.api import Balancer
from kirikae.local.elb.figures import CLOUDWATCH_DELAY_S, KEPT_S, CloudWatch, Recorder
from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.elb.health import HealthChecks
from kirikae.local.engine import Engine, engine_socket
from kirikae.local.errors import AwsError, EngineError, LocalError
from kirikae.local.files import write_durably
from kirikae.local.registry import Registry
from kirikae.local.sqs.api import QUERY_CODES, Sqs
from kirikae.local.sqs.queues import Queues
from kirikae.local.state import Row, State
from kirikae.local.stores import Stores
from kirikae.local.wire import Json, Query, Service

log = logging.getLogger("kirikae.local")

GAUGES_EVERY_S = 10
_TARGETS = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "GraniteServiceVersion20100801": "monitoring",
    "AmazonSQS": "sqs",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one instance keeps for its whole life; in ``settings.json`` of its directory."""

    instance: str
    region: str
    port: int
    control_port: int
    stores_port: int
    run: str
    registry_port: int = 0
    figures_delay_s: int = CLOUDWATCH_DELAY_S
    pool: int = 4

    @classmethod
    def load(cls, directory: Path) -> Settings:
        return cls(**json.loads((directory / "settings.json").read_text()))

    def save(self, directory: Path) -> None:
        write_durably(directory / "settings.json", json.dumps(asdict(self)))


class ControlPlane:
    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._state = State(directory / "state.db")
        self._engine = Engine(engine_socket())
        self._stores = Stores(directory, settings.stores_port, settings.region)
        self._registry = Registry(directory, settings.registry_port)
        self._background: list[asyncio.Task[None]] = []
        self._balancer = Balancer(self._state, settings.region)
        self._balancer.put_object = self._stores.put_object
        self._access = AccessLogs(self._state, directory, self._stores, settings.region, time.time)
        self._recorder = Recorder(self._state, directory / "haproxy.log.pipe", self._access.keep)
        self._queues = Queues(directory / "sqs.db", lambda: int(time.time() * 1000))
        self._troubles: dict[str, str] = {}

    async def start(self) -> None:
        settings = self._settings
        try:
            await self._engine.version()
        except EngineError as error:
            raise LocalError(
                f"{error}. Start it (systemctl start docker, or dockerd by hand) and try again"
            ) from error
        gateway = await self._network()
        await self._stores.assert_running()
        await self._registry.assert_running()
        link_local = await link_local_bind(self._bridge)
        await self._open_door(gateway, link_local)
        self._pool = PausePool(
            self._engine, self._state, settings.instance, settings.instance, settings.pool
        )
        await self._pool.prepare()
        self._assemble(
            gateway,
            f"http://{LINK_LOCAL}"
            if link_local
            else f"http://{gateway}:{settings.port}/_kirikae/metadata",
        )
        since = float((self._state.get("meta", "events") or {}).get("since", time.time()))
        await self._tasks.recover()
        self._pool.fill()
        self._health.assert_all()
        self._balancer.resume_drains()
        loops = (self._services.run(), self._listen(since), self._keep_house(), self._measure())
        self._background = [asyncio.create_task(loop) for loop in loops]
        await self._serve()
        log.info(
            "kirikae local answers on 127.0.0.1:%s and %s:%s", settings.port, gateway, settings.port
        )

    async def _open_door(self, gateway: str, link_local: str) -> None:
        """HAProxy, adopted or started, and the checks that tell it which targets serve."""
        settings = self._settings
        binds = [f"127.0.0.1:{settings.port}", f"{gateway}:{settings.port}"]
        ports = {"control": settings.control_port, "stores": settings.stores_port}
        self._balancer.door = self._door = FrontDoor(
            self._state, self._directory, Path(settings.run), binds, ports, link_local
        )
        self._balancer.health = self._health = HealthChecks(self._state, self._target_changed)
        await self._door.assert_all()
        self._recorder.start()

    def _assemble(self, gateway: str, metadata: str) -> None:
        """Those who run tasks and keep services, and the AWS services that answer for them."""
        settings = self._settings
        environment = {
            "AWS_ENDPOINT_URL": f"http://{gateway}:{settings.port}",
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
        }
        self._tasks = Tasks(
            self._state,
            self._engine,
            self._pool,
            self._balancer,
            self._stores,
            Images(self._engine, self._registry.place),
            Logs(self._state, self._engine, self._stores),
            settings.instance,
            environment,
            metadata,
        )
        self._ecs = Ecs(self._state, self._tasks, self._balancer, settings.region)
        self._services = self._ecs.services = Services(
            self._state, self._tasks, self._ecs.start_service_task
        )
        self._tasks.on_change = self._services.task_changed
        self._tasks.on_event = self._services.told
        self._usage = Usage(self._state, self._engine, self._tasks.container_name)
        figures = CloudWatch(self._state, settings.figures_delay_s)
        sqs = Sqs(self._queues, settings.region, f"http://127.0.0.1:{settings.port}").operations()
        self._wire = {
            "ecs": Service(
                Json("ecs", "InvalidParameterException"),
                self._ecs.operations(),
                "UnsupportedFeatureException",
            ),
            "elasticloadbalancing": Service(
                Query("elbv2", "ValidationError"), self._balancer.operations(), "InvalidAction"
            ),
            "monitoring": Service(
                Json("cloudwatch", "InvalidParameterValueException"),
                figures.operations(),
                "InvalidAction",
            ),
            "sqs": Service(
                Json("sqs", "InvalidParameterValue"), sqs, "UnsupportedOperation", QUERY_CODES
            ),
            "sqs-query": Service(
                Query("sqs", "InvalidParameterValue"), sqs, "UnsupportedOperation", QUERY_CODES
            ),
        }

    async def _network(self) -> str:
        """The project's own bridge; the answer is the address of this machine on it."""
        name = self._settings.instance
        try:
            network = await self._engine.network(name)
        except EngineError as error:
            if error.status != 404:
                raise LocalError(f"the network {name} cannot be looked at: {error}") from error
            await self._engine.create_network(name, {"kirikae.instance": name})
            network = await self._engine.network(name)
        self._bridge = f"br-{network['Id'][:12]}"
        return str(network["IPAM"]["Config"][0]["Gateway"])

    async def _serve(self) -> None:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_get("/_kirikae/status", self._status)
        app.router.add_post("/_kirikae/interrupt-spot", self._interrupt_spot)
        metadata = web.Application()
        protection = (self._ecs.get_task_protection, self._ecs.update_task_protection)
        Metadata(
            self._state,
            self._engine,
            self._tasks.container_name,
            self._tasks.definition,
            self._settings.region,
            protection,
            self._ecs.tags.of,
        ).routes(metadata)
        app.add_subapp("/_kirikae/metadata", metadata)
        app.router.add_route("*", "/{rest:.*}", self._aws)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", self._settings.control_port, reuse_address=True
        ).start()

    async def failed(self) -> BaseException:
        """Wait until a loop that must never end has ended; the answer is why."""
        done, _ = await asyncio.wait(self._background, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).exception() or RuntimeError("a loop of the control plane ended")

    async def stop(self) -> None:
        await self._runner.cleanup()
        for task in self._background:
            task.cancel()
        self._recorder.stop()
        await self._tasks.close()
        await self._health.close()
        await self._stores.close()
        await self._engine.close()
        self._state.close()
        self._queues.close()

    # --- answering

    async def _status(self, request: web.Request) -> web.Response:
        tasks = [t for t in self._state.all("task") if t["lastStatus"] != "STOPPED"]
        return web.json_response(
            {
                "instance": self._settings.instance,
                "endpoint": f"http://127.0.0.1:{self._settings.port}",
                "network": self._settings.instance,
                "region": self._settings.region,
                "trouble": "; ".join(self._troubles.values()),
                "tasks": len(tasks),
                "services": sum(s["status"] == "ACTIVE" for s in self._state.all("service")),
                "registry": self._registry.place,
                "listeners": [f"127.0.0.1:{item['port']}" for item in self._state.all("listener")],
            }
        )

    async def _interrupt_spot(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "tasks": self._ecs.interrupt_spot(
                    int(request.query["percent"]), request.query.get("dry") == "1"
                )
            }
        )

    async def _aws(self, request: web.Request) -> web.Response:
        body = await request.read()
        scope = request.headers.get("Authorization", "").split("/")
        name = (
            scope[3]
            if len(scope) > 4
            else _TARGETS.get(request.headers.get("X-Amz-Target", "").partition(".")[0], "")
        )
        service = self._wire.get(name)
        if service is None or (name == "monitoring" and not _about_balancers(request, body)):
            return await self._forward(request, body)
        if name == "sqs" and "X-Amz-Target" not in request.headers:
            service = self._wire["sqs-query"]
        status, answer, kind, headers = await service.serve(request.headers, body)
        return web.Response(
            status=status, body=answer, content_type=kind.partition(";")[0], headers=headers
        )

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {
            k: v
            for k, v in request.headers.items()
            if k.lower() not in ("host", "content-length", "transfer-encoding")
        }
        async with self._stores.http.request(
            request.method, f"{self._stores.url}{request.path_qs}", data=body, headers=headers
        ) as answer:
            content = await answer.read()
            kept = {
                k: v
                for k, v in answer.headers.items()
                if k.lower()
                not in ("content-length", "transfer-encoding", "connection", "content-encoding")
            }
            return web.Response(status=answer.status, body=content, headers=kept)

    # --- watching

    async def _target_changed(self, target: Row) -> None:
        """Any change of one target's health may open or close the whole group (fail open)."""
        await self._door.set_targets(target["group"])
        for task in self._state.all("task"):
            if target["key"] in self._tasks.target_keys(task):
                self._services.task_changed(task)

    async def _measure(self) -> None:
        """What services use, once a minute at its half, so that a minute's point lies well within
        it."""
        while True:
            await asyncio.sleep(60 - (time.time() + 30) % 60)
            try:
                await self._usage.measure(time.time())
            except (EngineError, LocalError) as error:
                log.warning("use of services was not measured: %s", error)

    async def _listen(self, since: float) -> None:
        """The engine's events, from the last one seen; the stream is opened again for ever."""
        while True:
            try:
                async for event in self._engine.events(
                    f"kirikae.instance={self._settings.instance}", since
                ):
                    await self._tasks.noticed(event)
                    since = event["timeNano"] / 1e9
                    self._state.put("meta", "events", {"since": since})
                await asyncio.sleep(0.2)
            except (EngineError, LocalError, OSError) as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(1)

    async def _keep_house(self) -> None:
        """Every second, each duty by itself: one that fails is told and does not keep the others
        from being done."""
        duties: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("figures", 1, self._write_figures),
            ("HAProxy", 1, self._assert_door),
            ("stores", 1, self._assert_stores),
            ("container engine", 1, self._ask_engine),
            ("registry", 1, self._assert_registry),
            ("targets", 1, self._assert_targets),
            ("load balancer", 5, self._repair),
            ("gauges", GAUGES_EVERY_S, self._write_gauges),
            ("tidying", 60, self._tidy),
            (
                "access log",
                EVERY_S if self._settings.figures_delay_s else GAUGES_EVERY_S,
                self._access.deliver,
            ),
        ]
        for beat in count(1):
            await asyncio.sleep(1)
            for name, every, duty in duties:
                if beat % every:
                    continue
                try:
                    await duty()
                    self._troubles.pop(name, None)
                except (LocalError, EngineError, AwsError, OSError) as error:
                    self._troubles[name] = f"{name}: {error}"
                    log.warning("%s: %s", name, error)

    async def _write_figures(self) -> None:
        self._recorder.write_out(time.time())

    async def _write_gauges(self) -> None:
        self._recorder.write_gauges(time.time(), await self._door.connections())

    async def _assert_door(self) -> None:
        if not await self._door.is_running():
            log.warning("HAProxy had ended and is started again")
            await self._door.assert_all()

    async def _assert_stores(self) -> None:
        if await self._stores.assert_running():
            log.warning(
                "moto had ended and was started again; what its journal holds is there again"
            )

    async def _ask_engine(self) -> None:
        await self._engine.version()

    async def _assert_registry(self) -> None:
        await self._registry.assert_running()

    async def _assert_targets(self) -> None:
        self._health.assert_all()
        self._balancer.resume_drains()

    async def _repair(self) -> None:
        await self._door.repair()
        self._tasks.poke_unfinished()

    async def _tidy(self) -> None:
        await link_local_bind(
            self._bridge
        )  # an engine that was restarted may have made the bridge anew
        self._state.forget_figures(int(time.time()) - KEPT_S)
        self._ecs.forget(time.time())


def _about_balancers(request: web.Request, body: bytes) -> bool:
    """CloudWatch calls about load balancers and services are ours; other namespaces are kept by
    moto."""
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    asked = ("GetMetricData", "GetMetricStatistics", "ListMetrics")
    return operation in asked and (b"AWS/ApplicationELB" in body or b"AWS/ECS" in body)


async def _main(directory: Path) -> None:
    plane = ControlPlane(directory, Settings.load(directory))
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await plane.start()
    waits = {asyncio.create_task(stopped.wait()), asyncio.create_task(plane.failed())}
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    reason = next(iter(done)).result()
    if isinstance(reason, BaseException):
        # Half a control plane would look alive: better none, which `kirikae local status` shows and
        # `up` starts again.
        log.error("the control plane stops", exc_info=reason)
        raise LocalError(f"the control plane stops: {reason!r}")
    await plane.stop()


def _own(lock: TextIO) -> bool:
    """Lock the directory; a killed owner may take a moment to be gone."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.1)
    return False


def main() -> None:
    directory = Path(sys.argv[1])
    os.umask(0o077)  # the stores hold what users put into SSM and Secrets Manager
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with (directory / "lock").open("w") as lock:
        if not _own(lock):
            sys.exit(f"another process owns {directory}")
        try:
            asyncio.run(_main(directory))
        except LocalError as error:
            log.error("%s", error)
            sys.exit(str(error))


if __name__ == "__main__":
    main()
