"""Where an alarm's datapoints come from: what kirikae local measures itself, and what was put into
moto by PutMetricData and by metric filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from xml.etree import ElementTree

from kirikae.local.alarms.forms import PLAIN, Asked
from kirikae.local.elb.cloudwatch import CloudWatch

Points = Mapping[int, float]
"""A period's begin -> its value; what is missing is absent."""
_VERSION = "2010-08-01"


class Moto(Protocol):
    """The store of figures that others put."""

    async def query(
        self,
        service: str,
        params: Mapping[str, str],
        region: str,
    ) -> str:
        """Raises AwsError, OSError."""
        ...


class Figures:
    """Of every region."""

    def __init__(
        self,
        ours: Callable[[str], CloudWatch],
        moto: Moto,
    ) -> None:
        """``ours``: region -> its CloudWatch, which shows every figure at once."""
        self._ours = ours
        self._moto = moto

    async def points(
        self,
        region: str,
        asked: Asked,
        since: int,
        until: int,
    ) -> Points:
        """Of ``since <= begin < until``, both at whole periods.  Raises AwsError for a statistic
        that is not known, OSError where moto does not answer, or not in its way."""
        if asked.is_measured_here:
            return await self._measured(
                region,
                asked,
                since,
                until,
            )
        told = await self._moto.query(
            "monitoring",
            _request(
                asked,
                since,
                until,
            ),
            region,
        )
        try:
            found = _read(told)
        except (ElementTree.ParseError, ValueError) as error:
            raise OSError(f"moto's figures cannot be read: {error}") from error
        return {at: value for at, value in found.items() if since <= at < until}

    async def _measured(
        self,
        region: str,
        asked: Asked,
        since: int,
        until: int,
    ) -> Points:
        plain = asked.statistic in PLAIN
        told = await self._ours(region).get_metric_statistics(
            {
                "Namespace": asked.namespace,
                "MetricName": asked.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in asked.dimensions],
                "StartTime": float(since),
                "EndTime": float(until),
                "Period": asked.period_s,
                "Statistics" if plain else "ExtendedStatistics": [asked.statistic],
            }
        )
        found = told["Datapoints"]
        rows = [(each["Timestamp"], each.get("ExtendedStatistics", each)) for each in found]
        return {int(at): row[asked.statistic] for at, row in rows}


def _request(
    asked: Asked,
    since: int,
    until: int,
) -> dict[str, str]:
    """GetMetricData, whose points begin at whole periods."""
    query = "MetricDataQueries.member.1"
    stat = f"{query}.MetricStat"
    params = {
        "Action": "GetMetricData",
        "Version": _VERSION,
        "StartTime": _iso(since),
        "EndTime": _iso(until),
        f"{query}.Id": "m",
        f"{stat}.Metric.Namespace": asked.namespace,
        f"{stat}.Metric.MetricName": asked.name,
        f"{stat}.Period": str(asked.period_s),
        f"{stat}.Stat": asked.statistic,
    }
    if asked.unit:
        params[f"{stat}.Unit"] = asked.unit
    for number, (name, value) in enumerate(asked.dimensions, 1):
        head = f"{stat}.Metric.Dimensions.member.{number}"
        params |= {f"{head}.Name": name, f"{head}.Value": value}
    return params


def _read(xml: str) -> dict[int, float]:
    root = ElementTree.fromstring(xml)
    times = [_seconds(each.text or "") for each in root.iterfind(".//{*}Timestamps/{*}member")]
    values = [float(each.text or 0) for each in root.iterfind(".//{*}Values/{*}member")]
    return dict(
        zip(
            times,
            values,
            strict=True,
        )
    )


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _seconds(text: str) -> int:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
