"""Task definitions in a template of CloudFormation (resource AWS::ECS::TaskDefinition)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.guard.objects import Open, Plain, Task

_TYPE = "AWS::ECS::TaskDefinition"
_AS_THEY_ARE = {"DockerLabels", "Options", "DriverOpts", "Labels"}
"""What stands below has names of the user's own."""
_SPELT = {
    "EFSVolumeConfiguration": "efsVolumeConfiguration",
    "FSxWindowsFileServerVolumeConfiguration": "fsxWindowsFileServerVolumeConfiguration",
}
_TRUTH = {"true": True, "false": False}


def is_template(plain: Any) -> bool:
    """Is it one, as far as guard is concerned?"""
    return isinstance(plain, Mapping) and isinstance(plain.get("Resources"), Mapping)


def tasks(name: str, template: Plain) -> Iterator[Task]:
    """Each with its logical name; what only a deployment knows is open."""
    defaults = _defaults(template)
    for label, resource in template["Resources"].items():
        if isinstance(resource, Mapping) and resource.get("Type") == _TYPE:
            properties = _value(resource.get("Properties") or {}, defaults)
            yield Task(f"{name}#{label}", properties if isinstance(properties, Mapping) else {})


def _defaults(template: Plain) -> dict[str, Any]:
    """Parameters that have a default: a deployment may give another value, and says so there."""
    found = {}
    parameters = template.get("Parameters")
    for name, row in parameters.items() if isinstance(parameters, Mapping) else ():
        if isinstance(row, Mapping) and "Default" in row:
            found[name] = row["Default"]
    return found


def _value(value: Any, defaults: Mapping[str, Any], keep: bool = False) -> Any:
    """With the API's own keys."""
    match value:
        case Mapping():
            written = _function(value)
            if written:
                return _resolved(value, written, defaults)
            return {
                key if keep else _key(str(key)): _value(each, defaults, key in _AS_THEY_ARE)
                for key, each in value.items()
            }
        case list():
            return [_value(each, defaults) for each in value]
        case str():
            # CloudFormation takes truth as text, too.
            return _TRUTH.get(value, value)
        case _:
            return value


def _function(value: Plain) -> str:
    """The name of the intrinsic function that this is; empty: it is plain."""
    if len(value) != 1:
        return ""
    [name] = map(str, value)
    return name if name == "Ref" or name.startswith("Fn::") else ""


def _resolved(value: Plain, name: str, defaults: Mapping[str, Any]) -> Any:
    """A parameter's default; the text of a Sub without blanks; else open."""
    told = value[name]
    if name == "Ref" and isinstance(told, str) and told in defaults:
        return _value(defaults[told], {})
    if name == "Fn::Sub" and isinstance(told, str) and "${" not in told:
        return told
    return Open(name)


def _key(key: str) -> str:
    """``NetworkMode`` is the API's ``networkMode``."""
    return _SPELT.get(key) or key[:1].lower() + key[1:]
