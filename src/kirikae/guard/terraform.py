"""Task definitions in a plan of Terraform, as ``terraform show -json`` prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.guard.objects import Open, Plain, Task, rows_of

_TYPE = "aws_ecs_task_definition"
_CONTAINERS = "container_definitions"
_SPELT = {"volume": "volumes"}
_SINGLE = {
    "ephemeral_storage",
    "runtime_platform",
    "docker_volume_configuration",
    "efs_volume_configuration",
    "fsx_windows_file_server_volume_configuration",
    "authorization_config",
    "proxy_configuration",
}
"""Blocks of which there is at most one: a plan has them as lists."""
_AS_THEY_ARE = {"driver_opts", "labels", "properties"}


def is_plan(plain: Any) -> bool:
    """Is it one?"""
    return isinstance(plain, Mapping) and "planned_values" in plain


def tasks(name: str, plan: Plain) -> Iterator[Task]:
    """Each with its address; what is known after apply only is open."""
    later = _known_later(plan)
    values = plan.get("planned_values")
    root = values.get("root_module") if isinstance(values, Mapping) else None
    for row in _resources(root):
        if row.get("type") == _TYPE and row.get("mode", "managed") == "managed":
            address = str(row.get("address", row.get("name", "")))
            raw = row.get("values")
            known = raw if isinstance(raw, Mapping) else {}
            yield Task(f"{name}#{address}", _plain(known, later.get(address, {})))


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
            found[_key(key)] = Open("known after apply")
    return found


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
    return re.sub(r"_(\w)", lambda found: found[1].upper(), spelt)
