"""``kirikae explain CODE``: what a finding means and what to do about it, whoever finds it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click

from kirikae.console.catalogue import catalogue
from kirikae.console.completion import CODES
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.model.catalogue import Entry
from kirikae.model.errors import UsageProblem
from kirikae.model.finding import EVERY_KIND
from kirikae.model.said import Said, said


def entry_of(code: str) -> Entry:
    """Raises UsageProblem for a code that no room knows."""
    known = catalogue()
    found = known.get(code) or known.get(code.upper())
    if found is None:
        near = ", ".join(get_close_matches(code.upper(), known, n=3))
        hint = f"did you mean {near}? " if near else ""
        raise UsageProblem(
            f"{code}: no finding has this code; {hint}all stand in docs/reference/findings.md "
            "(a path of a host begins with /)",
        )
    return found


def blocked(kinds: Sequence[str]) -> Said | list[str]:
    """The kinds of move that a finding blocks."""
    if EVERY_KIND in kinds:
        return said("console.explain.every")
    return list(kinds) or said("console.explain.nothing")


def told(entry: Entry, speech: Speech) -> list[str]:
    """Title, what it blocks, what to do, and which kind of move does it."""
    says = said(
        "console.explain.entry",
        code=entry.code,
        severity=said(f"console.severity.{entry.severity}"),
        title=entry.titled(speech.language),
        blocks=blocked(entry.blocks),
        remedy=entry.remedied(speech.language),
    )
    lines = speech.say(says).split("\n")
    if entry.mends:
        lines.append(speech.say(said("console.explain.mends", kinds=list(entry.mends))))
    return lines


@click.command("explain")
@click.argument("code", shell_complete=CODES)
@LANG
@JSON
@click.pass_obj
def explain(here: Here, code: str, lang: str | None) -> Answer:
    """What the finding CODE means, what it blocks, and what to do about it."""
    entry = entry_of(code)
    plain = {
        "code": entry.code,
        "severity": str(entry.severity),
        "blocks": list(entry.blocks),
        "mends": list(entry.mends),
        "title": {"en": entry.title, "ja": entry.title_ja},
        "remedy": {"en": entry.remedy, "ja": entry.remedy_ja},
    }
    return Answer(plain, told(entry, Speech(here.language(lang))))
