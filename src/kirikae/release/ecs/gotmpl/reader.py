"""Read the words of a template into its tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import Any

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
from kirikae.release.ecs.gotmpl.words import Kind, Word, words_of
from kirikae.release.errors import TemplateProblem, UnknownFunction

_BRANCHES = ("if", "with", "range")
_LEAVES = ("break", "continue")
_KNOWN = {
    "true": True,
    "false": False,
    "nil": None,
}
_OPERANDS = (
    Kind.NAME,
    Kind.FIELD,
    Kind.VARIABLE,
    Kind.STRING,
    Kind.CHARACTER,
    Kind.NUMBER,
    Kind.DOT,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"
)
_SHORT = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_MOST_NESTED = 100


def read(template: str, functions: Collection[str]) -> Parsed:
    """Raises TemplateProblem, also for a function that nobody defines, in whichever branch."""
    return _Reader(list(words_of(template)), functions).whole()


class _Reader:
    """Goes through the words once, from the first to the last."""

    def __init__(self, words: list[Word], functions: Collection[str]) -> None:
        self._words = words
        self._place = 0
        self._functions = functions
        self._variables = ["$"]
        self._defined: dict[str, list[Node]] = {}
        self._loops = 0
        self._depth = 0

    def whole(self) -> Parsed:
        nodes, end = self._nodes()
        if end is not None:
            raise TemplateProblem(f"unexpected {{{{{end.text}}}}}", end.at)
        return Parsed(nodes, self._defined)

    # --- words

    def _peek(self) -> Word:
        return self._words[self._place]

    def _next(self) -> Word:
        word = self._words[self._place]
        self._place += 1
        return word

    def _skip_space(self) -> Word:
        """The word that comes next, blanks aside."""
        while self._peek().kind is Kind.SPACE:
            self._place += 1
        return self._peek()

    def _take_right(self, context: str) -> None:
        word = self._skip_space()
        if word.kind is not Kind.RIGHT:
            raise TemplateProblem(f"unexpected {word.text!r} in {context}", word.at)
        self._place += 1

    # --- nodes

    def _nodes(self) -> tuple[list[Node], Word | None]:
        """Up to ``end`` or ``else`` (the second of the answer), or to the end of the template."""
        found: list[Node] = []
        while True:
            word = self._next()
            if word.kind is Kind.END:
                return found, None
            if word.kind is Kind.TEXT:
                found.append(Text(word.text))
                continue
            key = self._skip_space()
            if key.kind is Kind.NAME and key.text in ("end", "else"):
                self._place += 1
                return found, key
            node = self._action(key)
            if node is not None:
                found.append(node)

    def _action(self, key: Word) -> Node | None:
        """What stands behind ``{{``; None: it defines something and prints nothing."""
        word = key.text if key.kind is Kind.NAME else ""
        if word in _BRANCHES:
            self._place += 1
            return self._branch(word)
        if word in _LEAVES:
            self._place += 1
            return self._leave(key)
        if word in ("define", "template", "block"):
            self._place += 1
            return self._named(word)
        pipe = self._pipe("command")
        self._take_right("command")
        return Print(pipe)

    def _leave(self, key: Word) -> Leave:
        if not self._loops:
            raise TemplateProblem(f"{{{{{key.text}}}}} outside {{{{range}}}}", key.at)
        self._take_right(f"{{{{{key.text}}}}}")
        return Leave(key.text, key.at)

    def _branch(self, word: str) -> Branch:
        known = len(self._variables)
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise TemplateProblem("nested too deep", self._peek().at)
        pipe = self._pipe(word)
        self._take_right(word)
        self._loops += word == "range"
        body, end = self._nodes()
        self._loops -= word == "range"
        otherwise = self._otherwise(
            word,
            pipe,
            end,
        )
        del self._variables[known:]
        self._depth -= 1
        return Branch(
            word,
            pipe,
            body,
            otherwise,
        )

    def _otherwise(
        self,
        word: str,
        pipe: Pipe,
        end: Word | None,
    ) -> list[Node]:
        """What stands behind ``else``, up to the ``end`` of the branch."""
        if end is None:
            raise TemplateProblem(f"{{{{{word}}}}} has no {{{{end}}}}", pipe.at)
        if end.text == "end":
            self._take_right("end")
            return []
        key = self._skip_space()
        if key.kind is Kind.NAME and key.text == word and word != "range":
            # `else if` has no `end` of its own.
            self._place += 1
            return [self._branch(word)]
        self._take_right("else")
        nodes, last = self._nodes()
        if last is None or last.text != "end":
            raise TemplateProblem(f"{{{{{word}}}}} has no {{{{end}}}}", pipe.at)
        self._take_right("end")
        return nodes

    def _named(self, word: str) -> Call | None:
        """``define``, ``template`` and ``block``."""
        name = self._skip_space()
        if name.kind is not Kind.STRING:
            raise TemplateProblem(f"unexpected {name.text!r} in {word} clause", name.at)
        self._place += 1
        pipe = None
        if word != "define" and self._skip_space().kind is not Kind.RIGHT:
            pipe = self._pipe(f"{word} clause")
        self._take_right(f"{word} clause")
        text = str(_unquoted(name))
        if word != "template":
            self._defined[text] = self._body_of(word, name)
        return (
            None
            if word == "define"
            else Call(
                text,
                pipe,
                name.at,
            )
        )

    def _body_of(self, word: str, name: Word) -> list[Node]:
        """A template of its own has variables and loops of its own."""
        variables = self._variables
        loops = self._loops
        self._variables = ["$"]
        self._loops = 0
        nodes, end = self._nodes()
        self._variables = variables
        self._loops = loops
        if end is None or end.text != "end":
            raise TemplateProblem(f"{{{{{word} {name.text}}}}} has no {{{{end}}}}", name.at)
        self._take_right("end")
        return nodes

    # --- pipelines

    def _pipe(self, context: str) -> Pipe:
        """Up to ``}}`` or ``)``, which is left for whoever asked."""
        at = self._skip_space().at
        names, assigns = self._declared(context)
        commands: list[Command] = []
        while True:
            commands.append(self._command(context))
            word = self._skip_space()
            if word.kind is Kind.SIGN and word.text == "|":
                self._place += 1
                continue
            break
        for command in commands[1:]:
            first = command.words[0]
            if isinstance(first, Constant | Dot):
                raise TemplateProblem("non executable command in pipeline", command.at)
        self._variables += [] if assigns else names
        return Pipe(
            commands,
            at,
            names,
            assigns,
        )

    def _declared(self, context: str) -> tuple[list[str], bool]:
        """``$x :=``, ``$x =`` and, in a ``range``, ``$i, $v :=``."""
        start = self._place
        names = [self._skip_space()]
        if names[0].kind is not Kind.VARIABLE:
            return [], False
        self._place += 1
        sign = self._skip_space()
        if sign.text == "," and context == "range":
            self._place += 1
            names.append(self._skip_space())
            self._place += 1
            sign = self._skip_space()
        if sign.kind is not Kind.SIGN or sign.text not in (":=", "="):
            self._place = start
            return [], False
        self._place += 1
        assigns = sign.text == "="
        for name in names:
            if assigns and name.text not in self._variables:
                raise TemplateProblem(f'undefined variable "{name.text}"', name.at)
        return [name.text for name in names], assigns

    def _command(self, context: str) -> Command:
        begin = self._skip_space()
        words: list[Operand] = []
        while True:
            word = self._skip_space()
            if word.kind not in _OPERANDS and word.text != "(":
                break
            words.append(self._operand())
            if self._peek().kind not in (Kind.SPACE, Kind.RIGHT) and self._peek().text not in "|)":
                raise TemplateProblem(f"unexpected {self._peek().text!r} in operand", word.at)
        word = self._peek()
        if word.kind is not Kind.RIGHT and word.text not in ("|", ")"):
            raise TemplateProblem(f"unexpected {word.text!r} in {context}", word.at)
        if not words:
            raise TemplateProblem(f"missing value for {context}", begin.at)
        return Command(
            words,
            begin.at,
            " ".join(each.text for each in words),
        )

    def _operand(self) -> Operand:
        """A word, and the fields that are asked of it."""
        at = self._peek().at
        of = self._term()
        names = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._next().text[1:])
        if not names:
            return of
        if isinstance(of, Constant):
            raise TemplateProblem(f"unexpected . after term {of.text!r}", at)
        if isinstance(of, Fields):
            return Fields(
                of.of,
                [*of.names, *names],
                at,
            )
        return Fields(
            of,
            names,
            at,
        )

    def _term(self) -> Operand:
        word = self._next()
        if word.text == "(" and word.kind is Kind.SIGN:
            return self._in_parentheses(word)
        if word.kind is Kind.NAME:
            return self._name(word)
        if word.kind is Kind.FIELD:
            return Fields(
                None,
                [word.text[1:]],
                word.at,
            )
        if word.kind is Kind.DOT:
            return Dot(word.at)
        if word.kind is Kind.VARIABLE:
            if word.text not in self._variables:
                raise TemplateProblem(f'undefined variable "{word.text}"', word.at)
            return Variable(word.text, word.at)
        return Constant(
            _constant(word),
            word.text,
            word.at,
        )

    def _in_parentheses(self, opens: Word) -> Pipe:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise TemplateProblem("nested too deep", opens.at)
        pipe = self._pipe("parenthesized pipeline")
        if self._skip_space().text != ")":
            raise TemplateProblem("unclosed left paren", opens.at)
        self._place += 1
        self._depth -= 1
        return pipe

    def _name(self, word: Word) -> Operand:
        if word.text in _KNOWN:
            return Constant(
                _KNOWN[word.text],
                word.text,
                word.at,
            )
        if word.text not in self._functions:
            raise UnknownFunction(word.text, word.at)
        return Function(word.text, word.at)


# --- constants


def _constant(word: Word) -> Any:
    if word.kind is Kind.NUMBER:
        return _number(word)
    found = _unquoted(word)
    if word.kind is Kind.STRING:
        return found
    if len(found) != 1:
        raise TemplateProblem(f"malformed character constant: {word.text}", word.at)
    return ord(found)


def _unquoted(word: Word) -> str:
    inner = word.text[1:-1]
    if word.text.startswith("`"):
        return inner.replace("\r", "")
    without = _ESCAPE.sub("", inner)
    if "\\" in without:
        raise TemplateProblem(f"bad escape in {word.text}", word.at)
    return _ESCAPE.sub(_character, inner)


def _character(escape: re.Match[str]) -> str:
    short, *codes, octal = escape.groups()
    if short is not None:
        return _SHORT.get(short, short)
    if octal is not None:
        return chr(int(octal, 8))
    code = next(each for each in codes if each is not None)
    return chr(int(code, 16))


_OCTAL = re.compile(r"([+-]?)0([0-7_]+)")


def _number(word: Word) -> int | float:
    """Go's and Python's literals are alike but for octals such as 0644."""
    text = _OCTAL.sub(r"\g<1>0o\2", word.text) if _OCTAL.fullmatch(word.text) else word.text
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError) as error:
        raise TemplateProblem(f"bad number syntax: {word.text!r}", word.at) from error
    if not isinstance(found, int | float):
        raise TemplateProblem(f"complex numbers are not read: {word.text}", word.at)
    return found
