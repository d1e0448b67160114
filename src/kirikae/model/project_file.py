"""Read the project file strictly; what is wrong is refused with file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import chain, islice
from typing import Annotated, Any, Union, get_args

from pydantic import Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from kirikae.model.contradictions import Contradiction, contradictions
from kirikae.model.errors import ProjectProblem
from kirikae.model.project import MoveSettings, Project
from kirikae.model.project_overlay import Overlaid
from kirikae.model.project_yaml import Source, source_of
from kirikae.model.texts import shortened
from kirikae.model.values import Name

_MOST_FAULTS = 50
_LONGEST = 500
_LONGEST_KEY = 80
_OTHERWISE = {
    "too_short": "at least {min_length} must be given",
    "tuple_type": "a list is needed, such as [a, b]",
    "list_type": "a list is needed, such as [a, b]",
    "dict_type": "a section of keys and values is needed",
    "model_type": "a section of keys and values is needed",
    "model_attributes_type": "a section of keys and values is needed",
    "int_type": "a whole number is needed",
    "bool_type": "true or false is needed",
    "date_type": "a day is needed, without quotes, such as 2027-01-31",
    "string_too_short": "it must not be empty",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than_equal": "it must be at most {le}",
}
"""Pydantic's kind of fault -> what to do."""
_KEY = "[key]"
"""Pydantic's word for a name that is none, behind that name."""
_A_NAME = "write letters, digits, dots and hyphens, at most 63, a letter or digit first"
_WRITE = {
    "service": _A_NAME,
    "environment": _A_NAME,
    _KEY: _A_NAME,
    "account": 'write the 12 digits of the account\'s number, such as "123456789012"',
    "region": "write its code, such as ap-northeast-1",
    "get": "write a path that begins with / and has no spaces; other letters as %XX",
    "post": "write a path that begins with / and has no spaces; other letters as %XX",
    "release_header": "write the header's name alone, such as X-Release-Id",
    "root": "write a path from the root of the host, such as /srv/shop",
}
"""A key whose pattern says little to people -> what to write."""


@cache
def project_type(kinds: tuple[type[MoveSettings], ...]) -> type[Project]:
    """The project file's type where these kinds of move are known: ``kind`` says which one a move
    is, and only its own keys are allowed there."""
    one: Any = MoveSettings
    if len(kinds) == 1:
        one = kinds[0]
    elif kinds:
        one = Annotated[Union[kinds], Field(discriminator="kind")]  # noqa: UP007 - made at run time
    moves: Any = (dict[Name, one], Field(default_factory=dict))
    return create_model("Project", __base__=Project, __doc__=Project.__doc__, moves=moves)


def schema(kinds: tuple[type[MoveSettings], ...]) -> dict[str, Any]:
    """The JSON Schema of the project file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kirikae.yml",
    } | project_type(kinds).model_json_schema()


def project_from(text: str, name: str, kinds: tuple[type[MoveSettings], ...]) -> Project:
    """Read the text of a project file called ``name``.

    Raises ProjectProblem that names every fault and its line.
    """
    return project_of(source_of(text, name), kinds)


def project_of(source: Source | Overlaid, kinds: tuple[type[MoveSettings], ...]) -> Project:
    """The same of what has been read already.  Raises ProjectProblem."""
    reader = _Faults(source, kinds)
    try:
        project = project_type(kinds).model_validate(source.plain)
    except ValidationError as error:
        faults = sorted(_apart(error.errors()), key=reader.place)
        raise _problem(source, map(reader.told, faults)) from error
    found = list(map(reader.contradiction, contradictions(project)))
    if found or source.faults:
        raise _problem(source, found)
    return project


def _problem(source: Source | Overlaid, more: Iterable[str]) -> ProjectProblem:
    """Every fault, but of a file that is something else only the first ones."""
    faults = list(islice(chain(source.faults, more), _MOST_FAULTS + 1))
    told = [fault.replace("\n", " ")[:_LONGEST] for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        told.append(f"{source.name}: and more; mend these first")
    return ProjectProblem("\n".join(told))


def _apart(faults: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without what is said twice: a list whose items are all wrong is not empty as well."""
    above = {tuple(fault["loc"][:-1]) for fault in faults}
    for fault in faults:
        if fault["type"] != "too_short" or tuple(fault["loc"]) not in above:
            yield fault


@cache
def _known_keys(kinds: tuple[type[MoveSettings], ...]) -> tuple[str, ...]:
    """All keys anywhere in the schema: close enough to guess what was meant, whatever the
    nesting."""
    definitions = project_type(kinds).model_json_schema()
    keys = set(definitions["properties"])
    for part in definitions.get("$defs", {}).values():
        keys |= set(part.get("properties", {}))
    return tuple(sorted(keys))


@dataclass(frozen=True, slots=True)
class _Faults:
    """Pydantic's faults as lines that say what to do."""

    source: Source | Overlaid
    kinds: tuple[type[MoveSettings], ...]

    def told(self, fault: ErrorDetails) -> str:
        """``file:line: key: what to do``."""
        path = self._path(fault["loc"])
        if fault["type"] == "union_tag_invalid":
            path.append("kind")  # pydantic names the move alone
        return self._line(path, self._remedy(fault, path))

    def place(self, fault: ErrorDetails) -> tuple[str, int]:
        """(file, line), so that faults stand in the order in which a person mends them."""
        file, _, line = self.source.at(self._path(fault["loc"])).rpartition(":")
        return file, int(line) if line.isdecimal() else 0

    def contradiction(self, found: Contradiction) -> str:
        """The same for what does not fit together."""
        return self._line(found.path, found.says)

    def _line(self, path: Sequence[int | str], says: str) -> str:
        key = ".".join(map(_shown_key, path)) or "the file"
        return f"{self.source.at(path)}: {key}: {says}"

    def _path(self, location: Sequence[int | str]) -> list[int | str]:
        """Where it is in the file: without the names of our own functions, and without the kind
        that pydantic puts behind a move's name."""
        found: list[int | str] = []
        for place, part in enumerate(location):
            ours = isinstance(part, str) and part.startswith("function-")
            name = part == _KEY and place == len(location) - 1
            tag = place == 2 and location[0] == "moves" and part in self._names()
            if not ours and not name and not (tag and len(self.kinds) > 1):
                found.append(part)
        return found

    def _names(self) -> list[str]:
        """The words that may stand after ``kind:``."""
        return [get_args(kind.model_fields["kind"].annotation)[0] for kind in self.kinds]

    def _remedy(self, fault: ErrorDetails, path: Sequence[int | str]) -> str:
        """What to do about one fault; pydantic's own words where there is nothing better."""
        value = fault["input"]
        shown = shortened(value)
        context = fault.get("ctx", {})
        match fault["type"]:
            case "extra_forbidden":
                return self._unknown_key(str(path[-1]))
            case "missing":
                return "this key must be given"
            case "union_tag_not_found":
                return f"`kind` must be given; {self._moves()}"
            case "union_tag_invalid":
                return f"kind {context['tag']!r} cannot be moved by this release; {self._moves()}"
            case "literal_error" if path[-1] == "kind":
                return f"{shown} cannot be moved by this release; {self._moves()}"
            case "literal_error":
                return f"{shown} is not possible here; choose one of {context['expected']}"
            case "string_type":
                return self._no_text(value, path)
            case "value_error":
                return str(context["error"])
            case "string_pattern_mismatch":
                wanted = _WRITE.get(str(fault["loc"][-1]), f"it must match {context['pattern']}")
                return f"{shown} does not look right; {wanted}"
            case other:
                words = _OTHERWISE.get(other, fault["msg"]).format(**context)
                return f"{words} (got {self._spelled(value, path)})"

    def _spelled(self, value: object, path: Sequence[int | str]) -> str:
        """As it stands in the file, where that is known."""
        written = None if isinstance(value, str) else self.source.spelling(path)
        return written[:_LONGEST_KEY] if written is not None else shortened(value)

    def _no_text(self, value: object, path: Sequence[int | str]) -> str:
        """With the value as it was written: the leading zero of an account's number belongs to
        it."""
        if value is None:
            return "a value must be given, or leave the key out"
        if isinstance(value, dict | list):
            return f"one text is needed, and no list or section (got {shortened(value)})"
        written = self._spelled(value, path)
        return f'{written} must be a string; put it in quotes: "{written}"'

    def _moves(self) -> str:
        """The kinds of move that this release has, in words."""
        return f"it moves {', '.join(f'`{name}`' for name in self._names())}"

    def _unknown_key(self, key: str) -> str:
        """With a guess at what was meant."""
        known = _known_keys(self.kinds)
        if key in known:
            return "this key stands elsewhere, not here"
        near = get_close_matches(key, known, n=1)
        if near:
            return f"unknown key; did you mean `{near[0]}`?"
        return "unknown key; remove it or see `kirikae project schema`"


def _shown_key(part: int | str) -> str:
    """A key that is no plain word is shown as what it is."""
    words = str(part)
    return words if words.isprintable() and 0 < len(words) <= _LONGEST_KEY else shortened(words)
