"""What Fargate refuses or does not do (Amazon ECS developer guide, task definition differences)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.guard.limits import Limits
from kirikae.guard.objects import (
    Container,
    Plain,
    Task,
    entries,
    is_open,
    number_of,
    part_of,
    rows_of,
)
from kirikae.guard.seen import Fault, Seen, Unknown
from kirikae.model.fargate import size_problem
from kirikae.model.said import said

_UNITS = (("vcpu", 1024.0), ("gb", 1024.0))


def open_value(at: str) -> Unknown:
    """What stands there is filled in later."""
    return Unknown(said("guard.open", at=at))


# --- the task


def size(task: Task, _: Limits) -> Iterator[Seen]:
    """Both are needed, and only some pairs exist."""
    cpu = task.plain.get("cpu")
    memory = task.plain.get("memory")
    if is_open(cpu) or is_open(memory):
        yield open_value("cpu, memory")
        return
    units = _amount(cpu)
    mebibytes = _amount(memory)
    if units is None or mebibytes is None:
        yield Fault(
            "cpu",
            "the task has no cpu and memory of its own, which Fargate needs",
        )
        return
    problem = size_problem(int(units), int(mebibytes))
    if problem:
        yield Fault("cpu", problem)


def _amount(value: object) -> float | None:
    """``1024``, ``1 vCPU`` and ``2 GB`` as units or MiB (API reference, RegisterTaskDefinition)."""
    plainly = number_of(value)
    if plainly is not None or not isinstance(value, str):
        return plainly
    small = value.lower().replace(" ", "")
    for unit, factor in _UNITS:
        if small.endswith(unit):
            many = number_of(small.removesuffix(unit))
            return None if many is None else many * factor
    return None


def network_mode(task: Task, limits: Limits) -> Iterator[Seen]:
    """Each task has an address of its own."""
    mode = task.plain.get("networkMode")
    if is_open(mode):
        yield open_value("networkMode")
    elif mode not in limits.of("network_mode").values:
        told = f"network mode {mode}" if mode else "no network mode, which means bridge"
        yield Fault("networkMode", f"{told}; Fargate has awsvpc only")


def pid_mode(task: Task, limits: Limits) -> Iterator[Seen]:
    """It stands at the task, never at a container."""
    mode = task.plain.get("pidMode")
    if is_open(mode):
        yield open_value("pidMode")
    elif mode and mode not in limits.of("pid_mode").values:
        yield Fault(
            "pidMode",
            f"pidMode {mode}: no container of Fargate sees the host's processes",
        )


def task_keys(task: Task, limits: Limits) -> Iterator[Seen]:
    """Those of the task, and of its volumes."""
    for key in limits.of("task_keys").values:
        if _is_given(task.plain.get(key)):
            yield Fault(key, f"{key} is not valid in a task of Fargate")
    for volume in rows_of(task.plain.get("volumes")):
        at = f"volumes.{volume.get('name', '')}"
        for key in limits.of("volume_keys").values:
            if _is_given(volume.get(key)):
                yield Fault(
                    f"{at}.{key}",
                    f"{key} is not valid in a task of Fargate",
                )
        path = part_of(volume, "host").get("sourcePath")
        if _is_given(path):
            yield Fault(
                f"{at}.host",
                f"the volume lies at {path} of a host that Fargate hides",
            )


def storage(task: Task, limits: Limits) -> Iterator[Seen]:
    """What is left out is 20 GiB."""
    given = part_of(task.plain, "ephemeralStorage").get("sizeInGiB")
    limit = limits.of("ephemeral_storage")
    if is_open(given) or is_open(task.plain.get("ephemeralStorage")):
        yield open_value("ephemeralStorage")
        return
    many = number_of(given)
    if given is not None and (
        many is None
        or not _within(
            many,
            limit.least,
            limit.most,
        )
    ):
        yield Fault(
            "ephemeralStorage",
            f"{given} GiB of storage; Fargate has {limit.least:g} to {limit.most:g} GiB, or 20 "
            "where nothing is said",
        )


def _within(
    many: float,
    least: float | None,
    most: float | None,
) -> bool:
    return (least is None or many >= least) and (most is None or many <= most)


def container_count(task: Task, limits: Limits) -> Iterator[Seen]:
    """Sidecars count."""
    many = len(entries(task.plain.get("containerDefinitions")))
    most = limits.of("containers").most
    if most is not None and many > most:
        yield Fault(
            "containerDefinitions",
            f"{many} containers; a task has {most:g} at most",
        )


def system_controls(task: Task, limits: Limits) -> Iterator[Seen]:
    """They hold for the whole task, and the last container wins."""
    chosen: dict[str, object] = {}
    for label, plain in task.containers:
        for row in rows_of(plain.get("systemControls")):
            name = str(row.get("namespace", ""))
            value = row.get("value")
            if is_open(row.get("namespace")) or is_open(value):
                continue
            at = f"{label}.systemControls.{name}"
            if not name.startswith(limits.of("system_controls").values):
                yield Fault(
                    at,
                    f"{name}: of the kernel's settings Fargate takes net.* only",
                )
            elif chosen.setdefault(name, value) != value:
                yield Fault(
                    at,
                    f"{name} differs between containers; for all of them the last wins",
                )


# --- its containers


def log_driver(container: Container, limits: Limits) -> Iterator[Seen]:
    """None at all is another finding."""
    driver = part_of(container.plain, "logConfiguration").get("logDriver")
    drivers = limits.of("log_drivers").values
    if is_open(driver) or is_open(container.plain.get("logConfiguration")):
        yield open_value(f"{container.label}.logConfiguration")
    elif driver is not None and driver not in drivers:
        yield Fault(
            "logConfiguration",
            f"log driver {driver}; Fargate has {', '.join(drivers)}",
        )


def privileged(container: Container, _: Limits) -> Iterator[Seen]:
    """The key is ``privileged``, and it stands at the container."""
    given = container.plain.get("privileged")
    if is_open(given):
        yield open_value(f"{container.label}.privileged")
    elif given not in (None, False):
        yield Fault(
            "privileged",
            "the container asks for all rights of the host (privileged)",
        )


def capabilities(container: Container, limits: Limits) -> Iterator[Seen]:
    """Docker takes the names with and without CAP_."""
    found = part_of(container.plain, "linuxParameters").get("capabilities")
    added = found.get("add") if isinstance(found, Mapping) else found
    for each in entries(added):
        if is_open(each):
            continue
        name = str(each).upper().removeprefix("CAP_")
        if name not in limits.of("capabilities").values:
            yield Fault(
                f"linuxParameters.capabilities.{name}",
                f"it adds the capability {name}; Fargate adds SYS_PTRACE only",
            )


def container_keys(container: Container, limits: Limits) -> Iterator[Seen]:
    """Those of the container, of its kernel and of its devices."""
    linux = part_of(container.plain, "linuxParameters")
    for name, plain, prefix in (
        ("container_keys", container.plain, ""),
        ("linux_keys", linux, "linuxParameters."),
    ):
        yield from _invalid(
            plain,
            prefix,
            limits.of(name).values,
        )
    for row in rows_of(container.plain.get("resourceRequirements")):
        kind = str(row.get("type", ""))
        if not is_open(row.get("type")) and kind not in limits.of("resource_types").values:
            yield Fault(
                f"resourceRequirements.{kind}",
                f"{kind}: Fargate has no such device",
            )


def _invalid(
    plain: Plain,
    prefix: str,
    keys: tuple[str, ...],
) -> Iterator[Fault]:
    for key in keys:
        if _is_given(plain.get(key)):
            yield Fault(
                f"{prefix}{key}",
                f"{key} is not valid in a task of Fargate",
            )


def _is_given(value: Any) -> bool:
    """Zero swap is given, too; an empty list and False are not, nor is what nobody knows yet."""
    if is_open(value) or value is None or value is False:
        return False
    return value not in ([], {}, "")


def ulimits(container: Container, limits: Limits) -> Iterator[Seen]:
    """All others keep the defaults of the operating system."""
    for row in rows_of(container.plain.get("ulimits")):
        name = row.get("name")
        if not is_open(name) and name not in limits.of("ulimits").values:
            yield Fault(
                f"ulimits.{name}",
                f"ulimit {name}: Fargate sets nofile only",
            )


def stop_timeout(container: Container, limits: Limits) -> Iterator[Seen]:
    """Longer requests need a drain before the stop."""
    given = container.plain.get("stopTimeout")
    most = limits.of("stop_timeout").most
    if is_open(given):
        yield open_value(f"{container.label}.stopTimeout")
        return
    seconds = number_of(given)
    if seconds is not None and most is not None and seconds > most:
        yield Fault(
            "stopTimeout",
            f"stopTimeout {seconds:g} s; Fargate waits {most:g} s at most",
        )


def tmpfs(container: Container, limits: Limits) -> Iterator[Seen]:
    """Allowed since a day."""
    mounts = part_of(container.plain, "linuxParameters").get("tmpfs")
    if mounts and not limits.holds("tmpfs"):
        since = limits.of("tmpfs").since
        yield Fault(
            "linuxParameters.tmpfs",
            f"tmpfs: Fargate has it since {since} only",
        )
