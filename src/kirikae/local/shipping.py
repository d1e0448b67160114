"""What brings logs on their way, put together: Firehose, and who sends to it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.local.clock import Clock
from kirikae.local.firehose.api import Firehose, service_of
from kirikae.local.firehose.delivery import Buckets, Delivery
from kirikae.local.firehose.streams import Streams
from kirikae.local.state import State
from kirikae.local.wire import Service


@dataclass(frozen=True, slots=True)
class Shipping:
    """``clock``: of Firehose; the test mode may move it."""

    clock: Clock
    streams: Streams
    delivery: Delivery

    @classmethod
    def of(cls, directory: Path, state: State, stores: Buckets) -> Shipping:
        """Wired only: nothing is delivered yet."""
        clock = Clock()
        streams = Streams(directory / "firehose.db")
        return cls(clock, streams, Delivery(streams, stores, clock))

    def services(self, region: str) -> Mapping[str, Service]:
        """Signing name -> who answers in this region."""
        return {"firehose": service_of(Firehose(self.streams, region, self.clock))}

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must never end."""
        return (self.delivery.run(),)

    async def forget_all(self) -> None:
        """As it was when it was new."""
        self.clock.ahead_s = 0.0
        self.streams.forget_all()

    async def close(self) -> None:
        """Files only."""
        self.streams.close()
