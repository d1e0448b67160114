"""Task definitions, services, clusters, repositories and policies in a template of
CloudFormation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kirikae.guard.objects import Kind, Object, Open, Plain, Resource, Task, rows_of
from kirikae.model.said import said

_TASK = "AWS::ECS::TaskDefinition"
_ROLE = "AWS::IAM::Role"
_KINDS = {
    "AWS::ECS::Service": Kind.SERVICE,
    "AWS::ECS::Cluster": Kind.CLUSTER,
    "AWS::ECR::Repository": Kind.REPOSITORY,
    "AWS::IAM::Policy": Kind.POLICY,
    "AWS::IAM::ManagedPolicy": Kind.POLICY,
    "AWS::IAM::RolePolicy": Kind.POLICY,
}
_DOCUMENTS = {"PolicyDocument", "RepositoryPolicyText", "AssumeRolePolicyDocument"}
"""Their keys are those of IAM, to the last leaf."""
_AS_THEY_ARE = {"DockerLabels", "Options", "DriverOpts", "Labels"}
"""What stands below has names of the user's own."""
_SPELT = {
    "ClusterSettings": "settings",
    "PolicyDocument": "document",
    "RepositoryPolicyText": "policy",
    "EFSVolumeConfiguration": "efsVolumeConfiguration",
    "FSxWindowsFileServerVolumeConfiguration": "fsxWindowsFileServerVolumeConfiguration",
}
_TRUTH = {"true": True, "false": False}


def is_template(plain: Any) -> bool:
    """Is it one, as far as guard is concerned?"""
    return isinstance(plain, Mapping) and isinstance(plain.get("Resources"), Mapping)


def objects(name: str, template: Plain) -> Iterator[Object]:
    """Each with its logical name; what only a deployment knows is open."""
    defaults = _defaults(template)
    for label, resource in template["Resources"].items():
        where = f"{name}#{label}"
        if str(label).startswith("Fn::"):
            # A loop, or a transformation: what comes out of it, only the deployment knows.
            yield _later(
                Kind.TASK,
                where,
                str(label),
            )
        elif isinstance(resource, Mapping):
            told = _value(resource.get("Properties") or {}, defaults)
            yield from _object(
                where,
                str(label),
                resource.get("Type"),
                told,
            )


def _later(
    kind: Kind,
    where: str,
    label: str,
) -> Resource:
    """Nothing of it is known."""
    return Resource(
        kind,
        where,
        label,
        {},
        {"*": said("guard.open", at=label)},
    )


def _object(
    where: str,
    label: str,
    kind: object,
    told: Any,
) -> Iterator[Object]:
    if not isinstance(told, Mapping):
        known = Kind.TASK if kind == _TASK else _KINDS.get(str(kind))
        if known is not None or kind == _ROLE:
            yield _later(
                known or Kind.POLICY,
                where,
                label,
            )
    elif kind == _TASK:
        yield Task(where, told)
    elif kind == _ROLE:
        for row in rows_of(told.get("policies")):
            yield Resource(
                Kind.POLICY,
                f"{where}.{row.get('policyName', '')}",
                label,
                row,
            )
    elif isinstance(kind, str) and kind in _KINDS:
        yield Resource(
            _KINDS[kind],
            where,
            label,
            told,
        )


def _defaults(template: Plain) -> dict[str, Any]:
    """Parameters that have a default: a deployment may give another value, and says so there."""
    found = {}
    parameters = template.get("Parameters")
    for name, row in parameters.items() if isinstance(parameters, Mapping) else ():
        if isinstance(row, Mapping) and "Default" in row:
            found[name] = row["Default"]
    return found


def _value(
    value: Any,
    defaults: Mapping[str, Any],
    keep: bool = False,
    whole: bool = False,
) -> Any:
    """With the API's own keys.  ``keep``: as they are written; ``whole``: those below, too."""
    match value:
        case Mapping():
            written = _function(value)
            if written:
                return _resolved(
                    value,
                    written,
                    defaults,
                )
            found = {}
            for key, each in value.items():
                below = whole or key in _DOCUMENTS
                inner = below or key in _AS_THEY_ARE
                named = key if keep or whole else _key(str(key))
                found[named] = _value(
                    each,
                    defaults,
                    inner,
                    below,
                )
            return found
        case list():
            return [
                _value(
                    each,
                    defaults,
                    whole=whole,
                )
                for each in value
            ]
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


def _resolved(
    value: Plain,
    name: str,
    defaults: Mapping[str, Any],
) -> Any:
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
