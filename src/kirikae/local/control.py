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
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import cast

from kirikae.local.callers import OWN_HEADER
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.engine import Engine, engine_socket
from kirikae.local.errors import EngineError, LocalError
from kirikae.local.files import Daemon, free_port, port_is_free
from kirikae.local.folder import MAKING, assert_empty, remove_ours
from kirikae.local.plain import Plain
from kirikae.local.registry import Registry
from kirikae.local.settings import Settings
from kirikae.local.status import Status
from kirikae.local.stores import Stores

# unix(7): a socket's path has at most 108 bytes. Beyond this, sockets are put under /tmp.
_LONGEST_SOCKET_PATH = 90
_LONGEST_SOCKET_NAME = 20
_ANSWER_S = 5
_LATE_S = 20
_MAKING_S = 10
"""So long the engine may take for a container that it was asked for right before the end."""
"""What a killed control plane asked for last comes into being so late, on a busy machine."""
_IN_USE = (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
_STATUS = "/_kirikae/status"
FIGURES_DELAY_S = {
    "now": 0,
    "delayed": 60,
}


def default_directory() -> Path:
    """Where an instance keeps its state unless the operator names another place; beside the
    project, so that two projects never share one."""
    return Path.cwd() / ".kirikae" / "local"


# --- up


def up(
    directory: Path,
    port: int | None,
    region: str,
    wait_s: float = 90,
    figures_delay_s: int | None = None,
    test_mode: bool = False,
) -> Status:
    """Start what is not running; the answer is the status.  Harmless when all runs already.  Raises
    LocalError; also where an instance that was not made for tests is asked to be one."""
    if shutil.which("haproxy") is None:
        raise LocalError("haproxy is not installed; on Debian: apt-get install haproxy")
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not Settings.exist(directory):
        assert_empty(directory)
        settings = _new_settings(directory, port, region)
        replace(settings, test_mode=test_mode).save(directory)
    elif test_mode and not Settings.load(directory).test_mode:
        raise LocalError(
            f"{directory} was not made for tests, and whoever resets it would lose what it holds: "
            "name another folder with --dir, or run `kirikae local down` first"
        )
    if figures_delay_s is not None:
        _set_figures_delay(directory, figures_delay_s, wait_s)
    return _bring_up(directory, wait_s)


def _new_settings(directory: Path, port: int | None, region: str) -> Settings:
    """Settings of an instance that is new here: its ports are free at this moment, and its name
    derives from the directory, so that the same directory always means the same containers.  Raises
    LocalError where the asked port is taken."""
    if port is not None and not port_is_free(port):
        raise LocalError(f"port {port} of 127.0.0.1 is taken; choose another with --port")
    instance = "kirikae-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
    run = directory
    if len(str(directory)) + _LONGEST_SOCKET_NAME >= _LONGEST_SOCKET_PATH:
        run = Path("/tmp") / instance
    run.mkdir(mode=0o700, exist_ok=True)
    assert_ours_alone(run)
    return Settings(
        instance, region, port or free_port(), free_port(), free_port(), str(run), free_port()
    )


def assert_ours_alone(run: Path) -> None:
    """Raise LocalError for a folder of sockets that somebody else made (``/tmp`` is everybody's),
    or that others may enter."""
    found = run.lstat()
    is_ours = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
    if run.is_symlink() or not is_ours or found.st_mode & 0o077:
        raise LocalError(
            f"{run} must be a folder of yours that nobody else may enter: `chmod 700 {run}`, or "
            "remove it, and try again"
        )


def _set_figures_delay(directory: Path, figures_delay_s: int, wait_s: float) -> None:
    """A control plane that runs otherwise is ended first."""
    before = Settings.load(directory)
    settings = replace(before, figures_delay_s=figures_delay_s)
    if settings == before:
        return
    settings.save(directory)
    process = _process(directory)
    process.stop()
    deadline = time.monotonic() + wait_s
    while process.pid() is not None and time.monotonic() < deadline:
        time.sleep(0.05)


def _process(directory: Path) -> Daemon:
    """The control plane."""
    return Daemon(directory / "control.pid", str(directory))


def _launch(directory: Path) -> None:
    """Start the control plane in the background; what it says is appended to ``control.log``."""
    with (directory / "control.log").open("ab") as out:
        command = [sys.executable, "-m", "kirikae.local.server", str(directory)]
        _process(directory).start(command, out, out)


def _bring_up(directory: Path, wait_s: float) -> Status:
    """Wait for the answer; start the process when there is none, also if a killed one takes a
    moment to be gone."""
    deadline = time.monotonic() + wait_s
    launched = False
    answer = None
    while time.monotonic() < deadline:
        if (answer := status(directory)) is not None and _endpoint_answers(directory):
            return answer
        if _process(directory).pid() is None:
            if launched:
                break
            _launch(directory)
            launched = True
        time.sleep(0.1)
    if answer is not None:
        raise LocalError(
            f"kirikae local runs, but its endpoint {answer['endpoint']} does not answer: "
            f"{answer['trouble'] or 'HAProxy says nothing'} (see {directory / 'control.log'})"
        )
    lines = (directory / "control.log").read_text(errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    raise LocalError(f"kirikae local did not come up: {last} (see {directory / 'control.log'})")


# --- asking it


def status(directory: Path) -> Status | None:
    """What the control plane says of itself; None if it does not run.

    Raises LocalError for settings that are not ours.
    """
    directory = directory.resolve()
    if not Settings.exist(directory):
        return None
    Settings.load(directory)
    if (pid := _process(directory).pid()) is None:
        return None
    try:
        told = cast(Status, _ask(directory, "GET", _STATUS))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return {
        **told,
        "pid": pid,
        "directory": str(directory),
    }


def _endpoint_answers(directory: Path) -> bool:
    """Does the endpoint that clients ask lead to this control plane?"""
    settings = Settings.load(directory)
    try:
        told = _ask_at(settings.port, "GET", _STATUS)
        return bool(told["instance"] == settings.instance)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False


def _ask(directory: Path, method: str, path: str) -> Plain:
    """The control plane's own answer.  Raises OSError, HTTPException or ValueError where there is
    none."""
    return _ask_at(Settings.load(directory).control_port, method, path)


def _ask_at(port: int, method: str, path: str) -> Plain:
    """The answer at this port.  Raises OSError, HTTPException or ValueError where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request(method, path, headers={OWN_HEADER: "1"})
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
    return interrupt_spot_at(Settings.load(directory).control_port, percent, dry_run)


def interrupt_spot_at(port: int, percent: int, dry_run: bool) -> list[str]:
    """The same of whichever kirikae local answers at this port.  Raises LocalError."""
    path = f"/_kirikae/interrupt-spot?percent={percent}&dry={int(dry_run)}"
    try:
        return list(_ask_at(port, "POST", path)["tasks"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise LocalError(
            f"kirikae local does not answer: {error}; `kirikae local up` takes it up again"
        ) from error


def logs(directory: Path, lines: int) -> list[str]:
    """The last lines of the control plane's own log."""
    file = directory.resolve() / "control.log"
    if not file.exists():
        raise LocalError(f"there is no {file}; start it with `kirikae local up`")
    return file.read_text(errors="replace").splitlines()[-lines:]


# --- down


def down(directory: Path) -> list[str]:
    """Stop every process, remove every container and the network, and forget the state.  Answers
    what was removed.

    Files that kirikae local did not make stay, and so does their folder.
    """
    directory = directory.resolve()
    if not Settings.exist(directory):
        return []
    settings = Settings.load(directory)
    _process(directory).stop(signal.SIGKILL)
    making = _names_in(directory / MAKING)
    removed = asyncio.run(_remove_containers(EngineNames(settings.instance), making))
    Daemon(directory / "haproxy.pid", str(directory / "haproxy.cfg")).stop()
    Stores(directory, settings.stores_port, settings.region).stop()
    Registry(directory, settings.registry_port).stop()
    remove_ours(Path(settings.run))
    remove_ours(directory)
    return removed


def _names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


async def _remove_containers(names: EngineNames, making: Sequence[str] = ()) -> list[str]:
    """Remove what carries this instance's label: containers, volumes, then the network.

    Answers their names.  What the killed control plane had asked for last (``making``) may still
    come into being: it is waited for, and it looks again until the engine lets the network go.  An
    engine that has nothing of it is no error, so `down` may be run again; raises LocalError where
    the engine does not answer, or keeps something.
    """
    engine = Engine(engine_socket())
    removed: list[str] = []
    until = time.monotonic() + _LATE_S
    try:
        await _await_made(engine, making)
        while True:
            try:
                await _sweep(engine, names, removed)
                return removed
            except EngineError as error:
                if error.status not in _IN_USE or time.monotonic() >= until:
                    to_do = (
                        f"look at `docker network inspect {names.instance}`"
                        if error.status
                        else "start the engine"
                    )
                    raise LocalError(
                        f"containers could not be removed: {error}; {to_do} and run "
                        "`kirikae local down` again"
                    ) from error
            await asyncio.sleep(0.2)
    finally:
        await engine.close()


async def _await_made(engine: Engine, making: Sequence[str]) -> None:
    """Until each of these is there; not for ever, since the engine may never have been asked."""
    until = time.monotonic() + _MAKING_S
    with suppress(EngineError):  # who comes next says that the engine does not answer
        for name in making:
            while True:
                if await engine.inspect(name) is not None or time.monotonic() >= until:
                    break
                await asyncio.sleep(0.1)


async def _sweep(engine: Engine, names: EngineNames, removed: list[str]) -> None:
    """Remove all that is there now and add its names to ``removed``.

    Raises EngineError where something is in use, by what came since or by containers that are not
    ours.
    """
    for seen in await engine.containers(names.label):
        name = seen["Names"][0].lstrip("/")
        await engine.remove(name)
        removed.append(name)
    for volume in await engine.volumes(names.label):
        await engine.remove_volume(volume)
        removed.append(volume)
    try:
        await engine.disconnect_the_dead(names.instance)
        await engine.remove_network(names.instance)
    except EngineError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
    else:
        removed.append(names.instance)
