"""Cut a template into text and the words of its actions."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from kirikae.release.errors import TemplateProblem

_LEFT = "{{"
_RIGHT = "}}"
_SPACE = " \t\r\n"
_COMMENT_END = "*/"


class Kind(Enum):
    """What a word is."""

    TEXT = auto()
    LEFT = auto()
    RIGHT = auto()
    SPACE = auto()
    NAME = auto()
    FIELD = auto()
    VARIABLE = auto()
    STRING = auto()
    CHARACTER = auto()
    NUMBER = auto()
    DOT = auto()
    SIGN = auto()
    """One of ``| , ( ) := =``."""
    END = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """``at``: where it begins in the template, counted in characters."""

    kind: Kind
    text: str
    at: int


_WORDS = (
    (Kind.SPACE, re.compile(r"[ \t\r\n]+")),
    (Kind.STRING, re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`')),
    (Kind.CHARACTER, re.compile(r"'(?:\\.|[^'\\\n])+'")),
    (Kind.NUMBER, re.compile(r"[+-]?\.?[0-9][0-9A-Za-z_.]*(?:(?<=[eEpP])[+-][0-9_]+)?")),
    (Kind.SIGN, re.compile(r":=|[|,()=]")),
    (Kind.VARIABLE, re.compile(r"\$\w*")),
    (Kind.FIELD, re.compile(r"\.[^\W\d]\w*")),
    (Kind.DOT, re.compile(r"\.")),
    (Kind.NAME, re.compile(r"[^\W\d]\w*")),
)
_NEEDS_AN_END = (Kind.NAME, Kind.FIELD, Kind.VARIABLE)
_ENDS = frozenset(_SPACE + ".,|:)(=")


def words_of(template: str) -> Iterator[Word]:
    """Raises TemplateProblem."""
    at = 0
    trims = False
    while True:
        start = template.find(_LEFT, at)
        text = template[at:] if start < 0 else template[at:start]
        if trims:
            text = text.lstrip(_SPACE)
        if start < 0:
            yield from _text(text, at)
            yield Word(
                Kind.END,
                "",
                len(template),
            )
            return
        inner = start + len(_LEFT)
        if _trims_before(template, inner):
            text = text.rstrip(_SPACE)
            inner += 1
        yield from _text(text, at)
        after = _after_comment(template, inner)
        if after is None:
            yield Word(
                Kind.LEFT,
                _LEFT,
                start,
            )
            ended = yield from _action(
                template,
                inner,
                start,
            )
        else:
            ended = after
        at, trims = ended


def _text(text: str, at: int) -> Iterator[Word]:
    if text:
        yield Word(
            Kind.TEXT,
            text,
            at,
        )


def _trims_before(template: str, at: int) -> bool:
    return template[at : at + 1] == "-" and template[at + 1 : at + 2] in tuple(_SPACE)


def _right_end(template: str, at: int) -> tuple[int, bool] | None:
    """(behind the action, whether it trims what follows); None: no action ends here."""
    if template.startswith(_RIGHT, at):
        return at + len(_RIGHT), False
    spaced = template[at : at + 1] in tuple(_SPACE)
    if spaced and template.startswith("-" + _RIGHT, at + 1):
        return at + 2 + len(_RIGHT), True
    return None


def _after_comment(template: str, inner: int) -> tuple[int, bool] | None:
    """Where the template goes on behind a comment; None: this action is none."""
    start = inner
    if template[inner - 1] == "-":
        # `{{- /*`: the blank that makes the hyphen a trim marker.
        start = len(template) - len(template[inner:].lstrip(_SPACE))
    if not template.startswith("/*", start):
        return None
    close = template.find(_COMMENT_END, start)
    if close < 0:
        raise TemplateProblem("unclosed comment", start)
    ended = _right_end(template, close + len(_COMMENT_END))
    if ended is None:
        raise TemplateProblem("comment ends before closing delimiter", start)
    return ended


def _action(template: str, at: int, start: int) -> Generator[Word, None, tuple[int, bool]]:
    while at < len(template):
        ended = _right_end(template, at)
        if ended is not None:
            yield Word(
                Kind.RIGHT,
                _RIGHT,
                at,
            )
            return ended
        word = _word(template, at)
        yield word
        at += len(word.text)
        if word.kind in _NEEDS_AN_END:
            _assert_ended(template, at)
    raise TemplateProblem("unclosed action", start)


def _word(template: str, at: int) -> Word:
    for kind, pattern in _WORDS:
        found = pattern.match(template, at)
        if found:
            return Word(
                kind,
                found[0],
                at,
            )
    character = template[at]
    if character in "\"'`":
        raise TemplateProblem(f"unterminated {_QUOTES[character]}", at)
    raise _bad(character, at)


_QUOTES = {
    '"': "quoted string",
    "`": "raw quoted string",
    "'": "character constant",
}


def _assert_ended(template: str, at: int) -> None:
    """A name is followed by a blank or a sign, never by another word."""
    follows = template[at : at + 1]
    if follows and follows not in _ENDS and not template.startswith(_RIGHT, at):
        raise _bad(follows, at)


def _bad(character: str, at: int) -> TemplateProblem:
    return TemplateProblem(f"bad character U+{ord(character):04X} {character!r}", at)
