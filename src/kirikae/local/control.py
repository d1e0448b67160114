"""Start, look at and stop kirikae local from outside: ``kirikae local up | status | logs |
down``."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kirikae.local.engine import Engine, engine_socket
from kirikae.local.errors import EngineError, LocalError
from kirikae.local.files import alive, free_port, port_is_free, write_durably

_LONGEST_SOCKET_PATH = 90
FIGURES_DELAY_S = {"now": 0, "delayed": 60}


def default_directory() -> Path:
    return Path.cwd() / ".kirikae" / "local"


def up(
    directory: Path,
    port: int | None,
    region: str,
    wait_s: float = 90,
    figures_delay_s: int | None = None,
) -> dict[str, Any]:
    """Start what is not running; the answer is the status.  Harmless when all runs already.  Raises
    LocalError."""
    from kirikae.local.server import Settings

    if shutil.which("haproxy") is None:
        raise LocalError("haproxy is not installed; on Debian: apt-get install haproxy")
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / "settings.json").exists():
        if port is not None and not port_is_free(port):
            raise LocalError(f"port {port} of 127.0.0.1 is taken; choose another with --port")
        instance = "kirikae-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
        run = (
            directory
            if len(str(directory)) < _LONGEST_SOCKET_PATH - 20
            else Path("/tmp") / instance
        )
        run.mkdir(mode=0o700, exist_ok=True)
        Settings(
            instance, region, port or free_port(), free_port(), free_port(), str(run), free_port()
        ).save(directory)
    if figures_delay_s is not None:
        settings = replace(Settings.load(directory), figures_delay_s=figures_delay_s)
        if settings != Settings.load(directory):
            settings.save(directory)
            if (pid := _pid(directory)) is not None:
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + wait_s
                while _pid(directory) is not None and time.monotonic() < deadline:
                    time.sleep(0.05)
    return _bring_up(directory, wait_s)


def _pid(directory: Path) -> int | None:
    file = directory / "control.pid"
    return alive(file.read_text(), str(directory)) if file.exists() else None


def _launch(directory: Path) -> None:
    with (directory / "control.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "kirikae.local.server", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    write_durably(directory / "control.pid", str(process.pid))


def _bring_up(directory: Path, wait_s: float) -> dict[str, Any]:
    """Wait for the answer; start the process when there is none, also if a killed one takes a
    moment to be gone."""
    deadline = time.monotonic() + wait_s
    launched = False
    while time.monotonic() < deadline:
        if (answer := status(directory)) is not None:
            return answer
        if _pid(directory) is None:
            if launched:
                break
            _launch(directory)
            launched = True
        time.sleep(0.1)
    lines = (directory / "control.log").read_text(errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    raise LocalError(f"kirikae local did not come up: {last} (see {directory / 'control.log'})")


def status(directory: Path) -> dict[str, Any] | None:
    """What the control plane says of itself; None if it does not run."""
    directory = directory.resolve()
    if not (directory / "settings.json").exists() or (pid := _pid(directory)) is None:
        return None
    try:
        told = _ask(directory, "GET", "/_kirikae/status")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return {**told, "pid": pid, "directory": str(directory)}


def _ask(directory: Path, method: str, path: str) -> dict[str, Any]:
    """The control plane's own answer.  Raises OSError, HTTPException or ValueError where there is
    none."""
    from kirikae.local.server import Settings

    connection = http.client.HTTPConnection(
        "127.0.0.1", Settings.load(directory).control_port, timeout=5
    )
    try:
        connection.request(method, path)
        told = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise ValueError(f"{path} answered {told!r}")
    return told


def interrupt_spot(directory: Path, percent: int, dry_run: bool) -> list[str]:
    """ARNs of the FARGATE_SPOT tasks that were (or would be) taken away.  Raises LocalError if
    kirikae local does not answer."""
    directory = directory.resolve()
    if status(directory) is None:
        raise LocalError("kirikae local is not running; start it with `kirikae local up`")
    try:
        return list(
            _ask(
                directory, "POST", f"/_kirikae/interrupt-spot?percent={percent}&dry={int(dry_run)}"
            )["tasks"]
        )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LocalError(
            f"kirikae local does not answer: {error}; `kirikae local up` takes it up again"
        ) from error


def down(directory: Path) -> list[str]:
    """Stop every process, remove every container and the network, and forget the state.  Answers
    what was removed."""
    from kirikae.local.registry import Registry
    from kirikae.local.server import Settings
    from kirikae.local.stores import Stores

    directory = directory.resolve()
    if not (directory / "settings.json").exists():
        return []
    settings = Settings.load(directory)
    if (pid := _pid(directory)) is not None:
        os.kill(pid, signal.SIGKILL)
    removed = asyncio.run(_remove_containers(settings.instance))
    haproxy = directory / "haproxy.pid"
    if (
        haproxy.exists()
        and (pid := alive(haproxy.read_text(), str(directory / "haproxy.cfg"))) is not None
    ):
        os.kill(pid, signal.SIGTERM)
    Stores(directory, settings.stores_port, settings.region).stop()
    Registry(directory, settings.registry_port).stop()
    if settings.run != str(directory):
        shutil.rmtree(settings.run, ignore_errors=True)
    shutil.rmtree(directory)
    return removed


async def _remove_containers(instance: str) -> list[str]:
    engine = Engine(engine_socket())
    removed = []
    try:
        for seen in await engine.containers(f"kirikae.instance={instance}"):
            name = seen["Names"][0].lstrip("/")
            await engine.remove(name)
            removed.append(name)
        for name in await engine.volumes(f"kirikae.instance={instance}"):
            await engine.remove_volume(name)
            removed.append(name)
        await engine.remove_network(instance)
        removed.append(instance)
    except EngineError as error:
        if error.status != 404:
            raise LocalError(
                f"containers could not be removed: {error}; start the engine and run "
                "`kirikae local down` again"
            ) from error
    finally:
        await engine.close()
    return removed


def logs(directory: Path, lines: int) -> list[str]:
    """The last lines of the control plane's own log."""
    file = directory.resolve() / "control.log"
    if not file.exists():
        raise LocalError(f"there is no {file}; start it with `kirikae local up`")
    return file.read_text(errors="replace").splitlines()[-lines:]
