"""How the verbs of a move tell what they see: a line for people, JSON for machines."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from kirikae.console.here import Answer, to_json
from kirikae.console.speech import Speech
from kirikae.model.errors import Exit
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move, Phase, Why
from kirikae.model.said import Said, said
from kirikae.model.share import percent
from kirikae.model.shown import clean, writable
from kirikae.move.engine import Look, Wait, held_in_words
from kirikae.move.kind import Told

_INDENT = 2
_OF_VERDICT: dict[Verdict, str | None] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.UNSURE: None,
}
_CLEAR = "\r\x1b[K"
"""To the line's beginning, and away with what stands there (ECMA-48, EL)."""


def cut(text: str, columns: int) -> str:
    """As much as fits: a letter of Japanese takes two columns (Unicode, UAX 11)."""
    told = ""
    for letter in text:
        columns -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if columns < 0:
            break
        told += letter
    return told


def exit_of(found: Move) -> Exit:
    """What a verb that watched a move ends with: held by a back-out, waiting for somebody, or
    done."""
    if found.held is not None:
        return Exit.BACKED_OUT if found.held.why is Why.BACKED_OUT else Exit.WAITING
    return Exit.DONE if found.over or found.phase is Phase.SETTLED else Exit.WAITING


def shown(
    found: Move,
    evidence: Evidence | None = None,
    wait: Wait | None = None,
) -> dict[str, Any]:
    """A move for ``--json``: sentences in English, and the values that they are made of."""
    english = Speech()
    held = found.held
    return {
        "move": found.name,
        "phase": str(found.phase),
        "share": percent(found.share),
        "held": english.say(held_in_words(found)),
        "held_why": None if held is None else str(held.why),
        "seq": found.seq,
        "intent": str(found.intent) if found.intent else None,
        "waits_for": english.say(wait.says) if wait else "",
        "waits_on": str(wait.on) if wait else None,
        "evidence": None if evidence is None else shown_evidence(evidence),
    }


def shown_look(look: Look) -> dict[str, Any]:
    """A look for ``--json``, with this machine's Unix time."""
    return {"at": time.time(), **shown(look.move, look.evidence, look.wait)}


def shown_evidence(evidence: Evidence) -> dict[str, Any]:
    """``reason`` is the sentence in English, ``says`` the key and values behind it."""
    plain = evidence.to_plain()
    says = plain.pop("reason")
    return {**plain, "reason": Speech().say(evidence.reason), "says": says}


@dataclass(slots=True)
class Teller:
    """Prints a look when it says something new; on a terminal the figures run in one line.

    ``told``: both sides' figures in words, as the thing that moves has them.
    """

    as_json: bool
    told: Callable[[Evidence], Told | None]
    speech: Speech = field(default_factory=Speech)
    live: bool = field(default_factory=sys.stderr.isatty)
    _seq: int | None = None
    _last: str = ""
    _open: bool = False

    def __call__(self, look: Look) -> None:
        """Called for every look; prints only what is new."""
        if self.as_json:
            click.echo(writable(to_json(shown_look(look))))
            return
        if look.move.seq != self._seq:
            self._tell_news(look)
        if self.live:
            wide = shutil.get_terminal_size().columns - _INDENT - 1
            line = cut(_one_line(self._live_line(look)), wide)
            click.echo(f"{_CLEAR}  {line}", nl=False, err=True)
            self._open = True
        elif look.wait is not None and _gist(self.speech.say(look.wait.says)) != self._last:
            _print(f"  {self.speech.say(said('console.waits_for', what=self._line(look)))}")
            self._last = _gist(self.speech.say(look.wait.says))

    def close(self) -> None:
        """What comes next begins a line of its own."""
        if self._open:
            click.echo(_CLEAR, nl=False, err=True)
            self._open = False

    def _live_line(self, look: Look) -> str:
        """Share and figures first: what is cut off at the end is known from the line before."""
        waits = self.speech.say(look.wait.says) if look.wait is not None else ""
        told = self.told(look.evidence) if look.evidence is not None else None
        figures = self.speech.say(told.line) if told is not None else ""
        return " | ".join(part for part in (percent(look.move.share), figures, waits) if part)

    def _tell_news(self, look: Look) -> None:
        """An entry of the journal that was not told yet."""
        self.close()
        evidence = look.evidence
        if evidence is not None and evidence.verdict is not Verdict.UNSURE:
            told = f"  {evidence.verdict}: {self.speech.say(evidence.reason)}"
            _print(told, _OF_VERDICT[evidence.verdict])
        where = self.speech.where(look.move)
        name = look.move.name
        now = f"{datetime.now():%H:%M:%S}"
        stands = self.speech.say(said("console.is", name=name, where=where))
        _print(f"{now} {stands}", _of_move(look.move))
        self._seq = look.move.seq
        self._last = ""

    def _line(self, look: Look) -> str:
        """What is waited for, and the figures."""
        waits = self.speech.say(look.wait.says) if look.wait is not None else ""
        told = self.told(look.evidence) if look.evidence is not None else None
        if told is None:
            return waits
        figures = self.speech.say(told.line)
        return f"{waits} ({figures})" if waits else figures


def _of_move(move: Move) -> str | None:
    """Where somebody has to act it is red; where it is done, green."""
    if move.held is not None:
        return "red"
    return "green" if move.over or move.phase is Phase.SETTLED else None


def _print(line: str, colour: str | None = None) -> None:
    """What a reason or a person says may hold what AWS or a host said: cleaned before it is
    coloured.  click takes colours out of pipes."""
    told = clean(line)
    click.echo(told if colour is None else click.style(told, fg=colour))


def _one_line(text: str) -> str:
    """It is written over again and again: a line break would leave it standing."""
    return " ".join(clean(text).split())


def _gist(text: str) -> str:
    """A message without its numbers: forecasts change every second and are told once."""
    return "".join(letter for letter in text if not letter.isdigit())


def about(found: Move, lead: str = "", speech: Speech | None = None) -> Answer:
    """The outcome of a command on a move: ``web is running at 10%``."""
    voice = speech or Speech()
    says: Said = said("console.is", name=found.name, where=voice.where(found))
    return Answer(shown(found), (f"{lead} {voice.say(says)}".strip(),))
