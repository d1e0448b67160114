"""A sentence that is not written yet: which sentence, and what fills its blanks.

Reasons are values: the journal keeps them, decisions look at their key, and the words of a language
are put in only where somebody reads them.  The words stand in ``words/en.toml`` and
``words/ja.toml`` of each room.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, Self

from kirikae.model.share import percent

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = ("en", "ja")
TEXT = "text"
"""The key of words that are nobody's template: what a person wrote, or what AWS answered."""


@dataclass(frozen=True, slots=True)
class Said:
    """``key``: ``room.sentence``.

    ``blanks``: name -> number, text, another ``Said``, a list of them, or None where not known.
    """

    key: str
    blanks: Mapping[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the journal and for ``--json``; ``from_plain`` reads it back."""
        blanks = {name: plain_of(value) for name, value in self.blanks.items()}
        return {"says": self.key, "blanks": blanks}

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote."""
        return cls(raw["says"], {name: _value(value) for name, value in raw["blanks"].items()})


def said(key: str, /, **blanks: Any) -> Said:
    """``said("room.sentence", share=100)``; whether there are such words is found when it is
    said."""
    return Said(key, blanks)


def text(words: str) -> Said:
    """Words as they are, in whatever language they were written."""
    return Said(TEXT, {"text": words})


def plain_of(value: Any) -> Any:
    """A blank's value for the journal."""
    if isinstance(value, Said):
        return value.to_plain()
    if isinstance(value, (list, tuple)):
        return [plain_of(each) for each in value]
    return value


def _value(raw: Any) -> Any:
    """A blank's value from the journal."""
    if isinstance(raw, dict) and raw.keys() == {"says", "blanks"}:
        return Said.from_plain(raw)
    if isinstance(raw, list):
        return [_value(each) for each in raw]
    return raw


Tables = Mapping[str, Mapping[str, str]]
"""Language -> key -> template."""


@cache
def words_of(package: str) -> Tables:
    """The words of a room's package, by full key: ``shown`` of ``kirikae.traffic`` is
    ``traffic.shown``."""
    room = package.rpartition(".")[2]
    found: dict[str, Mapping[str, str]] = {}
    for language in LANGUAGES:
        file = files(package) / "words" / f"{language}.toml"
        found[language] = dict(_flat(room, tomllib.loads(file.read_text(encoding="utf-8"))))
    return found


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Tables within tables as one: ``a.b.c`` -> template."""
    for key, value in table.items():
        if isinstance(value, str):
            yield f"{prefix}.{key}", value
        else:
            yield from _flat(f"{prefix}.{key}", value)


class _Part(NamedTuple):
    """Words of a template, and the blank that follows them (None: the end) with its form."""

    words: str
    blank: str | None
    form: str


@cache
def _parts(template: str) -> tuple[_Part, ...]:
    """A sentence may be said at every look of a day: its template is taken apart once."""
    parsed = string.Formatter().parse(template)
    return tuple(_Part(words, blank, form or "") for words, blank, form, _ in parsed)


def blanks_of(template: str) -> set[str]:
    """The names of the blanks in a template."""
    return {part.blank for part in _parts(template) if part.blank is not None}


class Words:
    """Templates of some rooms, and how a sentence is made of them.

    A blank says how its value is shown: ``{share:share}`` permille as per cent, ``{part:.1%}`` and
    ``{n:,}`` as Python does, ``{seconds:duration}`` in minutes, hours or days, ``{seconds:s}`` in
    whole seconds.  Of a list every part is shown, ``{parts:;}`` with semicolons between.
    """

    def __init__(self, *tables: Tables) -> None:
        """Of the same key in several tables the last one counts."""
        self._tables: dict[str, dict[str, str]] = {}
        for language in LANGUAGES:
            mine = self._tables[language] = {TEXT: "{text}"}
            for table in tables:
                mine.update(table[language])
        self._fillers = {language: _Filler(self, language) for language in LANGUAGES}

    @classmethod
    def of(cls, *packages: str) -> Self:
        """The words of these packages, and those of ``model``, which every room may use."""
        return cls(words_of("kirikae.model"), *(words_of(package) for package in packages))

    def plus(self, *tables: Tables) -> Words:
        """With these besides; this one stays as it is."""
        return Words(self._tables, *tables)

    def keys(self, language: Language = "en") -> Mapping[str, str]:
        """Key -> template."""
        return self._tables[language]

    def knows(self, key: str) -> bool:
        """Are there words for this key?"""
        return key in self._tables["en"]

    def say(self, what: Said | None, language: Language = "en") -> str:
        """The sentence; empty for None.

        A key or a blank that these words do not have, such as in a journal that another version
        wrote, is shown as it stands: whoever looks at 3 a.m. must see it, not a traceback.
        """
        if what is None:
            return ""
        if what.key == TEXT and isinstance(what.blanks.get("text"), str):
            return str(what.blanks["text"])
        template = self._tables[language].get(what.key)
        if template is None:
            return _as_it_stands(what)
        try:
            return self._fillers[language].filled(template, what.blanks)
        except (KeyError, ValueError, TypeError):
            return _as_it_stands(what)


def _as_it_stands(what: Said) -> str:
    """Its key and what would fill its blanks."""
    blanks = ", ".join(f"{name}={plain_of(value)}" for name, value in what.blanks.items())
    return f"{what.key} ({blanks})" if blanks else what.key


class _Filler:
    """Fills one sentence's blanks in one language."""

    def __init__(self, words: Words, language: Language) -> None:
        """``words`` are asked again for sentences within the sentence."""
        self._words = words
        self._language = language

    def filled(self, template: str, blanks: Mapping[str, Any]) -> str:
        """Raises KeyError, ValueError or TypeError where a blank does not fit."""
        told = []
        for words, blank, form in _parts(template):
            told.append(words)
            if blank is not None:
                told.append(self._shown(blanks[blank], form))
        return "".join(told)

    def _shown(self, value: Any, form: str) -> str:
        """One blank: what is not known is said to be unknown, never shown as 0."""
        say = self._words.say
        match value:
            case None:
                return say(Said("model.unknown"), self._language)
            case Said():
                return say(value, self._language)
            case list() | tuple():
                return self._joined(value, form)
        match form:
            case "share":
                return percent(value)
            case "duration":
                return say(duration(value), self._language)
            case "s":
                return f"{value:.0f}" if isinstance(value, (int, float)) else str(value)
            case counted if "|" in counted:
                return _counted(value, counted)
            case _:
                return format(value, form)

    def _joined(self, values: Sequence[Any], form: str) -> str:
        """``{parts:;}``: with semicolons; otherwise with commas."""
        apart = form == ";"
        parts = [self._shown(each, "" if apart else form) for each in values]
        joiner = Said("model.semicolon" if apart else "model.comma")
        return self._words.say(joiner, self._language).join(parts)


def _counted(number: float, forms: str) -> str:
    """``{n:# finding|# findings}``: what stands for one, and for every other number."""
    one, many = forms.split("|", 1)
    return (one if number == 1 else many).replace("#", f"{number:,}")


def duration(seconds: float | None) -> Said:
    """A length of time for people."""
    if seconds is None:
        return said("model.unknown")
    if seconds < 5400:
        return said("model.minutes", n=max(1, round(seconds / 60)))
    if seconds < 36 * 3600:
        return said("model.hours", n=round(seconds / 3600))
    return said("model.days", n=round(seconds / 86400))


def chosen(language: str | None, environment: Mapping[str, str]) -> Language:
    """The language that was asked for, or the environment's (LC_ALL, LC_MESSAGES, LANG)."""
    if language == "ja":
        return "ja"
    if language is not None:
        return "en"
    names: Sequence[str] = ("LC_ALL", "LC_MESSAGES", "LANG")
    first = next((environment[name] for name in names if environment.get(name)), "")
    return "ja" if first.startswith("ja") else "en"
