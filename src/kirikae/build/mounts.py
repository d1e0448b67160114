"""Where a container may write: exactly where its service was seen to, in memory or on a file system
that all tasks share; everything else is read-only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.build.carried import RENDERED, Layer
from kirikae.build.images import shared_folders
from kirikae.model.build_settings import BuildSettings, Mount
from kirikae.model.project import Project
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import WebServer, Workload, Writable

Row = dict[str, Any]
_TMP_MIB = 64
TMP: Row = {
    "containerPath": "/tmp",
    "size": _TMP_MIB,
    "mountOptions": ["mode=1777"],
}
_APACHE = ("/run/apache2", "/run/lock/apache2")
_PASSING = ("cache", "runtime")
_ANOTHER_S = ("/var/lib/nginx", "/run/nginx", "/var/cache/nginx")
_SINGLE = (".pid", ".sock", ".socket", ".lock")
_EVERYBODY_S = ("/tmp", "/var/tmp", "/run", "/run/lock", "/var/run")


@dataclass(frozen=True, slots=True)
class Shared:
    """A volume of the task: for sockets, or on a file system."""

    name: str
    path: str
    mount: Mount | None

    def volume(self) -> Row:
        """As one of ``volumes``."""
        if self.mount is None or self.mount.efs is None:
            return {"name": self.name}
        efs: Row = {
            "fileSystemId": self.mount.efs,
            "transitEncryption": "ENABLED",
        }
        if self.mount.access_point is None:
            efs["rootDirectory"] = self.mount.folder
        else:
            point = {
                "accessPointId": self.mount.access_point,
                "iam": "ENABLED",
            }
            efs["authorizationConfig"] = point
        return {
            "name": self.name,
            "efsVolumeConfiguration": efs,
        }

    def point(self) -> Row:
        """As one of ``mountPoints``."""
        return {
            "sourceVolume": self.name,
            "containerPath": self.path,
        }


def tmpfs_of(
    workload: Workload,
    settings: BuildSettings,
    layer: Layer,
) -> list[Row]:
    """What may be lost with the task, and belongs to its user."""
    sizes = dict.fromkeys(passing_of(workload), _TMP_MIB)
    if workload.runtime.image is ImageKind.APACHE:
        sizes |= dict.fromkeys(_APACHE, _TMP_MIB)
    if layer.names:
        sizes[RENDERED] = 1
    sizes |= {path: mount.size for path, mount in settings.mounts.items() if mount.efs is None}
    shared = {each.path for each in shared_of(workload, settings)}
    paths = [path for path in sorted(sizes) if not _lies_in(path, {*sizes, *shared})]
    return [TMP, *(_tmpfs(path, sizes[path], workload) for path in paths if path not in shared)]


def _lies_in(path: str, folders: Iterable[str]) -> bool:
    """What is in memory already needs no memory of its own."""
    return any(path.startswith(f"{folder}/") for folder in folders)


def tmpfs_of_web(names: bool) -> list[Row]:
    """nginx's temporary files, and its configuration where that waits for secrets."""
    options = ["uid=33", "gid=33", "mode=0755"]
    rendered = {
        "containerPath": RENDERED,
        "size": 1,
        "mountOptions": options,
    }
    return [TMP, rendered] if names else [TMP]


def passing_of(workload: Workload) -> list[str]:
    """Caches and runtime folders of the service itself; nginx's own are the sidecar's."""
    return sorted({writable.path for writable in workload.writable if _passes(writable, workload)})


def _passes(writable: Writable, workload: Workload) -> bool:
    path = writable.path
    if writable.kind not in _PASSING or path in _EVERYBODY_S or path.startswith("/tmp/"):
        return False
    if path.startswith(_ANOTHER_S) or path.endswith(_SINGLE):
        return False
    return is_of(writable, workload) or (len(workload.others) == 0 and writable.kind == "cache")


def is_of(writable: Writable, workload: Workload) -> bool:
    """Does this service write there?"""
    name = workload.unit.removesuffix(".service")
    return not writable.services or name in writable.services


def _tmpfs(
    path: str,
    size: int,
    workload: Workload,
) -> Row:
    options = [f"uid={workload.uid}", f"gid={workload.gid}", "mode=0755"]
    return {
        "containerPath": path,
        "size": size,
        "mountOptions": options,
    }


def shared_of(workload: Workload, settings: BuildSettings) -> list[Shared]:
    """Volumes of a service: file systems that the project file names, folders of sockets."""
    found = []
    for path, mount in sorted(settings.mounts.items()):
        if mount.efs is not None:
            found.append(Shared(_name(path), path, mount))
    if workload.runtime.image is ImageKind.PROGRAM and workload.web is not None:
        asked = set(sockets_asked(workload.web))
        for folder in shared_folders(workload):
            if any(socket.startswith(f"{folder}/") for socket in asked):
                found.append(Shared(_name(folder), folder, None))
    return found


def shared_of_web(workload: Workload, settings: BuildSettings) -> list[Shared]:
    """What the sidecar sees of them: sockets, and files that it serves itself."""
    web = workload.web
    every = [each for one in workload.every for each in shared_of(one, settings)]
    served = web.elsewhere if web is not None else ()
    found = {
        each.name: each
        for each in every
        if each.mount is None or each.path.startswith(served) or _lies_in_static(each, workload)
    }
    return list(found.values())


def _lies_in_static(shared: Shared, workload: Workload) -> bool:
    """Uploads in the middle of what nginx serves."""
    web = workload.web
    static = web.static if web is not None else ()
    folders = [f"{workload.folder}/{each}".removesuffix("/.") for each in static]
    return any(shared.path.startswith(f"{folder}/") for folder in folders)


def sockets_asked(web: WebServer) -> Iterator[str]:
    """Sockets that the virtual hosts name."""
    for line in web.lines:
        _, unix, rest = line.partition("unix:")
        if unix:
            yield rest.split(";")[0].split(":")[0].strip().replace("/var/run/", "/run/")


_NAME_LENGTH = 200
_OTHER = re.compile(r"[^A-Za-z0-9]+")


def _name(path: str) -> str:
    """Letters, digits and hyphens (ECS API, Volume: 255 of them).  Whatever becomes a hyphen and is
    no slash gets a mark of its own: no two folders share a volume."""
    name = _OTHER.sub("-", path).strip("-")[:_NAME_LENGTH]
    if path.strip("/") == name.replace("-", "/"):
        return name
    return f"{name}-{hashlib.sha256(path.encode()).hexdigest()[:6]}".lstrip("-")


_OF_THE_SYSTEM = ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/sbin", "/sys", "/usr")


def questions_on(workload: Workload, project: Project) -> Iterator[str]:
    """Mounts that would hide what the image is made of."""
    for path in sorted(project.build.mounts):
        if path in _OF_THE_SYSTEM:
            yield (
                f"`build.mounts` has {path}, without which no container begins; name the folder in "
                "it that the service writes"
            )
        elif workload.folder == path or workload.folder.startswith(f"{path}/"):
            yield (
                f"`build.mounts` has {path}, where the code of {workload.unit} lies "
                f"({workload.folder}): it would be hidden; name the folder in it that the service "
                "writes"
            )


def notes_on(workload: Workload, settings: BuildSettings) -> Iterator[str]:
    """State that a task could not write, and nobody has said where it goes."""
    for writable in workload.writable:
        if writable.kind in ("cache", "runtime", "log") or not is_of(writable, workload):
            continue
        answered = any(
            writable.path == path or writable.path.startswith(f"{path}/")
            for path in settings.mounts
        )
        if not answered:
            yield (
                f"{writable.path} ({writable.code} {writable.kind}) cannot be written in a task: "
                f"give it a file system or memory, `build.mounts: {{{writable.path}: "
                "{efs: fs-...}}`, or let the service keep it elsewhere (S3, a database)"
            )
