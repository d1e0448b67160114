"""FireLens on the engine: the router's socket and configuration on this machine, and the log driver
of those who send to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from kirikae.local.ecs.pause import IMAGE as PAUSE
from kirikae.local.errors import StartFailed
from kirikae.local.forward.firelens import (
    CONFIGURATION,
    DRIVER,
    SOCKET,
    SOCKET_FOLDER,
    configuration_of,
    generated,
    is_sent,
    log_driver,
    options_of,
    played,
    router_of,
)
from kirikae.local.forward.outputs import output_of
from kirikae.local.forward.routing import facts_of
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition, Definition, Task
from kirikae.local.state import State

_FOLDER = "firelens"
_OWN_SOCKET = "forward.sock"
_FLUENTD = "fluentd"


class FireLens:
    """``run``: the instance's folder of sockets."""

    def __init__(self, state: State, run: Path, region: str) -> None:
        self._state = state
        self._folder = run / _FOLDER
        self._region = region
        self.socket = run / _OWN_SOCKET
        """Where kirikae local itself listens."""

    def assert_played(self, definition: Definition) -> None:
        """Can kirikae local route in the router's place?  Raises StartFailed where it cannot."""
        router = router_of(definition["containerDefinitions"])
        assert router is not None
        if configuration_of(router).get("options", {}).get("config-file-value"):
            raise StartFailed(
                f"CannotPullContainerError: {router['image']} is not among this engine's images, "
                "and kirikae local cannot read its configuration file in its place"
            )
        for each in definition["containerDefinitions"]:
            if is_sent(each):
                output_of(each["name"], options_of(each), self._region)

    def prepare(self, task: Task, definition: Definition, images: Mapping[str, str]) -> None:
        """The router's folders and its configuration; those of tasks that are over go."""
        router = router_of(definition["containerDefinitions"])
        if router is None or images[router["name"]] == PAUSE:
            return
        self._sweep()
        folder = self._folder / task["id"]
        (folder / "socket").mkdir(parents=True, exist_ok=True)
        # The router's user is its image's own.
        for each in (self._folder, folder, folder / "socket"):
            each.chmod(0o777)
        file = folder / "fluent.conf"
        file.write_text(generated(definition, facts_of(task, definition)), encoding="utf-8")
        file.chmod(0o644)

    def _sweep(self) -> None:
        live = {task["id"] for task in self._state.tasks.all() if task["lastStatus"] != "STOPPED"}
        for folder in self._folder.glob("*"):
            if folder.name not in live:
                shutil.rmtree(folder, ignore_errors=True)

    def container(
        self, container: ContainerDefinition, images: Mapping[str, str]
    ) -> ContainerDefinition:
        """A router that is played only stands there."""
        return played(container) if images[container["name"]] == PAUSE else container

    def host(
        self,
        task: Task,
        definition: Definition,
        container: ContainerDefinition,
        images: Mapping[str, str],
    ) -> Plain:
        """Mounts of the router, or the log driver of who sends; the engine's words."""
        router = router_of(definition["containerDefinitions"])
        folder = self._folder / task["id"]
        if router is not None and container["name"] == router["name"]:
            if images[router["name"]] == PAUSE:
                return {}
            place = CONFIGURATION[configuration_of(router)["type"]]
            mounts = [
                f"{folder / 'socket'}:{SOCKET_FOLDER}",
                f"{folder / 'fluent.conf'}:{place}:ro",
            ]
            return {"Binds": mounts}
        logs = container.get("logConfiguration")
        if logs is None or logs["logDriver"] not in (DRIVER, _FLUENTD):
            return {}
        if logs["logDriver"] == _FLUENTD:
            options = {"fluentd-address": f"unix://{self.socket}", **logs.get("options", {})}
            return {"LogConfig": {"Type": _FLUENTD, "Config": options}}
        assert router is not None
        is_own = images[router["name"]] != PAUSE
        socket = folder / "socket" / SOCKET if is_own else self.socket
        return {"LogConfig": log_driver(container, task["id"], str(socket), not is_own)}
