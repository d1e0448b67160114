"""The page for people who decide, without anything that must be loaded from elsewhere.

Everything that goes into it is escaped here; the words come from ``words/``, the form from
``pages/decision.html``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from string import Template

from kirikae.console.catalogue import catalogue
from kirikae.console.decision import End, Facts, Point, Task
from kirikae.console.speech import Speech
from kirikae.model.finding import Severity
from kirikae.model.said import said, words_of

_YEAR_DAYS = 365
_TERM = re.compile(r"console\.report\.terms\.(\w+)\.word")
_TAG = re.compile(r"<[^>]*>")
_GONE = "#b3261e"
_SOON = "#e08a00"
_LATER = "#3c8d40"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Words in one language, ready for HTML."""

    speech: Speech

    def word(self, key: str, **blanks: object) -> str:
        """Words of ``console.report``, escaped."""
        what = said(f"console.report.{key}", **blanks)
        return html.escape(self.speech.say(what))

    def point(self, point: Point) -> str:
        """A line of a list, escaped."""
        title = html.escape(self.speech.say(point.title))
        text = html.escape(self.speech.say(point.text))
        return f"<li><b>{title}</b> {text}</li>"

    def terms(self, said_before: str) -> Iterator[str]:
        """Lines of a list: technical words that stand on the page, and what they mean."""
        for name in _term_names():
            pattern = self.speech.say(said(f"console.report.terms.{name}.word"))
            found = re.finditer(pattern, said_before, re.IGNORECASE)
            words: dict[str, str] = {}
            for match in found:
                words.setdefault(match[0].lower(), match[0])
            if words:
                shown = html.escape(" / ".join(words.values()))
                yield f"<li><b>{shown}</b>: {self.word(f'terms.{name}.text')}</li>"

    def row(self, task: Task) -> str:
        """A line of the table of tasks, escaped; a code that no catalogue has stands for itself."""
        entry = catalogue().get(task.code)
        title = entry.titled(self.speech.language) if entry else task.code
        cells = (
            self.word(f"severity.{task.severity}"),
            html.escape(title),
            str(task.places),
            html.escape(task.machines),
        )
        columns = "".join(f"<td>{cell}</td>" for cell in cells)
        return f'<tr class="{task.severity}">{columns}</tr>'


def _term_names() -> list[str]:
    """In the order in which the file of words has them."""
    keys = words_of("kirikae.console")["en"]
    found = (_TERM.fullmatch(key) for key in keys)
    return [match[1] for match in found if match]


def page(facts: Facts, speech: Speech) -> str:
    """The whole page; its technical words are explained at its end."""
    return _template().substitute(parts_of(facts, speech))


def parts_of(facts: Facts, speech: Speech) -> dict[str, str]:
    """What stands on the page, by name, ready for HTML."""
    write = _Writer(speech)
    parts = _parts(facts, facts.tasks(), write)
    text = html.unescape(_TAG.sub(" ", " ".join(parts.values())))
    terms = _lines(write.terms(text))
    return {**parts, "terms": write.word("words"), "terms_list": terms}


def _parts(
    facts: Facts,
    tasks: Sequence[Task],
    write: _Writer,
) -> dict[str, str]:
    """What goes into the form, by name."""
    speech = write.speech
    return {
        "language": speech.language,
        "title": write.word("title", service=facts.project.service),
        "lead": write.word("lead", hosts=facts.hosts, day=facts.day.isoformat()),
        "ends": write.word("ends"),
        "timeline": _timeline(facts, write),
        "gain": write.word("gain"),
        "gains": _lines(write.point(point) for point in facts.gains()),
        "takes": write.word("takes"),
        "takes_lead": _takes_lead(tasks, write),
        "effort": html.escape(speech.say(facts.effort())),
        "what": write.word("what"),
        "how_many": write.word("how_many"),
        "where": write.word("where"),
        "rows": _lines(write.row(task) for task in tasks),
        "cost": write.word("cost"),
        "cost_text": html.escape(facts.cost_in_words(speech)),
        "risk": write.word("risk"),
        "risks": _lines(write.point(point) for point in facts.risks()),
    }


def _template() -> Template:
    """The page's form, with ``$names`` for what goes into it."""
    file = files("kirikae.console") / "pages" / "decision.html"
    return Template(file.read_text(encoding="utf-8"))


def _lines(parts: Iterable[str]) -> str:
    """Parts that are HTML already, one a line."""
    return "\n".join(parts)


def _takes_lead(tasks: Sequence[Task], write: _Writer) -> str:
    """How much there is to do, and how much of it before the first visitor."""
    every = 0
    first = 0
    for task in tasks:
        every += task.places
        if task.severity == Severity.BLOCKS:
            first += task.places
    return write.word("takes_lead", n=every, first=first)


# --- the picture of what ends when

_WIDTH = 520
_LEFT = 6
_RIGHT = 10
_ROW = 44


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a day stands from left to right."""

    first: date
    last: date

    def at(self, day: date) -> float:
        """In the picture's own units; a picture of one day only has everything at the left."""
        whole = max(1, (self.last - self.first).days)
        part = (day - self.first).days / whole
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * part


def _timeline(facts: Facts, write: _Writer) -> str:
    """What ends when, soonest on top; a sentence where nothing is known to end."""
    if not facts.ends:
        return f"<p>{write.word('ends_none')}</p>"
    days = [facts.day, *(end.day for end in facts.ends)]
    scale = _Scale(min(days), max(days))
    height = _ROW * (len(facts.ends) + 1) + 10
    box = f"0 0 {_WIDTH} {height + 16}"
    label = write.word("ends")
    parts = [f'<svg viewBox="{box}" role="img" aria-label="{label}">']
    parts += _today(facts.day, scale, height, write)
    for number, end in enumerate(facts.ends, 1):
        y = _ROW * number
        parts += _bar(end, facts.day, y, scale, write)
    parts.append("</svg>")
    return _lines(parts)


def _today(
    day: date,
    scale: _Scale,
    height: int,
    write: _Writer,
) -> Iterator[str]:
    """The line of the day on which the page was written."""
    x = scale.at(day)
    words = write.word("today", day=day.isoformat())
    yield (
        f'<line x1="{x:.0f}" x2="{x:.0f}" y1="18" y2="{height}" '
        'stroke="#2a7de1" stroke-dasharray="4 3"/>'
    )
    side = "end" if x > _WIDTH / 2 else "start"
    yield f'<text x="{x:.0f}" y="14" text-anchor="{side}">{words}</text>'


def _bar(
    end: End,
    today: date,
    y: int,
    scale: _Scale,
    write: _Writer,
) -> Iterator[str]:
    """From today to the day, or from the day to today where that is over."""
    ends = (scale.at(today), scale.at(end.day))
    left = min(ends)
    right = max(ends)
    days = (end.day - today).days
    key = "over" if days < 0 else "left"
    name = html.escape(end.name)
    note = write.word(
        "end",
        day=end.day.isoformat(),
        left=said(f"console.report.{key}", days=abs(days)),
    )
    yield (
        f'<rect x="{left:.0f}" y="{y}" width="{right - left:.0f}" height="12" '
        f'rx="3" fill="{_colour(days)}" opacity=".75"/>'
    )
    # Above the bar: on a phone there is no room beside it.
    yield f'<text x="{_LEFT}" y="{y - 6}">{name} <tspan class="note">{note}</tspan></text>'


def _colour(days_left: int) -> str:
    """Over, within a year, or later."""
    if days_left < 0:
        return _GONE
    return _SOON if days_left < _YEAR_DAYS else _LATER
