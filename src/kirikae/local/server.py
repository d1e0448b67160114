"""The control plane of kirikae local: one asyncio process that owns the state directory.

It may be killed at any moment: HAProxy, moto and the tasks go on without it, and it takes them up
again.  ``python -m kirikae.local.server DIRECTORY``
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from aiohttp import web

from kirikae.local.errors import EngineError, LocalError
from kirikae.local.plane import Base, Network, Plane
from kirikae.local.settings import Settings

log = logging.getLogger("kirikae.local")

_LOCK_TRIES = 20


async def _brought_up(directory: Path, settings: Settings) -> Plane:
    """The parts from the bottom up, each running before what stands on it."""
    base = Base.of(directory, settings)
    try:
        await base.engine.version()
    except EngineError as error:
        raise LocalError(
            f"{error}. Start it (systemctl start docker, or dockerd by hand) and try again"
        ) from error
    network = await Network.asserted(base.engine, settings.instance)
    await base.stores.assert_running()
    await base.registry.assert_running()
    plane = Plane.of(base, network)
    await plane.balancing.door.assert_what_goes()
    plane.balancing.recorder.start()
    await plane.working.pool.prepare()
    await plane.working.tasks.recover()
    plane.working.pool.fill()
    plane.balancing.health.assert_all()
    plane.balancing.targets.resume_drains()
    return plane


def _loops(plane: Plane) -> list[asyncio.Task[None]]:
    """What must never end."""
    loops = (
        plane.base.pulse.beat(),
        plane.working.services.run(),
        plane.working.courses.run(),
        plane.house.listen(),
        plane.house.keep(),
        plane.house.measure(),
        plane.clockwork.run(),
        plane.rounds.run(),
        *plane.shipping.loops(),
    )
    return [asyncio.create_task(loop) for loop in loops]


async def _first_end(loops: list[asyncio.Task[None]]) -> BaseException:
    """Wait until a loop that must never end has ended; the answer is why."""
    done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
    return next(iter(done)).exception() or RuntimeError("a loop of the control plane ended")


async def _served(plane: Plane) -> web.AppRunner:
    """The API answers from here on; only after everything else runs, so that no request meets half
    a control plane."""
    runner = web.AppRunner(plane.gateway().application(), access_log=None)
    await runner.setup()
    port = plane.base.settings.control_port
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    return runner


async def _main(directory: Path) -> None:
    """Bring everything up, then serve until SIGTERM or SIGINT.

    Tasks, HAProxy and moto go on when it ends, however it ends.  Raises LocalError where something
    cannot be brought up, or where a loop that must never end has ended.
    """
    settings = Settings.load(directory)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    plane = await _brought_up(directory, settings)
    loops = _loops(plane)
    runner = await _served(plane)
    log.info(
        "kirikae local answers on 127.0.0.1:%s and %s:%s",
        settings.port,
        plane.network.gateway,
        settings.port,
    )
    ended = asyncio.create_task(_first_end(loops))
    asked = asyncio.create_task(stopped.wait())
    await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        # Half a control plane would look alive: better none, which `kirikae local status` shows and
        # `up` starts again.
        reason = ended.result()
        log.error("the control plane stops", exc_info=reason)
        raise LocalError(f"the control plane stops: {reason!r}")
    await runner.cleanup()
    for loop in loops:
        loop.cancel()
    await plane.close()


def _own(lock: TextIO) -> bool:
    """Lock the directory; a killed owner may take a moment to be gone."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.1)
    return False


def main() -> None:
    """``python -m kirikae.local.server DIRECTORY``.

    Ends with a message where another process owns the directory: two control planes over one store
    would undo each other's work.
    """
    directory = Path(sys.argv[1])
    os.umask(0o077)  # the stores hold what users put into SSM and Secrets Manager
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with (directory / "lock").open("w") as lock:
        if not _own(lock):
            sys.exit(f"another process owns {directory}")
        try:
            asyncio.run(_main(directory))
        except LocalError as error:
            log.error("%s", error)
            sys.exit(str(error))


if __name__ == "__main__":
    main()
