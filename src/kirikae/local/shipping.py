"""What brings logs on their way, put together: Firehose, who sends to it, and Athena, which reads
what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kirikae.local.athena import api as athena
from kirikae.local.athena.child import Child
from kirikae.local.clock import Clock
from kirikae.local.firehose import api as firehose
from kirikae.local.firehose.delivery import Delivery
from kirikae.local.firehose.streams import Streams
from kirikae.local.forward.receiver import Receiver
from kirikae.local.forward.routing import Routing
from kirikae.local.logs import api as logs
from kirikae.local.logs.arriving import Arriving
from kirikae.local.logs.rows import Event
from kirikae.local.plain import Plain
from kirikae.local.settings import Settings
from kirikae.local.state import State
from kirikae.local.stores import Stores
from kirikae.local.wire import Service


@dataclass(frozen=True, slots=True)
class Shipping:
    """``clock``: of Firehose; the test mode may move it."""

    clock: Clock
    streams: Streams
    delivery: Delivery
    queries: athena.Queries
    lines: Arriving
    receiver: Receiver
    home: str
    logs_of: Callable[[str], logs.Logs]
    """Region -> its CloudWatch Logs."""

    @classmethod
    def of(
        cls,
        directory: Path,
        state: State,
        stores: Stores,
        settings: Settings,
        clock: Clock,
    ) -> Shipping:
        """Wired only: nothing is delivered yet."""
        streams = Streams(directory / "firehose.db")
        child = Child(settings.stores_port, directory / "athena.log")
        queries = athena.Queries(state, directory / "athena", child, stores)
        delivery = Delivery(streams, stores, clock)

        def receive(arn: str, records: list[bytes]) -> None:
            firehose.Firehose(streams, arn.split(":")[3], clock).receive(arn, records)

        lines = Arriving(state, receive, stores)
        of_regions: dict[str, logs.Logs] = {}

        def logs_of(region: str) -> logs.Logs:
            return of_regions.setdefault(region, logs.Logs(lines, stores, region))

        routing = Routing(state, settings.region, logs_of, receive)
        receiver = Receiver(Path(settings.run) / "forward.sock", routing.keep)
        return cls(
            clock,
            streams,
            delivery,
            queries,
            lines,
            receiver,
            settings.region,
            logs_of,
        )

    def services(self, region: str) -> Mapping[str, Service]:
        """Signing name -> who answers in this region."""
        hose = firehose.Firehose(self.streams, region, self.clock)
        reader = athena.Athena(self.queries, region, time.time)
        return {
            "firehose": firehose.service_of(hose),
            "athena": athena.service_of(reader),
            "logs": logs.service_of(self.logs_of(region)),
        }

    async def arrived(self, group: str, stream: str, events: Sequence[Plain]) -> None:
        """Lines of a task that the store has taken."""
        kept = [cast(Event, dict(event)) for event in events]
        await self.lines.arrived(self.home, group, stream, kept)

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must never end."""
        return (self.delivery.run(), self.receiver.run())

    async def forget_all(self) -> None:
        """As it was when it was new."""
        self.clock.ahead_s = 0.0
        self.streams.forget_all()
        await self.queries.forget_all()

    async def close(self) -> None:
        """Files, and the process that reads."""
        await self.queries.close()
        self.streams.close()
