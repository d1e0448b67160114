"""Figures are alike by whatever protocol a client speaks: JSON, CBOR, and the query protocol of
every client before 2025."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as some

from kirikae.local import cbor
from tests.local_plane import LocalPlane

MODEL = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")
CBOR = "smithy-rpc-v2-cbor"
SCOPE = "AWS4-HMAC-SHA256 Credential=k/20260101/r/monitoring/aws4_request"
PLACE = [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": "web"}]
WHEN = {"StartTime": "2026-01-01T00:00:00Z", "EndTime": "2099-01-01T00:00:00Z"}
METRIC = {"Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Dimensions": PLACE}
STAT = {"Metric": METRIC, "Period": 60, "Stat": "Average"}
CALLS: dict[str, dict[str, Any]] = {
    "ListMetrics": {"Namespace": "AWS/ECS"},
    # Of a hundred years: a call answers 1,440 points.
    "GetMetricStatistics": {**METRIC, **WHEN, "Period": 86_400 * 31, "Statistics": ["Average"]},
    "GetMetricData": {"MetricDataQueries": [{"Id": "a", "MetricStat": STAT}], **WHEN},
}


def flat(name: str, value: Any) -> list[tuple[str, str]]:
    """As the query protocol writes it."""
    if isinstance(value, dict):
        pairs = [(f"{name}.{key}" if name else key, part) for key, part in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{name}.member.{number}", part) for number, part in enumerate(value, 1)]
    else:
        return [(name, str(value))]
    return [each for key, part in pairs for each in flat(key, part)]


async def asked(folder: Path, operation: str, protocol: str) -> Any:
    """The answer over HTTP, read by botocore's own parser."""
    plane = LocalPlane(folder)
    plane.state.put_figure("ecs/default/web", int(time.time()) - 120, {"CPUUtilization": 12.5})
    params = CALLS[operation]
    headers = {"Authorization": SCOPE}
    path = "/"
    if protocol == CBOR:
        made = create_serializer(CBOR).serialize_to_request(
            params, MODEL.operation_model(operation)
        )
        path, body = made["url_path"], made["body"]
        headers |= made["headers"]
    elif protocol == "json":
        headers["X-Amz-Target"] = f"GraniteServiceVersion20100801.{operation}"
        body = json.dumps(params).encode()
    else:
        form = [("Action", operation), ("Version", "2010-08-01"), *flat("", params)]
        body = urlencode(form).encode()
    async with TestClient(TestServer(plane.gateway().application())) as client:
        told = await client.post(path, data=body, headers=headers)
        answer = {
            "status_code": told.status,
            "headers": dict(told.headers),
            "body": await told.read(),
            "context": {},
        }
    plane.close()
    shape = MODEL.operation_model(operation).output_shape
    read = create_parser(protocol).parse(answer, shape)
    read.pop("ResponseMetadata")
    return read


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("other", ["query", CBOR])
def test_figures_are_alike_by_every_protocol(tmp_path, operation, other):
    """An AWS CLI of 2023 once got none, and no error: a gate that reads 5XX saw none."""
    (tmp_path / "json").mkdir()
    (tmp_path / other).mkdir()
    by_json = asyncio.run(asked(tmp_path / "json", operation, "json"))
    by_query = asyncio.run(asked(tmp_path / other, operation, other))
    assert json.dumps(by_json, default=str) == json.dumps(by_query, default=str)
    assert "12.5" in json.dumps(by_query, default=str) or operation == "ListMetrics"
    assert by_query


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("1818", 24),
        ("1b000000e8d4a51000", 1000000000000),
        ("20", -1),
        ("3903e7", -1000),
        ("c249010000000000000000", 18446744073709551616),
        ("f93e00", 1.5),
        ("fa47c35000", 100000.0),
        ("fbc010666666666666", -4.1),
        ("f4", False),
        ("f6", None),
        ("c1fb41d452d9ec200000", datetime(2013, 3, 21, 20, 4, 0, 500000, UTC)),
        ("62c3bc", "ü"),
        ("83010203", [1, 2, 3]),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ],
)
def test_cbor_is_read_as_its_standard_s_examples_say(text, value):
    """RFC 8949, appendix A."""
    assert cbor.decoded(bytes.fromhex(text)) == value


@given(some.binary(max_size=64))
def test_what_is_no_cbor_is_said_to_be_none(body):
    """Never another error, whatever comes."""
    try:
        cbor.decoded(body)
    except ValueError:
        pass


def test_a_body_that_is_no_cbor_has_an_answer(tmp_path):
    """In CBOR, so that the client can read it."""

    async def ask() -> tuple[int, Any]:
        plane = LocalPlane(tmp_path)
        path = "/service/GraniteServiceVersion20100801/operation/GetMetricData"
        async with TestClient(TestServer(plane.gateway().application())) as client:
            body = b"\xffAWS/ECS"
            told = await client.post(path, data=body, headers={"Authorization": SCOPE})
            plane.close()
            return told.status, cbor.decoded(await told.read())

    status, said = asyncio.run(ask())
    assert status == 400 and said["__type"] == "SerializationException"


def test_classic_load_balancers_are_refused_by_name(tmp_path):
    """They are signed for as the others are, and an operation of theirs has the same name."""

    async def ask() -> tuple[int, str]:
        plane = LocalPlane(tmp_path)
        scope = SCOPE.replace("monitoring", "elasticloadbalancing")
        async with TestClient(TestServer(plane.gateway().application())) as client:
            body = urlencode({"Action": "DescribeLoadBalancers", "Version": "2012-06-01"})
            told = await client.post("/", data=body.encode(), headers={"Authorization": scope})
            plane.close()
            return told.status, await told.text()

    status, said = asyncio.run(ask())
    assert status == 400 and "kirikae local has no Classic Load Balancers" in said


@pytest.mark.parametrize("by_query", [False, True])
def test_figures_of_queues_are_ours_by_either_protocol(tmp_path, by_query):
    """They are not passed on to the stores, which have none."""

    async def ask() -> tuple[int, str]:
        plane = LocalPlane(tmp_path)
        plane.state.put_figure("sqs/q", int(time.time()) - 120, {"NumberOfMessagesSent": 1})
        headers = {"Authorization": SCOPE}
        form = {"Action": "ListMetrics", "Version": "2010-08-01", "Namespace": "AWS/SQS"}
        body = urlencode(form)
        if not by_query:
            headers["X-Amz-Target"] = "GraniteServiceVersion20100801.ListMetrics"
            body = json.dumps({"Namespace": "AWS/SQS"})
        async with TestClient(TestServer(plane.gateway().application())) as client:
            told = await client.post("/", data=body.encode(), headers=headers)
            plane.close()
            return told.status, await told.text()

    status, said = asyncio.run(ask())
    assert status == 200 and "NumberOfMessagesSent" in said and "QueueName" in said
