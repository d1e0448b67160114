"""CloudWatch Logs of kirikae local: which lines a pattern fits, and what filters make of them."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.errors import AwsError
from kirikae.local.logs.api import Logs, service_of
from kirikae.local.logs.arriving import Arriving
from kirikae.local.logs.patterns import fields_of, pattern_of
from kirikae.local.state import State

REGION = "ap-northeast-1"
STREAM = f"arn:aws:firehose:{REGION}:123456789012:deliverystream/lines"
WORDS = "[ERROR 400] BAD REQUEST"
JSON = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "cluster.name": "c",
        "n": 12.5,
        "yes": True,
        "text": "4xx",
    }
)
LINE = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "message", "fits"),
    [
        ("", WORDS, True),
        ("ERROR", WORDS, True),
        ("error", WORDS, False),
        ("BAD ERROR", WORDS, True),
        ("BAD EXIT", WORDS, False),
        ('"BAD REQUEST"', WORDS, True),
        ('"REQUEST BAD"', WORDS, False),
        ("?EXIT ?REQUEST", WORDS, True),
        ("?EXIT ?WARN", WORDS, False),
        ("ERROR -EXIT", WORDS, True),
        ("ERROR -BAD", WORDS, False),
        ("-EXIT", WORDS, True),
        ("ERROR ?EXIT", WORDS, True),
        ("%[4-5]0+%", WORDS, True),
        ("%^BAD%", WORDS, False),
        ('"日本"', "東京、日本", True),
        ('{ $.eventType = "UpdateTrail" }', JSON, True),
        ("{ $.eventType = Update* }", JSON, True),
        ('{ $.eventType != "UpdateTrail" }', JSON, False),
        ("{ $.nothing != 1 }", JSON, False),
        ("{ $.sourceIPAddress != 123.123.* }", JSON, True),
        ('{ $.arrayKey[0] = "value" }', JSON, True),
        ("{ $.arrayKey[7] = value }", JSON, False),
        ("{ $.objectList[1].id = 2 }", JSON, True),
        ("{ $.SomeObject IS NULL }", JSON, True),
        ("{ $.SomeOther NOT EXISTS }", JSON, True),
        ("{ $.yes IS TRUE }", JSON, True),
        ("{ $.yes is false }", JSON, False),
        ("{ $['cluster.name'] = c }", JSON, True),
        ("{ $.n > 12 && $.n <= 12.5 }", JSON, True),
        ("{ $.n > 1e2 }", JSON, False),
        ("{ ($.n = 1 || $.yes IS TRUE) && $.eventType = * }", JSON, True),
        ("{ $.n = 1 || $.yes IS TRUE && $.n = 2 }", JSON, False),
        ("{ $.text = %^4.+% }", JSON, True),
        ("{ $.n > 1 }", "no json", False),
        ("{ $.n > 1 }", "[1]", False),
        ("[ip, id, user, timestamp, request, status, size]", LINE, True),
        ("[ip, id, user, timestamp, request, status]", LINE, False),
        ("[ip, id, user, timestamp, request, status = 4*, size]", LINE, True),
        ("[ip, id, user, timestamp, request, status = 5*, size]", LINE, False),
        ("[..., status = 404, size > 1000]", LINE, True),
        ("[ip, ..., size > 2000]", LINE, False),
        ("[ip, ...]", LINE, True),
        ("[..., request = *index*, status, size]", LINE, True),
        ("[ip = 127.*, ..., status = 404 || status = 410, size]", LINE, True),
        ("[..., status >= 400 && status < 404, size]", LINE, False),
        ("[ip, , , , , , ]", LINE, True),
        ("[ip,,,,,,size]", LINE, True),
        ("[..., status, size,]", LINE, True),
        ('[..., request = "a, b", status, size]', LINE, False),
        ("[..., status = %4[0-9]{2}%, size]", LINE, True),
    ],
)
def test_patterns_of_the_user_guide(pattern, message, fits):
    """Words, JSON and fields."""
    assert pattern_of(pattern).fits(message) is fits


@pytest.mark.parametrize(
    "pattern",
    [
        "ERROR:",
        '"open',
        "%open",
        "%(a)%",
        "%a% %b% %c%",
        "%日本%",
        "{ $.a }",
        "{ a = 1 }",
        "{ $.a > x }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "[a, b",
        "[..., a, ...]",
        "[a = 1 || b = 2]",
        "x" * 1025,
    ],
)
def test_patterns_that_are_none(pattern):
    """Refused, as PutMetricFilter refuses them."""
    with pytest.raises(AwsError, match="Invalid filter pattern"):
        pattern_of(pattern)


def test_fields_in_brackets_and_quotes_are_one():
    """Without their marks."""
    assert fields_of(LINE)[3:5] == ["10/Oct/2000:13:25:15 -0700", "GET /index.html HTTP/1.0"]


class Moto:
    """Groups and lines; figures that were put."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.data: list[Mapping[str, str]] = []

    async def call(self, service: str, target: str, params: Any, region: str = "") -> Any:
        assert (service, region) == ("logs", REGION)
        match target.rpartition(".")[2]:
            case "DescribeLogGroups":
                return {"logGroups": [{"logGroupName": "app"}]}
            case "PutLogEvents":
                self.events += params["logEvents"]
                late = sum(event["timestamp"] == 0 for event in params["logEvents"])
                return {"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": late}} if late else {}
            case "FilterLogEvents":
                assert "filterPattern" not in params
                begin = int(params.get("nextToken", "0"))
                page = self.events[begin : begin + 2]
                more = {"nextToken": str(begin + 2)} if begin + 2 < len(self.events) else {}
                return {"events": page, "searchedLogStreams": [], **more}
            case "DescribeSubscriptionFilters":
                return {"subscriptionFilters": []}
            case other:
                return {"moto": other}

    async def query(self, service: str, params: Mapping[str, str], region: str) -> str:
        assert (service, region) == ("monitoring", REGION)
        self.data.append(params)
        return ""


class Place:
    """The API of one region, and a stream that takes records."""

    def __init__(self, folder: Path) -> None:
        self.moto = Moto()
        self.records: list[Any] = []
        self.state = State(folder / "state.db")
        self._service = service_of(
            Logs(Arriving(self.state, self.receive, self.moto), self.moto, REGION)
        )

    def receive(self, arn: str, records: list[bytes]) -> None:
        if arn != STREAM:
            raise AwsError("ResourceNotFoundException", "no such stream")
        self.records += [json.loads(gzip.decompress(record)) for record in records]

    def ask(self, operation: str, **params: Any) -> Any:
        headers = {"X-Amz-Target": f"Logs_20140328.{operation}"}
        reply = asyncio.run(self._service.serve(headers, json.dumps(params).encode()))
        told = json.loads(reply.body)
        return told if reply.status == 200 else f"{told['__type']}: {told['message']}"

    def put(self, *messages: str, stamps: list[int] | None = None) -> Any:
        times = stamps or [1000 * number for number in range(1, len(messages) + 1)]
        events = [
            {"timestamp": at, "message": each} for at, each in zip(times, messages, strict=True)
        ]
        return self.ask("PutLogEvents", logGroupName="app", logStreamName="web/1", logEvents=events)

    def subscribe(self, name: str = "all", pattern: str = "", **more: Any) -> Any:
        asked = {
            "logGroupName": "app",
            "filterName": name,
            "filterPattern": pattern,
            "destinationArn": STREAM,
            **more,
        }
        return self.ask("PutSubscriptionFilter", **asked)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.state.close()


def test_a_live_tail_is_refused_by_name(place):
    """moto would answer with the lines that there are, and end."""
    told = place.ask("StartLiveTail", logGroupIdentifiers=["arn:aws:logs:r:1:log-group:app"])
    assert told.startswith("UnsupportedFeatureException: ") and "aws logs tail --follow" in told


def test_a_subscription_sends_what_fits_to_firehose(place):
    """After a control message; lines that the store refused are not sent."""
    assert place.subscribe(pattern="ERROR") == {}
    [control] = place.records
    assert control["messageType"] == "CONTROL_MESSAGE"
    place.put("ERROR old", "ERROR a", "fine", "ERROR b", stamps=[0, 1, 2, 3])
    [_, data] = place.records
    assert data["messageType"] == "DATA_MESSAGE" and data["subscriptionFilters"] == ["all"]
    assert (data["logGroup"], data["logStream"]) == ("app", "web/1")
    assert [each["message"] for each in data["logEvents"]] == ["ERROR a", "ERROR b"]
    assert all(len(each["id"]) == 56 for each in data["logEvents"])
    place.put("fine")
    assert len(place.records) == 2
    [told] = place.ask("DescribeSubscriptionFilters", logGroupName="app")["subscriptionFilters"]
    assert told["destinationArn"] == STREAM and told["distribution"] == "ByLogStream"
    assert place.ask("DeleteSubscriptionFilter", logGroupName="app", filterName="all") == {}
    place.put("ERROR c")
    assert len(place.records) == 2


def test_large_batches_go_as_several_records(place):
    """None larger than Firehose takes."""
    place.subscribe()
    place.put(*["x" * 200_000] * 10)
    sizes = [len(each["logEvents"]) for each in place.records[1:]]
    assert sum(sizes) == 10 and max(sizes) == 4


def test_what_aws_refuses_of_subscriptions(place):
    """In its words; two a group; other destinations are moto's."""
    gone = place.subscribe(destinationArn=f"{STREAM}-none")
    assert "Could not deliver test message to specified Firehose stream" in gone
    assert "Invalid filter pattern" in place.subscribe(pattern="{")
    assert "ResourceNotFoundException" in place.subscribe(logGroupName="none")
    place.subscribe("a")
    place.subscribe("b")
    assert place.subscribe("c") == "LimitExceededException: Resource limit exceeded."
    assert place.subscribe("b") == {}
    function = "arn:aws:lambda:ap-northeast-1:123456789012:function:f"
    assert place.subscribe(destinationArn=function) == {"moto": "PutSubscriptionFilter"}


def test_every_page_is_filtered_and_none_is_left_out(place):
    """An empty page with a token is not the end, as on AWS."""
    place.put("a", "b", "ERROR c", "d", "ERROR e")
    found = []
    asked: dict[str, Any] = {"logGroupName": "app", "filterPattern": "ERROR"}
    pages = 0
    while True:
        told = place.ask("FilterLogEvents", **asked)
        found += [event["message"] for event in told["events"]]
        pages += 1
        if "nextToken" not in told:
            break
        asked["nextToken"] = told["nextToken"]
    assert (found, pages) == (["ERROR c", "ERROR e"], 3)


def test_a_metric_filter_makes_figures(place):
    """A number or a field of the line, with dimensions; the default where nothing fits."""
    transformation = {
        "metricName": "Bytes",
        "metricNamespace": "Shop",
        "metricValue": "$size",
        "dimensions": {"Status": "$status"},
    }
    pattern = "[ip, ..., status, size]"
    asked = {"logGroupName": "app", "filterPattern": pattern}
    place.ask(
        "PutMetricFilter", filterName="bytes", metricTransformations=[transformation], **asked
    )
    place.put(LINE, "a - -")
    [params] = place.moto.data
    assert params["MetricData.member.1.Value"] == "1534.0"
    assert params["MetricData.member.1.Dimensions.member.1.Value"] == "404"
    assert params["MetricData.member.1.Timestamp"] == "1970-01-01T00:00:01Z"
    assert "MetricData.member.2.Value" not in params
    plain = {"metricName": "E", "metricNamespace": "Shop", "metricValue": "1", "defaultValue": 0}
    asked["filterPattern"] = "ERROR"
    place.ask("PutMetricFilter", filterName="errors", metricTransformations=[plain], **asked)
    place.put("fine")
    assert place.moto.data[-1]["MetricData.member.1.Value"] == "0.0"
    told = place.ask("DescribeMetricFilters", logGroupName="app")["metricFilters"]
    assert [each["filterName"] for each in told] == ["bytes", "errors"]
    assert place.ask("DeleteMetricFilter", logGroupName="app", filterName="errors") == {}
    assert "metric filter" in place.ask(
        "DeleteMetricFilter", logGroupName="app", filterName="errors"
    )


def test_patterns_can_be_tried(place):
    """What is extracted is told by its name."""
    told = place.ask(
        "TestMetricFilter",
        filterPattern="[ip, ..., status = 404, size]",
        logEventMessages=[LINE, "other"],
    )
    [match] = told["matches"]
    assert match["eventNumber"] == 1
    assert match["extractedValues"] == {"$ip": "127.0.0.1", "$status": "404", "$size": "1534"}


def test_a_group_goes_with_its_filters(place):
    """As on AWS."""
    place.subscribe()
    place.ask("DeleteLogGroup", logGroupName="app")
    told = place.ask("DescribeSubscriptionFilters", logGroupName="app")
    assert told["subscriptionFilters"] == []
