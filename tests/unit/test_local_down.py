"""`local down` takes away all that is there, also what a killed control plane had only just asked
for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kirikae.local import control, engine
from kirikae.local.ecs.enginenames import EngineNames
from kirikae.local.errors import EngineError, LocalError

NAME = "kirikae-0"


class Busy:
    """A container engine that answers as a busy one does."""

    def __init__(self, refusals: int = 0, comes_late: bool = False, dead: bool = False) -> None:
        """``refusals``: so often a container's removal is in progress already.  ``comes_late``: a
        second container comes into being after the first look.  ``dead``: an endpoint whose
        container is gone."""
        self.refusals = refusals
        self.late = [f"{NAME}-late"] if comes_late else []
        self.there = [f"{NAME}-first"]
        self.dead = dead
        self.network = True
        self.looks_until_made = 0
        """So often a container is looked for before it is there; it is in no network."""

    async def answer(self, asked: web.Request) -> web.Response:
        verb, path = asked.method, asked.path.removeprefix("/v1.41")
        if path == "/containers/json":
            return web.json_response([{"Names": [f"/{name}"]} for name in self.there])
        if path == "/volumes":
            return web.json_response({"Volumes": None})
        if path.endswith("/json"):
            return self._look(path.removeprefix("/containers/").removesuffix("/json"))
        if path.startswith("/containers/"):
            return self._removal(path.removeprefix("/containers/"))
        if not self.network:
            return _told(404, "no such network")
        if path.endswith("/disconnect"):
            assert await asked.json() == {"Container": "gone", "Force": True}
            self.dead = False
            return web.Response()
        if verb == "GET":
            dead = {"ep-1": {"Name": "gone"}} if self.dead else {}
            return web.json_response({"Containers": {"0a": {"Name": "lives"}, **dead}})
        return self._network_removal()

    def _removal(self, name: str) -> web.Response:
        if name not in self.there:
            return _told(404, "no such container")
        if self.refusals:
            self.refusals -= 1
            return _told(409, f"removal of container {name} is already in progress")
        self.there.remove(name)
        return web.Response(status=204)

    def _look(self, name: str) -> web.Response:
        if name not in self.there:
            self.looks_until_made -= 1
            if self.looks_until_made:
                return _told(404, "no such container")
            self.there.append(name)
        return web.json_response({"Name": name})

    def _network_removal(self) -> web.Response:
        self.there, self.late = self.there + self.late, []
        if self.there or self.dead:
            return _told(403, f"network {NAME} has active endpoints")
        self.network = False
        return web.Response(status=204)


def _told(status: int, why: str) -> web.Response:
    return web.json_response({"message": why}, status=status)


@pytest.fixture
def after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What `down` says it removed from this engine."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/e.sock")

    def down(busy: Busy, *making: str) -> list[str]:
        async def both() -> list[str]:
            async with serving(busy.answer, tmp_path / "e.sock"):
                return await control._remove_containers(EngineNames(NAME), making)

        return asyncio.run(both())

    return down


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.Response]], socket: Path
) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    yield
    await runner.cleanup()


def test_a_removal_in_progress_is_waited_for(after):
    """A busy engine took longer than two seconds, and the network was still in use."""
    busy = Busy(refusals=25)
    assert after(busy) == [f"{NAME}-first", NAME] and not busy.network


def test_what_the_engine_is_making_is_waited_for(after):
    """One that was not started yet keeps no network: nothing else would tell of it."""
    busy = Busy()
    busy.looks_until_made = 4
    assert after(busy, f"{NAME}-made") == [f"{NAME}-first", f"{NAME}-made", NAME]


def test_what_the_engine_never_made_is_not_waited_for_for_ever(after, monkeypatch):
    """It may never have been asked."""
    monkeypatch.setattr(control, "_MAKING_S", 0.3)
    assert after(Busy(), f"{NAME}-never") == [f"{NAME}-first", NAME]


@pytest.mark.parametrize(("status", "stays"), [(201, False), (409, False), (500, False), (0, True)])
def test_a_container_is_named_while_it_is_made(tmp_path, status, stays):
    """Also where no answer came: it may still be made."""
    making = tmp_path / "making"
    making.mkdir()
    seen = []

    async def answer(asked: web.Request) -> web.Response:
        seen.extend(each.name for each in making.iterdir())
        if not status:
            assert asked.transport is not None
            asked.transport.abort()
        return web.json_response({}, status=status or 200)

    async def make() -> None:
        async with serving(answer, tmp_path / "e.sock"):
            made = engine.Engine(str(tmp_path / "e.sock"), making=making)
            try:
                await made.create("one", {})
            except EngineError as error:
                assert error.status == status != 409
            finally:
                await made.close()

    asyncio.run(make())
    assert seen == ["one"] and [each.name for each in making.iterdir()] == ["one"] * stays


def test_a_container_that_comes_late_is_removed_too(after):
    assert after(Busy(comes_late=True)) == [f"{NAME}-first", f"{NAME}-late", NAME]


def test_an_endpoint_without_a_container_does_not_keep_the_network(after):
    assert after(Busy(dead=True)) == [f"{NAME}-first", NAME]


def test_a_network_that_is_gone_is_no_error(after):
    busy = Busy()
    busy.network = False
    assert after(busy) == [f"{NAME}-first"]


def test_a_removal_that_never_ends_is_told(after, monkeypatch):
    """Not taken for done."""
    monkeypatch.setattr(engine, "_REMOVAL_S", 0.3)
    monkeypatch.setattr(control, "_LATE_S", 0)
    with pytest.raises(LocalError, match="already in progress; look at `docker network inspect"):
        after(Busy(refusals=10_000))
