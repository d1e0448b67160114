"""Read one file as ecspresso does: Jsonnet is evaluated, then the template is rendered, then the
text is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kirikae.model.errors import UsageProblem
from kirikae.model.texts import shortened, text_from
from kirikae.release.ecs.gotmpl.template import render
from kirikae.release.ecs.jsonnet import External, evaluated
from kirikae.release.ecs.offered import Functions
from kirikae.release.errors import DefinitionProblem, UnknownFunction

_MOST_BYTES = 256_000
"""A task definition may have 64 kB (ECS service quotas)."""
_MOST_LINES = 5
_OFFERED_BY = {
    "tfstate": "tfstate",
    "tfstatef": "tfstate",
    "cfn_output": "cloudformation",
    "cfn_export": "cloudformation",
}
JSONNET = ".jsonnet"
YAMLS = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a file may use besides itself."""

    functions: Functions
    external: External = field(default_factory=External)


def text_of(path: Path) -> str:
    """Raises DefinitionProblem."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = (
            getattr(
                error,
                "strerror",
                None,
            )
            or error
        )
        raise DefinitionProblem(f"{path}: {why}") from error
    if len(raw) > _MOST_BYTES:
        raise DefinitionProblem(
            f"{path}: more than {_MOST_BYTES // 1000} kB, which no definition may have"
        )
    try:
        return text_from(raw, str(path))
    except UsageProblem as problem:
        raise DefinitionProblem(str(problem)) from problem


def rendered(path: Path, around: Surroundings, jsonnet: bool) -> str:
    """The text of a file once templates are carried out.  Raises DefinitionProblem."""
    text = text_of(path)
    if jsonnet:
        text = evaluated(
            path,
            around.functions.natives,
            around.external,
        )
    try:
        return render(
            text,
            str(path),
            around.functions.templates,
        )
    except DefinitionProblem as problem:
        hint = _hint(problem.__cause__)
        raise DefinitionProblem(f"{problem}{hint}") from problem.__cause__


def _hint(cause: BaseException | None) -> str:
    """Which plugin a function is of that nobody offers."""
    if not isinstance(cause, UnknownFunction):
        return ""
    plugin = _OFFERED_BY.get(cause.name)
    return f": it is of the plugin {plugin}, which `plugins` does not name" if plugin else ""


def parsed(path: Path, text: str) -> Any:
    """YAML by the file's name, else JSON.  Raises DefinitionProblem."""
    return _yaml(path, text) if path.suffix in YAMLS else _json(path, text)


def _yaml(path: Path, text: str) -> Any:
    """YAML 1.2, as ecspresso's own reader: `no`, `on` and 012 are text or numbers as written."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise DefinitionProblem(f"{path}:{line}: not YAML: {error.problem}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise DefinitionProblem(f"{path}: not YAML: {str(error)[:200]}") from error


def _json(path: Path, text: str) -> Any:
    """JSON without what only some readers take: numbers that are none, and keys that stand
    twice."""
    try:
        return json.loads(
            text,
            parse_constant=_no_number(path, text),
            object_pairs_hook=_once(path, text),
        )
    except json.JSONDecodeError as error:
        raise DefinitionProblem(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise DefinitionProblem(
            f"{path}: cannot be read: nested too deep, or a number is too long ({str(error)[:60]})"
        ) from error


def _no_number(path: Path, text: str) -> Callable[[str], Any]:
    def refuse(word: str) -> Any:
        [line, *_] = lines_with(text, re.escape(word)) or [1]
        raise DefinitionProblem(f"{path}:{line}: {word} is no number that AWS could read")

    return refuse


def _once(path: Path, text: str) -> Callable[[list[tuple[str, Any]]], Mapping[str, Any]]:
    def read(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        lines = lines_with(text, re.escape(json.dumps(twice, ensure_ascii=False)) + r"\s*:")
        told = ", ".join(map(str, lines[:_MOST_LINES])) or "1"
        raise DefinitionProblem(
            f"{path}:{told}: the key {shortened(twice)} stands twice in one object"
        )

    return read


def lines_with(text: str, pattern: str) -> list[int]:
    """Counted from 1."""
    return [
        text.count(
            "\n",
            0,
            found.start(),
        )
        + 1
        for found in re.finditer(pattern, text)
    ]
