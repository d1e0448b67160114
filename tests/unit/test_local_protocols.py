"""Figures are alike by whatever protocol a client speaks: JSON, and the query protocol of every
client before 2025."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from tests.local_plane import LocalPlane

MODEL = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")
SCOPE = "AWS4-HMAC-SHA256 Credential=k/20260101/r/monitoring/aws4_request"
PLACE = [{"Name": "ClusterName", "Value": "default"}, {"Name": "ServiceName", "Value": "web"}]
WHEN = {"StartTime": "2026-01-01T00:00:00Z", "EndTime": "2099-01-01T00:00:00Z"}
METRIC = {"Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Dimensions": PLACE}
STAT = {"Metric": METRIC, "Period": 60, "Stat": "Average"}
CALLS: dict[str, dict[str, Any]] = {
    "ListMetrics": {"Namespace": "AWS/ECS"},
    "GetMetricStatistics": {**METRIC, **WHEN, "Period": 60, "Statistics": ["Average"]},
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
    if protocol == "json":
        headers["X-Amz-Target"] = f"GraniteServiceVersion20100801.{operation}"
        body = json.dumps(params).encode()
    else:
        form = [("Action", operation), ("Version", "2010-08-01"), *flat("", params)]
        body = urlencode(form).encode()
    async with TestClient(TestServer(plane.gateway().application())) as client:
        told = await client.post("/", data=body, headers=headers)
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
def test_figures_are_alike_by_json_and_by_query(tmp_path, operation):
    """An AWS CLI of 2023 once got none, and no error: a gate that reads 5XX saw none."""
    (tmp_path / "json").mkdir()
    (tmp_path / "query").mkdir()
    by_json = asyncio.run(asked(tmp_path / "json", operation, "json"))
    by_query = asyncio.run(asked(tmp_path / "query", operation, "query"))
    assert json.dumps(by_json, default=str) == json.dumps(by_query, default=str)
    assert "12.5" in json.dumps(by_query, default=str) or operation == "ListMetrics"
    assert by_query
