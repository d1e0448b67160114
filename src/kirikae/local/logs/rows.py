"""The rows of filters."""

from __future__ import annotations

from typing import TypedDict

from kirikae.local.plain import Plain


class Subscription(TypedDict):
    """Into Firehose."""

    region: str
    group: str
    name: str
    pattern: str
    destination: str
    role: str
    distribution: str
    made: float


class MetricFilter(TypedDict):
    """``transformations``: as they were put."""

    region: str
    group: str
    name: str
    pattern: str
    transformations: list[Plain]
    made: float


class Event(TypedDict):
    """Of PutLogEvents; milliseconds."""

    timestamp: int
    message: str
