"""One port for all of AWS: what is carried out here, what the stores answer, and what only the test
mode may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from kirikae.local.clock import Clock
from kirikae.local.gateway import Gateway
from kirikae.local.wire import Json, Service
from tests.local_plane import LocalPlane

SCOPE = "AWS4-HMAC-SHA256 Credential=k/20260101/ap-northeast-1/{}/aws4_request"


class Stores:
    """What the gateway needs of them."""

    url = ""
    http: Any = None


class Moto:
    """Answers every request with what it was asked."""

    async def serve(self, request: web.Request) -> web.Response:
        told = {"moto": request.headers.get("X-Amz-Target", request.path)}
        body = json.dumps(told).encode()
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": "12345", "ETag": '"x"'})
        return web.Response(body=body, content_type="application/json")


async def _mine(params: Any) -> Any:
    return {"ours": True}


def services(region: str) -> Mapping[str, Service]:
    mine = {"ListQueryExecutions": _mine}
    protocol = Json("athena", "InvalidRequestException")
    return {"athena": Service(protocol, mine, "InvalidRequestException")}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LocalPlane]:
    found = LocalPlane(tmp_path)
    yield found
    found.close()


def asked(
    plane: LocalPlane, method: str, path: str, clock: Clock | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body."""

    async def play() -> tuple[int, Mapping[str, str], bytes]:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", Moto().serve)
        async with TestServer(app) as moto, aiohttp.ClientSession() as http:
            stores: Any = Stores()
            stores.url = str(moto.make_url("")).rstrip("/")
            stores.http = http
            gateway = Gateway(
                services,
                stores,
                plane.metadata,
                dict,  # type: ignore[arg-type]
                plane.interrupt_spot,
                None,
                clock,
            )
            async with TestClient(TestServer(gateway.application())) as client:
                names = {name.replace("_", "-"): value for name, value in headers.items()}
                answer = await client.request(method, path, headers=names, data=b"{}")
                return answer.status, dict(answer.headers), await answer.read()

    return asyncio.run(play())


def test_the_head_of_an_object_tells_its_length(plane):
    """boto3 reads it, and so does whoever copies."""
    status, headers, body = asked(plane, "HEAD", "/bucket/key", Authorization=SCOPE.format("s3"))
    assert (status, headers["Content-Length"], body) == (200, "12345", b"")


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ("ListQueryExecutions", {"ours": True}),
        ("ListWorkGroups", {"moto": "AmazonAthena.ListWorkGroups"}),
    ],
)
def test_of_some_services_a_part_is_the_stores_own(plane, operation, told):
    """By the operation."""
    target = f"AmazonAthena.{operation}"
    headers = {"Authorization": SCOPE.format("athena"), "X_Amz_Target": target}
    _, _, body = asked(plane, "POST", "/", **headers)
    assert json.loads(body) == told


def test_only_the_test_mode_moves_the_clock(plane):
    """Of Firehose; by whole seconds."""
    assert asked(plane, "POST", "/_kirikae/clock?ahead_s=60")[0] == 403
    clock = Clock(lambda: 1000.0)
    status, _, body = asked(plane, "POST", "/_kirikae/clock?ahead_s=-60", clock)
    assert (status, json.loads(body), clock()) == (200, {"now": 940.0}, 940.0)
    assert asked(plane, "POST", "/_kirikae/clock?ahead_s=x", clock)[0] == 400
    assert clock.ahead_s == -60


def test_haproxy_sends_here_whatever_is_answered_here(plane):
    """By the signature's service, and without one by the target; the rest goes to moto."""
    text = plane.configuration.rendered().text
    [line] = [each for each in text.splitlines() if "txn.service) -m str" in each]
    names = {name.partition("-cbor")[0].partition("-query")[0] for name in plane.services()}
    assert names <= set(line.split())
    assert "AnyScaleFrontend" in text
