"""The files that ``ecs init`` writes of a service that runs: read again, they mean the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.release.ecs import remote
from kirikae.release.ecs.canonical import task_form
from kirikae.release.ecs.gojson import without_empty, written
from kirikae.release.ecs.reading import JSONNET

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_KEYWORDS = frozenset(
    [
        "assert",
        "else",
        "error",
        "false",
        "for",
        "function",
        "if",
        "import",
        "importbin",
        "importstr",
        "in",
        "local",
        "null",
        "self",
        "super",
        "tailstrict",
        "then",
        "true",
    ]
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service runs, and the files that it is written to."""

    region: str
    cluster: str
    service: str
    config: Path
    task_file: str
    service_file: str
    jsonnet: bool = False
    sort: bool = False
    codedeploy: Mapping[str, str] | None = None


def files(place: Place, service: remote.Service | None, task: remote.Task) -> dict[Path, str]:
    """Path -> text, of the configuration, the service (if there is one) and the task
    definition."""
    folder = place.config.parent
    task_file = _suffixed(place.task_file, place.jsonnet)
    service_file = _suffixed(place.service_file, place.jsonnet)
    plain = task_form(task.plain).plain if place.sort else task.plain
    found = {folder / task_file: _definition(plain, place.jsonnet)}
    names = {"task_definition": task_file}
    if service is not None:
        found[folder / service_file] = _definition(service.plain, place.jsonnet)
        names = {"service_definition": service_file, **names}
    config = place.config.with_suffix(JSONNET) if place.jsonnet else place.config
    found[config] = _config(place, names)
    return found


def _suffixed(name: str, jsonnet: bool) -> str:
    path = Path(name)
    return str(path.with_suffix(JSONNET)) if jsonnet and path.suffix == ".json" else name


def _definition(plain: Mapping[str, Any], jsonnet: bool) -> str:
    if jsonnet:
        return escaped(f"{as_jsonnet(without_empty(plain))}\n")
    return escaped(written(plain))


def escaped(text: str) -> str:
    """What looks like a template in what runs is text, and stays so when the file is read."""
    return text.replace("{{", "{{ `{{` }}")


def _config(place: Place, names: Mapping[str, str]) -> str:
    keys: dict[str, Any] = {"region": place.region, "cluster": place.cluster}
    if place.service:
        keys["service"] = place.service
    keys |= {**names, "timeout": "10m0s"}
    if place.codedeploy:
        keys["codedeploy"] = dict(place.codedeploy)
    if place.jsonnet:
        return f"{as_jsonnet(keys)}\n"
    if place.config.suffix == ".json":
        return json.dumps(keys, indent=2) + "\n"
    return "".join(_yaml_lines(keys))


def _yaml_lines(keys: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in keys.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:\n", *_yaml_lines(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}\n")
    return lines


_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_NO_TEXT = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])


def _scalar(value: str) -> str:
    """Quoted where some reader of YAML would take it for something else than text."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT:
        return value
    return json.dumps(value)


# --- Jsonnet


def as_jsonnet(value: Any, indent: str = "") -> str:
    """As jsonnetfmt writes it: keys without quotes where they can be, a comma after each."""
    inner = f"{indent}  "
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        rows = [f"{inner}{_key(key)}: {as_jsonnet(value[key], inner)},\n" for key in sorted(value)]
        return "{\n" + "".join(rows) + indent + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        rows = [f"{inner}{as_jsonnet(each, inner)},\n" for each in value]
        return "[\n" + "".join(rows) + indent + "]"
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value)


def _key(key: str) -> str:
    bare = _IDENTIFIER.fullmatch(key) and key.isascii() and key not in _KEYWORDS
    return key if bare else _quoted(key)


def _quoted(text: str) -> str:
    """In single quotes, unless it holds one."""
    double = json.dumps(text, ensure_ascii=False)
    if "'" in text or '"' in text:
        return double
    return f"'{double[1:-1]}'"
