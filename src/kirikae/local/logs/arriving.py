"""What filters do with each line that comes: subscriptions send it to Firehose, metric filters make
figures of it.

A line is acknowledged after its subscriptions have it: who is not answered sends again, and then it
goes there twice, as AWS says it may (user guide, "Subscriptions": at least once).
"""

from __future__ import annotations

import gzip
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from kirikae.local.errors import AwsError, LocalError
from kirikae.local.logs.patterns import Extracted, Pattern, pattern_of
from kirikae.local.logs.rows import Event, MetricFilter, Subscription
from kirikae.local.plain import Plain
from kirikae.local.state import State, Table
from kirikae.local.wire import ACCOUNT

log = logging.getLogger("kirikae.local.logs")

_LARGEST = 900 << 10
"""Bytes of lines in a payload: less than Firehose takes of a record, even unpacked."""
_MOST_DATA = 500
"""Figures that PutMetricData is given at once."""


class Figures(Protocol):
    """CloudWatch's store of other namespaces."""

    async def query(self, service: str, params: Mapping[str, str], region: str) -> str:
        """Raises AwsError, OSError."""
        ...


Receive = Callable[[str, list[bytes]], None]
"""Firehose: the ARN of a stream, and records for it.  Raises AwsError."""


class Arriving:
    """Of all regions."""

    def __init__(self, state: State, receive: Receive, figures: Figures) -> None:
        self.subscriptions: Table[Subscription] = Table(state, "subscription")
        self.metric_filters: Table[MetricFilter] = Table(state, "metricfilter")
        self.receive = receive
        self._figures = figures
        self._patterns: dict[str, Pattern] = {}

    async def arrived(self, region: str, group: str, stream: str, events: Iterable[Event]) -> None:
        """What one filter fails of keeps nothing from the others, nor from whoever put the
        lines."""
        kept = list(events)
        for subscription in self.of(region, group):
            try:
                self._send(subscription, stream, kept)
            except (AwsError, LocalError) as error:
                log.warning("%s of %s is not served: %s", subscription["name"], group, error)
        for each in self.metrics_of(region, group):
            try:
                await self._count(each, kept)
            except (AwsError, OSError) as error:
                log.warning("%s of %s is not counted: %s", each["name"], group, error)

    def of(self, region: str, group: str) -> list[Subscription]:
        """Subscriptions of a group."""
        every = self.subscriptions.all()
        return [each for each in every if (each["region"], each["group"]) == (region, group)]

    def metrics_of(self, region: str, group: str) -> list[MetricFilter]:
        """Metric filters of a group."""
        every = self.metric_filters.all()
        return [each for each in every if (each["region"], each["group"]) == (region, group)]

    def _pattern(self, text: str) -> Pattern:
        """Read once."""
        if text not in self._patterns:
            self._patterns[text] = pattern_of(text)
        return self._patterns[text]

    # --- subscriptions

    def _send(self, subscription: Subscription, stream: str, events: list[Event]) -> None:
        pattern = self._pattern(subscription["pattern"])
        fitting = [event for event in events if pattern.fits(event["message"])]
        records = [payload(subscription, stream, part) for part in _in_parts(fitting)]
        if records:
            self.receive(subscription["destination"], records)

    # --- metric filters

    async def _count(self, found: MetricFilter, events: list[Event]) -> None:
        pattern = self._pattern(found["pattern"])
        matched = [(event, pattern.match(event["message"])) for event in events]
        for each in found["transformations"]:
            data = list(_data(each, matched))
            for begin in range(0, len(data), _MOST_DATA):
                params = _put_metric_data(each, data[begin : begin + _MOST_DATA])
                await self._figures.query("monitoring", params, found["region"])


def payload(subscription: Subscription, stream: str, events: list[Event]) -> bytes:
    """User guide, "Subscription filters with Amazon Data Firehose"."""
    told = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": subscription["group"],
        "logStream": stream,
        "subscriptionFilters": [subscription["name"]],
        "logEvents": [{"id": _event_id(), **event} for event in events],
    }
    return gzip.compress(json.dumps(told).encode(), 6, mtime=0)


def control_message() -> bytes:
    """What a destination gets when it is subscribed."""
    event = {
        "id": "",
        "timestamp": round(1000 * time.time()),
        "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose.",
    }
    told = {
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [event],
    }
    return gzip.compress(json.dumps(told).encode(), 6, mtime=0)


def _event_id() -> str:
    """56 digits, as AWS's are."""
    return str(uuid.uuid4().int).zfill(56)[:56]


def _in_parts(events: list[Event]) -> Iterator[list[Event]]:
    """None of them too large for a record."""
    part: list[Event] = []
    size = 0
    for event in events:
        length = len(event["message"].encode())
        if part and size + length > _LARGEST:
            yield part
            part = []
            size = 0
        part.append(event)
        size += length
    if part:
        yield part


Datum = tuple[float, int, Mapping[str, str]]
"""Value, milliseconds, dimensions."""


def _data(transformation: Plain, matched: list[tuple[Event, Extracted | None]]) -> Iterator[Datum]:
    """One figure a line that fits; the default value once where none does (user guide, "Creating
    metrics from log events using filters")."""
    has_any = False
    for event, extracted in matched:
        if extracted is None:
            continue
        value = _value(str(transformation["metricValue"]), extracted)
        dimensions = {
            name: extracted.get(selector)
            for name, selector in transformation.get("dimensions", {}).items()
        }
        if value is None or None in dimensions.values():
            continue
        has_any = True
        yield value, event["timestamp"], {name: str(each) for name, each in dimensions.items()}
    if not has_any and matched and "defaultValue" in transformation:
        yield float(transformation["defaultValue"]), matched[-1][0]["timestamp"], {}


def _value(text: str, extracted: Extracted) -> float | None:
    """A number, or a field of the line that holds one."""
    try:
        return float(extracted.get(text, "") if text.startswith("$") else text)
    except ValueError:
        return None


def _put_metric_data(transformation: Plain, data: list[Datum]) -> dict[str, str]:
    params = {
        "Action": "PutMetricData",
        "Version": "2010-08-01",
        "Namespace": str(transformation["metricNamespace"]),
    }
    for number, (value, at, dimensions) in enumerate(data, 1):
        head = f"MetricData.member.{number}"
        params[f"{head}.MetricName"] = str(transformation["metricName"])
        params[f"{head}.Value"] = repr(value)
        params[f"{head}.Timestamp"] = f"{_iso(at)}"
        params[f"{head}.Unit"] = transformation.get("unit", "None")
        for index, (name, each) in enumerate(sorted(dimensions.items()), 1):
            params[f"{head}.Dimensions.member.{index}.Name"] = name
            params[f"{head}.Dimensions.member.{index}.Value"] = each
    return params


def _iso(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds // 1000))
