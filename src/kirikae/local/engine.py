"""The container engine, through the part of its HTTP API (1.41) that tasks need."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from kirikae.local.errors import EngineError

log = logging.getLogger("kirikae.local.engine")

_API = "http://engine/v1.41"
_SLOW_S = 10
Plain = dict[str, Any]


def engine_socket() -> str:
    """The engine's unix socket: DOCKER_HOST if it names one, else Docker's own."""
    host = os.environ.get("DOCKER_HOST", "")
    return host.removeprefix("unix://") if host.startswith("unix://") else "/var/run/docker.sock"


class Engine:
    """Thin calls; 304 (already so) is success, every other refusal raises EngineError with the HTTP
    status."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._http = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket, limit=0),
            timeout=aiohttp.ClientTimeout(total=150),
        )

    async def close(self) -> None:
        await self._http.close()

    async def _call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        text, kind = await self._answer(method, path, body, params)
        return (
            json.loads(text)
            if kind == "application/json" and text.lstrip()[:1] in ("[", "{")
            else text
        )

    async def _answer(
        self, method: str, path: str, body: Any, params: Mapping[str, str]
    ) -> tuple[str, str]:
        data = body if isinstance(body, bytes) else None
        began = time.monotonic()
        try:
            async with self._http.request(
                method,
                _API + path,
                params=params,
                data=data,
                json=None if data is not None else body,
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(
                0, f"the container engine at {self._socket} does not answer: {error}"
            ) from error
        if (took := time.monotonic() - began) > _SLOW_S and not path.endswith("/stop"):
            log.warning("the container engine took %.0f s for %s %s", took, method, path)
        if answer.status >= 400:
            try:
                message = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                message = text
            raise EngineError(answer.status, message)
        return text, answer.content_type

    async def version(self) -> Plain:
        return await self._call("GET", "/version")  # type: ignore[no-any-return]

    async def image(self, name: str) -> Plain:
        return await self._call("GET", f"/images/{name}/json")  # type: ignore[no-any-return]

    async def import_image(self, tar: bytes, repo: str, tag: str, *changes: str) -> None:
        query = "&".join(f"changes={change}" for change in changes)
        await self._call(
            "POST",
            f"/images/create?{query}" if query else "/images/create",
            tar,
            fromSrc="-",
            repo=repo,
            tag=tag,
        )

    async def pull(self, name: str) -> None:
        """Pull ``host:port/name[:tag|@digest]``; raises EngineError 404 if the registry has no such
        image."""
        full = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        text, _ = await self._answer("POST", "/images/create", None, {"fromImage": full})
        for line in text.splitlines():
            if line.startswith("{") and "error" in (told := json.loads(line)):
                raise EngineError(404, told["error"])

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        await self._call("POST", "/volumes/create", {"Name": name, "Labels": dict(labels)})

    async def volumes(self, label: str) -> list[str]:
        found = await self._call("GET", "/volumes", filters=json.dumps({"label": [label]}))
        return [v["Name"] for v in found["Volumes"] or []]

    async def remove_volume(self, name: str) -> None:
        try:
            await self._call("DELETE", f"/volumes/{name}")
        except EngineError as error:
            if error.status != 404:
                raise

    async def stats(self, name: str) -> Plain | None:
        """One look at a container's use, without the second's wait for a former one; None if it is
        gone."""
        try:
            found: Plain = await self._call(
                "GET", f"/containers/{name}/stats", stream="false", **{"one-shot": "true"}
            )
            return found
        except EngineError as error:
            if error.status in (404, 409):
                return None
            raise

    async def output(self, name: str, since: float) -> AsyncIterator[tuple[str, bytes]]:
        """Lines of a container's output as (engine's stamp, line) from ``since`` (Unix time) on,
        until the container ends."""
        params = {
            "follow": "1",
            "stdout": "1",
            "stderr": "1",
            "timestamps": "1",
            "since": f"{since:.9f}",
        }
        kept: dict[int, bytes] = {}
        try:
            async with self._http.get(
                f"{_API}/containers/{name}/logs",
                params=params,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as answer:
                if answer.status >= 400:
                    raise EngineError(answer.status, await answer.text())
                framed = (
                    answer.content_type != "application/vnd.docker.raw-stream"
                    and not await self._has_terminal(name)
                )
                async for channel, data in _frames(answer.content, framed):
                    *lines, kept[channel] = (kept.get(channel, b"") + data).split(b"\n")
                    for line in lines:
                        stamp, _, text = line.partition(b" ")
                        yield stamp.decode(errors="replace"), text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(0, f"the output of {name} broke off: {error}") from error

    async def _has_terminal(self, name: str) -> bool:
        seen = await self.inspect(name)
        return bool(seen and seen["Config"]["Tty"])

    async def network(self, name: str) -> Plain:
        return await self._call("GET", f"/networks/{name}")  # type: ignore[no-any-return]

    async def create_network(self, name: str, labels: Mapping[str, str]) -> None:
        body = {"Name": name, "CheckDuplicate": True, "Labels": dict(labels), "Driver": "bridge"}
        await self._call("POST", "/networks/create", body)

    async def remove_network(self, name: str) -> None:
        await self._call("DELETE", f"/networks/{name}")

    async def containers(self, label: str) -> list[Plain]:
        """All containers that bear this label (``key`` or ``key=value``), running or not."""
        filters = json.dumps({"label": [label]})
        return await self._call("GET", "/containers/json", all="1", filters=filters)  # type: ignore[no-any-return]

    async def create(self, name: str, body: Plain) -> None:
        """Create; an existing container of this name is adopted: names are derived from IDs."""
        try:
            await self._call("POST", "/containers/create", body, name=name)
        except EngineError as error:
            if error.status != 409:
                raise

    async def start(self, name: str) -> None:
        await self._call("POST", f"/containers/{name}/start")

    async def stop(self, name: str, timeout_s: int) -> None:
        await self._call("POST", f"/containers/{name}/stop", t=str(timeout_s))

    async def inspect(self, name: str) -> Plain | None:
        try:
            return await self._call("GET", f"/containers/{name}/json")  # type: ignore[no-any-return]
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def remove(self, name: str) -> None:
        """Kill and remove; a container that is gone already is fine."""
        for _ in range(20):
            try:
                await self._call("DELETE", f"/containers/{name}", force="1", v="1")
                return
            except EngineError as error:
                if error.status == 404:
                    return
                if error.status != 409:
                    raise
            await asyncio.sleep(0.1)  # 409: its removal is already in progress

    async def events(self, label: str, since: float) -> AsyncIterator[Plain]:
        """Container events from ``since`` (Unix time) on, until the engine closes the stream."""
        params = {
            "since": f"{since:.6f}",
            "filters": json.dumps(
                {"label": [label], "type": ["container"], "event": ["die", "health_status"]}
            ),
        }
        try:
            async with self._http.get(
                _API + "/events", params=params, timeout=aiohttp.ClientTimeout(total=None)
            ) as answer:
                async for line in answer.content:
                    if line.strip():
                        yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineError(
                0, f"the event stream of the container engine broke: {error}"
            ) from error


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
