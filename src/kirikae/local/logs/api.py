"""The operations of CloudWatch Logs that are carried out here; the lines, and all else, are
moto's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from kirikae.local.errors import AwsError
from kirikae.local.logs.arriving import Arriving, control_message
from kirikae.local.logs.patterns import pattern_of
from kirikae.local.logs.rows import Event, MetricFilter, Subscription
from kirikae.local.plain import Plain
from kirikae.local.wire import Handlers, Json, Service, bound

MOST_SUBSCRIPTIONS = 2
MOST_METRIC_FILTERS = 100
_PAGE = 50
_NO_STREAM = (
    "Could not deliver test message to specified Firehose stream. Check if the given Firehose "
    "stream is in ACTIVE state."
)


class Stores(Protocol):
    """moto."""

    async def call(
        self, service: str, target: str, params: Mapping[str, object], region: str = ""
    ) -> Plain:
        """Raises AwsError, OSError."""
        ...


class Logs:
    """One region's."""

    def __init__(self, arriving: Arriving, stores: Stores, region: str) -> None:
        self._arriving = arriving
        self._stores = stores
        self._region = region
        self._known: set[tuple[str, str]] = set()
        """Groups and streams that were asserted."""

    async def _moto(self, operation: str, params: Mapping[str, object]) -> Plain:
        """Raises AwsError as moto answers."""
        try:
            return await self._stores.call(
                "logs", f"Logs_20140328.{operation}", params, self._region
            )
        except OSError as error:
            raise AwsError("ServiceUnavailableException", str(error), 503) from error

    # --- lines

    async def put_events(self, params: Plain) -> Plain:
        """Kept by moto first; then filters see them."""
        try:
            told = await self._moto("PutLogEvents", params)
        except AwsError:
            self._known.clear()  # a stream may be gone: who puts lines asserts it again
            raise
        events: list[Event] = params["logEvents"]
        group = params["logGroupName"]
        taken = _taken(events, told.get("rejectedLogEventsInfo") or {})
        await self._arriving.arrived(self._region, group, params["logStreamName"], taken)
        return told

    async def filter_events(self, params: Plain) -> Plain:
        """moto's pages, of which the lines that fit are left: an empty page with a token is not the
        end."""
        pattern = pattern_of(params.get("filterPattern", ""))
        asked = {key: value for key, value in params.items() if key != "filterPattern"}
        told = await self._moto("FilterLogEvents", asked)
        fitting = [event for event in told["events"] if pattern.fits(event["message"])]
        return {**told, "events": fitting}

    async def live_tail(self, params: Plain) -> Plain:
        """moto answers with what lies there, and ends: no tail."""
        raise AwsError(
            "UnsupportedFeatureException",
            "StartLiveTail is not carried out by kirikae local; `aws logs tail --follow` "
            "(FilterLogEvents) is",
        )

    async def test_filter(self, params: Plain) -> Plain:
        """Which lines fit, and what is extracted of them."""
        pattern = pattern_of(params["filterPattern"])
        matches = []
        for number, message in enumerate(params["logEventMessages"], 1):
            if (extracted := pattern.match(message)) is not None:
                matches.append(
                    {
                        "eventNumber": number,
                        "eventMessage": message,
                        "extractedValues": dict(extracted),
                    }
                )
        return {"matches": matches}

    async def delete_group(self, params: Plain) -> Plain:
        """With its filters."""
        told = await self._moto("DeleteLogGroup", params)
        self._known.clear()
        here = (self._region, params["logGroupName"])
        self._arriving.subscriptions.drop_where(
            lambda each: (each["region"], each["group"]) == here
        )
        self._arriving.metric_filters.drop_where(
            lambda each: (each["region"], each["group"]) == here
        )
        return told

    async def _assert_group(self, group: str) -> None:
        told = await self._moto("DescribeLogGroups", {"logGroupNamePrefix": group})
        if group not in {each["logGroupName"] for each in told["logGroups"]}:
            raise _missing("log group")

    async def assert_stream(self, group: str, stream: str, creates: bool) -> None:
        """Made where it is missing; its group too, where that is wanted.  Raises AwsError."""
        place = {"logGroupName": group, "logStreamName": stream}
        if (group, stream) in self._known:
            return
        try:
            await self._made("CreateLogStream", place)
        except AwsError as error:
            if error.code != "ResourceNotFoundException" or not creates:
                raise
            await self._made("CreateLogGroup", {"logGroupName": group})
            await self._made("CreateLogStream", place)
        self._known.add((group, stream))

    async def _made(self, operation: str, params: Mapping[str, object]) -> None:
        """What is there already is well."""
        try:
            await self._moto(operation, params)
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    def _key(self, group: str, name: str) -> str:
        return f"{self._region}|{group}|{name}"

    # --- subscriptions

    async def put_subscription(self, params: Plain) -> Plain:
        """Into Firehose; other destinations are moto's."""
        if ":firehose:" not in params["destinationArn"]:
            return await self._moto("PutSubscriptionFilter", params)
        group = params["logGroupName"]
        name = params["filterName"]
        pattern_of(params["filterPattern"])
        await self._assert_group(group)
        there = [each["name"] for each in self._arriving.of(self._region, group)]
        if name not in there and len(there) >= MOST_SUBSCRIPTIONS:
            raise AwsError("LimitExceededException", "Resource limit exceeded.")
        try:
            self._arriving.receive(params["destinationArn"], [control_message()])
        except AwsError as error:
            raise AwsError("InvalidParameterException", _NO_STREAM) from error
        row: Subscription = {
            "region": self._region,
            "group": group,
            "name": name,
            "pattern": params["filterPattern"],
            "destination": params["destinationArn"],
            "role": params.get("roleArn", ""),
            "distribution": params.get("distribution", "ByLogStream"),
            "made": time.time(),
        }
        self._arriving.subscriptions.put(self._key(group, name), row)
        return {}

    async def describe_subscriptions(self, params: Plain) -> Plain:
        """Ours after moto's."""
        told = await self._moto("DescribeSubscriptionFilters", params)
        mine = self._arriving.of(self._region, params["logGroupName"])
        prefix = params.get("filterNamePrefix", "")
        shown = [_told(each) for each in mine if each["name"].startswith(prefix)]
        return {**told, "subscriptionFilters": [*told["subscriptionFilters"], *shown]}

    async def delete_subscription(self, params: Plain) -> Plain:
        """Ours, or moto's."""
        key = self._key(params["logGroupName"], params["filterName"])
        if self._arriving.subscriptions.get(key) is None:
            return await self._moto("DeleteSubscriptionFilter", params)
        self._arriving.subscriptions.drop(key)
        return {}

    # --- metric filters

    async def put_metric_filter(self, params: Plain) -> Plain:
        """Figures are made of lines that come from now on."""
        group = params["logGroupName"]
        name = params["filterName"]
        pattern_of(params["filterPattern"])
        for each in params["metricTransformations"]:
            if "defaultValue" in each and each.get("dimensions"):
                why = "a default value and dimensions exclude each other"
                raise AwsError("InvalidParameterException", why)
        await self._assert_group(group)
        there = [each["name"] for each in self._arriving.metrics_of(self._region, group)]
        if name not in there and len(there) >= MOST_METRIC_FILTERS:
            raise AwsError("LimitExceededException", "Resource limit exceeded.")
        row: MetricFilter = {
            "region": self._region,
            "group": group,
            "name": name,
            "pattern": params["filterPattern"],
            "transformations": params["metricTransformations"],
            "made": time.time(),
        }
        self._arriving.metric_filters.put(self._key(group, name), row)
        return {}

    async def describe_metric_filters(self, params: Plain) -> Plain:
        """By name."""
        mine = [
            each
            for each in self._arriving.metric_filters.all()
            if each["region"] == self._region and _is_asked_for(each, params)
        ]
        mine.sort(key=lambda each: (each["group"], each["name"]))
        token = params.get("nextToken", "0")
        begin = int(token) if token.isdecimal() else 0
        end = begin + int(params.get("limit", _PAGE))
        more = {"nextToken": str(end)} if end < len(mine) else {}
        return {"metricFilters": [_metric_told(each) for each in mine[begin:end]], **more}

    async def delete_metric_filter(self, params: Plain) -> Plain:
        """Figures that were made stay."""
        key = self._key(params["logGroupName"], params["filterName"])
        if self._arriving.metric_filters.get(key) is None:
            raise _missing("metric filter")
        self._arriving.metric_filters.drop(key)
        return {}


OPERATIONS: Handlers[Logs] = {
    "DeleteLogGroup": Logs.delete_group,
    "DeleteMetricFilter": Logs.delete_metric_filter,
    "DeleteSubscriptionFilter": Logs.delete_subscription,
    "DescribeMetricFilters": Logs.describe_metric_filters,
    "DescribeSubscriptionFilters": Logs.describe_subscriptions,
    "FilterLogEvents": Logs.filter_events,
    "PutLogEvents": Logs.put_events,
    "PutMetricFilter": Logs.put_metric_filter,
    "PutSubscriptionFilter": Logs.put_subscription,
    "TestMetricFilter": Logs.test_filter,
}
REFUSED: Handlers[Logs] = {"StartLiveTail": Logs.live_tail}
"""Operations that moto would answer wrongly."""
PARTLY: Mapping[str, str] = {
    "PutSubscriptionFilter": "into Firehose at least once, with the control message; other "
    "destinations are moto's own; without field selection",
    "PutMetricFilter": "figures go to CloudWatch as lines come, also those of tasks; they are "
    "forgotten with moto's other figures",
    "FilterLogEvents": "every form of pattern; pages are moto's, so some hold fewer lines, or none",
}
"""Operations of which something is missing, and what."""


def service_of(logs: Logs) -> Service:
    """In its protocol; what is neither carried out nor refused is moto's."""
    protocol = Json("logs", "InvalidParameterException")
    return Service(protocol, bound({**OPERATIONS, **REFUSED}, logs), "InvalidParameterException")


def _missing(what: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("ResourceNotFoundException", f"The specified {what} does not exist.")


def _taken(events: list[Event], rejected: Plain) -> list[Event]:
    """Without those that were too old or too new."""
    begin = max(
        rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0)
    )
    return events[begin : rejected.get("tooNewLogEventStartIndex", len(events))]


def _is_asked_for(found: MetricFilter, params: Plain) -> bool:
    group = params.get("logGroupName")
    if group is not None and found["group"] != group:
        return False
    if not found["name"].startswith(params.get("filterNamePrefix", "")):
        return False
    name = params.get("metricName")
    made = {(each["metricName"], each["metricNamespace"]) for each in found["transformations"]}
    return name is None or (name, params.get("metricNamespace")) in made


def _told(found: Subscription) -> Plain:
    return {
        "filterName": found["name"],
        "logGroupName": found["group"],
        "filterPattern": found["pattern"],
        "destinationArn": found["destination"],
        **({"roleArn": found["role"]} if found["role"] else {}),
        "distribution": found["distribution"],
        "creationTime": round(1000 * found["made"]),
    }


def _metric_told(found: MetricFilter) -> Plain:
    return {
        "filterName": found["name"],
        "logGroupName": found["group"],
        "filterPattern": found["pattern"],
        "metricTransformations": found["transformations"],
        "creationTime": round(1000 * found["made"]),
    }
