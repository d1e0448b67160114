"""Event patterns: does a rule want this event?

Source: Amazon EventBridge User Guide, "Creating event patterns": every field that a pattern names
must fit; a list holds what may fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def fits(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """All of its fields."""
    return all(_field(wanted, event.get(name), name in event) for name, wanted in pattern.items())


def _field(wanted: Any, found: Any, there: bool) -> bool:
    if isinstance(wanted, Mapping):
        inside = found if isinstance(found, Mapping) else {}
        return fits(wanted, inside)
    values = found if isinstance(found, list) else [found]
    return any(_one(each, value, there) for each in wanted for value in values)


def _one(wanted: Any, found: Any, there: bool) -> bool:
    """A value, or an object that says how it is compared."""
    if not isinstance(wanted, Mapping):
        return there and wanted == found
    [(how, what)] = wanted.items()
    if how == "exists":
        return bool(what) is there
    if not there:
        return False
    return _compared(how, what, found)


def _compared(how: str, what: Any, found: Any) -> bool:
    match how:
        case "prefix":
            return isinstance(found, str) and found.startswith(what)
        case "suffix":
            return isinstance(found, str) and found.endswith(what)
        case "anything-but":
            return not _excluded(what, found)
        case "equals-ignore-case":
            return isinstance(found, str) and found.lower() == str(what).lower()
        case "numeric":
            return isinstance(found, int | float) and _in_range(what, found)
    return False


def _excluded(what: Any, found: Any) -> bool:
    if isinstance(what, Mapping):
        [(how, inside)] = what.items()
        return _compared(how, inside, found)
    return found in (what if isinstance(what, list) else [what])


_BOUNDS = {
    "<": lambda found, bound: found < bound,
    "<=": lambda found, bound: found <= bound,
    "=": lambda found, bound: found == bound,
    ">": lambda found, bound: found > bound,
    ">=": lambda found, bound: found >= bound,
}


def _in_range(what: Sequence[Any], found: float) -> bool:
    """``[">", 0, "<=", 5]``."""
    pairs = zip(what[::2], what[1::2], strict=True)
    return all(_BOUNDS[sign](found, bound) for sign, bound in pairs)
