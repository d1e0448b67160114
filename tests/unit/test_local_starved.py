"""On a machine that has more to do than it can carry, nothing is decided by who was scheduled
first: whoever came too late to ask has not been told no."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.making import _or_failed, ran_out_of_time
from kirikae.local.elb.health import HealthChecks
from kirikae.local.elb.known import Known
from kirikae.local.elb.runtime import Runtime
from kirikae.local.elb.targets import Targets
from kirikae.local.errors import AwsError, EngineError, StartFailed
from kirikae.local.patience import Patience
from kirikae.local.pulse import Pulse
from kirikae.local.stores import Stores
from tests.local_plane import LocalPlane


class Starved:
    """Sleeps take as much longer as the machine is slow; seconds are only counted."""

    def __init__(self, slowness: float) -> None:
        self.slowness = slowness
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds * self.slowness


@pytest.mark.parametrize("slowness", [1.0, 20.0, 1000.0])
@pytest.mark.parametrize("needed", [0, 1, 150, 199])
def test_a_process_that_gets_its_turns_as_rarely_as_we_is_waited_for(slowness, needed):
    """It needs so many turns of its own: as many looks as on a quiet machine, however long that
    is by the clock."""
    machine = Starved(slowness)
    patience = Patience(10.0, 0.05, machine.sleep)

    async def looks() -> int:
        count = 0
        while count < needed:
            assert await patience.lasts()
            count += 1
        return count

    assert asyncio.run(looks()) == needed
    assert machine.now == pytest.approx(needed * 0.05 * slowness)


def test_what_never_comes_is_given_up():
    """After as many looks as it has on a quiet machine."""
    machine = Starved(20.0)
    patience = Patience(1.0, 0.1, machine.sleep)

    async def all_looks() -> list[bool]:
        return [await patience.lasts() for _ in range(12)]

    assert asyncio.run(all_looks()) == [True] * 10 + [False] * 2


def test_haproxy_s_socket_is_asked_again_as_often_as_it_takes(tmp_path, monkeypatch):
    """Right after a reload it refuses for a moment: a moment is so many looks."""
    runtime = Runtime(tmp_path)
    refusals = iter([True] * 50 + [False])

    async def exchange(self: Runtime, socket: str, line: str) -> str:
        if next(refusals):
            raise ConnectionRefusedError
        return "Pid: 7\n"

    async def no_time(seconds: float) -> None:
        """The clock is nobody's judge here."""

    monkeypatch.setattr(Runtime, "_exchange", exchange)
    monkeypatch.setattr("kirikae.local.elb.runtime.Patience", _with(no_time))
    assert asyncio.run(runtime.worker()) == "7"


def _with(sleep: Any) -> Any:
    """Patience that rests so."""
    return lambda longest_s, pause_s: Patience(longest_s, pause_s, sleep)


# --- starts


@pytest.mark.parametrize(
    ("status", "words", "late"),
    [
        (500, "failed to start shim: context deadline exceeded: unknown", True),
        (500, "OCI runtime create failed: container_linux.go: operation timed out", True),
        (500, 'exec: "timeout": executable file not found in $PATH', False),
        (400, 'exec: "timed out": executable file not found', False),
        (409, "name already in use", False),
        (0, "does not answer", False),
    ],
)
def test_a_start_that_the_engine_did_not_come_to_is_no_failed_start(status, words, late):
    """It is tried again; a circuit breaker never hears of it."""
    error = EngineError(status, words)
    assert ran_out_of_time(error) is late

    async def refuses() -> None:
        raise error

    expected = EngineError if late or status == 0 else StartFailed
    with pytest.raises(expected):
        asyncio.run(_or_failed(refuses(), "CannotStartContainerError"))


SECRET = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:a"


def test_a_store_that_does_not_answer_fails_no_task(tmp_path, monkeypatch):
    """It is asked again, as it is while it is started anew; what it has not stays a failure, in
    AWS's words."""
    stores = Stores(tmp_path, 1, "ap-northeast-1")
    answers: list[Exception] = [
        OSError("the store does not answer"),
        AwsError("InternalFailure", "busy", 503),
        AwsError("ResourceNotFoundException", "there is no such secret"),
    ]

    async def call(self: Stores, service: str, target: str, params: Any) -> Any:
        raise answers[0]

    monkeypatch.setattr(Stores, "call", call)
    for expected in (OSError, OSError, StartFailed):
        with pytest.raises(expected):
            asyncio.run(stores.secret(SECRET))
        answers.pop(0)


def test_a_file_in_a_store_that_does_not_answer_fails_no_task(tmp_path: Path) -> None:
    """Nobody listens on port 1."""

    async def asked() -> None:
        stores = Stores(tmp_path, 1, "ap-northeast-1")
        try:
            await stores.object_text("arn:aws:s3:::bucket/key.env")
        finally:
            await stores.close()

    with pytest.raises(OSError, match="does not answer"):
        asyncio.run(asked())


# --- health


def test_a_target_is_shown_as_healthy_once_requests_go_there(tmp_path, monkeypatch):
    """HAProxy may take its time on a busy machine; who waits for a healthy target asks it at
    once."""

    async def all_of_it() -> list[str]:
        plane = LocalPlane(tmp_path)
        hears = asyncio.Event()
        heard = asyncio.Event()

        async def tell(target: Any) -> None:
            heard.set()
            await hears.wait()

        async def passes(self: HealthChecks, target: Any, group: Any) -> tuple[str, bool]:
            return "", False

        monkeypatch.setattr(HealthChecks, "_check", passes)
        health = HealthChecks(plane.state, Pulse(), tell)
        door: Any = plane.door
        targets = Targets(plane.state, Known(plane.state), door, health)
        elb = plane.elb.operations()
        group = {"Name": "a", "Protocol": "HTTP", "Port": 80, "TargetType": "ip"}
        made = await elb["CreateTargetGroup"](
            {**group, "VpcId": "vpc-1", "HealthyThresholdCount": 2, "HealthCheckTimeoutSeconds": 2}
        )
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        subnets = ["subnet-1", "subnet-2"]
        balancer = await elb["CreateLoadBalancer"]({"Name": "a", "Subnets": subnets})
        asked = {
            "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
            "Port": 19001,
            "Protocol": "HTTP",
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": arn}],
        }
        await elb["CreateListener"](asked)
        row = plane.state.groups.all()[0]
        plane.state.groups.put(row["id"], {**row, "interval_s": 0})
        await targets.register_targets({"TargetGroupArn": arn, "Targets": [{"Id": "10.0.0.1"}]})

        async def shown() -> str:
            told = await targets.describe_health({"TargetGroupArn": arn})
            return str(told["TargetHealthDescriptions"][0]["TargetHealth"]["State"])

        await heard.wait()
        seen = [str(plane.state.targets.all()[0]["state"]), await shown()]
        hears.set()
        for _ in range(100):
            await asyncio.sleep(0)
        seen.append(await shown())
        await health.close()
        plane.close()
        return seen

    assert asyncio.run(all_of_it()) == ["healthy", "initial", "healthy"]
