"""The functions that every template has (https://pkg.go.dev/text/template#hdr-Functions), but for
``and`` and ``or``, which look at no more than they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from kirikae.release.ecs.gotmpl.values import shown, sprint, sprintf, sprintln, type_of
from kirikae.release.errors import TemplateProblem


@dataclass(frozen=True, slots=True)
class Known:
    """A function of a template: what it is given, and what it does.

    ``takes``: the kinds of its first words (None: any).  ``rest``: more of them may follow.
    ``least``: so many must be given (default: all of ``takes``).
    """

    call: Callable[..., Any]
    takes: Sequence[type | None] = ()
    rest: type | None = None
    any_rest: bool = False
    least: int | None = None

    @property
    def variadic(self) -> bool:
        return self.rest is not None or self.any_rest

    @property
    def fewest(self) -> int:
        return len(self.takes) if self.least is None else self.least


def is_true(value: Any) -> bool:
    """Empty is false, and so is 0."""
    return bool(value)


def _same_kind(left: Any, right: Any) -> bool:
    return type_of(left) == type_of(right)


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateProblem("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if not _same_kind(left, right):
        raise TemplateProblem("incompatible types for comparison")
    if isinstance(left, list | tuple | Mapping):
        raise TemplateProblem(f"non-comparable type {shown(left)}")
    return bool(left == right)


def _lt(left: Any, right: Any) -> bool:
    if not _same_kind(left, right):
        raise TemplateProblem("incompatible types for comparison")
    if isinstance(left, bool) or not isinstance(left, int | float | str):
        raise TemplateProblem("invalid type for comparison")
    if isinstance(left, str):
        return bool(left.encode() < right.encode())
    return bool(left < right)


def _len(value: Any) -> int:
    match value:
        case str():
            return len(value.encode())
        case list() | tuple() | Mapping():
            return len(value)
        case None:
            raise TemplateProblem("len of nil pointer")
        case _:
            raise TemplateProblem(f"len of type {type_of(value)}")


def _index(item: Any, *places: Any) -> Any:
    for place in places:
        item = _at(item, place)
    return item


def _at(item: Any, place: Any) -> Any:
    if isinstance(item, Mapping):
        if not isinstance(place, str):
            raise TemplateProblem(f"value has type {type_of(place)}; should be string")
        return item.get(place)
    if item is None:
        raise TemplateProblem("index of untyped nil")
    if not isinstance(item, list | tuple | str):
        raise TemplateProblem(f"can't index item of type {type_of(item)}")
    many = item.encode() if isinstance(item, str) else item
    return many[_bound(place, len(many) - 1)]


def _bound(place: Any, last: int) -> int:
    if not isinstance(place, int) or isinstance(place, bool):
        raise TemplateProblem(f"cannot index slice/array with type {type_of(place)}")
    if not 0 <= place <= last:
        raise TemplateProblem(f"index out of range: {place}")
    return place


def _slice(item: Any, *places: Any) -> Any:
    if not isinstance(item, list | tuple | str):
        raise TemplateProblem(f"can't slice item of type {type_of(item)}")
    many = item.encode() if isinstance(item, str) else item
    bounds = [_bound(place, len(many)) for place in places]
    if len(bounds) > 2:
        raise TemplateProblem("a slice with a capacity is not read")
    start = [*bounds, 0][0]
    end = [*bounds[1:], len(many)][0]
    if start > end:
        raise TemplateProblem(f"invalid slice index: {start} > {end}")
    part = many[start:end]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


_HTML = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&#34;",
    "'": "&#39;",
    "\0": "\ufffd",
}
_JS = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}


def _html(*values: Any) -> str:
    return "".join(_HTML.get(each, each) for each in _joined(values))


def _js(*values: Any) -> str:
    return "".join(_JS.get(each) or _printable(each) for each in _joined(values))


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\u{ord(character):04X}"


def _joined(values: Sequence[Any]) -> str:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(values)


BUILTINS: Mapping[str, Known] = {
    "not": Known(lambda value: not is_true(value), [None]),
    "eq": Known(
        _eq,
        [None],
        any_rest=True,
    ),
    "ne": Known(lambda left, right: not _is_equal(left, right), [None, None]),
    "lt": Known(_lt, [None, None]),
    "le": Known(lambda left, right: _lt(left, right) or _is_equal(left, right), [None, None]),
    "gt": Known(lambda left, right: _lt(right, left), [None, None]),
    "ge": Known(lambda left, right: not _lt(left, right), [None, None]),
    "len": Known(_len, [None]),
    "index": Known(
        _index,
        [None],
        any_rest=True,
    ),
    "slice": Known(
        _slice,
        [None],
        any_rest=True,
    ),
    "print": Known(lambda *values: sprint(values), any_rest=True),
    "printf": Known(
        lambda form, *values: sprintf(form, values),
        [str],
        any_rest=True,
    ),
    "println": Known(lambda *values: sprintln(values), any_rest=True),
    "html": Known(_html, any_rest=True),
    "js": Known(_js, any_rest=True),
    "urlquery": Known(lambda *values: quote_plus(_joined(values)), any_rest=True),
}
SHORT_CIRCUITS = ("and", "or")
