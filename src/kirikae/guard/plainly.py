"""Text of JSON or YAML as plain data, within limits; tags of CloudFormation as its functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from kirikae.guard.errors import ObjectProblem

MOST_BYTES = 20_000_000
"""A plan of a large Terraform project; CloudFormation takes 1 MB."""
_MOST_VALUES = 2_000_000
_DEEPEST = 100


class _Constructor(SafeConstructor):  # type: ignore[misc]  # ruamel has no types
    """``!Ref x`` is ``{"Ref": x}``, ``!Sub x`` is ``{"Fn::Sub": x}``."""


def _function(
    constructor: Any,
    suffix: str,
    node: Any,
) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, ScalarNode):
        return {name: node.value}
    if isinstance(node, MappingNode):
        return {name: constructor.construct_mapping(node, deep=True)}
    return {name: constructor.construct_sequence(node, deep=True)}


_Constructor.add_multi_constructor("!", _function)


def plain_of(name: str, text: str) -> Any:
    """Raises ObjectProblem."""
    if name.endswith((".jsonnet", ".libsonnet")):
        raise ObjectProblem(
            f"{name}: Jsonnet is not evaluated here; `kirikae ecs render taskdef >task.json` does "
            "that: name task.json, or the ecspresso.yml that names the file"
        )
    first = text.lstrip()[:1]
    try:
        is_json = first in ("{", "[")
        found = json.loads(text, object_pairs_hook=_once) if is_json else _yaml(name, text)
    except json.JSONDecodeError as error:
        raise ObjectProblem(
            f"{name}:{error.lineno}: not JSON ({error.msg}); a definition with templates in it is "
            "rendered through its configuration: name ecspresso.yml instead"
        ) from error
    except ValueError as error:
        raise ObjectProblem(f"{name}: not JSON that can be read ({error})") from error
    except RecursionError as error:
        raise ObjectProblem(f"{name}: nested too deep to be read") from error
    _assert_small(name, found)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice readers take the first or the last: one of them is hidden.  Raises
    ValueError."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.100} stands twice in one object")
    return found


def _yaml(name: str, text: str) -> Any:
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ObjectProblem(
            f"{name}{line}: not YAML ({error.problem}); correct that line"
        ) from error
    except (YAMLError, ValueError) as error:
        raise ObjectProblem(f"{name}: not YAML ({error}); is another file meant?") from error


def _assert_small(name: str, found: Any) -> None:
    """Aliases of YAML can make a few lines a world: counted as they would be written out."""
    left = _MOST_VALUES
    waiting = [(found, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise ObjectProblem(
                f"{name}: larger or deeper than any definition; it was not looked at"
            )
        if isinstance(value, Mapping):
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
