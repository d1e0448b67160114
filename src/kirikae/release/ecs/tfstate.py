"""Look up addresses in a Terraform state, as the function ``tfstate`` of ecspresso does.

An address names an output or a resource, and goes on into it: ``output.subnets[0]``,
``module.vpc.aws_subnet.public['a'].id``, ``data.aws_iam_role.task.arn``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.release.errors import TemplateProblem

_VERSION = 4
_REMOTE_STATE = "terraform_remote_state"
_STEP = re.compile(
    r"\.?\[\s*(-?\d+)\s*\]|\.?\[\s*\"((?:[^\"\\]|\\.)*)\"\s*\]|\.\"([^\"]*)\"|\.([\w-]+)"
)


@dataclass(frozen=True, slots=True)
class State:
    """``place``: the file or URL that it was read from.  ``values``: every address that stands
    for a value of its own."""

    place: str
    values: Mapping[str, Any]

    def lookup(self, address: str) -> Any:
        """Raises TemplateProblem."""
        wanted = address.replace("'", '"')
        key = self._key_of(wanted)
        if key is None:
            raise TemplateProblem(f"{address} is not found in tfstate {self.place}")
        found = self.values[key]
        for step in _steps(wanted[len(key) :], address):
            found = _inner(found, step)
        if found is None:
            raise TemplateProblem(f"{address} is not found in tfstate {self.place}")
        return found

    def _key_of(self, wanted: str) -> str | None:
        """The longest one with which the address begins, and behind which a step follows."""
        if wanted in self.values:
            return wanted
        found = [
            key
            for key in self.values
            if wanted.startswith(key) and wanted[len(key) : len(key) + 1] in (".", "[")
        ]
        return max(
            found,
            key=len,
            default=None,
        )


def text_of(value: Any) -> str:
    """In a template: strings as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(
        value,
        separators=(",", ":"),
        ensure_ascii=False,
        sort_keys=True,
    )


def _steps(path: str, address: str) -> Iterator[str | int]:
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise TemplateProblem(
                f"{address}: {path[at:]!r} is no path into a value; only .name, [0] and "
                '["name"] are understood'
            )
        number, *names = step.groups()
        yield int(number) if number is not None else next(name for name in names if name)
        at = step.end()


def _inner(value: Any, step: str | int) -> Any:
    """What is not there is nothing, as in jq."""
    if isinstance(step, int):
        inside = isinstance(value, list) and -len(value) <= step < len(value)
        return value[step] if inside else None
    return value.get(step) if isinstance(value, Mapping) else None


def state_from(text: str | bytes, place: str) -> State:
    """Raises TemplateProblem for what is no state of version 4."""
    try:
        raw = json.loads(text)
        version = raw["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TemplateProblem(f"{place} is no Terraform state: {error}") from error
    if version != _VERSION:
        raise TemplateProblem(
            f"{place} is a Terraform state of version {version}; only version {_VERSION} is read: "
            "run `terraform refresh` with a Terraform from 0.12 on"
        )
    try:
        return State(place, {**_outputs(raw), **_resources(raw)})
    except (KeyError, TypeError, AttributeError) as error:
        raise TemplateProblem(f"{place} is a damaged Terraform state: {error!r}") from error


def backend_of(text: str | bytes) -> Mapping[str, Any] | None:
    """Of a state that only says where the true one lies."""
    try:
        found = json.loads(text).get("backend")
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _outputs(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {f"output.{name}": _output(each) for name, each in (raw.get("outputs") or {}).items()}


def _output(each: Any) -> Any:
    both = isinstance(each, Mapping) and {"value", "type"} <= each.keys()
    return each["value"] if both else each


def _resources(raw: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for resource in raw.get("resources") or []:
        key = _key(resource)
        instances = resource.get("instances") or []
        for instance in instances:
            values[key + _index(instance)] = _attributes(resource, instance)
        group = _group(resource, instances)
        if group is not None:
            values.setdefault(key, group)
    return values


def _key(resource: Mapping[str, Any]) -> str:
    module = f"{resource['module']}." if resource.get("module") else ""
    data = "data." if resource.get("mode") == "data" else ""
    return f"{module}{data}{resource['type']}.{resource['name']}"


def _index(instance: Mapping[str, Any]) -> str:
    match instance.get("index_key"):
        case None:
            return ""
        case int() as number:
            return f"[{number}]"
        case name:
            return f'["{name}"]'


def _attributes(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> Any:
    found = instance.get("attributes") or instance.get("attributes_flat")
    if resource.get("type") == _REMOTE_STATE and isinstance(found, dict):
        outputs = found.get("outputs") or {}
        return {**found, "outputs": outputs.get("value", outputs)}
    return found


def _group(resource: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> Any:
    """``count`` makes a list, with nothing where a number is missing; ``for_each`` a map."""
    by_key = {
        each["index_key"]: _attributes(resource, each)
        for each in instances
        if each.get("index_key") is not None
    }
    if not by_key:
        return None
    if all(isinstance(key, int) for key in by_key):
        return [by_key.get(number) for number in range(max(by_key) + 1)]
    return {str(key): value for key, value in by_key.items()}
