"""Render a template: walk its tree with the functions and the environment at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kirikae.release.ecs.gotmpl.builtins import BUILTINS, SHORT_CIRCUITS, Known, is_true
from kirikae.release.ecs.gotmpl.reader import read
from kirikae.release.ecs.gotmpl.tree import (
    Branch,
    Call,
    Command,
    Constant,
    Dot,
    Fields,
    Function,
    Leave,
    Node,
    Operand,
    Parsed,
    Pipe,
    Print,
    Text,
    Variable,
)
from kirikae.release.ecs.gotmpl.values import printed, type_of
from kirikae.release.errors import DefinitionProblem, LeftRange, TemplateProblem, TooLong

_DEEPEST = 30
_MOST_ROUNDS = 100_000
"""Of all ranges and calls of one rendering together: no definition needs more."""
_MOST_TOLD = 20
_ABSENT = object()
"""No value comes through the pipeline."""


def render(text: str, name: str, functions: Mapping[str, Known]) -> str:
    """Raises DefinitionProblem with file and line, for every action that cannot be."""
    known = {**BUILTINS, **functions}
    try:
        parsed = read(text, {*known, *SHORT_CIRCUITS})
    except TemplateProblem as problem:
        raise DefinitionProblem(
            _told(
                name,
                text,
                problem,
            )
        ) from problem
    walk = _Walk(parsed, known)
    try:
        walk.through(parsed.nodes, None)
    except TooLong as problem:
        raise DefinitionProblem(
            _told(
                name,
                text,
                problem,
            )
        ) from problem
    if walk.troubles:
        told = [
            _told(
                name,
                text,
                trouble,
            )
            for trouble in walk.troubles[:_MOST_TOLD]
        ]
        raise DefinitionProblem("\n".join(told)) from walk.troubles[0]
    return "".join(walk.out)


def _told(name: str, text: str, problem: TemplateProblem) -> str:
    at = problem.at or 0
    line = (
        text.count(
            "\n",
            0,
            at,
        )
        + 1
    )
    return f"{name}:{line}: {problem}"


@dataclass
class _Walk:
    """One rendering.  ``troubles``: what could not be, in order; the rest is rendered all the
    same, so that all of it is told at once."""

    parsed: Parsed
    functions: Mapping[str, Known]
    out: list[str] = field(default_factory=list)
    troubles: list[TemplateProblem] = field(default_factory=list)
    variables: list[tuple[str, Any]] = field(default_factory=lambda: [("$", None)])
    depth: int = 0
    rounds: int = 0

    def through(self, nodes: Iterable[Node], dot: Any) -> None:
        known = len(self.variables)
        for node in nodes:
            try:
                self._node(node, dot)
            except TooLong:
                raise
            except TemplateProblem as trouble:
                self.troubles.append(trouble)
        del self.variables[known:]

    def _node(self, node: Node, dot: Any) -> None:
        match node:
            case Text():
                self.out.append(node.text)
            case Print():
                value = self._pipe(node.pipe, dot)
                if not node.pipe.declares:
                    self.out.append(printed(value))
            case Branch(word="range"):
                self._range(node, dot)
            case Branch():
                self._branch(node, dot)
            case Leave():
                raise LeftRange(node.word)
            case Call():
                self._call(node, dot)

    def _branch(self, node: Branch, dot: Any) -> None:
        known = len(self.variables)
        value = self._pipe(node.pipe, dot)
        inner = value if node.word == "with" else dot
        if is_true(value):
            self.through(node.body, inner)
        else:
            self.through(node.otherwise, dot)
        del self.variables[known:]

    def _range(self, node: Branch, dot: Any) -> None:
        known = len(self.variables)
        pairs = list(self._pairs(node.pipe, dot))
        if not pairs:
            self.through(node.otherwise, dot)
        for key, value in pairs:
            self._count(node.pipe.at)
            self._declare(
                node.pipe,
                key,
                value,
            )
            try:
                self.through(node.body, value)
            except LeftRange as left:
                if left.word == "break":
                    break
            finally:
                if not node.pipe.assigns:
                    del self.variables[known:]
        del self.variables[known:]

    def _declare(
        self,
        pipe: Pipe,
        key: Any,
        value: Any,
    ) -> None:
        """One variable takes the value, two take key and value."""
        values = [value] if len(pipe.declares) == 1 else [key, value]
        for name, each in zip(
            pipe.declares,
            values,
            strict=False,
        ):
            self._set(
                name,
                each,
                pipe.assigns,
            )

    def _pairs(self, pipe: Pipe, dot: Any) -> Iterator[tuple[Any, Any]]:
        """What a range goes through: lists, maps by key, and numbers below a number."""
        value = self._value_of(pipe, dot)
        match value:
            case None:
                return
            case Mapping():
                yield from ((key, value[key]) for key in sorted(value))
            case list() | tuple():
                yield from enumerate(value)
            case int() if not isinstance(value, bool) and value <= _MOST_ROUNDS:
                yield from ((number, number) for number in range(value))
            case _:
                raise TemplateProblem(f"range can't iterate over {printed(value)}", pipe.at)

    def _call(self, node: Call, dot: Any) -> None:
        nodes = self.parsed.defined.get(node.name)
        if nodes is None:
            raise TemplateProblem(f'template "{node.name}" not defined', node.at)
        self._count(node.at)
        if self.depth >= _DEEPEST:
            raise TooLong("exceeded maximum template depth", node.at)
        inner = None if node.pipe is None else self._pipe(node.pipe, dot)
        outer = self.variables
        self.variables = [("$", inner)]
        self.depth += 1
        self.through(nodes, inner)
        self.depth -= 1
        self.variables = outer

    def _count(self, at: int) -> None:
        """Raises TooLong."""
        self.rounds += 1
        if self.rounds > _MOST_ROUNDS:
            raise TooLong("the template goes round and round", at)

    # --- values

    def _pipe(self, pipe: Pipe, dot: Any) -> Any:
        value = self._value_of(pipe, dot)
        for name in pipe.declares:
            self._set(
                name,
                value,
                pipe.assigns,
            )
        return value

    def _value_of(self, pipe: Pipe, dot: Any) -> Any:
        value: Any = _ABSENT
        for command in pipe.commands:
            value = self._command(
                command,
                dot,
                value,
            )
        return value

    def _set(
        self,
        name: str,
        value: Any,
        assigns: bool,
    ) -> None:
        if not assigns:
            self.variables.append((name, value))
            return
        place = max(n for n, (each, _) in enumerate(self.variables) if each == name)
        self.variables[place] = (name, value)

    def _command(
        self,
        command: Command,
        dot: Any,
        final: Any,
    ) -> Any:
        """``final``: what comes through the pipeline, the last word of a function."""
        first, *rest = command.words
        if isinstance(first, Function):
            return self._function(
                first,
                rest,
                dot,
                final,
            )
        if isinstance(first, Constant) and first.value is None:
            raise TemplateProblem("nil is not a command", first.at)
        if rest or final is not _ABSENT:
            raise TemplateProblem(f"can't give argument to non-function {first.text}", first.at)
        return self._operand(first, dot)

    def _operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Constant():
                return operand.value
            case Dot():
                return dot
            case Variable():
                return self._variable(operand.name)
            case Pipe():
                return self._pipe(operand, dot)
            case Function():
                return self._function(
                    operand,
                    [],
                    dot,
                    _ABSENT,
                )
            case Fields():
                of = dot if operand.of is None else self._operand(operand.of, dot)
                for name in operand.names:
                    of = _field(
                        of,
                        name,
                        operand.at,
                    )
                return of

    def _variable(self, name: str) -> Any:
        return next(value for each, value in reversed(self.variables) if each == name)

    def _function(
        self,
        word: Function,
        rest: Sequence[Operand],
        dot: Any,
        final: Any,
    ) -> Any:
        if word.name in SHORT_CIRCUITS:
            return self._short_circuit(
                word,
                rest,
                dot,
                final,
            )
        known = self.functions[word.name]
        many = len(rest) + (final is not _ABSENT)
        _assert_many(
            word,
            known,
            many,
        )
        given = [
            self._given(
                each,
                _kind_at(known, place),
                dot,
            )
            for place, each in enumerate(rest)
        ]
        if final is not _ABSENT:
            _assert_kind(
                final,
                _kind_at(known, len(rest)),
                word,
                printed(final),
            )
            given.append(final)
        try:
            return known.call(*given)
        except TemplateProblem as problem:
            place = word.at if problem.at is None else problem.at
            raise TemplateProblem(f"{word.name}: {problem}", place) from problem

    def _short_circuit(
        self,
        word: Function,
        rest: Sequence[Operand],
        dot: Any,
        final: Any,
    ) -> Any:
        if not rest and final is _ABSENT:
            raise TemplateProblem(f"wrong number of args for {word.name}: want at least 1", word.at)
        value: Any = None
        for each in rest:
            value = self._operand(each, dot)
            if is_true(value) is (word.name == "or"):
                return value
        return value if final is _ABSENT else final

    def _given(
        self,
        operand: Operand,
        kind: type | None,
        dot: Any,
    ) -> Any:
        value = self._operand(operand, dot)
        _assert_kind(
            value,
            kind,
            operand,
            operand.text,
        )
        return value


def _field(of: Any, name: str, at: int) -> Any:
    """Nothing has any field, and its value is none."""
    if of is None:
        return None
    if isinstance(of, Mapping):
        return of.get(name)
    raise TemplateProblem(f"can't evaluate field {name} in type {type_of(of)}", at)


def _kind_at(known: Known, place: int) -> type | None:
    return known.takes[place] if place < len(known.takes) else known.rest


def _assert_many(word: Function, known: Known, many: int) -> None:
    most = None if known.variadic else len(known.takes)
    if many >= known.fewest and (most is None or many <= most):
        return
    least = "at least " if known.variadic or known.fewest != most else ""
    raise TemplateProblem(
        f"wrong number of args for {word.name}: want {least}{known.fewest} got {many}", word.at
    )


_IN_WORDS = {str: "string", int: "integer"}


def _assert_kind(
    value: Any,
    kind: type | None,
    of: Operand,
    text: str,
) -> None:
    if kind is None or (isinstance(value, kind) and not isinstance(value, bool)):
        # A character constant is a number, written as one.
        return
    raise TemplateProblem(f"expected {_IN_WORDS[kind]}; found {text}", of.at)
