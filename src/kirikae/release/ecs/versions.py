"""``required_version``: constraints as HashiCorp's go-version reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

COMPATIBLE = "2.8.7"
"""The ecspresso whose files are read as it reads them."""
_CONSTRAINT = re.compile(r"\s*(=|!=|>|<|>=|<=|~>)?\s*v?(\d+(?:\.\d+)*)(?:-[0-9A-Za-z.-]+)?\s*")
Numbers = tuple[int, ...]
_OPERATORS: Mapping[str, Callable[[Numbers, Numbers], bool]] = {
    "=": lambda own, asked: own == asked,
    "!=": lambda own, asked: own != asked,
    ">": lambda own, asked: own > asked,
    "<": lambda own, asked: own < asked,
    ">=": lambda own, asked: own >= asked,
    "<=": lambda own, asked: own <= asked,
}


def satisfies(constraints: str, version: str = COMPATIBLE) -> bool:
    """Raises ValueError for what is no constraint."""
    return all(_one(each, _numbers(version)) for each in constraints.split(","))


def _one(constraint: str, own: Numbers) -> bool:
    found = _CONSTRAINT.fullmatch(constraint)
    if found is None:
        raise ValueError(f"{constraint.strip()!r} is no constraint of versions, such as >= 2.3")
    operator, text = found.groups()
    asked = _numbers(text)
    if operator == "~>":
        # Only the last part that was given may be larger.
        kept = max(1, len(text.split(".")) - 1)
        return own >= asked and own[:kept] == asked[:kept]
    return _OPERATORS[operator or "="](own, asked)


def _numbers(text: str) -> Numbers:
    found = [int(each) for each in text.split(".")]
    return tuple(found + [0] * (3 - len(found)))
