"""What the things of a task are called in the container engine.

Names derive from IDs that are written down first, so that a killed control plane finds what it
began."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kirikae.local.rows import Definition, Efs, Volume


@dataclass(frozen=True, slots=True)
class EngineNames:
    """Of one instance: two instances on one engine never meet."""

    instance: str

    @property
    def label(self) -> str:
        """Of everything that belongs to this instance."""
        return f"kirikae.instance={self.instance}"

    @property
    def labels(self) -> dict[str, str]:
        """``label`` as the engine takes it when something is made."""
        return {"kirikae.instance": self.instance}

    def container(self, task_id: str, name: str) -> str:
        """Of one container of a task."""
        return f"{self.instance}-task-{task_id}-{name}"

    def containers(self, task_id: str, definition: Definition) -> list[str]:
        """Of all containers of a task, in the definition's order."""
        return [
            self.container(task_id, container["name"])
            for container in definition["containerDefinitions"]
        ]

    def pause(self, key: str) -> str:
        """Of the container that holds a task's network; ``key`` is no task's ID, for a pooled one
        has no task yet."""
        return f"{self.instance}-pause-{key}"

    def volume(self, task_id: str, volume: Volume) -> str:
        """A volume of the task's own, or the one that stands for an EFS file system."""
        efs = volume.get("efsVolumeConfiguration")
        if efs is None:
            return f"{self.instance}-volume-{task_id}-{volume['name']}"
        return "-".join(part for part in self._efs_parts(efs) if part)

    def _efs_parts(self, efs: Efs) -> Iterable[str]:
        """What tells one EFS file system's volume from another: the access point, or else the
        folder.  Tasks that name the same share the same files, as on AWS."""
        access_point = efs.get("authorizationConfig", {}).get("accessPointId")
        folder = efs.get("rootDirectory", "/").strip("/").replace("/", ".")
        return self.instance, efs["fileSystemId"], access_point or folder

    def task_of_volume(self, name: str) -> str | None:
        """The task whose own volume this is; None for one that lasts."""
        begin = f"{self.instance}-volume-"
        return name.removeprefix(begin)[:32] if name.startswith(begin) else None
