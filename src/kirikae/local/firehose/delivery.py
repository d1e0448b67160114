"""What brings waiting records into S3: when an object is due, and how it gets there.

An object is ordered (written down), put, and its records are forgotten; whoever is killed in
between puts the same bytes under the same key again.  Where S3 does not take it, it is tried again;
what is older than 24 hours is given up, as on AWS (developer guide, "Data delivery failure
handling").
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable
from typing import Protocol

from kirikae.local.errors import LocalError
from kirikae.local.firehose.forms import extension_of, prefixes_of
from kirikae.local.firehose.prefixes import PROCESSING_FAILED, name_time
from kirikae.local.firehose.processing import packed, processed
from kirikae.local.firehose.rows import Order, Stream
from kirikae.local.firehose.streams import Streams, Waiting
from kirikae.local.plain import Plain

log = logging.getLogger("kirikae.local.firehose")

_LOOK_S = 1.0
GIVEN_UP_S = 24 * 3600
_MB = 1 << 20


class Buckets(Protocol):
    """S3."""

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Raises OSError where it does not take it."""
        ...


def is_due(stream: Stream, waiting: Waiting, now: float) -> bool:
    """Whichever of size and time is reached first; a stream that goes waits for nothing."""
    hints = stream["destination"]["BufferingHints"]
    full = waiting.bytes >= hints["SizeInMBs"] * _MB
    old = now - waiting.oldest >= hints["IntervalInSeconds"]
    return full or old or stream["status"] == "DELETING"


def order_of(stream: Stream, last: int, oldest: float) -> Order:
    """Names of objects: ``prefix stream-version-time-uuid extension`` (developer guide, "Configure
    Amazon S3 object name format")."""
    destination = stream["destination"]
    prefixes = prefixes_of(destination)
    at = name_time(oldest, prefixes.zone)
    end = f"{stream['name']}-{stream['version']}-{at}-{uuid.uuid4()}"
    return {
        "last": last,
        "oldest": oldest,
        "key": f"{prefixes.of_data(oldest)}{end}{extension_of(destination)}",
        "errors": f"{prefixes.of_errors(oldest, PROCESSING_FAILED)}{end}",
        "destination": destination,
    }


class Delivery:
    """``run`` never ends."""

    def __init__(self, streams: Streams, buckets: Buckets, clock: Callable[[], float]) -> None:
        self._streams = streams
        self._buckets = buckets
        self._clock = clock

    async def run(self) -> None:
        """Each second: what is due."""
        while True:
            try:
                await self.look()
            except (LocalError, sqlite3.OperationalError, OSError) as error:
                log.warning("nothing is delivered now: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Once: every object that is due, of every stream."""
        waiting = self._streams.waiting()
        for stream in self._streams.all():
            await self._deliver(stream, waiting.get(stream["arn"]))

    async def _deliver(self, stream: Stream, waiting: Waiting | None) -> None:
        """One stream's; what does not go keeps no other stream from it."""
        arn = stream["arn"]
        try:
            if (order := self._streams.ordered(arn)) is not None:
                await self._carry_out(arn, order)
                waiting = self._streams.waiting().get(arn)
            while waiting is not None and is_due(stream, waiting, self._clock()):
                await self._carry_out(arn, self._ordered(stream, waiting))
                waiting = self._streams.waiting().get(arn)
        except OSError as error:
            log.warning("%s is not delivered yet: %s", stream["name"], error)
            return
        if waiting is None and stream["status"] == "DELETING":
            self._streams.drop(arn)

    def _ordered(self, stream: Stream, waiting: Waiting) -> Order:
        most = stream["destination"]["BufferingHints"]["SizeInMBs"] * _MB
        last = self._streams.last_of(stream["arn"], most)
        order = order_of(stream, last, waiting.oldest)
        self._streams.order(stream["arn"], order)
        return order

    async def _carry_out(self, arn: str, order: Order) -> None:
        """Raises OSError where S3 does not take it; it is done again then."""
        destination = order["destination"]
        found = processed(self._streams.upto(arn, order["last"]), destination)
        name = order["key"].rpartition("/")[2]
        try:
            if body := b"".join(found.data):
                body = packed(body, destination["CompressionFormat"], name.removesuffix(".zip"))
                await self._put(destination, order["key"], body)
            if found.errors:
                await self._put(destination, order["errors"], b"".join(found.errors))
        except OSError as error:
            if self._clock() - order["oldest"] < GIVEN_UP_S:
                raise
            log.error("%s is given up after 24 hours: %s", order["key"], error)
        self._streams.delivered(arn, order["last"])

    async def _put(self, destination: Plain, key: str, body: bytes) -> None:
        bucket = str(destination["BucketARN"]).rpartition(":")[2]
        await self._buckets.put_object(bucket, key, body)
