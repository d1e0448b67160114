"""Acceptances that do not hold: at three in the morning nobody should have to wonder why a finding
that was answered for stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches

from kirikae.console.catalogue import catalogue
from kirikae.console.here import Answer
from kirikae.console.speech import Speech
from kirikae.model.finding import Finding
from kirikae.model.project import Accepted, Project
from kirikae.model.said import Said, said


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an acceptance does not hold.  ``kind``: a word of ``console.doubt``."""

    kind: str
    answer: Accepted
    instead: tuple[str, ...] = ()

    @property
    def says(self) -> Said:
        return said(
            f"console.doubt.{self.kind}",
            code=self.answer.finding,
            where=self.answer.where,
            until=str(self.answer.until),
            instead=self.instead,
        )

    def to_plain(self) -> dict[str, object]:
        return {
            "why": self.kind,
            "finding": self.answer.finding,
            "where": self.answer.where,
            "instead": list(self.instead),
        }


def doubts(project: Project, today: date, found: Sequence[Finding] | None = None) -> list[Doubt]:
    """``found``: what was looked at, if anything was: then a place that is none is told as well.

    A finding that nobody has any more needs no answer, and is no doubt.
    """
    codes = catalogue()
    told = []
    for answer in project.accepted:
        if answer.finding not in codes:
            near = get_close_matches(answer.finding, codes, n=1)
            told.append(Doubt("no_code_near" if near else "no_code", answer, tuple(near)))
        elif answer.until < today:
            told.append(Doubt("expired", answer))
        else:
            told += _elsewhere(answer, found or ())
    return told


def _elsewhere(answer: Accepted, found: Iterable[Finding]) -> Iterator[Doubt]:
    """Its code was found, but nowhere where it says; and somewhere nobody answers for it."""
    alike = [finding for finding in found if finding.code == answer.finding]
    if any(finding.where == answer.where for finding in alike):
        return
    places = sorted({finding.where for finding in alike if not finding.accepted})
    if places:
        yield Doubt("elsewhere", answer, tuple(places))


def needless(project: Project) -> list[Said]:
    """Answers for what a move of this very file ends: they harm nobody, and nobody has to renew
    them."""
    codes = catalogue()
    told = []
    for answer in project.accepted:
        entry = codes.get(answer.finding)
        mends = entry.mends if entry is not None and not entry.blocks else ()
        moves = [name for name, move in project.moves.items() if move.kind in mends]
        if moves:
            told.append(
                said(
                    "console.doubt.needless",
                    code=answer.finding,
                    where=answer.where,
                    moves=moves,
                )
            )
    return told


def doubting(answer: Answer, told: Sequence[Doubt], speech: Speech) -> Answer:
    """The answer, and on the error stream what does not hold."""
    if not told:
        return answer
    return replace(
        answer,
        plain={**answer.plain, "acceptances": [each.to_plain() for each in told]},
        notes=[*answer.notes, *(speech.say(each.says) for each in told)],
    )
