"""What a template is made of once it is read: nodes, each with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Constant:
    """A string, number, truth value or ``nil``; ``text`` as it was written."""

    value: Any
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Dot:
    at: int
    text: str = "."


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    at: int

    @property
    def text(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Function:
    """The name of one."""

    name: str
    at: int

    @property
    def text(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Fields:
    """``of.first.second``; ``of`` None: of the dot."""

    of: Operand | None
    names: Sequence[str]
    at: int

    @property
    def text(self) -> str:
        return "." + ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Command:
    """A first word and what it is given."""

    words: Sequence[Operand]
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Pipe:
    """Each command is given the answer of the one before as its last word.

    ``declares``: variables that take the answer; ``assigns``: they exist already.
    """

    commands: Sequence[Command]
    at: int
    declares: Sequence[str] = ()
    assigns: bool = False
    text: str = "(...)"


Operand = Constant | Dot | Variable | Function | Fields | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Print:
    """``{{ pipe }}``"""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` and ``range``."""

    word: str
    pipe: Pipe
    body: Sequence[Node]
    otherwise: Sequence[Node] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """``break`` or ``continue``."""

    word: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """``{{ template "name" pipe }}``"""

    name: str
    pipe: Pipe | None
    at: int


Node = Text | Print | Branch | Leave | Call


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole template, and the ones that it defines."""

    nodes: Sequence[Node]
    defined: Mapping[str, Sequence[Node]] = field(default_factory=dict)
