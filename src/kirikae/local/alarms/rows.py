"""The rows of alarms."""

from __future__ import annotations

from typing import TypedDict

from kirikae.local.plain import Plain

METRIC = "MetricAlarm"
COMPOSITE = "CompositeAlarm"
OK = "OK"
ALARM = "ALARM"
MISSING = "INSUFFICIENT_DATA"


class State(TypedDict):
    """``data``: JSON, empty where there is none.  ``at``: since when it is so."""

    value: str
    reason: str
    data: str
    at: float


class Alarm(TypedDict):
    """Keyed by its ARN.  ``form``: what PutMetricAlarm or PutCompositeAlarm was told, with every
    default in its place.  ``owner``: ARN of the policy whose alarm it is; empty: a user's."""

    arn: str
    name: str
    kind: str
    form: Plain
    state: State
    transitioned: float
    configured: float
    tags: dict[str, str]
    owner: str


class Item(TypedDict):
    """Of an alarm's history; ``data`` is JSON."""

    at: float
    kind: str
    summary: str
    data: str


class History(TypedDict):
    """Keyed by the alarm's ARN; the newest first."""

    name: str
    kind: str
    items: list[Item]


class News(TypedDict):
    """A change of state that is not told to everybody yet; ``alarm`` is as it was then."""

    alarm: Alarm
    before: State
