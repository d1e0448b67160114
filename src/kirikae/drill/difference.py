"""Where two answers differ: by the field's path, and by the kind of the difference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from kirikae.drill.fields import Tree

_DEEPEST = 64
_SAME_MOMENT_S = 5.0
"""Two answers of one moment may have been written on both sides of a second's end."""
_IDENTITY = re.compile(
    r"[0-9]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=.*[0-9])[0-9a-fA-F]{12,}"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d (\S+)")
_SAFE = "/@#{}<>:,;=+*!$()"
"""Letters of a name that stay in a path; blanks do not, so that a path is one word."""


class Kind(StrEnum):
    """``PRESENCE``: one side has the field.  ``SHAPE``: a time, a number or a UUID became another
    of them, or a time's zone another zone.  ``ORDER``: the same elements, otherwise sorted."""

    VALUE = "value"
    SHAPE = "shape"
    TYPE = "type"
    PRESENCE = "presence"
    ORDER = "order"
    LENGTH = "length"


class Place(NamedTuple):
    """What noise is learnt for."""

    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Absent:
    """What stands for a field that one side does not have: null is a value."""


ABSENT = Absent()


class Pair(NamedTuple):
    """The two values of a difference."""

    old: object
    new: object


def differences(old: Tree, new: Tree) -> dict[Place, Pair]:
    """The first pair of each place; empty: the answers are the same."""
    found: dict[Place, Pair] = {}
    for place, pair in _compared(
        "",
        old,
        new,
        0,
    ):
        found.setdefault(place, pair)
    return found


def step(name: str) -> str:
    """A name within a path; what tells one thing from another of its kind is left out."""
    return "{}" if _IDENTITY.fullmatch(name) else quote(name, safe=_SAFE)


def _compared(
    field: str,
    old: Tree,
    new: Tree,
    depth: int,
) -> Iterator[tuple[Place, Pair]]:
    if depth >= _DEEPEST:
        if old != new:
            yield Place(field, Kind.VALUE), Pair(old, new)
    elif _type(old) != _type(new):
        kind = Kind.PRESENCE if ABSENT in (old, new) else Kind.TYPE
        yield Place(field, kind), Pair(old, new)
    elif isinstance(old, Mapping):
        yield from _of_objects(
            field,
            old,
            new,
            depth,
        )
    elif isinstance(old, (list, tuple)):
        yield from _of_lists(
            field,
            old,
            new,
            depth,
        )
    elif old != new:
        yield from _of_values(field, old, new)


def _of_objects(
    field: str,
    old: Tree,
    new: Tree,
    depth: int,
) -> Iterator[tuple[Place, Pair]]:
    for name in {**old, **new}:
        below = f"{field}.{step(name)}" if field else step(name)
        yield from _compared(
            below,
            old.get(name, ABSENT),
            new.get(name, ABSENT),
            depth + 1,
        )


def _of_lists(
    field: str,
    old: Tree,
    new: Tree,
    depth: int,
) -> Iterator[tuple[Place, Pair]]:
    """Of lists that are not equally long nothing more is said: which element is which?"""
    if len(old) != len(new):
        yield Place(field, Kind.LENGTH), Pair(len(old), len(new))
    elif old != new and sorted(map(repr, old)) == sorted(map(repr, new)):
        yield Place(field, Kind.ORDER), Pair(old, new)
    else:
        for number, (left, right) in enumerate(zip(old, new, strict=True), 1):
            name = f"{field}.line{number}" if isinstance(old, tuple) else f"{field}[]"
            yield from _compared(
                name,
                left,
                right,
                depth + 1,
            )


def _of_values(
    field: str,
    old: Tree,
    new: Tree,
) -> Iterator[tuple[Place, Pair]]:
    shapes = _shape(old), _shape(new)
    if shapes[0] != shapes[1]:
        yield Place(field, Kind.SHAPE), Pair(old, new)
    elif not _same_moment(old, new):
        yield Place(field, Kind.VALUE), Pair(old, new)


def _type(value: Tree) -> str:
    """JSON has one kind of numbers."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case Mapping():
            return "object"
        case _:
            return type(value).__name__


def _shape(value: Tree) -> str:
    """What noise leaves as it is."""
    if not isinstance(value, str):
        return ""
    if found := _TIME.fullmatch(value):
        return f"time {found[3] or 'without a zone'}"
    if found := _HTTP_DATE.fullmatch(value):
        return f"date {found[1]}"
    if _UUID.fullmatch(value):
        return "uuid"
    return "digits" if value.isdecimal() else "text"


def _same_moment(old: Tree, new: Tree) -> bool:
    moments = _moment(old), _moment(new)
    if moments[0] is None or moments[1] is None:
        return False
    return abs((moments[0] - moments[1]).total_seconds()) <= _SAME_MOMENT_S


def _moment(value: Tree) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        if _TIME.fullmatch(value):
            found = datetime.fromisoformat(value)
        elif _HTTP_DATE.fullmatch(value):
            found = parsedate_to_datetime(value)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
