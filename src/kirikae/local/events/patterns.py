"""Event patterns: does a rule want this event?

Source: Amazon EventBridge User Guide, "Creating event patterns": every field that a pattern names
must fit; a list holds what may fit.  ``problem_of`` first: ``fits`` trusts its pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

_OR = "$or"
_WILD = re.compile(r"\\[*\\]|.", re.DOTALL)
_BOUNDS = {
    "<": lambda found, bound: found < bound,
    "<=": lambda found, bound: found <= bound,
    "=": lambda found, bound: found == bound,
    ">": lambda found, bound: found > bound,
    ">=": lambda found, bound: found >= bound,
}


def fits(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """All of its fields."""
    return all(_named(name, wanted, event) for name, wanted in pattern.items())


def _named(name: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if name == _OR and isinstance(wanted, list):
        return any(fits(each, event) for each in wanted)
    return _field(wanted, event.get(name), name in event)


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
    return there and _compared(how, what, found)


def _compared(how: str, what: Any, found: Any) -> bool:
    if how == "anything-but":
        return not _excluded(what, found)
    if how == "numeric":
        return isinstance(found, int | float) and _in_range(what, found)
    if not isinstance(found, str):
        return False
    if how == "cidr":
        return _in_network(what, found)
    if isinstance(what, Mapping):  # {"prefix": {"equals-ignore-case": ..}}
        return _of_text(how, what["equals-ignore-case"].lower(), found.lower())
    return _of_text(how, what, found)


def _of_text(how: str, what: str, found: str) -> bool:
    match how:
        case "prefix":
            return found.startswith(what)
        case "suffix":
            return found.endswith(what)
        case "equals-ignore-case":
            return found.lower() == what.lower()
    return re.fullmatch(_WILD.sub(_of_wildcard, what), found, re.DOTALL) is not None


def _of_wildcard(part: re.Match[str]) -> str:
    """``*`` is anything, ``\\*`` and ``\\\\`` are themselves."""
    said = part[0]
    return ".*" if said == "*" else re.escape(said[-1])


def _excluded(what: Any, found: Any) -> bool:
    if isinstance(what, Mapping):
        [(how, inside)] = what.items()
        texts = inside if isinstance(inside, list) else [inside]
        return any(_compared(how, text, found) for text in texts)
    return found in (what if isinstance(what, list) else [what])


def _in_network(network: str, found: str) -> bool:
    try:
        return ip_address(found) in ip_network(network, strict=False)
    except ValueError:
        return False


def _in_range(what: Sequence[Any], found: float) -> bool:
    """``[">", 0, "<=", 5]``."""
    pairs = zip(what[::2], what[1::2], strict=True)
    return all(_BOUNDS[sign](found, bound) for sign, bound in pairs)


# --- what is a pattern


def problem_of(pattern: Any) -> str:
    """Why this is none, or none that is understood here; empty for one that is."""
    return next(_problems(pattern), "")


def _problems(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, Mapping) or not pattern:
        yield "an event pattern is an object with fields"
        return
    for name, wanted in pattern.items():
        if isinstance(wanted, Mapping) or name == _OR:
            for each in wanted if isinstance(wanted, list) else [wanted]:
                yield from _problems(each)
        elif not isinstance(wanted, list) or not wanted:
            yield f"{name!r} must be an object or an array with values"
        else:
            yield from (f"{name!r}: {why}" for each in wanted if (why := _wrong(each)))


def _wrong(wanted: Any) -> str:
    """Of one value in a list; empty: nothing is."""
    if isinstance(wanted, list):
        return "an array in an array"
    if not isinstance(wanted, Mapping):
        return ""
    if len(wanted) != 1:
        return "one comparison an object"
    [(how, what)] = wanted.items()
    if how not in _TAKES:
        return f"{how!r} is no comparison that is known here"
    return "" if _TAKES[how](what) else f"{how!r} does not take {what!r}"


def _is_text(what: Any) -> bool:
    return isinstance(what, str)


def _is_text_in_any_case(what: Any) -> bool:
    inside = what.get("equals-ignore-case") if isinstance(what, Mapping) else what
    return isinstance(inside, str)


def _is_wildcard(what: Any) -> bool:
    return isinstance(what, str) and "**" not in what


def _is_network(what: Any) -> bool:
    try:
        return isinstance(what, str) and bool(ip_network(what, strict=False))
    except ValueError:
        return False


def _is_range(what: Any) -> bool:
    if not isinstance(what, list) or len(what) not in (2, 4):
        return False
    numbers = all(isinstance(each, int | float) for each in what[1::2])
    return numbers and all(each in _BOUNDS for each in what[::2])


def _is_exclusion(what: Any) -> bool:
    if not isinstance(what, Mapping):
        each_of = what if isinstance(what, list) else [what]
        return bool(each_of) and all(isinstance(each, str | int | float) for each in each_of)
    if len(what) != 1:
        return False
    [(how, inside)] = what.items()
    texts = inside if isinstance(inside, list) else [inside]
    return how in _EXCLUDES and bool(texts) and all(map(_TAKES[how], texts))


_EXCLUDES = ("prefix", "suffix", "equals-ignore-case", "wildcard")
_TAKES = {
    "exists": lambda what: isinstance(what, bool),
    "prefix": _is_text_in_any_case,
    "suffix": _is_text_in_any_case,
    "equals-ignore-case": _is_text,
    "wildcard": _is_wildcard,
    "cidr": _is_network,
    "numeric": _is_range,
    "anything-but": _is_exclusion,
}
"""Comparison -> is this what it takes?"""
