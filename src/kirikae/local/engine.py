"""The container engine, through the part of its HTTP API (1.41) that tasks need."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from kirikae.local.errors import EngineError
from kirikae.local.plain import Plain

log = logging.getLogger("kirikae.local.engine")

_API = "http://engine/v1.41"
_SLOW_S = 10
# Longer than the longest stop of a container: stopTimeout is 120 s at the most.
_LONGEST_S = 150
_FOR_EVER = aiohttp.ClientTimeout(total=None)
_REMOVAL_S = 60
"""A removal that another call began is waited for so long; a busy machine takes seconds."""
_RAW = "application/vnd.docker.raw-stream"
Heard = Callable[[str, float], None]
"""Told of each answer: method and path, and how many seconds it took."""


def engine_socket() -> str:
    """The engine's unix socket: DOCKER_HOST if it names one, else Docker's own."""
    host = os.environ.get("DOCKER_HOST", "")
    return host.removeprefix("unix://") if host.startswith("unix://") else "/var/run/docker.sock"


def _forget(mark: Path | None) -> None:
    with suppress(OSError):
        if mark is not None:
            mark.unlink(missing_ok=True)


class Engine:
    """Thin calls; 304 (already so) is success, every other refusal raises EngineError with the HTTP
    status."""

    def __init__(
        self,
        socket: str,
        heard: Heard = lambda call, seconds: None,
        making: Path | None = None,
    ) -> None:
        """``heard`` is told how long every answer took; ``making``: a folder in which containers
        are named while they are made.  No connection is opened yet."""
        self._socket = socket
        self._making = making
        self._heard = heard
        self._http = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket, limit=0),
            timeout=aiohttp.ClientTimeout(total=_LONGEST_S),
        )

    async def close(self) -> None:
        """Close every connection; answers that are awaited break off."""
        await self._http.close()

    async def _call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """The engine's answer, read where it is JSON.

        Raises EngineError for any refusal, with status 0 where there is no answer.
        """
        text, kind = await self._answer(method, path, body, params)
        is_json = kind == "application/json" and text.lstrip()[:1] in ("[", "{")
        return json.loads(text) if is_json else text

    async def _answer(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str],
    ) -> tuple[str, str]:
        """The answer's text and its content type."""
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        began = time.monotonic()
        try:
            async with self._http.request(method, _API + path, params=params, **content) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._heard(f"{method} {path}", time.monotonic() - began)
            raise EngineError(
                0, f"the container engine at {self._socket} does not answer: {error}"
            ) from error
        self._took(f"{method} {path}", time.monotonic() - began)
        if answer.status >= 400:
            raise EngineError(answer.status, _refusal(text))
        return text, answer.content_type

    def _took(self, call: str, seconds: float) -> None:
        """Tell how long a call took.

        A stop takes as long as its container wants: that is no trouble of the engine's.
        """
        self._heard(call, seconds)
        if seconds > _SLOW_S and not call.endswith("/stop"):
            log.warning("the container engine took %.0f s for %s", seconds, call)

    async def version(self) -> Plain:
        """The cheapest question: is it there?"""
        found: Plain = await self._call("GET", "/version")
        return found

    # --- images

    async def image(self, name: str) -> Plain:
        """Raises EngineError 404 for an image that the engine has not; nothing is pulled."""
        found: Plain = await self._call("GET", f"/images/{quote(name, safe='/:@')}/json")
        return found

    async def import_image(self, tar: bytes, repo: str, tag: str, *changes: str) -> None:
        """Make an image of one layer from a tar archive; ``changes`` are lines of a Dockerfile.

        An image of this name is replaced.
        """
        query = "&".join(f"changes={change}" for change in changes)
        path = f"/images/create?{query}" if query else "/images/create"
        await self._call("POST", path, tar, fromSrc="-", repo=repo, tag=tag)

    async def pull(self, name: str) -> None:
        """Pull ``host:port/name[:tag|@digest]``; raises EngineError 404 if the registry has no such
        image."""
        full = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        text, _ = await self._answer("POST", "/images/create", None, {"fromImage": full})
        for line in text.splitlines():
            if line.startswith("{") and "error" in (told := json.loads(line)):
                raise EngineError(404, told["error"])

    # --- volumes and networks

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """One that is there is kept as it is."""
        await self._call(
            "POST",
            "/volumes/create",
            {
                "Name": name,
                "Labels": dict(labels),
            },
        )

    async def volumes(self, label: str) -> list[str]:
        """Names of the volumes that bear this label."""
        found = await self._call("GET", "/volumes", filters=json.dumps({"label": [label]}))
        return [volume["Name"] for volume in found["Volumes"] or []]

    async def remove_volume(self, name: str) -> None:
        """With all that lies in it; one that is gone already is fine.

        Raises EngineError 409 while a container has it.
        """
        try:
            await self._call("DELETE", f"/volumes/{name}")
        except EngineError as error:
            if error.status != 404:
                raise

    async def network(self, name: str) -> Plain:
        """Raises EngineError 404 where there is none of this name."""
        found: Plain = await self._call("GET", f"/networks/{name}")
        return found

    async def create_network(self, name: str, labels: Mapping[str, str]) -> None:
        """A bridge.  Raises EngineError 409 where there is one of this name."""
        body = {
            "Name": name,
            "CheckDuplicate": True,
            "Labels": dict(labels),
            "Driver": "bridge",
        }
        await self._call("POST", "/networks/create", body)

    async def disconnect_the_dead(self, name: str) -> None:
        """Take off a network what the engine left on it of containers that are gone: it names them
        ``ep-…``, by their endpoint.  Raises EngineError 404 where there is no such network."""
        left = (await self.network(name)).get("Containers") or {}
        for key, seen in left.items():
            if key.startswith("ep-"):
                body = {"Container": seen["Name"], "Force": True}
                await self._call("POST", f"/networks/{name}/disconnect", body)

    async def remove_network(self, name: str) -> None:
        """Raises EngineError 404 where there is none, 403 while containers are on it."""
        await self._call("DELETE", f"/networks/{name}")

    # --- containers

    async def containers(self, label: str) -> list[Plain]:
        """All containers that bear this label (``key`` or ``key=value``), running or not."""
        filters = json.dumps({"label": [label]})
        found: list[Plain] = await self._call("GET", "/containers/json", all="1", filters=filters)
        return found

    async def create(self, name: str, body: Plain) -> None:
        """Create; an existing container of this name is adopted: names are derived from IDs.

        Whoever is killed meanwhile leaves its name behind: the engine may still make it.
        """
        mark = None if self._making is None else self._making / name
        with suppress(OSError):  # a full disk keeps no container from being made
            if mark is not None:
                mark.touch()
        try:
            await self._call("POST", "/containers/create", body, name=name)
        except EngineError as error:
            if error.status:
                _forget(mark)
            if error.status != 409:
                raise
        _forget(mark)

    async def start(self, name: str) -> None:
        """One that runs already is fine."""
        await self._call("POST", f"/containers/{name}/start")

    async def stop(self, name: str, timeout_s: int) -> None:
        """SIGTERM, and after so many seconds SIGKILL; answers when it has ended.

        One that has ended already is fine.
        """
        await self._call("POST", f"/containers/{name}/stop", t=str(timeout_s))

    async def inspect(self, name: str) -> Plain | None:
        """What the engine says of a container; None where there is none."""
        try:
            found: Plain = await self._call("GET", f"/containers/{name}/json")
            return found
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def stats(self, name: str) -> Plain | None:
        """One look at a container's use, without the second's wait for a former one; None if it is
        gone."""
        once = {
            "stream": "false",
            "one-shot": "true",
        }
        try:
            found: Plain = await self._call("GET", f"/containers/{name}/stats", **once)
            return found
        except EngineError as error:
            if error.status in (404, 409):
                return None
            raise

    async def run_inside(self, name: str, command: list[str]) -> None:
        """Run a program in a running container, as a health check is run, and wait for its end."""
        body = {
            "Cmd": command,
            "AttachStdout": True,
        }
        found = await self._call("POST", f"/containers/{name}/exec", body)
        await self._call("POST", f"/exec/{found['Id']}/start", {"Detach": False})

    async def remove(self, name: str) -> None:
        """Kill and remove; answers when it is gone, and one that is gone already is fine.

        Raises EngineError 409 where a removal that is already in progress does not come to an end.
        """
        until = time.monotonic() + _REMOVAL_S
        while True:
            try:
                await self._call("DELETE", f"/containers/{name}", force="1", v="1")
                return
            except EngineError as error:
                if error.status == 404:
                    return
                if error.status != 409 or time.monotonic() >= until:
                    raise
            await asyncio.sleep(0.1)  # 409: its removal is already in progress

    # --- streams

    async def output(self, name: str, since: float) -> AsyncIterator[tuple[str, bytes]]:
        """Lines of a container's output as (engine's stamp, line) from ``since`` (Unix time) on,
        until the container ends."""
        flags = ("follow", "stdout", "stderr", "timestamps")
        params = {
            "since": f"{since:.9f}",
            **dict.fromkeys(flags, "1"),
        }
        url = f"{_API}/containers/{name}/logs"
        try:
            async with self._http.get(url, params=params, timeout=_FOR_EVER) as answer:
                if answer.status >= 400:
                    raise EngineError(answer.status, await answer.text())
                framed = answer.content_type != _RAW and not await self._has_terminal(name)
                async for line in _lines(_frames(answer.content, framed)):
                    stamp, _, text = line.partition(b" ")
                    yield stamp.decode(errors="replace"), text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(0, f"the output of {name} broke off: {error}") from error

    async def _has_terminal(self, name: str) -> bool:
        """A container with a terminal has output without frames."""
        seen = await self.inspect(name)
        return bool(seen and seen["Config"]["Tty"])

    async def events(self, label: str, since: float) -> AsyncIterator[Plain]:
        """Container events from ``since`` (Unix time) on, until the engine closes the stream."""
        wanted = {
            "label": [label],
            "type": ["container"],
            "event": ["die", "health_status"],
        }
        params = {
            "since": f"{since:.6f}",
            "filters": json.dumps(wanted),
        }
        try:
            async with self._http.get(_API + "/events", params=params, timeout=_FOR_EVER) as answer:
                async for line in answer.content:
                    if line.strip():
                        yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(
                0, f"the event stream of the container engine broke: {error}"
            ) from error


def _refusal(text: str) -> str:
    """What the engine says, from its JSON where it is JSON."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


async def _lines(frames: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[bytes]:
    """Whole lines of each channel; one that has no end yet waits for it."""
    kept: dict[int, bytes] = {}
    async for channel, data in frames:
        *lines, kept[channel] = (kept.get(channel, b"") + data).split(b"\n")
        for line in lines:
            yield line


async def _frames(content: aiohttp.StreamReader, framed: bool) -> AsyncIterator[tuple[int, bytes]]:
    """The engine's multiplexed stream as (1 stdout | 2 stderr, bytes); a terminal's output has no
    frames."""
    if not framed:
        async for data in content.iter_any():
            yield 1, data
        return
    while True:
        try:
            head = await content.readexactly(8)
            yield head[0], await content.readexactly(int.from_bytes(head[4:], "big"))
        except asyncio.IncompleteReadError:
            return
