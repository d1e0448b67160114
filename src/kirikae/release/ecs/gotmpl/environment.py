"""The functions that ecspresso gives to every template: ``env``, ``must_env`` and
``json_escape``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kirikae.release.ecs.gotmpl.builtins import Known
from kirikae.release.errors import TemplateProblem

_ESCAPED = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
IN_JSON = str.maketrans(_ESCAPED)


def of_environment(values: Mapping[str, str]) -> dict[str, Known]:
    """Over these variables."""
    return {
        "env": Known(lambda *names: env(values, *names), rest=str),
        "must_env": Known(lambda name: must_env(values, name), [str]),
        "json_escape": Known(lambda text: json_escaped(text)[1:-1], [str]),
    }


def env(values: Mapping[str, str], *names: str) -> str:
    """The first variable that is set and not empty; the last word, taken literally, if none is."""
    given = [values[name] for name in names if values.get(name)]
    return (given or [*names[-1:], ""])[0]


def must_env(values: Mapping[str, str], name: str) -> str:
    """Raises TemplateProblem."""
    if name not in values:
        raise TemplateProblem(f"the environment variable {name} is not set")
    return values[name]


def json_escaped(value: Any) -> str:
    """As Go's ``encoding/json`` writes it, with what HTML could take for its own escaped."""
    return json.dumps(value, ensure_ascii=False).translate(IN_JSON)
