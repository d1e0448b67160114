"""Definition files: JSON with the API's keys and the two template functions ``env`` and
``must_env``.

A first part of what ecspresso's files may hold; any other template action is refused, never
guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kirikae.model.errors import UsageProblem
from kirikae.model.texts import shortened, text_from
from kirikae.release.errors import DefinitionProblem

TASK_FILE = "ecs-task-def.json"
SERVICE_FILE = "ecs-service-def.json"
_MOST_BYTES = 256_000
"""A task definition may have 64 kB (ECS service quotas)."""
_MOST_LINES = 5
_ACTION = re.compile(r"\{\{-?(.{0,500}?)-?\}\}", re.S)
_CALL = re.compile(r"(env|must_env)((?:\s+(?:`[^`]*`|\"[^\"]*\"))+)")
_WORD = re.compile(r"`([^`]*)`|\"([^\"]*)\"")


def render(text: str, name: str, values: Mapping[str, str]) -> str:
    """Replace ``{{ must_env `K` }}`` and ``{{ env `K` `default` }}``.  Raises DefinitionProblem
    with every line that cannot be."""
    wrong: list[str] = []

    def replaced(action: re.Match[str]) -> str:
        try:
            return _called(action, values)
        except DefinitionProblem as error:
            line = text.count("\n", 0, action.start()) + 1
            wrong.append(f"{name}:{line}: {error}")
            return ""

    rendered = _ACTION.sub(replaced, text)
    if wrong:
        raise DefinitionProblem("\n".join(wrong))
    return rendered


def _called(action: re.Match[str], values: Mapping[str, str]) -> str:
    """What one action stands for.  Raises DefinitionProblem without a place."""
    call = _CALL.fullmatch(action[1].strip())
    if call is None:
        raise DefinitionProblem(
            f"`{action[0]}`: only env and must_env are understood by this release"
        )
    words = [quoted or double_quoted for quoted, double_quoted in _WORD.findall(call[2])]
    return _must_env(words, values) if call[1] == "must_env" else _env(words, values)


def _must_env(words: list[str], values: Mapping[str, str]) -> str:
    if len(words) != 1:
        raise DefinitionProblem("must_env takes one name")
    if words[0] not in values:
        raise DefinitionProblem(f"the environment variable {words[0]} is not set")
    return values[words[0]]


def _env(words: list[str], values: Mapping[str, str]) -> str:
    """The first variable that is set and not empty; the last word, taken literally, if none is."""
    given = [values[word] for word in words if values.get(word)]
    return given[0] if given else words[-1]


def load(folder: Path, file: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Read one definition file.  Raises DefinitionProblem."""
    path = folder / file
    try:
        with path.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DefinitionProblem(
            f"{path}: {why}; `fleets.new.definitions` names the folder of {file}{_other_form(path)}"
        ) from error
    if len(raw) > _MOST_BYTES:
        raise DefinitionProblem(
            f"{path}: more than {_MOST_BYTES // 1000} kB, which no definition may have"
        )
    try:
        text = text_from(raw, str(path))
    except UsageProblem as problem:
        raise DefinitionProblem(str(problem)) from problem
    return _unwrapped(path, _read(path, render(text, str(path), values)))


def _other_form(path: Path) -> str:
    """ecspresso takes jsonnet and YAML, too."""
    forms = [path.with_suffix(suffix) for suffix in (".jsonnet", ".yml", ".yaml")]
    there = [form.name for form in forms if form.exists()]
    return f" ({there[0]} is there: write it out as JSON, only that is read)" if there else ""


def _read(path: Path, text: str) -> Any:
    """JSON without what only some readers take: numbers that are none, and keys that stand
    twice."""

    def no_number(word: str) -> Any:
        [line, *_] = _lines_with(text, re.escape(word)) or [1]
        raise DefinitionProblem(f"{path}:{line}: {word} is no number that AWS could read")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            lines = _lines_with(text, re.escape(json.dumps(twice, ensure_ascii=False)) + r"\s*:")
            told = ", ".join(map(str, lines[:_MOST_LINES])) or "1"
            raise DefinitionProblem(
                f"{path}:{told}: the key {shortened(twice)} stands twice in one object"
            )
        return found

    try:
        return json.loads(text, parse_constant=no_number, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise DefinitionProblem(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise DefinitionProblem(
            f"{path}: cannot be read: nested too deep, or a number is too long ({str(error)[:60]})"
        ) from error


def _lines_with(text: str, pattern: str) -> list[int]:
    """Counted from 1."""
    return [text.count("\n", 0, found.start()) + 1 for found in re.finditer(pattern, text)]


def _unwrapped(path: Path, plain: Any) -> dict[str, Any]:
    """Raises DefinitionProblem for what AWS answers rather than takes."""
    if not isinstance(plain, dict):
        raise DefinitionProblem(f"{path}: the file must hold one object")
    for wrapper in ("taskDefinition", "services", "service"):
        if isinstance(plain.get(wrapper), dict | list):
            raise DefinitionProblem(
                f"{path}: everything stands inside `{wrapper}`, as AWS answers it; keep only what "
                "is inside"
            )
    return plain
