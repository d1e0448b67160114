"""The project file as plain data: within limits, and with the places and the spelling of what
stands in it, so that a fault can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kirikae.model.errors import ProjectProblem
from kirikae.model.texts import shortened

MOST_BYTES = 1_000_000
_MOST_VALUES = 20_000
"""Keys and values, aliases written out; a file for a hundred hosts has some two thousand."""
_DEEPEST = 20
_LONGEST = 10_000
_LONGEST_NUMBER = 40
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
Place = tuple[int, int]
"""Line and column, counted from 0."""


def assert_size(size: int, name: str) -> None:
    """Raises ProjectProblem."""
    if size > MOST_BYTES:
        raise ProjectProblem(
            f"{name}: more than {MOST_BYTES // 1000} kB, which no project file needs; it was not "
            "read. Is another file meant?"
        )


class _Composer(Composer):  # type: ignore[misc]  # ruamel has no types
    """Ends where a file is deeper or larger than any project file."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._values = 0
        self._depth = 0
        self.warn_double_anchors = False

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self._values += 1
        self._depth += 1
        if self._values > _MOST_VALUES:
            self._end(f"more than {_MOST_VALUES} values", event)
        if self._depth > _DEEPEST:
            self._end(f"nested more than {_DEEPEST} deep", event)
        tag = str(getattr(event, "tag", None) or "")
        if tag not in ("", "!"):
            self._end(
                f"the tag {tag} means nothing here; remove it (text: put it in quotes)", event
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _end(self, why: str, event: Any) -> None:
        raise ComposerError(None, None, why, event.start_mark)


class _Constructor(RoundTripConstructor):  # type: ignore[misc]  # ruamel has no types
    """Keeps how every value was written, and where a value is none."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.written: dict[Place, str] = {}

    def construct_non_recursive_object(self, node: Any, tag: Any = None) -> Any:
        if isinstance(node.value, str):
            self.written[node.start_mark.line, node.start_mark.column] = node.value
        try:
            return super().construct_non_recursive_object(node, tag=tag)
        except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
            raise ConstructorError(None, None, _no_value(node, error), node.start_mark) from error


def _no_value(node: Any, error: Exception) -> str:
    why = str(error)
    if not isinstance(node.value, str) or len(node.value) > _LONGEST_NUMBER:
        why = "too long for a number"
    return f"{shortened(node.value)} cannot be read: {why} (text: put it in quotes)"


@dataclass(frozen=True, slots=True)
class Source:
    """``raw``: with the places of its keys.  ``plain``: ordinary containers.  ``faults``: keys and
    values that no project file has, each as a line of a message."""

    name: str
    raw: Any
    plain: Any
    written: Mapping[Place, str]
    faults: Sequence[str] = ()

    def line(self, path: Sequence[Any]) -> int:
        """The line of this key; where it is not there, of the nearest section around it."""
        node = self.raw
        line = _begin(node) or 1
        for part in path:
            try:
                places: Any = node.lc
                here = places.key(part) if isinstance(node, Mapping) else places.item(part)
                line = int(here[0]) + 1
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return line

    def at(self, path: Sequence[Any]) -> str:
        """``file:line`` of this key."""
        return f"{self.name}:{self.line(path)}"

    def spelling(self, path: Sequence[Any]) -> str | None:
        """A value as it stands in the file: ``012``, and not 12; None where that is not known."""
        node = self.raw
        place: Any = None
        for part in path:
            try:
                places: Any = node.lc
                place = places.value(part) if isinstance(node, Mapping) else places.item(part)
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                return None
        return self.written.get((place[0], place[1])) if place else None


def is_there(plain: Any, path: Sequence[Any]) -> bool:
    """Do these keys lead to something?"""
    for part in path:
        try:
            plain = plain[part]
        except (LookupError, TypeError):
            return False
    return True


def _begin(node: Any) -> int | None:
    places = getattr(node, "lc", None)
    line = getattr(places, "line", None)
    return None if line is None else int(line) + 1


def source_of(
    text: str,
    name: str,
    once: bool = True,
    begins: str = "service",
) -> Source:
    """``once``: a key that stands twice is refused.  ``begins``: the key that such a file begins
    with.  Raises ProjectProblem."""
    assert_size(len(text), name)
    yaml = YAML(typ="rt", pure=True)
    yaml.Composer = _Composer
    yaml.Constructor = _Constructor
    yaml.allow_duplicate_keys = not once
    try:
        raw = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ProjectProblem(f"{name}{line}: not YAML: {error.problem or error}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        position = getattr(error, "position", None)
        line = f":{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""
        why = str(error).split("\n", 1)[0]
        raise ProjectProblem(f"{name}{line}: not YAML: {why}") from error
    if not isinstance(raw, Mapping):
        raise ProjectProblem(f"{name}:1: the file must be a mapping that begins with `{begins}:`")
    reader = _Plain(name)
    return Source(name, raw, reader.of(raw), yaml.constructor.written, reader.faults)


@dataclass(slots=True)
class _Plain:
    """ruamel's commented containers as ordinary ones: strict models take no subclasses for
    granted.  Aliases are written out."""

    name: str
    faults: list[str] = field(default_factory=list)
    _values: int = 0

    def of(self, node: Any, depth: int = 0, line: int = 1) -> Any:
        """``line``: of the key or the item that this is the value of.  Raises ProjectProblem."""
        self._values += 1
        line = _begin(node) or line
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise ProjectProblem(
                f"{self.name}:{line}: with its aliases (*name) written out, the file is larger "
                "or deeper than any project file; write out what is meant"
            )
        if isinstance(node, Mapping):
            return self._section(node, depth, line)
        if isinstance(node, Sequence) and not isinstance(node, str | bytes):
            return [
                self.of(value, depth + 1, _line_at(node, place) or line)
                for place, value in enumerate(node)
            ]
        return self._text(str(node), line) if isinstance(node, str) else node

    def _section(self, node: Any, depth: int, line: int) -> dict[str, Any]:
        found = {}
        for key, value in node.items():
            at = _line_at(node, key) or line
            if self._is_name(node, key):
                found[self._text(str(key), at)] = self.of(value, depth + 1, at)
        return found

    def _is_name(self, node: Any, key: Any) -> bool:
        if isinstance(key, str):
            return True
        line = _line_at(node, key) or _begin(node) or 1
        shown = "~" if key is None else shortened(key)
        self.faults.append(f"{self.name}:{line}: the key {shown} is no text; put it in quotes")
        return False

    def _text(self, text: str, line: int) -> str:
        control = _CONTROL.search(text)
        if control is not None:
            self.faults.append(
                f"{self.name}:{line}: {shortened(text)} holds a control character "
                f"(U+{ord(control[0]):04X}); remove it"
            )
        if len(text) > _LONGEST:
            self.faults.append(
                f"{self.name}:{line}: {shortened(text)} is longer than a value can be ({_LONGEST})"
            )
        return text


def _line_at(node: Any, key: Any) -> int | None:
    try:
        places = node.lc
        here = places.key(key) if isinstance(node, Mapping) else places.item(key)
        return int(here[0]) + 1
    except (AttributeError, KeyError, IndexError, TypeError):
        return None
