"""All checks, one row each, and how an object is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from kirikae.guard import account_checks as account
from kirikae.guard import fargate_checks as fargate
from kirikae.guard import file_checks as files
from kirikae.guard import image_checks as images
from kirikae.guard import scan_checks as scans
from kirikae.guard import task_checks as tasks
from kirikae.guard.fargate_checks import open_value
from kirikae.guard.limits import Limits
from kirikae.guard.objects import (
    Container,
    Dockerfile,
    Image,
    Kind,
    Object,
    Plain,
    Resource,
    Scanned,
    Task,
    open_on,
)
from kirikae.guard.seen import (
    ContainerCheck,
    Fault,
    FileCheck,
    ImageCheck,
    Looked,
    Outcome,
    ResourceCheck,
    ScanCheck,
    Seen,
    TaskCheck,
    Unknown,
)
from kirikae.model.catalogue import load
from kirikae.model.finding import Finding, Trace
from kirikae.model.said import Said, said

FARGATE = "fargate"
NIST = "nist-800-190"
TWELVE = "twelve-factor"
PROFILES = (NIST, FARGATE, TWELVE)
_PACKAGE = "kirikae.guard"
_FARGATE = "FARGATE"


class Check(NamedTuple):
    """``limits``: names of the dated data that it goes by."""

    code: str
    profiles: tuple[str, ...]
    of_task: TaskCheck | None = None
    of_file: FileCheck | None = None
    of_image: ImageCheck | None = None
    of_scan: ScanCheck | None = None
    of_resource: Mapping[Kind, ResourceCheck] | None = None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which profiles, and by the limits of which day."""

    profiles: tuple[str, ...]
    limits: Limits


def each_container(check: ContainerCheck, *paths: str) -> TaskCheck:
    """A check of one container, of all of them.  ``paths``: where it reads more than one value."""

    def looked(task: Task, limits: Limits) -> Iterator[Seen]:
        if task.unread:
            yield open_value("containerDefinitions")
        for container in task.containers:
            yield from _open_values(
                container.plain,
                paths,
                f"{container.label}.",
            )
            for seen in check(container, limits):
                yield _of(container, seen)

    return looked


def _of(container: Container, seen: Seen) -> Seen:
    """A fault names its container."""
    if not isinstance(seen, Fault):
        return seen
    label = container.label
    return replace(
        seen,
        at=f"{label}.{seen.at}",
        says=f"{label}: {seen.says}",
    )


def reading(check: TaskCheck, *paths: str) -> TaskCheck:
    """A check of the task, that says where what it reads is not known."""

    def looked(task: Task, limits: Limits) -> Iterator[Seen]:
        yield from _open_values(
            task.plain,
            paths,
            "",
        )
        yield from check(task, limits)

    return looked


def _open_values(
    plain: Plain,
    paths: Sequence[str],
    before: str,
) -> Iterator[Unknown]:
    for path in paths:
        for at in open_on(plain, path):
            yield open_value(f"{before}{at}")


_INVALID = (
    *("disableNetworking", "dnsSearchDomains", "dnsServers", "dockerSecurityOptions"),
    *("extraHosts", "links", "resourceRequirements.*.type"),
    *(f"linuxParameters.{key}" for key in ("devices", "maxSwap", "sharedMemorySize", "swappiness")),
)
_VOLUMES = ("volumes.*.host.sourcePath", "volumes.*.dockerVolumeConfiguration")
_KEYS = ("inferenceAccelerators", "ipcMode", "placementConstraints", *_VOLUMES)
_CONTROLS = "containerDefinitions.*.systemControls.*"
_OF_FARGATE = (FARGATE,)
_OF_NIST = (NIST,)
_BOTH = (NIST, TWELVE)
CHECKS = (
    Check(
        "FG01",
        _OF_FARGATE,
        fargate.size,
        limits=("sizes",),
    ),
    Check(
        "FG02",
        _OF_FARGATE,
        fargate.network_mode,
        limits=("network_mode",),
    ),
    Check(
        "FG03",
        _OF_FARGATE,
        each_container(fargate.log_driver),
        limits=("log_drivers",),
    ),
    Check(
        "FG04",
        (FARGATE, NIST),
        each_container(fargate.privileged),
    ),
    Check(
        "FG05",
        (FARGATE, NIST),
        each_container(
            fargate.capabilities,
            "linuxParameters.capabilities.add.*",
        ),
        limits=("capabilities",),
    ),
    Check(
        "FG06",
        _OF_FARGATE,
        fargate.pid_mode,
        limits=("pid_mode",),
    ),
    Check(
        "FG07", _OF_FARGATE, reading(fargate.task_keys, *_KEYS), limits=("task_keys", "volume_keys")
    ),
    Check(
        "FG08",
        _OF_FARGATE,
        each_container(fargate.container_keys, *_INVALID),
        limits=("container_keys", "linux_keys", "resource_types"),
    ),
    Check(
        "FG09",
        _OF_FARGATE,
        fargate.storage,
        limits=("ephemeral_storage",),
    ),
    Check(
        "FG10",
        _OF_FARGATE,
        reading(fargate.container_count, "containerDefinitions.*"),
        limits=("containers",),
    ),
    Check(
        "FG11", _OF_FARGATE, each_container(fargate.ulimits, "ulimits.*.name"), limits=("ulimits",)
    ),
    Check(
        "FG12",
        _OF_FARGATE,
        reading(
            fargate.system_controls,
            f"{_CONTROLS}.namespace",
            f"{_CONTROLS}.value",
        ),
        limits=("system_controls",),
    ),
    Check(
        "FG13",
        _OF_FARGATE,
        each_container(fargate.stop_timeout),
        limits=("stop_timeout",),
    ),
    Check(
        "FG14",
        _OF_FARGATE,
        each_container(fargate.tmpfs, "linuxParameters.tmpfs"),
        limits=("tmpfs",),
    ),
    Check(
        "GD01",
        _OF_NIST,
        each_container(tasks.user),
        files.user,
        images.user,
    ),
    Check(
        "GD02",
        _OF_NIST,
        each_container(tasks.readonly_root),
    ),
    Check(
        "GD03",
        _BOTH,
        each_container(tasks.clear_secrets, "environment.*.name"),
        files.clear_secrets,
        images.clear_secrets,
    ),
    Check(
        "GD04",
        _BOTH,
        each_container(tasks.image),
        files.base_image,
        images.base_image,
    ),
    Check(
        "GD05",
        _OF_NIST,
        reading(tasks.engine_socket, *_VOLUMES),
    ),
    Check(
        "GD06",
        _OF_NIST,
        tasks.shared_namespaces,
    ),
    Check(
        "GD07",
        (TWELVE,),
        each_container(tasks.logs),
    ),
    Check(
        "GD08",
        (TWELVE,),
        None,
        files.exec_form,
        images.exec_form,
    ),
    Check(
        "GD09",
        _OF_NIST,
        None,
        files.logins,
        images.logins,
    ),
    Check(
        "GD10",
        _OF_NIST,
        None,
        files.unproven,
        images.unproven,
    ),
    Check(
        "GD11",
        _OF_NIST,
        None,
        files.writable,
        images.writable,
    ),
    Check(
        "GD12",
        _OF_NIST,
        of_image=images.set_id,
    ),
    Check(
        "GD13",
        _OF_NIST,
        of_image=images.leftovers,
    ),
    Check(
        "GV01",
        _OF_NIST,
        of_scan=scans.vulnerabilities,
    ),
    Check(
        "GV02",
        _OF_NIST,
        of_scan=scans.age,
    ),
    Check(
        "GD14",
        _OF_NIST,
        reading(tasks.encrypted_volumes, "volumes.*"),
    ),
    Check(
        "GD15",
        _OF_NIST,
        tasks.roles_apart,
    ),
    Check(
        "GA01",
        _OF_NIST,
        of_resource={Kind.REPOSITORY: account.scanned},
    ),
    Check(
        "GA02",
        _OF_NIST,
        of_resource={Kind.REPOSITORY: account.immutable},
    ),
    Check(
        "GA03",
        _OF_NIST,
        of_resource={Kind.REPOSITORY: account.lifecycle},
    ),
    Check(
        "GA04",
        _OF_NIST,
        of_resource={Kind.REPOSITORY: account.not_public},
    ),
    Check(
        "GA05",
        _OF_NIST,
        of_resource={Kind.REPOSITORY: account.own_key},
    ),
    Check(
        "GA06",
        _OF_NIST,
        of_resource={Kind.SERVICE: account.public_address},
    ),
    Check(
        "GA07",
        _OF_NIST,
        of_resource={Kind.GROUP: account.open_to_all},
    ),
    Check(
        "GA08",
        _OF_NIST,
        of_resource={Kind.GROUP: account.unbounded},
    ),
    Check(
        "GA09",
        _OF_NIST,
        of_resource={Kind.SERVICE: account.exec_logged, Kind.CLUSTER: account.cluster_exec},
    ),
    Check(
        "GA10",
        _OF_NIST,
        of_resource={Kind.SERVICE: account.platform},
    ),
    Check(
        "GA11",
        _OF_NIST,
        of_resource={Kind.POLICY: account.least_privilege},
    ),
    Check(
        "GA12",
        _OF_NIST,
        of_resource={Kind.POLICY: account.passed_roles},
    ),
    Check(
        "GA13",
        (TWELVE,),
        of_resource={Kind.CLUSTER: account.insights},
    ),
)


def looked_at(objects: Iterable[Object], asked: Asked) -> list[Looked]:
    """Every check that is asked for, of every object that it is made for."""
    found = []
    for thing in objects:
        for check in CHECKS:
            if set(check.profiles) & set(asked.profiles):
                look = _look_of(
                    check,
                    thing,
                    asked,
                )
                if look is not None:
                    found.append(
                        _looked(
                            check,
                            thing,
                            look,
                            asked.limits,
                        )
                    )
    return found


_Look = Callable[[], Iterator[Seen]]


def _look_of(
    check: Check,
    thing: Object,
    asked: Asked,
) -> _Look | None:
    """None: the check is made for another kind of object."""
    match thing:
        case Task():
            of_task = check.of_task
            return None if of_task is None else lambda: of_task(thing, asked.limits)
        case Dockerfile():
            of_file = check.of_file
            return None if of_file is None else lambda: of_file(thing)
        case Image():
            of_image = check.of_image
            return None if of_image is None else lambda: of_image(thing)
        case Scanned():
            of_scan = check.of_scan
            return None if of_scan is None else lambda: of_scan(thing, asked.limits)
        case Resource():
            return _look_of_resource(check, thing)


def _look_of_resource(check: Check, thing: Resource) -> _Look | None:
    """Of a task definition that may not be read, no check was made."""
    if thing.kind is Kind.TASK:
        closed = [Unknown(why) for why in thing.closed.values()]
        return None if check.of_task is None else lambda: iter(closed)
    of_resource = (check.of_resource or {}).get(thing.kind)
    return None if of_resource is None else lambda: of_resource(thing)


def _looked(
    check: Check,
    thing: Object,
    look: _Look,
    limits: Limits,
) -> Looked:
    elsewhere = _elsewhere(check, thing)
    if elsewhere is not None:
        return Looked(
            check.code,
            thing.name,
            Outcome.NOT_APPLICABLE,
            why=(elsewhere,),
        )
    seen = list(look())
    faults = tuple(
        _finding(
            check,
            thing,
            each,
            limits,
        )
        for each in seen
        if isinstance(each, Fault)
    )
    why = _once(each.why for each in seen if isinstance(each, Unknown))
    if not faults:
        why += _too_old(check, limits)
    outcome = _outcome(bool(faults), bool(why))
    by = thing.by if isinstance(thing, Scanned) else ()
    return Looked(
        check.code,
        thing.name,
        outcome,
        faults,
        tuple(why),
        by,
    )


def _once(reasons: Iterable[Said]) -> list[Said]:
    """Two values of a check may be open at the same place."""
    return list({repr(each): each for each in reasons}.values())


def _too_old(check: Check, limits: Limits) -> Iterator[Said]:
    """Nothing passes by data that may have changed since."""
    for limit in map(limits.of, check.limits):
        if limits.is_old(limit.name):
            yield said(
                "guard.limits_old",
                read=str(limit.read),
                source=limit.source,
            )


def _elsewhere(check: Check, thing: Object) -> Said | None:
    """A task that runs on machines of one's own has other limits; one that does not say where it
    runs is looked at as Fargate would."""
    if check.profiles != _OF_FARGATE or not isinstance(thing, Task) or not thing.platforms:
        return None
    if _FARGATE in thing.platforms:
        return None
    return said("guard.not_fargate", platforms=list(thing.platforms))


def runs_on_fargate(task: Task) -> bool:
    """Does it say so, and of nothing else?"""
    return task.platforms == (_FARGATE,)


def _outcome(failed: bool, unknown: bool) -> Outcome:
    if failed:
        return Outcome.FAIL
    return Outcome.NOT_CHECKED if unknown else Outcome.PASS


def _finding(
    check: Check,
    thing: Object,
    fault: Fault,
    limits: Limits,
) -> Finding:
    """The evidence names the file, and the limit that was gone by."""
    separator = "." if "#" in thing.name else "#"
    traces = [
        Trace(
            "",
            thing.name,
            fault.says,
            fault.line,
        )
    ]
    for limit in map(limits.of, check.limits):
        traces.append(
            Trace(
                "",
                limit.source,
                f"read {limit.read:%Y-%m}",
            )
        )
    entry = load(_PACKAGE)[check.code]
    found = entry.found(
        f"{thing.name}{separator}{fault.at}",
        fault.says,
        traces,
    )
    return found if fault.severity is None else replace(found, severity=fault.severity)


def day_of(profile: str) -> tuple[str, date | None]:
    """``fargate@2025-12-01``: the profile, and the day.  Raises ValueError."""
    name, at, day = profile.partition("@")
    if name not in PROFILES or (at and name != FARGATE):
        raise ValueError(profile)
    return name, date.fromisoformat(day) if at else None
