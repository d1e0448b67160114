"""Run the images of a release as their task definition says, ask the checks, and see what they
write."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from kirikae.build.errors import CannotBuild
from kirikae.build.plan import Plan
from kirikae.build.smoke import Writes, container_words, undeclared
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.here import Here
from kirikae.console.progress import Progress
from kirikae.console.speech import Speech
from kirikae.model.checks import unmet
from kirikae.model.project import Check, Project
from kirikae.model.said import Said
from kirikae.release.definitions import render

_PATIENCE_S = 60
_PAUSE_S = 0.5
_TAIL = 15
"""Lines of a container's output that are shown where it does not serve."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """``given``: NAME=VALUE for the containers."""

    given: tuple[str, ...]
    network: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """``unmet`` says which checks were not answered as they should be, ``writes`` what was written
    where nobody declared it."""

    checks: int
    unmet: tuple[str, ...]
    writes: tuple[Writes, ...]
    tails: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """It serves, and writes nowhere else."""
        return not self.unmet and not self.writes

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "checks": self.checks,
            "unmet": list(self.unmet),
            "undeclared_writes": [each.to_plain() for each in self.writes],
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"smoke: {each}" for each in self.unmet]
        lines += [
            f"smoke: {each.container} writes {each.path}, which is not declared writable (N4.4.4): "
            "give it in `build.mounts`, or let the service write elsewhere"
            for each in self.writes
        ]
        lines += self.tails
        if self.passed:
            lines.append(
                f"smoke: {self.checks} checks were answered, and nothing was written outside of "
                "what is declared"
            )
        return lines


def smoke_test(
    here: Here,
    engine: ContainerEngine,
    project: Project,
    plan: Plan,
    images: Mapping[str, str],
    release_id: str,
    smoke: Smoke,
) -> Tried:
    """Containers of one task, side by side in one network.  Raises CannotBuild, EngineProblem."""
    if not project.checks:
        raise CannotBuild("kirikae.yml has no `checks`: a smoke test would ask nothing")
    given = dict(_pair(each) for each in smoke.given)
    task = _task(project, plan, images, release_id)
    progress = Progress()
    with ExitStack() as stack:
        names = _run(engine, stack, task, given, smoke.network, progress)
        port = _front_port(task)
        address = engine.address(names[0])
        missed = list(_asked(here, project.checks, address, port))
        writes = [
            write
            for name, container in zip(names, task["containerDefinitions"], strict=True)
            for write in undeclared(container, engine.changed(name))
        ]
        tails = list(_tails(engine, names)) if missed else []
    return Tried(len(project.checks), tuple(missed), tuple(writes), tuple(tails))


def _pair(given: str) -> tuple[str, str]:
    name, _, value = given.partition("=")
    return name, value


def _task(
    project: Project,
    plan: Plan,
    images: Mapping[str, str],
    release_id: str,
) -> dict[str, Any]:
    """As it would be registered; sidecars of other makers are left out."""
    path = f"{project.fleets.new.definitions.rstrip('/')}/ecs-task-def.json"
    values = {f"IMAGE_{name.upper().replace('-', '_')}": image for name, image in images.items()}
    values |= {"RELEASE_ID": release_id, "IMAGE_RELAY": ""}
    task: dict[str, Any] = json.loads(render(plan.files[path], path, values))
    ours = {image for name, image in images.items() if name != "relay"}
    task["containerDefinitions"] = [
        each for each in task["containerDefinitions"] if each["image"] in ours
    ]
    return task


def _run(
    engine: ContainerEngine,
    stack: ExitStack,
    task: Mapping[str, Any],
    given: Mapping[str, str],
    network: str | None,
    progress: Progress,
) -> list[str]:
    """The first one has the network, the others join it."""
    prefix = f"kirikae-smoke-{uuid.uuid4().hex[:8]}"
    names: list[str] = []
    volumes = {each["name"]: f"{prefix}-{each['name']}" for each in task.get("volumes", ())}
    for volume in volumes.values():
        stack.callback(engine.remove_volume, volume)
    for container in task["containerDefinitions"]:
        name = f"{prefix}-{container['name']}"
        joins = f"container:{names[0]}" if names else network
        progress.step(f"running {name}")
        stack.callback(engine.remove, name)
        engine.run(name, container_words(container, given, joins, volumes))
        names.append(name)
    return names


def _front_port(task: Mapping[str, Any]) -> int:
    """The port that the load balancer would ask."""
    for container in task["containerDefinitions"]:
        for mapping in container.get("portMappings", ()):
            return int(mapping["containerPort"])
    raise CannotBuild("no container of the task listens on a port")


def _asked(here: Here, checks: Sequence[Check], address: str, port: int) -> Iterator[str]:
    """Each check until it is answered as it should be, or the patience ends."""
    speech = Speech(here.language())
    until = time.monotonic() + _PATIENCE_S
    for check in checks:
        why = _ask(check, address, port)
        while why is not None and time.monotonic() < until:
            time.sleep(_PAUSE_S)
            why = _ask(check, address, port)
        if why is not None:
            yield f"{check.get}: {why if isinstance(why, str) else speech.say(why)}"


def _ask(check: Check, address: str, port: int) -> Said | str | None:
    """None: as it should be."""
    connection = HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", check.get)
        answer = connection.getresponse()
        body = answer.read(1 << 20).decode(errors="replace")
        return unmet(check, answer.status, body)
    except (OSError, HTTPException) as error:
        return f"{type(error).__name__} {error}"
    finally:
        connection.close()


def _tails(engine: ContainerEngine, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        for line in engine.logs(name).splitlines()[-_TAIL:]:
            yield f"  {name}: {line}"
