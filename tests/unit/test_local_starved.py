"""On a machine that has more to do than it can carry, nothing is decided by who was scheduled
first: whoever came too late to ask has not been told no."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kirikae.local.ecs.making import _or_failed, ran_out_of_time
from kirikae.local.elb.runtime import Runtime
from kirikae.local.errors import AwsError, EngineError, StartFailed
from kirikae.local.patience import Patience
from kirikae.local.stores import Stores


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
