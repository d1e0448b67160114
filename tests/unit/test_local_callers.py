"""Who is answered by kirikae local: programs of this machine and its tasks; no web page, no other
task; and nobody gets a bare 500."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kirikae.local.callers import FROM_HEADER, OWN_HEADER, stranger
from kirikae.local.ecs.containers import metadata_id
from kirikae.local.keeper import Journal, Keeper
from tests.local_plane import LocalPlane

ECS = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}
SQS = {"X-Amz-Target": "AmazonSQS.ListQueues"}


def asked(folder: Path, ask: Callable[[TestClient[Any, Any]], Awaitable[Any]]) -> Any:
    """What ``ask`` gets of an endpoint without an engine."""

    async def all_of_it() -> Any:
        plane = LocalPlane(folder)
        async with TestClient(TestServer(plane.gateway().application())) as client:
            try:
                return await ask(client)
            finally:
                plane.close()

    return asyncio.run(all_of_it())


def answer(folder: Path, method: str, path: str, **of: Any) -> tuple[int, str, Any]:
    """Status, body and headers."""

    async def ask(client: TestClient[Any, Any]) -> tuple[int, str, Any]:
        async with client.request(method, path, **of) as told:
            return told.status, await told.text(), told.headers

    return asked(folder, ask)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:4566"},
        {"Host": "localhost:4566"},
        {"Host": "localhost"},
        {"Host": "bucket.localhost:4566"},
        {"Host": "LOCALHOST:4566"},
        {"Host": "[::1]:4566"},
        {"Host": "172.18.0.1:4566"},
        {"Host": "169.254.170.2"},
        {"Host": "127.0.0.1", "Sec-Fetch-Site": "none"},
        {"Host": "127.0.0.1", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_programs_of_this_machine_are_answered(headers):
    """By whatever name they know it; Node's own fetch sends Sec-Fetch-Mode."""
    assert stranger(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:4566", "Origin": "https://evil.example"},
        {"Host": "127.0.0.1:4566", "Origin": "null"},
        {"Host": "127.0.0.1:4566", "Origin": "http://127.0.0.1:4566"},
        {"Host": "127.0.0.1:4566", "Origin": ""},
        {"Host": "evil.example"},
        {"Host": "evil.example:4566"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evillocalhost"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "127.0.0.1:x"},
        {"Host": "0x7f.1"},
        {"Host": ""},
        {},
        {"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"},
        {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_web_pages_are_not_answered(headers):
    """Neither with an origin, nor from a sandbox (``null``), nor by DNS rebinding."""
    why = stranger(headers)
    assert why is not None and "kirikae local" in why


@pytest.mark.parametrize(
    "path", ["/", "/_kirikae/status", "/bucket/key", "/_kirikae/metadata/v4/x"]
)
@pytest.mark.parametrize("bad", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_path_turns_them_away(tmp_path, path, bad, method):
    """Before anything is looked at; a preflight is refused, too, and no answer lets a page read
    it."""
    status, body, headers = answer(tmp_path, method, path, headers=bad)
    assert status == 403 and "AccessDenied" in body
    assert not any(name.lower().startswith("access-control") for name in headers)


def test_a_form_of_a_web_page_changes_nothing(tmp_path):
    """Even one without an origin cannot send the header of our own calls."""
    status, body, _ = answer(tmp_path, "POST", "/_kirikae/interrupt-spot?percent=100")
    assert status == 403 and OWN_HEADER in body


@pytest.mark.parametrize("percent", ["", "0", "101", "-5", "100000000000", "x", "٣", "1e2", " 5"])
def test_a_percentage_is_from_1_to_100(tmp_path, percent):
    """Anything else is told."""
    path = f"/_kirikae/interrupt-spot?percent={percent}"
    status, body, _ = answer(tmp_path, "POST", path, headers={OWN_HEADER: "1"})
    assert status == 400 and json.loads(body)["__type"] == "InvalidParameterException"
    status, body, _ = answer(
        tmp_path, "POST", "/_kirikae/interrupt-spot?percent=50", headers={OWN_HEADER: "1"}
    )
    assert (status, json.loads(body)) == (200, {"tasks": []})


# --- moto


def kept(app: Any, folder: Path, **environ: str) -> tuple[str, dict[str, str], bytes]:
    """What the child with moto answers."""
    told: list[tuple[str, list[tuple[str, str]]]] = []
    request: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_HOST": "127.0.0.1:1",
        "wsgi.input": io.BytesIO(),
        **environ,
    }
    keeper = Keeper(app, Journal(folder / "stores.db"), lambda seed: None)
    body = b"".join(keeper(request, lambda status, headers, *_: told.append((status, headers))))
    return told[0][0], dict(told[0][1]), body


def open_to_all(environ: Any, start_response: Any) -> list[bytes]:
    """As moto answers: every page may read."""
    start_response("200 OK", [("Access-Control-Allow-Origin", "*"), ("X-Amz-Id", "1")])
    return [b"secret"]


def test_the_stores_are_as_closed(tmp_path):
    """They listen on a port of their own; moto's word that any page may read is dropped."""
    for bad in ({"HTTP_ORIGIN": "https://evil.example"}, {"HTTP_HOST": "evil.example"}):
        status, _, body = kept(open_to_all, tmp_path, **bad)
        assert status.startswith("403") and b"secret" not in body
    assert kept(open_to_all, tmp_path) == ("200 OK", {"X-Amz-Id": "1"}, b"secret")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (NotImplementedError("no"), 400, "UnsupportedOperation"),
        (KeyError("x"), 500, "InternalFailure"),
    ],
)
@pytest.mark.parametrize("json_protocol", [True, False])
def test_what_moto_has_not_is_told_in_the_client_s_protocol(
    tmp_path, fault, status, code, json_protocol
):
    """Never a page of HTML: an SDK could not read it."""

    def broken(environ: Any, start_response: Any) -> list[bytes]:
        raise fault

    target = {"HTTP_X_AMZ_TARGET": "GraniteServiceVersion20100801.PutX"} if json_protocol else {}
    found, headers, body = kept(broken, tmp_path, REQUEST_METHOD="POST", **target)
    assert found.startswith(str(status)) and code.encode() in body
    assert ("json" in headers["Content-Type"]) is json_protocol
    if json_protocol:
        assert json.loads(body)["__type"] == code


def test_one_request_that_moto_fails_of_does_not_keep_the_others_away(tmp_path):
    """The journal is done again to its end."""
    journal = Journal(tmp_path / "stores.db")
    for path in ("/a/1", "/a/2"):
        journal.write({"REQUEST_METHOD": "PUT", "PATH_INFO": path, "HTTP_HOST": "x"}, b"", 1)
    done: list[str] = []

    def fails_of_one(environ: Any, start_response: Any) -> list[bytes]:
        done.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/a/1":
            raise ValueError("moto")
        start_response("200 OK", [])
        return []

    assert Keeper(fails_of_one, journal, lambda seed: None).remember() == 2
    assert done == ["/a/1", "/a/2"]


# --- requests that nobody can read


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b"\xff\xfe", b"\xed\xa0\x80", b'{"a":' * 100_000, b"null", b"[]", b'"x"'],
)
@pytest.mark.parametrize(
    "target", [ECS, SQS, {"X-Amz-Target": "GraniteServiceVersion20100801.GetMetricData"}]
)
def test_a_body_that_is_no_request_is_refused(tmp_path, body, target):
    """Nested deeper than anybody reads, in no encoding, of another type."""
    scope = {"GraniteServiceVersion20100801.GetMetricData": "monitoring"}
    name = scope.get(target["X-Amz-Target"])
    headers = dict(target)
    if name:
        body += b"AWS/ECS"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential=k/20260101/r/{name}/aws4_request"
    status, text, _ = answer(tmp_path, "POST", "/", data=body, headers=headers)
    assert status == 400 and "__type" in json.loads(text), text


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"Action=CreateListener&DefaultActions.member.1.ForwardConfig=x",
        b"Action=CreateRule&Conditions.member.x.Field=y&Priority=abc",
        b"Action=RegisterTargets&Targets=x",
        b"Action=SetRulePriorities&RulePriorities.member.1.Priority=high",
        b"Action=SetRulePriorities&RulePriorities.member.1.Priority=1",
        b"Action=SetRulePriorities",
        b"Action=" + b"x" * 70_000,
    ],
)
def test_a_form_that_is_no_request_is_refused(tmp_path, body):
    """In XML, as the query protocol writes errors."""
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/r/elasticloadbalancing/aws4_request"
    status, text, _ = answer(tmp_path, "POST", "/", data=body, headers={"Authorization": scope})
    assert status == 400 and "<ErrorResponse" in text and "<Code>" in text, text


def test_the_stores_that_do_not_answer_are_told(tmp_path):
    """With what to do next."""
    status, text, _ = answer(tmp_path, "GET", "/bucket/key")
    assert status == 503 and "kirikae local status" in text


# --- metadata


async def run_one(plane: LocalPlane) -> str:
    """ID of a running task with a role, at 172.30.0.5."""
    operations = plane.ecs.operations()
    await operations["CreateCluster"]({})
    container = {"name": "web", "image": "x", "memory": 64}
    await operations["RegisterTaskDefinition"](
        {
            "family": "f",
            "taskRoleArn": "arn:aws:iam::123456789012:role/app",
            "containerDefinitions": [container],
        }
    )
    told = await operations["RunTask"]({"taskDefinition": "f"})
    key = told["tasks"][0]["taskArn"].rpartition("/")[2]
    plane.state.tasks.put(key, {**plane.state.tasks[key], "address": "172.30.0.5"})
    return str(key)


@pytest.mark.parametrize(
    ("came_from", "status"),
    [
        ("172.30.0.5", 200),
        ("127.0.0.1", 200),
        (None, 200),
        ("172.30.0.6", 404),
        ("::ffff:1.2.3.4", 404),
    ],
)
def test_credentials_and_metadata_are_the_task_s_own(tmp_path, came_from, status):
    """Another task that knows its ID is told nothing."""

    async def ask() -> list[int]:
        plane = LocalPlane(tmp_path)
        key = await run_one(plane)
        headers = {FROM_HEADER: came_from} if came_from else {}
        paths = [
            f"/_kirikae/metadata/v2/credentials/{key}",
            f"/_kirikae/metadata/v4/{key}-{token(key)}/task",
            f"/_kirikae/metadata/api/{key}-{token(key)}/task-protection/v1/state",
        ]
        async with TestClient(TestServer(plane.gateway().application())) as client:
            found = [(await client.get(path, headers=headers)).status for path in paths]
        plane.close()
        return found

    assert asyncio.run(ask()) == [status] * 3


def token(key: str) -> str:
    """What follows the task's ID in its container's address."""
    return metadata_id(key, "web").rpartition("-")[2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b'"on"',
        b"null",
        b'{"ProtectionEnabled": "yes"}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": "60"}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": true}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": 0}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_task_protection_takes_what_the_agent_takes(tmp_path, body):
    """Anything else is an error in the agent's form."""

    async def ask() -> tuple[int, Any]:
        plane = LocalPlane(tmp_path)
        key = await run_one(plane)
        path = f"/_kirikae/metadata/api/{key}-{token(key)}/task-protection/v1/state"
        async with TestClient(TestServer(plane.gateway().application())) as client:
            told = await client.put(path, data=body)
            found = told.status, await told.json()
        plane.close()
        return found

    status, told = asyncio.run(ask())
    assert status == 400 and told["error"]["Code"] == "InvalidParameterException"
