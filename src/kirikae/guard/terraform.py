"""Task definitions, services, clusters, repositories and policies in a plan of Terraform, as
``terraform show -json`` prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from kirikae.guard.objects import Kind, Object, Open, Plain, Resource, Task, rows_of
from kirikae.model.said import said

_TASK = "aws_ecs_task_definition"
_KINDS = {
    "aws_ecs_service": Kind.SERVICE,
    "aws_ecs_cluster": Kind.CLUSTER,
    "aws_ecr_repository": Kind.REPOSITORY,
    "aws_iam_policy": Kind.POLICY,
    "aws_iam_role_policy": Kind.POLICY,
}
_BESIDE = {"aws_ecr_lifecycle_policy": "lifecyclePolicy", "aws_ecr_repository_policy": "policy"}
"""What a repository has in resources of their own."""
_CONTAINERS = "container_definitions"
_SPELT = {"volume": "volumes", "setting": "settings"}
_SINGLE = {
    "ephemeral_storage",
    "runtime_platform",
    "docker_volume_configuration",
    "efs_volume_configuration",
    "fsx_windows_file_server_volume_configuration",
    "authorization_config",
    "proxy_configuration",
    "network_configuration",
    "image_scanning_configuration",
    "encryption_configuration",
    "configuration",
    "execute_command_configuration",
    "log_configuration",
}
"""Blocks of which there is at most one: a plan has them as lists."""
_OPEN = Open("known after apply")
_AS_THEY_ARE = {"driver_opts", "labels", "properties"}


def is_plan(plain: Any) -> bool:
    """Is it one?"""
    return isinstance(plain, Mapping) and "planned_values" in plain


def objects(name: str, plan: Plain) -> Iterator[Object]:
    """Each with its address; what is known after apply only is open."""
    later = _known_later(plan)
    values = plan.get("planned_values")
    root = values.get("root_module") if isinstance(values, Mapping) else None
    rows = [row for row in _resources(root) if row.get("mode", "managed") == "managed"]
    beside = _beside(rows)
    for row in rows:
        address = str(row.get("address", row.get("name", "")))
        raw = row.get("values")
        where = f"{name}#{address}"
        kind = Kind.TASK if row.get("type") == _TASK else _KINDS.get(str(row.get("type")))
        if kind is not None and not isinstance(raw, Mapping):
            yield Resource(
                kind,
                where,
                address,
                {},
                {"*": said("guard.open", at="values")},
            )
            continue
        told = _plain(raw or {}, later.get(address, {}))
        if row.get("type") == _TASK:
            yield Task(where, told)
        elif str(row.get("type")) in _KINDS:
            yield _resource(
                _KINDS[str(row["type"])],
                where,
                told,
                beside,
            )


def _resource(
    kind: Kind,
    where: str,
    told: Plain,
    beside: Mapping[str, Plain],
) -> Resource:
    short = str(told.get("name", ""))
    plain = dict(told)
    match kind:
        case Kind.POLICY:
            plain["document"] = _document(plain.get("policy"))
        case Kind.REPOSITORY:
            for key in _BESIDE.values():
                plain[key] = _document(
                    beside.get(key, {}).get(
                        short,
                        beside.get(key, {}).get(""),
                    )
                )
        case Kind.SERVICE:
            plain["networkConfiguration"] = _network(plain.get("networkConfiguration"))
    return Resource(
        kind,
        where,
        short,
        plain,
    )


def _beside(rows: Iterable[Plain]) -> dict[str, dict[str, Any]]:
    """Key -> repository -> policy; under no name: of one that only the apply knows, and so it may
    be each one's."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = _BESIDE.get(str(row.get("type")))
        values = row.get("values")
        if key is not None and isinstance(values, Mapping):
            repository = values.get("repository") or ""
            policy = values.get("policy") or Open("known after apply")
            found.setdefault(key, {})[str(repository)] = (
                policy if repository else Open("known after apply")
            )
    return found


def _document(value: Any) -> Any:
    """JSON in a text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return Open("policy")


def _network(value: Any) -> Any:
    """The provider has it flat, and the address as yes or no."""
    if not isinstance(value, Mapping):
        return value
    given = value.get("assignPublicIp")
    if isinstance(given, bool):
        given = "ENABLED" if given else "DISABLED"
    return {"awsvpcConfiguration": {**value, "assignPublicIp": given}}


def _resources(module: Any) -> Iterator[Plain]:
    """Of a module and of all below it."""
    if not isinstance(module, Mapping):
        return
    yield from rows_of(module.get("resources"))
    for child in rows_of(module.get("child_modules")):
        yield from _resources(child)


def _known_later(plan: Plain) -> dict[str, Plain]:
    """Address -> which values only the apply knows."""
    found: dict[str, Plain] = {}
    for row in rows_of(plan.get("resource_changes")):
        change = row.get("change")
        later = change.get("after_unknown") if isinstance(change, Mapping) else None
        if isinstance(later, Mapping):
            found[str(row.get("address"))] = later
    return found


def _plain(values: Plain, later: Plain) -> dict[str, Any]:
    """With the API's own keys; what is null or an empty block was not given."""
    found = {}
    for key, value in values.items():
        if key == _CONTAINERS and value is not None:
            found["containerDefinitions"] = _containers(value)
        elif value not in (None, "", []):
            found[_key(key)] = _value(key, value)
    for key, unknown in later.items():
        if unknown is True:
            found[_key(key)] = _OPEN
        elif unknown and key != _CONTAINERS:
            found[_key(key)] = _value(key, _opened(values.get(key), unknown))
    return found


def _opened(value: Any, later: Any) -> Any:
    """The value, with what only the apply knows of it; Terraform marks each such leaf."""
    if later is True:
        return _OPEN
    if isinstance(later, Mapping):
        known = dict(value) if isinstance(value, Mapping) else {}
        for key, each in later.items():
            if each:
                known[key] = _opened(known.get(key), each)
        return known
    if isinstance(later, list):
        rows = value if isinstance(value, list) else []
        return [_opened(row, each) if each else row for row, each in zip_longest(rows, later)]
    return value


def _containers(value: Any) -> Any:
    """JSON in a text, with the API's keys already."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return Open(_CONTAINERS)
    return found if isinstance(found, list) else Open(_CONTAINERS)


def _value(key: str, value: Any) -> Any:
    if key in _AS_THEY_ARE:
        return value
    if isinstance(value, list):
        blocks = [_value("", each) for each in value]
        return blocks[0] if key in _SINGLE and len(blocks) == 1 else blocks
    return _block(value) if isinstance(value, Mapping) else value


def _block(block: Plain) -> dict[str, Any]:
    """The provider has the path of a host's volume beside its name, the API below ``host``."""
    given = {name: each for name, each in block.items() if each not in (None, "", [])}
    path = given.pop("host_path", None)
    told = {_key(name): _value(name, each) for name, each in given.items()}
    return told if path is None else {**told, "host": {"sourcePath": path}}


def _key(key: str) -> str:
    """``network_mode`` is the API's ``networkMode``."""
    spelt = _SPELT.get(key, key).replace("size_in_gib", "size_in_GiB")
    return re.sub(
        r"_(\w)",
        lambda found: found[1].upper(),
        spelt,
    )
