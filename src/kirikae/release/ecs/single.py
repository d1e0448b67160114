"""A task of its own (a migration, a console's command): what is asked of RunTask, from the files
and what was wished, before anything is called."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.aws import fitting, shapes
from kirikae.aws.session import Aws
from kirikae.model.errors import UsageProblem
from kirikae.release.ecs import comparing, loading, remote
from kirikae.release.ecs.config import EcsConfig
from kirikae.release.ecs.loading import Definition
from kirikae.release.ecs.reading import JSONNET, parsed, rendered
from kirikae.release.errors import DefinitionProblem

Plain = dict[str, Any]
_RUN = "RunTask"
_FROM_SERVICE = (
    "capacityProviderStrategy",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "launchType",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "platformVersion",
)
"""What a task of its own has in common with those of the service, as ecspresso takes it over."""
_VOLUMES = "volumeConfigurations"
_DISK = "managedEBSVolume"
_BY_SERVICE = "SERVICE"
_BY_DEFINITION = "TASK_DEFINITION"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says; ``revision`` None and neither flag: a new one is registered."""

    task_file: Path | None = None
    revision: int | None = None
    latest: bool = False
    skip: bool = False
    overrides: str = ""
    overrides_file: Path | None = None
    watched: str = ""
    """A container; empty: the first one."""
    count: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    propagate: str = ""
    token: str = ""
    keeps_disks: bool = False
    """EBS volumes of the task stay when it ends."""

    @property
    def registers(self) -> bool:
        return self.revision is None and not self.latest and not self.skip


@dataclass(frozen=True, slots=True)
class Single:
    """``register``: the definition that is registered first; None: ``asked`` names one.
    ``containers``: the definition's, in its order."""

    asked: Plain
    register: Definition | None
    containers: Sequence[Mapping[str, Any]]
    watched: str
    remarks: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Of what is registered."""
        return "" if self.register is None else str(self.register.plain.get("family", ""))

    def of(self, definition: str) -> Plain:
        """What is asked, with the ARN of the revision."""
        return {**self.asked, "taskDefinition": definition}


def single(aws: Aws, config: EcsConfig, wish: Wish) -> Single:
    """Reads and asks, and changes nothing.  Raises DefinitionProblem, UsageProblem, AwsRefused."""
    service = comparing.service_of(config) if config.service_definition is not None else None
    register = _registered(config, wish)
    name, plain = _definition(aws, config, wish, register)
    containers = plain.get("containerDefinitions") or []
    names = [str(each.get("name", "")) for each in containers]
    overrides, remarks = _overrides(config, wish)
    _assert_known(overrides, names)
    asked = {
        "cluster": config.cluster,
        "taskDefinition": name,
        "count": wish.count,
        "clientToken": wish.token or str(uuid.uuid4()),
        **_of_service(service, wish),
        **overrides,
        **_tagging(aws, config, wish),
    }
    _assert_taken(asked, register, service)
    told = [*config.remarks, *remarks]
    for each in (register, service):
        told += [] if each is None else each.remarks
    return Single(asked, register, containers, _watched(wish, names), tuple(told))


def _definition(
    aws: Aws,
    config: EcsConfig,
    wish: Wish,
    register: Definition | None,
) -> tuple[str, Plain]:
    """(its ARN, or the family of what is registered first; what it says)."""
    if register is not None:
        return str(register.plain.get("family", "")), register.plain
    found = _there(aws, config, wish)
    return found.arn, found.plain


# --- the task definition


def _registered(config: EcsConfig, wish: Wish) -> Definition | None:
    """Which file a new revision is made of; None: one that is there runs."""
    if not wish.registers:
        return None
    if wish.task_file is not None:
        return loading.task_definition(wish.task_file, config.around)
    return comparing.task_of(config)


def _there(aws: Aws, config: EcsConfig, wish: Wish) -> remote.Task:
    """By revision, else the newest, else the service's own."""
    used = used_by_service(aws, config)
    family = family_of(config, used, wish.task_file)
    name = used if wish.skip and not wish.latest and used else family
    if wish.revision is not None:
        name = f"{family}:{wish.revision}"
    found = remote.task(aws, name)
    if found is None:
        raise UsageProblem(
            f"there is no task definition {name} in this account and region: register one (leave "
            "--revision, --latest-task-definition and --skip-task-definition out), or correct it"
        )
    return found


def used_by_service(aws: Aws, config: EcsConfig) -> str:
    """The ARN of what the service runs; empty: there is no service."""
    row = remote.service(aws, config.cluster, config.service) if config.service else None
    return "" if row is None else row.task_definition


def family_of(config: EcsConfig, used: str, file: Path | None = None) -> str:
    """The service's, else the file's.  Raises DefinitionProblem."""
    if used and file is None:
        return used.rpartition("/")[2].partition(":")[0]
    path = file or config.task_definition
    if path is None:
        raise DefinitionProblem(f"{config.path}: `task_definition` is missing: name its file")
    family = loading.task_definition(path, config.around).plain.get("family")
    if not family:
        raise DefinitionProblem(f"{path}: `family` is missing")
    return str(family)


# --- what is asked


def _of_service(service: Definition | None, wish: Wish) -> Plain:
    if service is None:
        return {}
    taken = {key: service.plain[key] for key in _FROM_SERVICE if service.plain.get(key) is not None}
    volumes = [_volume(each, wish) for each in service.plain.get(_VOLUMES) or ()]
    return {**taken, **({_VOLUMES: volumes} if volumes else {})}


def _volume(given: Mapping[str, Any], wish: Wish) -> Plain:
    """Tags that a service hands on are none of a task's own: RunTask refuses them."""
    disk = {**(given.get(_DISK) or {})}
    tags = disk.pop("tagSpecifications", None) or ()
    kept = [each for each in tags if each.get("propagateTags") != _BY_SERVICE]
    if kept:
        disk["tagSpecifications"] = kept
    disk["terminationPolicy"] = {"deleteOnTermination": not wish.keeps_disks}
    return {**given, _DISK: disk}


def _tagging(aws: Aws, config: EcsConfig, wish: Wish) -> Plain:
    """RunTask itself hands on tags of the definition only: those of the service are copied."""
    tags = dict(wish.tags)
    if wish.propagate == _BY_SERVICE:
        row = remote.service(aws, config.cluster, config.service) if config.service else None
        if row is None:
            raise UsageProblem("--propagate-tags SERVICE: there is no service to take them from")
        given = row.row.get("tags") or ()
        own = {str(each["key"]): str(each.get("value", "")) for each in given}
        tags = {key: value for key, value in own.items() if not key.startswith("aws:")} | tags
    sent: Plain = {}
    if tags:
        sent["tags"] = [{"key": key, "value": value} for key, value in tags.items()]
    if wish.propagate == _BY_DEFINITION:
        sent["propagateTags"] = _BY_DEFINITION
    return sent


def _overrides(config: EcsConfig, wish: Wish) -> tuple[Plain, list[str]]:
    """(what is sent of them, what AWS does not know).  The command line's win over the file's."""
    if wish.overrides:
        plain = _json(wish.overrides)
        where = "--overrides"
    elif wish.overrides_file is not None:
        file = wish.overrides_file
        plain = parsed(file, rendered(file, config.around, file.suffix == JSONNET))
        where = str(file)
    else:
        return {}, []
    if not isinstance(plain, dict):
        raise DefinitionProblem(f"{where}: it must be one object")
    fitted, unknown = fitting.fitted("ecs", _RUN, {"overrides": plain}, "Task")
    return fitted, [f"{where}: {each.says}" for each in unknown]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"--overrides: not JSON: {error}") from error


def _assert_known(sent: Mapping[str, Any], names: Sequence[str]) -> None:
    """AWS refuses them only once the revision is registered.  Raises UsageProblem."""
    rows = sent.get("overrides", {}).get("containerOverrides")
    for row in rows if isinstance(rows, list) else ():
        name = row.get("name") if isinstance(row, dict) else None
        if name not in names:
            raise UsageProblem(
                f"containerOverrides: {name!r} is no container of the task definition; it has "
                f"{', '.join(names)}"
            )


def _watched(wish: Wish, names: Sequence[str]) -> str:
    if wish.watched and wish.watched not in names:
        raise UsageProblem(f"--watch-container {wish.watched} is not one of {', '.join(names)}")
    return wish.watched or (names[0] if names else "")


def _assert_taken(
    asked: Plain,
    register: Definition | None,
    service: Definition | None,
) -> None:
    """What AWS would refuse is told before anything is registered.  Raises DefinitionProblem."""
    wrong = [] if register is None else register.problems(loading.TASK)
    wrong += [f"RunTask: {each}" for each in shapes.problems("ecs", _RUN, asked)]
    wrong += _unplaced(asked, service)
    if wrong:
        raise DefinitionProblem("\n".join(wrong))


def _unplaced(asked: Mapping[str, Any], service: Definition | None) -> Iterator[str]:
    """Both at once are no request (API reference, RunTask)."""
    if asked.get("launchType") and asked.get("capacityProviderStrategy"):
        where = "RunTask" if service is None else service.path
        yield f"{where}: `launchType` and `capacityProviderStrategy` exclude one another"
