"""The control plane over HTTP: AWS's API to those who answer it, its own status, and what tasks ask
about themselves."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote_to_bytes

import aiohttp
from aiohttp import web

from kirikae.local.alarms.api import OPERATIONS as ALARM_OPERATIONS
from kirikae.local.callers import OWN_HEADER, stranger, turned_away
from kirikae.local.clock import Clock
from kirikae.local.ecs.metadata import Metadata
from kirikae.local.errors import AwsError
from kirikae.local.events.making import assert_expression
from kirikae.local.reset import PATH, RESET, Reset, refused
from kirikae.local.sqs.api import addressed
from kirikae.local.status import Status
from kirikae.local.stores import Stores
from kirikae.local.wire import OPERATION_HEADER, Service, own_fault

log = logging.getLogger("kirikae.local.gateway")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LARGEST_BODY = 16 << 20
_TARGETS = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "GraniteServiceVersion20100801": "monitoring",
    "AmazonSQS": "sqs",
    "Firehose_20150804": "firehose",
    "Logs_20140328": "logs",
    "AmazonAthena": "athena",
    "AnyScaleFrontendService": "application-autoscaling",
}
"""Beginnings of X-Amz-Target, for requests that are not signed."""
_ALSO_BY_QUERY = ("sqs", "monitoring")
_SHARED = ("logs", "athena")
"""Of these, what is not carried out here is the stores'."""
_FIGURES = ("GetMetricData", "GetMetricStatistics", "ListMetrics")
_OF_ALARMS = (b":alarm:", b"%3Aalarm%3A")
_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")
_PERCENTS = frozenset(str(percent) for percent in range(1, 101))
_OURS = (b"AWS/ApplicationELB", b"AWS/ECS", b"AWS/SQS")
_OF_PATH = re.compile(r"/service/[^/]+/operation/([A-Za-z]+)")
"""Where Smithy's rpc-v2-cbor says which operation is meant."""
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z]+)")
_SECONDS = re.compile(r"-?[0-9]{1,9}")
_FACTS = (b"DescribeSSLPolicies",)
"""Of load balancing, what is the same whatever was made."""
_NOT_PASSED_ON = ("host", "content-length", "transfer-encoding")
_NOT_PASSED_BACK = ("content-length", "transfer-encoding", "connection", "content-encoding")


class Gateway:
    """One port for all of AWS: what is not ours goes to moto."""

    def __init__(
        self,
        services: Callable[[str], Mapping[str, Service]],
        stores: Stores,
        metadata: Metadata,
        status: Callable[[], Status],
        interrupt_spot: Callable[[int, bool], list[str]],
        reset: Reset | None = None,
        clock: Clock | None = None,
        moved: Callable[[float], None] = lambda ahead_s: None,
    ) -> None:
        """``services`` are those of kirikae local in a region, by signing name; ``interrupt_spot``
        takes a percentage, and whether it is only asked; ``reset`` and ``clock`` are there in the
        test mode alone, and ``moved`` is told how far ahead the clock was moved."""
        self._services = services
        self._stores = stores
        self._metadata = metadata
        self._status = status
        self._interrupt_spot = interrupt_spot
        self._reset = reset
        self._clock = clock
        self._moved = moved

    def application(self) -> web.Application:
        """Every path of the endpoint.

        What begins with ``/_kirikae`` is the control plane's own; AWS has no such paths.
        """
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[self._guarded])
        app.router.add_get("/_kirikae/status", self._tell_status)
        app.router.add_post("/_kirikae/interrupt-spot", self._take_spot_away)
        app.router.add_post("/_kirikae/clock", self._move_the_clock)
        metadata = web.Application()
        self._metadata.routes(metadata)
        app.add_subapp("/_kirikae/metadata", metadata)
        app.router.add_route("*", PATH + "{rest:.*}", self._of_moto)
        app.router.add_route("*", "/{rest:.*}", self._aws)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The outermost: strangers are turned away, and whatever goes wrong has an answer that a
        client can read."""
        if (why := stranger(request.headers)) is not None:
            body, kind = turned_away(why, request.headers)
            return web.Response(status=403, body=body, content_type=kind)
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except AwsError as error:
            return _json_error(error)
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            return _json_error(own_fault(error))

    async def _tell_status(self, request: web.Request) -> web.Response:
        """What ``kirikae local status`` shows."""
        return web.json_response(self._status())

    async def _take_spot_away(self, request: web.Request) -> web.Response:
        """Answers the ARNs of the tasks that are (or, with ``dry=1``, would be) taken away."""
        if OWN_HEADER not in request.headers:
            raise AwsError("AccessDeniedException", f"the header {OWN_HEADER} is missing", 403)
        percent = request.query.get("percent", "")
        if percent not in _PERCENTS:
            raise AwsError("InvalidParameterException", f"percent={percent!r}: 1 to 100")
        tasks = self._interrupt_spot(int(percent), request.query.get("dry") == "1")
        return web.json_response({"tasks": tasks})

    async def _move_the_clock(self, request: web.Request) -> web.Response:
        """``ahead_s``: how far the clock is ahead of the machine's from here on."""
        if self._clock is None:
            raise refused()
        asked = request.query.get("ahead_s", "")
        if not _SECONDS.fullmatch(asked):
            raise AwsError("InvalidParameterException", f"ahead_s={asked!r}: whole seconds")
        self._moved(float(asked))
        self._clock.ahead_s = float(asked)
        return web.json_response({"now": self._clock()})

    async def _of_moto(self, request: web.Request) -> web.Response:
        """moto's own paths: they are looked at by whoever wants to, and change something in the
        test mode alone.  A reset is ours as well as moto's."""
        if request.method not in ("GET", "HEAD") and self._reset is None:
            raise refused()
        if request.path == RESET and self._reset is not None:
            await self._reset()
        return await self._forward(request, await request.read(), {OWN_HEADER: "1"})

    async def _aws(self, request: web.Request) -> web.Response:
        """One request of AWS's API: carried out here, or passed on to moto."""
        body = await request.read()
        region, name = _scope(request)
        services = self._services(region)
        service = services.get(name)
        if service is None or _is_of_stores(name, service, request, body):
            assert_expression(name, request, body)
            return await self._forward(request, body)
        headers: Mapping[str, str] = request.headers
        if (path := _OF_PATH.fullmatch(request.path)) is not None and f"{name}-cbor" in services:
            service = services[f"{name}-cbor"]
            headers = {OPERATION_HEADER: path[1]}
        elif name in _ALSO_BY_QUERY and "X-Amz-Target" not in request.headers:
            service = services[f"{name}-query"]
            if name == "sqs":
                body = addressed(str(request.url.with_query(None)), body)
        reply = await service.serve(headers, body)
        return web.Response(
            status=reply.status,
            body=reply.body,
            content_type=reply.content_type.partition(";")[0],
            headers=reply.headers,
        )

    async def _forward(
        self, request: web.Request, body: bytes, more: Mapping[str, str] | None = None
    ) -> web.Response:
        """To moto, whatever it is, with these headers more."""
        url = f"{self._stores.url}{request.path_qs}"
        headers = {**_without(request.headers, _NOT_PASSED_ON), **(more or {})}
        try:
            async with self._stores.http.request(
                request.method, url, data=body, headers=headers
            ) as answer:
                content = await answer.read()
                kept = _without(answer.headers, _NOT_PASSED_BACK)
                if request.method == "HEAD" and "Content-Length" in answer.headers:
                    # That of an object, which is not sent now.
                    kept["Content-Length"] = answer.headers["Content-Length"]
                return web.Response(status=answer.status, body=content, headers=kept)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            message = f"the stores do not answer: {error}; `kirikae local status` says more"
            raise AwsError("ServiceUnavailable", message, 503) from error


def _json_error(error: AwsError) -> web.Response:
    """As the JSON protocols write errors."""
    body = {
        "__type": error.code,
        "message": error.message,
    }
    return web.Response(
        status=error.status, text=json.dumps(body), content_type="application/x-amz-json-1.1"
    )


def _scope(request: web.Request) -> tuple[str, str]:
    """Region and service from the signature's scope; without one no region, and the service from
    the target."""
    scope = request.headers.get("Authorization", "").split("/")
    if len(scope) > 4:
        return scope[2], scope[3]
    return "", _TARGETS.get(request.headers.get("X-Amz-Target", "").partition(".")[0], "")


def _is_of_stores(name: str, service: Service, request: web.Request, body: bytes) -> bool:
    """Is it one of the calls of our services that moto answers?"""
    if name in _SHARED:
        return not service.carries_out(request.headers, body)
    if name == "elasticloadbalancing":
        found = _ACTION.search(body)
        return found is not None and found[1] in _FACTS
    return name == "monitoring" and not _is_ours(request, body)


def _is_ours(request: web.Request, body: bytes) -> bool:
    """CloudWatch calls about load balancers, services and queues are ours, and all about alarms;
    figures of other namespaces are kept by moto."""
    if (path := _OF_PATH.fullmatch(request.path)) is not None:
        operation = path[1]
    elif "X-Amz-Target" in request.headers:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
    else:
        body = unquote_to_bytes(body)
        found = _ACTION.search(body)
        operation = found[1].decode() if found is not None else ""
    if operation in _TAGGING:
        return any(sign in body for sign in _OF_ALARMS)
    if operation in _FIGURES:
        return any(name in body for name in _OURS)
    return operation in ALARM_OPERATIONS


def _without(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Headers that hold from end to end, without those of one connection alone."""
    return {name: value for name, value in headers.items() if name.lower() not in names}
