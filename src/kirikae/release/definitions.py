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

from kirikae.release.errors import DefinitionProblem

TASK_FILE = "ecs-task-def.json"
SERVICE_FILE = "ecs-service-def.json"
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.S)
_CALL = re.compile(r"(env|must_env)((?:\s+(?:`[^`]*`|\"[^\"]*\"))+)")
_WORD = re.compile(r"`([^`]*)`|\"([^\"]*)\"")


def render(text: str, name: str, values: Mapping[str, str]) -> str:
    """Replace ``{{ must_env `K` }}`` and ``{{ env `K` `default` }}``.  Raises DefinitionProblem
    with the line."""

    def replaced(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        call = _CALL.fullmatch(match[1])
        if call is None:
            raise DefinitionProblem(
                f"{name}:{line}: `{match[0]}`: only env and must_env are understood by this release"
            )
        words = [a or b for a, b in _WORD.findall(call[2])]
        if call[1] == "must_env":
            if len(words) != 1:
                raise DefinitionProblem(f"{name}:{line}: must_env takes one name")
            if words[0] not in values:
                raise DefinitionProblem(
                    f"{name}:{line}: the environment variable {words[0]} is not set"
                )
            return values[words[0]]
        return next((values[w] for w in words if values.get(w)), words[-1])

    return _ACTION.sub(replaced, text)


def load(folder: Path, file: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Read one definition file.  Raises DefinitionProblem."""
    path = folder / file
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionProblem(
            f"{path}: {error.strerror}; `fleets.new.definitions` names the folder of {file}"
        ) from error
    try:
        plain = json.loads(render(text, str(path), values))
    except json.JSONDecodeError as error:
        raise DefinitionProblem(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(plain, dict):
        raise DefinitionProblem(f"{path}: the file must hold one object")
    return plain
