"""What was found: as data, and in lines for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from kirikae.console.catalogue import catalogue
from kirikae.console.explaining import blocked, told
from kirikae.console.here import Answer
from kirikae.console.speech import Speech
from kirikae.model.catalogue import Entry
from kirikae.model.errors import Exit
from kirikae.model.finding import Acceptance, Finding, Severity, Trace, blocking, mended
from kirikae.model.said import said

Paint = Callable[[Severity, str], str]
"""Colours the head of a line."""
_CHOOSES_A_HOST = ("CF05",)
Answers = Sequence[Acceptance]
"""Who answers for what, as the project file has it."""


def _unpainted(_: Severity, head: str) -> str:
    """For files, pipes and tests."""
    return head


@dataclass(frozen=True, slots=True)
class Manner:
    """How findings are shown: in whose language, with which colours, and who answers for them."""

    speech: Speech
    answers: Answers = ()
    paint: Paint = _unpainted

    def line(self, finding: Finding) -> str:
        """Severity, code, what it says, where, how sure, what it blocks."""
        head = self._say(
            "head",
            severity=self.severity(finding),
            code=finding.code,
        )
        return self._say(
            "seen",
            head=self.paint(finding.severity, head),
            says=self.says(finding),
            hosts=finding.hosts or said("console.survey.aws"),
            confidence=said(f"console.survey.{finding.confidence}"),
            blocks=self._moves(finding),
        )

    def _moves(self, finding: Finding) -> str:
        """Which kinds of move it blocks, and which ones mend it."""
        told = ""
        if finding.blocks:
            told += self._say("blocks", kinds=blocked(finding.blocks))
        if finding.mends and not finding.accepted:
            told += self._say("mends", kinds=list(finding.mends))
        return told

    def severity(self, finding: Finding) -> str:
        """Its word, in the reader's language."""
        word = said(f"console.severity.{finding.severity}")
        return self.speech.say(word)

    def says(self, finding: Finding) -> str:
        """What a rule saw is told in English; in Japanese the catalogue's own words stand for it,
        with the place."""
        entry = catalogue().get(finding.code)
        if self.speech.language == "en" or entry is None:
            return finding.says
        title = entry.titled(self.speech.language)
        return self._say("titled", title=title, where=finding.where)

    def remedy(self, finding: Finding) -> str:
        """What to do; in Japanese the catalogue's words, for rules speak English."""
        entry = catalogue().get(finding.code)
        if self.speech.language == "en" or entry is None:
            return finding.remedy
        return entry.remedied(self.speech.language)

    def remedy_line(self, finding: Finding) -> str:
        """The same, and that it is what to do."""
        return self._say("remedy", remedy=self.remedy(finding)).strip()

    def seen_on(self, finding: Finding) -> str:
        """On which hosts, how sure, what it blocks and what mends it."""
        return self._say(
            "seen_on",
            hosts=finding.hosts or said("console.survey.aws"),
            confidence=said(f"console.survey.{finding.confidence}"),
            blocks=self._moves(finding),
        )

    def more_evidence(self, many: int) -> str:
        """What a written form leaves out."""
        return self._say("more_evidence", n=many)

    def accepted(self, finding: Finding) -> str:
        """Who answers for it; empty: nobody."""
        if not finding.accepted:
            return ""
        for answer in self.answers:
            if answer.finding == finding.code and answer.where == finding.where:
                return self._say(
                    "accepted",
                    by=answer.by,
                    until=answer.until,
                    why=answer.why,
                )
        return finding.accepted

    def _say(self, key: str, **blanks: Any) -> str:
        """A sentence of ``console.survey``."""
        what = said(f"console.survey.{key}", **blanks)
        return self.speech.say(what)

    def listing(self, findings: Iterable[Finding], everything: bool) -> Iterator[str]:
        """Without ``everything``: neither what is only good to know nor what was accepted."""
        hidden = 0
        for finding in findings:
            quiet = finding.severity is Severity.HYGIENE or finding.accepted
            if quiet and not everything:
                hidden += 1
                continue
            yield self.line(finding)
            if finding.accepted:
                yield f"         {self.accepted(finding)}"
        if hidden:
            yield self._say("hidden", n=hidden)

    def counted(
        self,
        many: int,
        in_the_way: int,
        kind: str,
    ) -> str:
        """How many findings, and how many stand in the way."""
        return self._say("counted", n=many, in_the_way=in_the_way, kind=kind)

    def mended(self, findings: Sequence[Finding], kind: str) -> list[str]:
        """What the move itself ends; nothing where it ends none."""
        if not findings:
            return []
        codes = sorted({finding.code for finding in findings})
        return [self._say("counted_mended", n=len(findings), codes=codes, kind=kind)]

    def alike(self, first: str, second: str) -> str:
        """Two hosts do not differ."""
        return self._say("alike", first=first, second=second)

    def details(self, finding: Finding) -> Iterator[str]:
        """A finding with its remedy and all of its evidence."""
        yield f"{finding.code} {self.says(finding)}"
        yield self._say("remedy", remedy=self.remedy(finding))
        for trace in finding.evidence:
            yield f"  {trace}"
        if finding.accepted:
            yield f"  {self.accepted(finding)}"

    def nothing(self, what: str) -> str:
        """Nothing is known of this code or path."""
        return self._say("nothing", what=what)

    def not_seen(self) -> str:
        """The code is known, and the survey has no such finding."""
        return self._say("not_seen")

    def question(self, finding: Finding, until: date) -> Iterator[str]:
        """With the line for kirikae.yml that answers it."""
        entry = catalogue().get(finding.code)
        asked = entry.asked(self.speech.language) if entry else ""
        yield self._say(
            "question",
            says=self.says(finding),
            asked=asked or self.remedy(finding),
        )
        if asked:
            yield "  " + self._say("question_else", remedy=self.remedy(finding))
        where = json.dumps(finding.where, ensure_ascii=False)
        chosen, others = _hosts_to_choose(finding)
        blanks = f'{chosen}why: "...", by: "...", until: {until}'
        yield f"    - {{finding: {finding.code}, where: {where}, {blanks}}}{others}"

    def questions(self, many: int) -> str:
        """How many there are, after the last one."""
        if many:
            return self._say("questions", n=many)
        return self._say("no_questions")


def _hosts_to_choose(finding: Finding) -> tuple[str, str]:
    """For a file that differs: one of its hosts as an answer, and a remark with all of them."""
    hosts = finding.hosts
    if finding.code not in _CHOOSES_A_HOST or not hosts:
        return "", ""
    return f"use: {hosts[0]}, ", f"  # use: {' | '.join(hosts)}"


def plain(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Plain data for ``--json``."""
    return [finding.to_plain() for finding in findings]


@dataclass(frozen=True, slots=True)
class Listing:
    """Findings, gravest first, and which of them stand in the way of a kind of move."""

    findings: Sequence[Finding]
    kind: str

    @property
    def in_the_way(self) -> list[Finding]:
        """Findings because of which no move of this kind starts."""
        return blocking(self.findings, self.kind)

    @property
    def mended(self) -> list[Finding]:
        """Findings that a move of this kind ends by being carried out."""
        return mended(self.findings, self.kind)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``: always all findings."""
        return {
            "findings": plain(self.findings),
            "kind": self.kind,
            "in_the_way": len(self.in_the_way),
            "mended": len(self.mended),
        }

    def lines(self, manner: Manner, everything: bool) -> list[str]:
        """For people: what is only good to know is counted, unless everything is asked for."""
        lines = list(manner.listing(self.findings, everything))
        counted = manner.counted(
            len(self.findings),
            len(self.in_the_way),
            self.kind,
        )
        way_on = [manner.speech.say(said("console.survey.way_on"))] if self.in_the_way else []
        return [*lines, counted, *manner.mended(self.mended, self.kind), *way_on]

    def answer(self, manner: Manner, everything: bool = False) -> Answer:
        """Exit.FOUND while something stands in the way."""
        exit_code = Exit.FOUND if self.in_the_way else Exit.DONE
        return Answer(self.to_plain(), self.lines(manner, everything), exit_code)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two hosts."""

    first: str
    second: str
    findings: Sequence[Finding]

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "hosts": [self.first, self.second],
            "findings": plain(self.findings),
        }

    def lines(self, manner: Manner) -> list[str]:
        """For people."""
        if not self.findings:
            return [manner.alike(self.first, self.second)]
        return list(manner.listing(self.findings, everything=True))

    def answer(self, manner: Manner) -> Answer:
        """Exit.FOUND where something differs."""
        exit_code = Exit.FOUND if self.findings else Exit.DONE
        return Answer(self.to_plain(), self.lines(manner), exit_code)


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that is known about a code, or about a path of the hosts."""

    what: str
    entry: Entry | None
    findings: Sequence[Finding]
    evidence: Sequence[Trace] = ()

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "what": self.what,
            "findings": plain(self.findings),
            "evidence": [str(trace) for trace in self.evidence],
        }

    def lines(self, manner: Manner) -> list[str]:
        """The catalogue's words, each finding with all of its evidence, then what is known
        besides."""
        lines = told(self.entry, manner.speech) if self.entry else []
        for finding in self.findings:
            lines += manner.details(finding)
        lines += dict.fromkeys(f"  {trace}" for trace in self.evidence)
        if self.findings or self.evidence:
            return lines
        if self.entry:
            return [*lines, manner.not_seen()]
        return [*lines, manner.nothing(self.what)]

    def answer(self, manner: Manner) -> Answer:
        """Always Exit.DONE: nothing known is an answer, too."""
        return Answer(self.to_plain(), self.lines(manner))


@dataclass(frozen=True, slots=True)
class Questions:
    """What only a person can answer, and until when an answer may hold."""

    findings: Sequence[Finding]
    until: date

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"findings": plain(self.findings)}

    def lines(self, manner: Manner) -> list[str]:
        """Each question with the line for kirikae.yml that answers it."""
        lines: list[str] = []
        for finding in self.findings:
            lines += manner.question(finding, self.until)
        return [*lines, manner.questions(len(self.findings))]

    def answer(self, manner: Manner) -> Answer:
        """Always Exit.DONE: whoever asks gets questions."""
        return Answer(self.to_plain(), self.lines(manner))
