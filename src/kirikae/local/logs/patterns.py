"""Filter patterns of CloudWatch Logs: words, JSON, and lines that are divided by spaces; pure.

CloudWatch Logs user guide, "Filter pattern syntax".  Where the guide says nothing: a comparison
with what is not there is false, also ``!=`` (ours).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.local.errors import AwsError

LONGEST = 1024
MOST_REGEXES = 2
_REGEX_ALLOWED = re.compile(r"[A-Za-z0-9:_#=@/;,\-^$?\[\]{}|\\*+.\s]*")
_PLAIN_WORD = re.compile(r"[\w]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FIELD = re.compile(r'\[([^\]]*)\]|"((?:[^"\\]|\\.)*)"|(\S+)')
_PART = re.compile(r'(?:"(?:[^"\\]|\\.)*"|%[^%]*%|[^,])*')
_OPERATORS = ("!=", "<=", ">=", "=", "<", ">")
Extracted = Mapping[str, str]
Test = Callable[[Any], bool]
_MISSING = object()


def _wrong(why: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {why}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """``match``: what is extracted of a message that fits; None for one that does not."""

    text: str
    match: Callable[[str], Extracted | None]

    def fits(self, message: str) -> bool:
        return self.match(message) is not None


def pattern_of(text: str) -> Pattern:
    """Raises AwsError for what AWS does not take."""
    if len(text) > LONGEST:
        raise _wrong(f"{len(text)} long, at most {LONGEST}")
    bare = text.strip()
    if bare.startswith("{"):
        return Pattern(text, _of_json(bare))
    if bare.startswith("["):
        return Pattern(text, _of_fields(bare))
    return Pattern(text, _of_words(bare))


# --- words


@dataclass(frozen=True, slots=True)
class _Word:
    """``sign``: ``?`` for one of several, ``-`` for not, else empty."""

    sign: str
    is_in: Test


def _of_words(text: str) -> Callable[[str], Extracted | None]:
    """All must be in it; where only such with ``?`` are there, one of them.  Beside others, those
    with ``?`` are ignored, as the guide says."""
    words = _words(text)
    required = [word for word in words if word.sign == ""]
    forbidden = [word for word in words if word.sign == "-"]
    optional = [word for word in words if word.sign == "?"]

    def match(message: str) -> Extracted | None:
        if any(word.is_in(message) for word in forbidden):
            return None
        if required or forbidden or not optional:
            fits = all(word.is_in(message) for word in required)
        else:
            fits = any(word.is_in(message) for word in optional)
        return {} if fits else None

    return match


def _words(text: str) -> list[_Word]:
    reader = _Reader(text)
    found = []
    regexes = 0
    while not reader.is_over():
        sign = reader.take_one_of(("?", "-"))
        if reader.peek("%"):
            regexes += 1
            found.append(_Word(sign, _searches(reader.regex())))
            continue
        word = reader.quoted() if reader.peek('"') else reader.word()
        found.append(_Word(sign, _holds_word(word)))
    if regexes > MOST_REGEXES:
        raise _wrong(f"{regexes} regular expressions, at most {MOST_REGEXES}")
    return found


def _searches(expression: re.Pattern[str]) -> Test:
    return lambda value: expression.search(_as_text(value)) is not None


def _holds_word(word: str) -> Test:
    return lambda message: word in message


class _Reader:
    """A text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def is_over(self) -> bool:
        self._skip()
        return self._at >= len(self._text)

    def peek(self, sign: str) -> bool:
        self._skip()
        return self._text.startswith(sign, self._at)

    def take(self, sign: str) -> bool:
        if self.peek(sign):
            self._at += len(sign)
            return True
        return False

    def take_one_of(self, signs: Sequence[str]) -> str:
        """Empty where none of them is next."""
        return next((sign for sign in signs if self.take(sign)), "")

    def take_words(self, words: str) -> bool:
        """In capitals or not."""
        self._skip()
        match = re.compile(words.replace(" ", r"\s+") + r"\b", re.IGNORECASE).match(
            self._text, self._at
        )
        if match is None:
            return False
        self._at = match.end()
        return True

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise _wrong(f"{sign} is missing before {self._text[self._at :][:20]!r}")

    def quoted(self) -> str:
        """Between double quotes; a backslash before one keeps it."""
        match = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(self._text, self._at)
        if match is None:
            raise _wrong("a double quote is not closed")
        self._at = match.end()
        return re.sub(r"\\(.)", r"\1", match[1])

    def regex(self) -> re.Pattern[str]:
        """Between per cent signs."""
        self.expect("%")
        end = self._text.find("%", self._at)
        if end < 0:
            raise _wrong("a regular expression is not closed")
        text = self._text[self._at : end]
        self._at = end + 1
        if not _REGEX_ALLOWED.fullmatch(text) or not text.isascii():
            raise _wrong(f"%{text}% holds what regular expressions may not")
        try:
            return re.compile(text)
        except re.error as error:
            raise _wrong(f"%{text}%: {error}") from error

    def word(self) -> str:
        """Letters, digits and underscores; others stand in quotes."""
        end = self._at
        while end < len(self._text) and not self._text[end].isspace():
            end += 1
        word = self._text[self._at : end]
        self._at = end
        if not _PLAIN_WORD.fullmatch(word):
            raise _wrong(f"{word} must stand in double quotes")
        return word

    def until(self, ends: str) -> str:
        """Up to one of these characters, or a space."""
        self._skip()
        begin = self._at
        while self._at < len(self._text) and self._text[self._at] not in ends + " \t\n":
            self._at += 1
        return self._text[begin : self._at]


# --- conditions, of JSON and of fields


@dataclass(frozen=True, slots=True)
class _Condition:
    """``test`` is asked with what was found at ``selector``."""

    selector: str
    test: Test


@dataclass(frozen=True, slots=True)
class _Both:
    parts: tuple[_Tree, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    parts: tuple[_Tree, ...]


_Tree = _Condition | _Both | _Either
Find = Callable[[str], Any]


def _holds(tree: _Tree, find: Find) -> bool:
    match tree:
        case _Both(parts):
            return all(_holds(part, find) for part in parts)
        case _Either(parts):
            return any(_holds(part, find) for part in parts)
        case _Condition(selector, test):
            return test(find(selector))


def _selectors(tree: _Tree) -> list[str]:
    if isinstance(tree, _Condition):
        return [tree.selector]
    return [selector for part in tree.parts for selector in _selectors(part)]


def _either(reader: _Reader, one: Callable[[_Reader], _Tree]) -> _Tree:
    """&& binds closer than ||."""
    parts = [_both(reader, one)]
    while reader.take("||"):
        parts.append(_both(reader, one))
    return parts[0] if len(parts) == 1 else _Either(tuple(parts))


def _both(reader: _Reader, one: Callable[[_Reader], _Tree]) -> _Tree:
    parts = [_one(reader, one)]
    while reader.take("&&"):
        parts.append(_one(reader, one))
    return parts[0] if len(parts) == 1 else _Both(tuple(parts))


def _one(reader: _Reader, one: Callable[[_Reader], _Tree]) -> _Tree:
    if reader.take("("):
        inner = _either(reader, one)
        reader.expect(")")
        return inner
    return one(reader)


def _comparison(reader: _Reader, ends: str) -> Test:
    """An operator and what follows it."""
    operator = reader.take_one_of(_OPERATORS)
    if not operator:
        raise _wrong("an operator is missing")
    if reader.peek("%"):
        return _signed(operator, _searches(reader.regex()))
    if reader.peek('"'):
        return _signed(operator, _like(reader.quoted()))
    word = reader.until(ends)
    if not word:
        raise _wrong(f"nothing follows {operator}")
    if _NUMBER.fullmatch(word):
        return _numeric(operator, float(word))
    return _signed(operator, _like(word))


def _signed(operator: str, equals: Test) -> Test:
    """Texts are equal or not; they are not ordered."""
    if operator not in ("=", "!="):
        raise _wrong(f"{operator} compares numbers alone")
    is_equal = operator == "="
    return lambda value: value is not _MISSING and equals(value) is is_equal


def _like(text: str) -> Test:
    """``*`` stands for anything."""
    expression = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
    return lambda value: expression.fullmatch(_as_text(value)) is not None


def _numeric(operator: str, number: float) -> Test:
    compare: dict[str, Callable[[float], bool]] = {
        "=": lambda value: value == number,
        "!=": lambda value: value != number,
        "<": lambda value: value < number,
        ">": lambda value: value > number,
        "<=": lambda value: value <= number,
        ">=": lambda value: value >= number,
    }
    return lambda value: (found := _as_number(value)) is not None and compare[operator](found)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value) if value is not _MISSING else ""


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or value is _MISSING:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value)
    return float(text) if _NUMBER.fullmatch(text) else None


# --- JSON


def _of_json(text: str) -> Callable[[str], Extracted | None]:
    reader = _Reader(text)
    reader.expect("{")
    tree = _either(reader, _json_condition)
    reader.expect("}")
    if not reader.is_over():
        raise _wrong("something follows the last }")
    selectors = sorted(set(_selectors(tree)))
    steps = {selector: _steps(selector) for selector in selectors}

    def match(message: str) -> Extracted | None:
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None

        def find(selector: str) -> Any:
            return _at(document, steps[selector])

        if not _holds(tree, find):
            return None
        found = {selector: find(selector) for selector in selectors}
        return {name: _as_text(value) for name, value in found.items() if value is not _MISSING}

    return match


def _json_condition(reader: _Reader) -> _Tree:
    selector = reader.until("=<>!)&|}")
    if not selector.startswith("$"):
        raise _wrong(f"a selector begins with $, not {selector!r}")
    for words, test in _STATES.items():
        if reader.take_words(words):
            return _Condition(selector, test)
    return _Condition(selector, _comparison(reader, ")&|}"))


_STATES: Mapping[str, Test] = {
    "IS NULL": lambda value: value is None,
    "IS TRUE": lambda value: value is True,
    "IS FALSE": lambda value: value is False,
    "NOT EXISTS": lambda value: value is _MISSING,
}
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]")


def _steps(selector: str) -> tuple[str | int, ...]:
    """``$.a.b[0]`` and ``$['a b']``."""
    rest = selector[1:]
    found: list[str | int] = []
    at = 0
    while (match := _STEP.match(rest, at)) is not None:
        found.append(int(match[2]) if match[2] else match[1] or match[3])
        at = match.end()
    if at != len(rest) or not found:
        raise _wrong(f"the selector {selector} cannot be read")
    return tuple(found)


def _at(document: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return _MISSING
            document = document[step]
        elif not isinstance(document, dict) or step not in document:
            return _MISSING
        else:
            document = document[step]
    return document


# --- lines that are divided by spaces


@dataclass(frozen=True, slots=True)
class _Column:
    """``name``: empty for one that is only counted."""

    name: str


def _of_fields(text: str) -> Callable[[str], Extracted | None]:
    """``[ip, user, ..., status = 4*, bytes > 1000]``."""
    if not text.endswith("]"):
        raise _wrong("the last ] is missing")
    columns: list[_Column | None] = []
    conditions: list[_Tree] = []
    for part in _parts(text[1:-1]):
        if part == "...":
            columns.append(None)
            continue
        tree = _column_condition(part)
        columns.append(_Column(tree if isinstance(tree, str) else _selectors(tree)[0]))
        if not isinstance(tree, str):
            conditions.append(tree)
    if columns.count(None) > 1:
        raise _wrong("... may stand there once")
    names = [column.name for column in columns if column is not None]

    def match(message: str) -> Extracted | None:
        values = _aligned(columns, fields_of(message))
        if values is None:
            return None
        found = dict(zip(names, values, strict=True))
        if not all(_holds(tree, lambda name: found.get(name, _MISSING)) for tree in conditions):
            return None
        return {f"${name}": value for name, value in found.items() if name}

    return match


def _parts(text: str) -> list[str]:
    """Between commas that stand in no quotes."""
    found: list[str] = []
    at = 0
    while at <= len(text):
        match = _PART.match(text, at)
        assert match is not None  # an empty part is one
        found.append(match.group().strip())
        at = match.end() + 1
    return found


def _column_condition(part: str) -> str | _Tree:
    """A name alone, or its conditions: all of them speak of the same column."""
    reader = _Reader(part)

    def one(reader: _Reader) -> _Tree:
        name = reader.until("=<>!&|()")
        return _Condition(name, _comparison(reader, "&|)"))

    if re.fullmatch(r"[\w-]*", part):
        return part
    tree = _either(reader, one)
    if not reader.is_over():
        raise _wrong(f"{part} cannot be read to its end")
    if len(set(_selectors(tree))) != 1:
        raise _wrong(f"{part} speaks of several columns")
    return tree


def _aligned(columns: list[_Column | None], values: list[str]) -> list[str] | None:
    """As many fields as columns; ``...`` stands for any number of them."""
    if None not in columns:
        return values if len(values) == len(columns) else None
    before = columns.index(None)
    after = len(columns) - before - 1
    if len(values) < before + after:
        return None
    return [*values[:before], *(values[-after:] if after else ())]


def fields_of(message: str) -> list[str]:
    """What stands in brackets or in quotes is one field."""
    return [
        next(group for group in match.groups() if group is not None)
        for match in _FIELD.finditer(message)
    ]
