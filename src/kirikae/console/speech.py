"""Sentences in the language of who reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kirikae.model.catalogue import Entry
from kirikae.model.finding import Finding
from kirikae.model.move import Move
from kirikae.model.said import Language, Said, Words, said
from kirikae.move.engine import held_in_words


def _of_every_kind() -> Words:
    from kirikae.console.kinds import words  # every room: who knows the words needs none

    return words()


def _entry_of(code: str) -> Entry | None:
    from kirikae.console.catalogue import catalogue

    return catalogue().get(code)


@dataclass(frozen=True, slots=True)
class Speech:
    """``kind``: the kind of move that is spoken of; its own words win over the common ones."""

    language: Language = "en"
    kind: str = ""
    words: Words = field(default_factory=_of_every_kind)

    def say(self, what: Said | None) -> str:
        """The sentence in the reader's language; empty for None."""
        return self.words.say(what, self.language)

    def key(self, common: str) -> str:
        """``notice.shift``: as this kind says it, or as every kind does."""
        own = f"{self.kind}.{common}"
        return own if self.words.knows(own) else f"move.{common}"

    def of_kind(self, common: str, **blanks: object) -> Said:
        """A sentence of this kind, or the common one."""
        return said(self.key(common), **blanks)

    def where(self, move: Move) -> str:
        """A move in a few words: ``running at 10%``, ``running at 0%, held: ...``."""
        return self.say(where(move))

    def seen_and_remedy(self, finding: Finding) -> tuple[str, str]:
        """What a rule saw is told in English; in Japanese the catalogue's own words stand for it,
        with the place."""
        entry = _entry_of(finding.code)
        if self.language == "en" or entry is None:
            return finding.says, finding.remedy
        seen = said("console.finding.seen", title=entry.title_ja, where=finding.where)
        return self.say(seen), entry.remedy_ja

    def finding(self, finding: Finding) -> str:
        """One line: whether it is in the way of this kind of move, what was seen, what to do."""
        seen, remedy = self.seen_and_remedy(finding)
        at = said("console.finding.nowhere")
        if finding.evidence and self.language == "en":
            first = finding.evidence[0]
            # Where a place says nothing but the finding itself, it is not told twice.
            told = first.place if first.says == finding.says else str(first)
            at = said("console.finding.at", at=told)
        in_the_way = self.kind in finding.blocks and not finding.accepted
        return self.say(
            said(
                "console.finding.line",
                severity=said(f"console.severity.{finding.severity}"),
                code=finding.code,
                says=seen,
                at=at,
                blocks=said(f"console.finding.{'in_the_way' if in_the_way else 'nowhere'}"),
                remedy=remedy,
            ),
        )


def where(move: Move) -> Said:
    """A move in a few words, not yet in a language."""
    phase = said(f"model.phase.{move.phase}", share=move.share)
    held = held_in_words(move)
    if move.intent is not None and held is not None:
        return said("console.where.both", phase=phase, order=move.intent.says, held=held)
    if move.intent is not None:
        return said("console.where.about_to", phase=phase, order=move.intent.says)
    if held is not None:
        return said("console.where.held", phase=phase, held=held)
    return phase
