"""What a deployment asks outside of itself: functions by their registered URLs, alarms by the
endpoint's own CloudWatch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kirikae.local.ecs.alarmstates import AlarmSeen, AlarmStates
from kirikae.local.ecs.functions import Functions
from kirikae.local.errors import AwsError

ARN = "arn:aws:lambda:eu-west-3:123456789012:function:judge:live"
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Stores:
    """SSM with one parameter, and a session for whoever asks elsewhere."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.parameters = {"/kirikae/functions/judge": url}
        self.regions: list[str] = []

    async def call(self, service: str, target: str, params: Any, region: str) -> Any:
        self.regions.append(region)
        if params["Name"] not in self.parameters:
            raise AwsError("ParameterNotFound", params["Name"])
        return {"Parameter": {"Value": self.parameters[params["Name"]]}}

    def headers(self, service: str, region: str) -> dict[str, str]:
        return {"X-Asked": f"{service} {region}"}


def asked(handler: Handler, ask: Callable[[Any, str], Awaitable[Any]]) -> Any:
    """What ``ask`` is answered where this handler answers."""

    async def whole() -> Any:
        app = web.Application()
        app.router.add_post("/{rest:.*}", handler)
        async with TestServer(app) as server, aiohttp.ClientSession() as http:
            url = str(server.make_url("/2015-03-31/functions/function/invocations"))
            return await ask(Stores(http, url), url)

    return asyncio.run(whole())


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"hookStatus": "SUCCEEDED", "told": await request.json()})


def test_a_function_is_called_at_the_url_that_stands_in_ssm():
    """Of its own region; version and alias are no part of its name."""

    async def ask(stores: Any, url: str) -> Any:
        functions = Functions(stores, "eu-west-3")
        assert await functions.url(ARN) == url
        return await functions.call(ARN, {"lifecycleStage": "PRE_SCALE_UP"}), stores.regions

    reply, regions = asked(echo, ask)
    assert reply == {"hookStatus": "SUCCEEDED", "told": {"lifecycleStage": "PRE_SCALE_UP"}}
    assert set(regions) == {"eu-west-3"}


def test_a_function_without_a_url_is_refused_with_the_next_step():
    """Before a service is made of it."""

    async def ask(stores: Any, url: str) -> None:
        await Functions(stores, "eu-west-3").url(ARN.replace("judge", "nobody"))

    with pytest.raises(AwsError, match="put-parameter --name /kirikae/functions/nobody"):
        asked(echo, ask)


@pytest.mark.parametrize("status", [404, 500])
def test_a_function_that_fails_has_said_nothing(status):
    """Whoever asked takes it for a failure."""

    async def fails(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async def ask(stores: Any, url: str) -> Any:
        return await Functions(stores, "eu-west-3").call(ARN, {})

    with pytest.raises(OSError, match=f"answered {status}"):
        asked(fails, ask)


def test_an_answer_that_is_no_json_is_none():
    """A function may print anything."""

    async def words(request: web.Request) -> web.Response:
        return web.Response(text="all is well")

    async def ask(stores: Any, url: str) -> Any:
        return await Functions(stores, "eu-west-3").call(ARN, {})

    assert asked(words, ask) is None


def test_alarms_are_asked_as_a_client_asks():
    """Of the endpoint, in the service's region; one that is not there is refused by its name."""

    async def alarms(request: web.Request) -> web.Response:
        form = await request.post()
        assert request.headers["X-Asked"] == "monitoring eu-west-3"
        assert form["AlarmNames.member.2"] == "b"
        return web.Response(
            text="<R><member><AlarmName>a</AlarmName><StateValue>ALARM</StateValue></member></R>"
        )

    async def ask(stores: Any, url: str) -> Any:
        states = AlarmStates(stores, url, "eu-west-3")
        with pytest.raises(AwsError, match="alarm b does not exist"):
            await states.check(["a", "b"])
        return await states.of(["a", "b"])

    assert asked(alarms, ask) == {"a": AlarmSeen(True, 0.0)}
