"""Read the project file strictly; what is wrong is refused with file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Union, get_args

from pydantic import Field, ValidationError, create_model
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kirikae.model.errors import ProjectProblem
from kirikae.model.project import MoveSettings, Project
from kirikae.model.values import Name


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
    raw = _yaml(text, name)
    wanted = project_type(kinds)
    try:
        return wanted.model_validate(_plain(raw))
    except ValidationError as error:
        reader = _Faults(name, raw, kinds)
        raise ProjectProblem("\n".join(map(reader.told, error.errors()))) from error


def _yaml(text: str, name: str) -> Mapping[str, Any]:
    """The file with the places of its keys, for the sake of errors.  Raises ProjectProblem."""
    yaml = YAML(typ="rt", pure=True)
    try:
        raw = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ProjectProblem(f"{name}{line}: not YAML: {error.problem or error}") from error
    except (YAMLError, ValueError) as error:
        position = getattr(error, "position", None)
        line = f":{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""
        raise ProjectProblem(f"{name}{line}: not YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise ProjectProblem(f"{name}: the file must be a mapping that begins with `service:`")
    return raw


def _plain(node: Any) -> Any:
    """ruamel's commented containers as ordinary ones: strict models take no subclasses for
    granted."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(value) for value in node]
    if isinstance(node, str):
        return str(node)
    return node


@dataclass(frozen=True, slots=True)
class _Faults:
    """Pydantic's faults as lines that say what to do."""

    name: str
    raw: Any
    kinds: tuple[type[MoveSettings], ...]

    def told(self, fault: ErrorDetails) -> str:
        """``file:line: key: what to do``."""
        path = self._path(fault["loc"])
        line = _line_of(self.raw, path)
        key = ".".join(str(part) for part in path) or "the file"
        return f"{self.name}:{line}: {key}: {self._remedy(fault, path)}"

    def _path(self, location: Sequence[int | str]) -> list[int | str]:
        """Where it is in the file: without the names of our own functions, and without the kind
        that pydantic puts behind a move's name."""
        found: list[int | str] = []
        for place, part in enumerate(location):
            ours = isinstance(part, str) and part.startswith("function-")
            tag = place == 2 and location[0] == "moves" and part in self._names()
            if not ours and not (tag and len(self.kinds) > 1):
                found.append(part)
        return found

    def _names(self) -> list[str]:
        """The words that may stand after ``kind:``."""
        return [get_args(kind.model_fields["kind"].annotation)[0] for kind in self.kinds]

    def _remedy(self, fault: ErrorDetails, path: Sequence[int | str]) -> str:
        """What to do about one fault; pydantic's own words where there is nothing better."""
        value = fault["input"]
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
                return f"{value!r} cannot be moved by this release; {self._moves()}"
            case "literal_error":
                return f"{value!r} is not possible here; choose one of {context['expected']}"
            case "string_type":
                return f'{value!r} must be a string; put it in quotes: "{value}"'
            case "value_error":
                return str(context["error"])
            case "string_pattern_mismatch":
                return f"{value!r} does not look right; it must match {context['pattern']}"
            case _:
                return f"{fault['msg']} (got {value!r})"

    def _moves(self) -> str:
        """The kinds of move that this release has, in words."""
        return f"it moves {', '.join(f'`{name}`' for name in self._names())}"

    def _unknown_key(self, key: str) -> str:
        """With a guess at what was meant."""
        near = get_close_matches(key, self._known_keys(), n=1)
        if near:
            return f"unknown key; did you mean `{near[0]}`?"
        return "unknown key; remove it or see `kirikae project schema`"

    def _known_keys(self) -> list[str]:
        """All keys anywhere in the schema: close enough to guess what was meant, whatever the
        nesting."""
        definitions = project_type(self.kinds).model_json_schema()
        keys = set(definitions["properties"])
        for part in definitions.get("$defs", {}).values():
            keys |= set(part.get("properties", {}))
        return sorted(keys)


def _line_of(node: Any, path: Sequence[Any]) -> int:
    """The line of this key; where it is not there, of the nearest section around it."""
    line = int(node.lc.line) + 1
    for part in path:
        try:
            places: Any = node.lc
            here = places.key(part) if isinstance(node, Mapping) else places.item(part)
            line = int(here[0]) + 1
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
