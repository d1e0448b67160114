"""What guard looks at, in one shape each, whatever file it stood in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Open:
    """A value that only a rendering, a deployment or a build knows: ``written`` stands for it."""

    written: str


def is_open(value: object) -> bool:
    """Is it filled in later?  A template's braces are, within a text as well."""
    return isinstance(value, Open) or (isinstance(value, str) and "{{" in value)


class Container(NamedTuple):
    """A container definition, and the name by which findings call it."""

    label: str
    plain: Plain


@dataclass(frozen=True, slots=True)
class Task:
    """A task definition with the keys of RegisterTaskDefinition.  ``name``: where it stands."""

    name: str
    plain: Plain

    @property
    def containers(self) -> Iterator[Container]:
        """Those that can be read; ``unread`` says whether there are others."""
        rows = self.plain.get("containerDefinitions")
        for number, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, Mapping):
                called = row.get("name")
                label = called if isinstance(called, str) else f"container {number + 1}"
                yield Container(label, row)

    @property
    def unread(self) -> bool:
        """Are its containers, or some of them, not known?"""
        rows = self.plain.get("containerDefinitions")
        return not isinstance(rows, list) or any(not isinstance(row, Mapping) for row in rows)

    @property
    def platforms(self) -> tuple[str, ...]:
        """What it says it can run on; empty: it does not say."""
        named = self.plain.get("requiresCompatibilities")
        return tuple(map(str, named)) if isinstance(named, list) else ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile.  ``stage``: counted from 0; -1 before the first FROM."""

    word: str
    text: str
    line: int
    stage: int
    body: str = ""
    """Here-documents."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """``name``: where it stands."""

    name: str
    instructions: tuple[Instruction, ...]

    def of(self, *words: str) -> Iterator[Instruction]:
        """Instructions of these names, in every stage."""
        return (each for each in self.instructions if each.word in words)

    @property
    def lineage(self) -> tuple[int, ...]:
        """The stages that the image which comes out consists of, the last one first: a stage may
        begin with one before it."""
        begins = {each.stage: each.text.split() for each in self.of("FROM")}
        names: dict[str, int] = {}
        bases: dict[int, int | None] = {}
        for stage, words in begins.items():
            images = [word for word in words if not word.startswith("--")]
            bases[stage] = names.get(images[0].lower()) if images else None
            if len(images) >= 3 and images[1].upper() == "AS":
                names[images[2].lower()] = stage
        found: list[int] = []
        stage_or_none = max(begins, default=None)
        while stage_or_none is not None:
            found.append(stage_or_none)
            stage_or_none = bases[stage_or_none]
        return tuple(found)

    def last(self, word: str) -> Instruction | None:
        """The one that holds in the image that comes out; None: there is none."""
        for stage in self.lineage:
            found = [each for each in self.of(word) if each.stage == stage]
            if found:
                return found[-1]
        return None


Object = Task | Dockerfile


def entries(value: object) -> list[Any]:
    """The parts of a list; none of what is no list."""
    return value if isinstance(value, list) else []


def rows_of(value: object) -> list[Plain]:
    """The parts of a list that have keys."""
    return [each for each in entries(value) if isinstance(each, Mapping)]


def part_of(plain: Plain, key: str) -> Plain:
    """What stands below a key; nothing where that has no keys."""
    found = plain.get(key)
    return found if isinstance(found, Mapping) else {}


def number_of(value: object) -> float | None:
    """A number, as the API or a template writes it; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None
