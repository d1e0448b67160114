"""The states of the alarms that a deployment names, asked of this endpoint's own CloudWatch."""

from __future__ import annotations

import xml.etree.ElementTree as XML
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from kirikae.local.ecs.names import invalid
from kirikae.local.stores import Stores

_AT_ONCE = 100
"""Of DescribeAlarms (CloudWatch API reference)."""


@dataclass(frozen=True, slots=True)
class AlarmSeen:
    """``rings``: is it in ALARM?  ``window_s``: how far its evaluation looks back."""

    rings: bool
    window_s: float


class AlarmStates:
    """Of one region.

    Whoever answers for alarms behind the endpoint is asked as any client asks: what a client sees
    is what ends a deployment.
    """

    def __init__(
        self,
        stores: Stores,
        endpoint: str,
        region: str,
    ) -> None:
        """``endpoint`` is where clients of AWS's API find it."""
        self._stores = stores
        self._endpoint = endpoint
        self._region = region

    async def of(self, names: Sequence[str]) -> Mapping[str, AlarmSeen]:
        """Those of these names that are there.  Raises OSError where nobody answers."""
        asked = {
            "Action": "DescribeAlarms",
            "Version": "2010-08-01",
            "MaxRecords": str(_AT_ONCE),
        }
        for number, name in enumerate(names, 1):
            asked[f"AlarmNames.member.{number}"] = name
        asked |= {
            "AlarmTypes.member.1": "MetricAlarm",
            "AlarmTypes.member.2": "CompositeAlarm",
        }
        headers = self._stores.headers("monitoring", self._region)
        try:
            async with self._stores.http.post(
                self._endpoint, data=asked, headers=headers
            ) as answer:
                told = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"alarms cannot be read: {error}") from error
        if answer.status != 200:
            raise OSError(f"alarms cannot be read: {told[:200]}")
        return read_alarms(told)

    async def check(self, names: Sequence[str]) -> None:
        """Raise AwsError for an alarm that is not there: it could never end anything."""
        known = await self.of(names)
        for name in names:
            if name not in known:
                raise invalid(
                    f"The alarm {name} does not exist; make it first (cloudwatch put-metric-alarm)."
                )


def read_alarms(told: str) -> dict[str, AlarmSeen]:
    """An answer of DescribeAlarms.  Raises OSError for what is none."""
    try:
        root = XML.fromstring(told)
    except XML.ParseError as error:
        raise OSError(f"alarms cannot be read: {error}") from error
    found = {}
    for member in root.iter():
        name = _text(member, "AlarmName")
        state = _text(member, "StateValue")
        if name and state:
            window_s = _number(member, "Period") * _number(member, "EvaluationPeriods")
            found[name] = AlarmSeen(state == "ALARM", window_s)
    return found


def _text(member: XML.Element, name: str) -> str:
    """Of a direct child, whatever its namespace; empty where there is none."""
    for child in member:
        if child.tag.rpartition("}")[2] == name:
            return (child.text or "").strip()
    return ""


def _number(member: XML.Element, name: str) -> float:
    """0 where it is not given, as of composite alarms."""
    text = _text(member, name)
    return float(text) if text else 0.0
