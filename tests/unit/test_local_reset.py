"""The test mode: one request makes the endpoint as it was when it was new; without it none does."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kirikae.local.callers import OWN_HEADER
from kirikae.local.errors import LocalError
from kirikae.local.keeper import RESET, Journal, Keeper
from tests.local_plane import LocalPlane

FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}


async def filled(plane: LocalPlane) -> None:
    """Something of each service."""
    services = plane.services()
    await plane.ecs.operations()["CreateCluster"]({"tags": [{"key": "a", "value": "b"}]})
    elb = plane.elb.operations()
    made = await elb["CreateLoadBalancer"]({"Name": "a", "Subnets": ["subnet-1", "subnet-2"]})
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    asked = {"LoadBalancerArn": arn, "Port": 19001, "Protocol": "HTTP"}
    await elb["CreateListener"]({**asked, "DefaultActions": [FIXED]})
    await services["sqs"].serve({"X-Amz-Target": "AmazonSQS.CreateQueue"}, b'{"QueueName": "q"}')
    plane.state.put_figure("a", 1, {"counts": {}, "times": {}})


def left(plane: LocalPlane) -> list[str]:
    """Kinds of which there is something, and queues."""
    kinds = [table.kind for table in plane.tables() if table.all() and table.kind != "meta"]
    return [*kinds, *plane.queues.names(), *plane.state.figure_subjects()]


def over(plane: LocalPlane, test_mode: bool, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """What ``ask`` gets of an endpoint that holds something."""

    async def all_of_it() -> Any:
        await filled(plane)
        app = plane.gateway(test_mode=test_mode).application()
        async with TestClient(TestServer(app)) as client:
            return await ask(client)

    return asyncio.run(all_of_it())


async def _reset(client: Any) -> int:
    async with client.post(RESET) as told:
        return int(told.status)


def test_a_reset_leaves_nothing(tmp_path):
    """Rows, messages, figures and HAProxy's listeners; stores that do not answer are told."""
    plane = LocalPlane(tmp_path)
    assert over(plane, True, _reset) == 503  # there are no stores behind it
    assert left(plane) == []
    assert "19001" not in plane.door.text and plane.door.text
    plane.close()


def test_outside_of_the_test_mode_nothing_is_forgotten(tmp_path):
    """It is refused by name, and so are moto's other levers."""
    plane = LocalPlane(tmp_path)

    async def ask(client: Any) -> list[Any]:
        answers = []
        for path in (RESET, "/moto-api/seed?a=1", "/moto-api/state-manager/set-transition"):
            async with client.post(path) as told:
                answers.append((told.status, "--test-mode" in await told.text()))
        return answers

    assert over(plane, False, ask) == [(403, True)] * 3
    assert {"cluster", "listener", "q", "a"} <= set(left(plane))
    plane.close()


def test_rows_that_a_failing_change_puts_back_do_not_outlive_a_reset(tmp_path):
    """Whoever changes load balancers holds the same lock."""
    plane = LocalPlane(tmp_path)

    async def ask(client: Any) -> bool:
        async with plane.changing:
            resetting = asyncio.create_task(_reset(client))
            for _ in range(20):
                await asyncio.sleep(0)
            waited = bool(plane.state.balancers.all())
        await resetting
        return waited

    assert over(plane, True, ask)
    assert left(plane) == []
    plane.close()


# --- moto


def asked_of_moto(folder: Path, **environ: str) -> tuple[str, int]:
    """The status, and how many requests would be done again afterwards."""
    journal = Journal(folder / "stores.db")
    journal.write({"REQUEST_METHOD": "PUT", "PATH_INFO": "/a/1", "HTTP_HOST": "x"}, b"", 1)
    told: list[str] = []

    def moto(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    request: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": RESET,
        "HTTP_HOST": "127.0.0.1:1",
        "wsgi.input": io.BytesIO(),
        **environ,
    }
    keeper = Keeper(moto, journal, lambda seed: None)
    list(keeper(request, lambda status, *_: told.append(status)))
    return told[0], len(list(journal.read()))


def test_what_moto_forgets_does_not_come_back_with_its_journal(tmp_path):
    """Only the control plane may ask for it."""
    own = f"HTTP_{OWN_HEADER.upper().replace('-', '_')}"
    assert asked_of_moto(tmp_path) == ("400 Bad Request", 1)
    (tmp_path / "again").mkdir()
    assert asked_of_moto(tmp_path / "again", **{own: "1"}) == ("200 OK", 0)


def test_an_instance_that_holds_something_never_becomes_one_for_tests(tmp_path, monkeypatch):
    """Whoever resets it would lose that."""
    from kirikae.local import control

    monkeypatch.setattr(control.shutil, "which", lambda name: "/usr/sbin/haproxy")
    monkeypatch.setattr(control, "_bring_up", lambda directory, wait_s: {})
    control.up(tmp_path / "a", None, "ap-northeast-1")
    with pytest.raises(LocalError, match="not made for tests"):
        control.up(tmp_path / "a", None, "ap-northeast-1", test_mode=True)
    control.up(tmp_path / "b", None, "ap-northeast-1", test_mode=True)
    control.up(tmp_path / "b", None, "ap-northeast-1")
    assert control.Settings.load(tmp_path / "b").test_mode
