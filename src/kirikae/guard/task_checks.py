"""What NIST SP 800-190 and the twelve factors ask of a task definition."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.guard.fargate_checks import open_value
from kirikae.guard.limits import Limits
from kirikae.guard.objects import Container, Task, is_open, part_of, rows_of
from kirikae.guard.secrets import why_secret
from kirikae.guard.seen import Fault, Seen, Unknown
from kirikae.model.said import said

_TRANSIT = "transitEncryption"
_ROOT = {"root", "0"}


def user(container: Container, _: Limits) -> Iterator[Seen]:
    """Without one, the image's own counts."""
    given = container.plain.get("user")
    if is_open(given):
        yield open_value(f"{container.label}.user")
    elif given in (None, ""):
        yield Unknown(said("guard.users_image", container=container.label))
    elif is_root(str(given)):
        yield Fault("user", f"the container runs as {given}")


def is_root(user: str) -> bool:
    """By name or number, with a group or without."""
    return user.partition(":")[0].strip().lower() in _ROOT


def readonly_root(container: Container, _: Limits) -> Iterator[Seen]:
    """Left out is not read-only."""
    given = container.plain.get("readonlyRootFilesystem")
    if is_open(given):
        yield open_value(f"{container.label}.readonlyRootFilesystem")
    elif given is not True:
        yield Fault(
            "readonlyRootFilesystem",
            "the container may write anywhere in its own root",
        )


def clear_secrets(container: Container, _: Limits) -> Iterator[Seen]:
    """In ``environment``; the value is not told."""
    if is_open(container.plain.get("environment")):
        yield open_value(f"{container.label}.environment")
    for row in rows_of(container.plain.get("environment")):
        name = row.get("name")
        value = row.get("value")
        if is_open(name) or is_open(value):
            # It may be a secret, whatever its name: who renders it knows.
            yield open_value(f"{container.label}.environment.{_name(name)}")
            continue
        why = why_secret(str(name), "" if value is None else str(value))
        if why:
            yield Fault(
                f"environment.{name}",
                f"{name} stands in clear text ({why})",
            )


def _name(name: object) -> str:
    return name if isinstance(name, str) else ""


def image(container: Container, _: Limits) -> Iterator[Seen]:
    """A tag that moves is another program tomorrow."""
    given = container.plain.get("image")
    if is_open(given):
        yield open_value(f"{container.label}.image")
    elif isinstance(given, str) and is_moving(given):
        yield Fault(
            "image",
            f"the image {given} has no tag of its own (or latest)",
        )


def is_moving(image: str) -> bool:
    """No digest, and no tag or the tag ``latest``."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def engine_socket(task: Task, _: Limits) -> Iterator[Seen]:
    """Who has it, has the host."""
    for volume in rows_of(task.plain.get("volumes")):
        path = part_of(volume, "host").get("sourcePath")
        if isinstance(path, str) and path.rstrip("/").endswith(("docker.sock", "containerd.sock")):
            at = f"volumes.{volume.get('name', '')}.host"
            yield Fault(
                at,
                f"the engine's socket {path} is given to containers",
            )


def shared_namespaces(task: Task, _: Limits) -> Iterator[Seen]:
    """Of the host: processes, memory, network."""
    for key in ("pidMode", "ipcMode", "networkMode"):
        given = task.plain.get(key)
        if is_open(given):
            yield open_value(key)
        elif given == "host":
            yield Fault(
                key,
                f"{key} host: the container is not apart from its host",
            )


def logs(container: Container, _: Limits) -> Iterator[Seen]:
    """What is written to standard output goes somewhere."""
    given = container.plain.get("logConfiguration")
    if is_open(given):
        yield open_value(f"{container.label}.logConfiguration")
    elif not given:
        yield Fault(
            "logConfiguration",
            "nobody takes what the container writes to its output",
        )


def encrypted_volumes(task: Task, _: Limits) -> Iterator[Seen]:
    """Of EFS; left out is not encrypted."""
    for volume in rows_of(task.plain.get("volumes")):
        at = f"volumes.{volume.get('name', '')}"
        if volume.get("efsVolumeConfiguration") is None:
            continue
        given = part_of(volume, "efsVolumeConfiguration").get(_TRANSIT)
        if is_open(volume["efsVolumeConfiguration"]) or is_open(given):
            yield open_value(at)
        elif given != "ENABLED":
            yield Fault(at, "what goes to EFS is not encrypted on its way")


def roles_apart(task: Task, _: Limits) -> Iterator[Seen]:
    """Who starts the task reads its secrets; what runs in it needs other rights."""
    both = [task.plain.get(key) for key in ("executionRoleArn", "taskRoleArn")]
    if any(map(is_open, both)):
        yield open_value("executionRoleArn, taskRoleArn")
    elif both[0] and both[0] == both[1]:
        yield Fault(
            "taskRoleArn",
            f"the task has the role that starts it, {both[0]}",
        )
