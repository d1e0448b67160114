"""kirikae local's control plane with a fuse: it kills itself with SIGKILL at the n-th point it
passes.

A point lies before and after every write to its store, every call to the engine and every command
to HAProxy. ``python -m tests.crash.fused_server DIRECTORY`` with the number in KIRIKAE_TEST_FUSE.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from kirikae.local import server
from kirikae.local.elb.runtime import Runtime
from kirikae.local.engine import Engine
from kirikae.local.state import State

left = int(os.environ["KIRIKAE_TEST_FUSE"])


def point() -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def fused(work: Callable[..., Any]) -> Callable[..., Any]:
    def around(*args: Any, **more: Any) -> Any:
        point()
        answer = work(*args, **more)
        point()
        return answer

    return around


def fused_async(work: Callable[..., Any]) -> Callable[..., Any]:
    async def around(*args: Any, **more: Any) -> Any:
        point()
        answer = await work(*args, **more)
        point()
        return answer

    return around


if __name__ == "__main__":
    State._write = fused(State._write)  # type: ignore[method-assign]
    Engine._answer = fused_async(Engine._answer)  # type: ignore[method-assign]
    Runtime.command = fused_async(Runtime.command)  # type: ignore[method-assign]
    server.main()
