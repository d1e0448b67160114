"""What the control plane does by itself: duties at their beats, the engine's events, the use of
services."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from kirikae.local.bridge import link_local_bind
from kirikae.local.ecs.api import Ecs
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.ecs.usage import Usage
from kirikae.local.elb.accesslog import EVERY_S, AccessLogs
from kirikae.local.elb.figures import KEPT_S, Recorder
from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.elb.health import HealthChecks
from kirikae.local.elb.pems import Pems, renewed
from kirikae.local.elb.targets import Targets
from kirikae.local.engine import Engine
from kirikae.local.errors import AwsError, EngineError, LocalError
from kirikae.local.registry import Registry
from kirikae.local.sqs.figures import QueueFigures
from kirikae.local.state import State
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local")

GAUGES_EVERY_S = 10
_REPAIR_EVERY_S = 5
_TIDY_EVERY_S = 60
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Duty:
    """``name``: what is in trouble when it fails."""

    name: str
    every_s: int
    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Household:
    """Whoever has a duty here."""

    state: State
    engine: Engine
    stores: Stores
    registry: Registry
    door: FrontDoor
    health: HealthChecks
    targets: Targets
    recorder: Recorder
    access_logs: AccessLogs
    tasks: Tasks
    ecs: Ecs
    pems: Pems
    usage: Usage
    queue_figures: QueueFigures
    bridge: str
    label: str
    """Of our containers."""
    figures_now: bool
    """Are figures shown at once?"""
    clock: Callable[[], float] = time.time
    """By which figures are kept."""


class House:
    """Keeps order; what fails is told and tried again at the next beat."""

    def __init__(self, household: Household) -> None:
        """The engine's events go on from the last one that was heard, or from now."""
        self._of = household
        self._troubles: dict[str, str] = {}
        heard = household.state.marks.get("events") or {}
        self._since = heard.get("since", time.time())

    @property
    def trouble(self) -> str:
        """What does not go well now, in words; empty: nothing."""
        left_out = self._of.door.left_out
        return "; ".join([*([left_out] if left_out else []), *self._troubles.values()])

    # --- duties

    def _duties(self) -> Sequence[Duty]:
        """Every duty with its beat; what each second needs comes first."""
        access_log_every_s = GAUGES_EVERY_S if self._of.figures_now else EVERY_S
        return (
            Duty("figures", 1, self._write_figures),
            Duty("HAProxy", 1, self._assert_door),
            Duty("stores", 1, self._assert_stores),
            Duty("container engine", 1, self._ask_engine),
            Duty("registry", 1, self._assert_registry),
            Duty("targets", 1, self._assert_targets),
            Duty("load balancer", _REPAIR_EVERY_S, self._repair),
            Duty("gauges", GAUGES_EVERY_S, self._write_gauges),
            Duty("queues", GAUGES_EVERY_S, self._write_queues),
            Duty("tidying", _TIDY_EVERY_S, self._tidy),
            Duty("certificates", _TIDY_EVERY_S, self._renew),
            Duty("access log", access_log_every_s, self._of.access_logs.deliver),
        )

    async def keep(self) -> None:
        """Every second, each duty by itself: one that fails is told and does not keep the others
        from being done."""
        duties = self._duties()
        for beat in count(1):
            await asyncio.sleep(1)
            for duty in duties:
                if beat % duty.every_s == 0:
                    await self._do(duty)

    async def _do(self, duty: Duty) -> None:
        """What fails is a trouble until the next time that it does not."""
        try:
            await duty.work()
            self._troubles.pop(duty.name, None)
        except (LocalError, EngineError, AwsError, OSError) as error:
            self._troubles[duty.name] = f"{duty.name}: {error}"
            log.warning("%s: %s", duty.name, error)

    async def _write_figures(self) -> None:
        """Every second that is over goes into the store."""
        self._of.recorder.write_out(self._of.clock())

    async def _write_gauges(self) -> None:
        """Hosts by health, and open connections."""
        self._of.recorder.write_gauges(self._of.clock(), await self._of.door.connections())

    async def _write_queues(self) -> None:
        """What was sent, received and deleted, and what waits."""
        self._of.queue_figures.write(self._of.clock())

    async def _assert_door(self) -> None:
        """HAProxy runs, and does what the store says."""
        if not await self._of.door.is_running():
            log.warning("HAProxy had ended and is started again")
            await self._of.door.assert_what_goes()

    async def _assert_stores(self) -> None:
        """moto runs."""
        if await self._of.stores.assert_running():
            log.warning(
                "moto had ended and was started again; what its journal holds is there again"
            )

    async def _ask_engine(self) -> None:
        """The container engine answers; how long it took is heard by the pulse."""
        await self._of.engine.version()

    async def _assert_registry(self) -> None:
        """The registry runs, where it is installed."""
        await self._of.registry.assert_running()

    async def _assert_targets(self) -> None:
        """Every target is checked, and every draining one is watched."""
        self._of.health.assert_all()
        self._of.targets.resume_drains()

    async def _repair(self) -> None:
        """What was missed is made good: servers that HAProxy has otherwise, and tasks that nobody
        drives."""
        await self._of.door.repair()
        self._of.tasks.poke_unfinished()

    async def _renew(self) -> None:
        """Certificates that were imported anew."""
        if await renewed(self._of.state, self._of.pems):
            await self._of.door.assert_all()

    async def _tidy(self) -> None:
        """What nobody looks at any more is dropped."""
        # An engine that was restarted may have made the bridge anew.
        await link_local_bind(self._of.bridge)
        self._of.state.forget_figures(int(self._of.clock()) - KEPT_S)
        self._of.ecs.forget(time.time())

    # --- loops

    async def measure(self) -> None:
        """What services use, once a period at its half, so that its point lies well within it; by
        the clock, whenever somebody has moved it over a half."""
        before = 0
        while True:
            period = self._of.usage.period_s
            number = int(self._of.clock() / period + 0.5)
            if before and number != before:
                await self._measure()
            before = number
            await asyncio.sleep(_LOOK_S)

    async def _measure(self) -> None:
        try:
            await self._of.usage.measure(time.time(), self._of.clock())
        except (EngineError, LocalError) as error:
            log.warning("use of services was not measured: %s", error)

    async def listen(self) -> None:
        """The engine's events, from the last one heard; the stream is opened again for ever."""
        while True:
            try:
                async for event in self._of.engine.events(self._of.label, self._since):
                    await self._of.tasks.noticed(event)
                    self._since = event["timeNano"] / 1e9
                    self._of.state.marks.put("events", {"since": self._since})
                await asyncio.sleep(0.2)
            except (EngineError, LocalError, OSError) as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(1)
