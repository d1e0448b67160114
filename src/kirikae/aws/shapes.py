"""What AWS's own model of an operation says of its parameters, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from kirikae.aws.models import input_shape

_KINDS: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}
_IN_WORDS = {
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "string": "text in quotes",
    "integer": "a whole number without quotes",
    "long": "a whole number without quotes",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false without quotes",
}


def parameters_of(service: str, operation: str) -> frozenset[str]:
    """The names that this operation takes."""
    return frozenset(input_shape(service, operation).members)


def problems(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What AWS would not take, each in one line with its place; values that only AWS can know
    (names, numbers that go together) are not among them."""
    return list(_of_structure(input_shape(service, operation), parameters, ""))


def mistyped(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """Those of ``problems`` that are values of another kind: nobody can make sense of the rest with
    them in it."""
    return list(_mistyped(input_shape(service, operation), parameters, ""))


def _mistyped(shape: Any, value: Any, at: str) -> Iterator[str]:
    """A null says nothing."""
    kinds = _KINDS.get(shape.type_name)
    if value is None:
        return
    if kinds is not None and not _is_one_of(value, kinds):
        yield f"{at} must be {_IN_WORDS[shape.type_name]}, not {value!r:.60}"
        return
    for inner, each, place in _members(shape, value, at):
        yield from _mistyped(inner, each, place)


def _members(shape: Any, value: Any, at: str) -> Iterator[tuple[Any, Any, str]]:
    """(shape, value, place) of what is inside, as far as the model knows it."""
    match shape.type_name:
        case "structure":
            for name, each in value.items():
                if name in shape.members:
                    yield shape.members[name], each, _inside(at, name)
        case "list":
            for place, each in enumerate(value):
                yield shape.member, each, f"{at}[{place}]"
        case "map":
            for name, each in value.items():
                yield shape.value, each, _inside(at, name)


def taken(service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without what has another kind of value than the model says (``problems``
    names it), so that whoever looks at the rest finds what it expects."""
    found: dict[str, Any] = _taken(input_shape(service, operation), parameters)
    return found


def _taken(shape: Any, value: Any) -> Any:
    """None: it is of another kind."""
    kinds = _KINDS.get(shape.type_name)
    if kinds is not None and not _is_one_of(value, kinds):
        return None
    if shape.type_name == "structure":
        known = shape.members
        inside = {key: _taken(known[key], each) for key, each in value.items() if key in known}
        return {key: each for key, each in inside.items() if each is not None}
    if shape.type_name == "list":
        members = [_taken(shape.member, each) for each in value]
        return [each for each in members if each is not None]
    if shape.type_name == "map":
        inside = {key: _taken(shape.value, each) for key, each in value.items()}
        return {key: each for key, each in inside.items() if each is not None}
    return value


def _of_structure(shape: Any, given: Mapping[str, Any], at: str) -> Iterator[str]:
    """What is missing, what is unknown, then what is wrong inside of each member."""
    for name in shape.required_members:
        if name not in given:
            yield f"{_inside(at, name)} is missing"
    for name, value in given.items():
        if name in shape.members:
            yield from _of(shape.members[name], value, _inside(at, name))
        else:
            yield f"{_inside(at, name)} is no key that AWS knows{_meant(name, shape.members)}"


def _of(shape: Any, value: Any, at: str) -> Iterator[str]:
    """One value against its shape; numbers out of range are left to AWS."""
    kinds = _KINDS.get(shape.type_name)
    if kinds is not None and not _is_one_of(value, kinds):
        yield f"{at} must be {_IN_WORDS[shape.type_name]}, not {value!r:.60}"
    elif shape.type_name == "structure":
        yield from _of_structure(shape, value, at)
    elif shape.type_name in ("list", "map"):
        for inner, each, place in _members(shape, value, at):
            yield from _of(inner, each, place)
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{at} is {value!r:.60}; it may be {', '.join(shape.enum)}, or be left out"


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """A truth value is no number."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _inside(at: str, name: str) -> str:
    """The place of a member, as ``containerDefinitions[0].image``."""
    return f"{at}.{name}" if at else name


def _meant(name: str, known: Mapping[str, Any]) -> str:
    """A guess at what an unknown key was meant to be."""
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else "; leave it out"
