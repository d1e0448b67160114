"""What brings logs on their way, put together: Firehose, who sends to it, and Athena, which reads
what came of it."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.local.athena import api as athena
from kirikae.local.athena.child import Child
from kirikae.local.clock import Clock
from kirikae.local.firehose import api as firehose
from kirikae.local.firehose.delivery import Delivery
from kirikae.local.firehose.streams import Streams
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

    @classmethod
    def of(cls, directory: Path, state: State, stores: Stores, stores_port: int) -> Shipping:
        """Wired only: nothing is delivered yet."""
        clock = Clock()
        streams = Streams(directory / "firehose.db")
        child = Child(stores_port, directory / "athena.log")
        queries = athena.Queries(state, directory / "athena", child, stores)
        return cls(clock, streams, Delivery(streams, stores, clock), queries)

    def services(self, region: str) -> Mapping[str, Service]:
        """Signing name -> who answers in this region."""
        hose = firehose.Firehose(self.streams, region, self.clock)
        reader = athena.Athena(self.queries, region, time.time)
        return {
            "firehose": firehose.service_of(hose),
            "athena": athena.service_of(reader),
        }

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must never end."""
        return (self.delivery.run(),)

    async def forget_all(self) -> None:
        """As it was when it was new."""
        self.clock.ahead_s = 0.0
        self.streams.forget_all()
        await self.queries.forget_all()

    async def close(self) -> None:
        """Files, and the process that reads."""
        await self.queries.close()
        self.streams.close()
