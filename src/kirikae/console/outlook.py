"""What a plan will ask for and where a move stands: data, and the same in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.console.acceptances import Doubt, doubting, doubts
from kirikae.console.context import Desk
from kirikae.console.findings import Manner
from kirikae.console.here import Answer, Here
from kirikae.console.speech import Speech
from kirikae.console.telling import shown
from kirikae.model.errors import Exit
from kirikae.model.finding import Finding, blocking, mended
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Said, duration, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.engine import Wait
from kirikae.move.kind import Fact, Prospects
from kirikae.move.lease import Holder

_TURNS = (Verb.SHIFT, Verb.BACK_OUT, Verb.RESUME, Verb.ABANDON)
"""Orders that turn the share while they are carried out."""
_BY_HAND = (Verb.BACK_OUT, Verb.HOLD, Verb.RESUME, Verb.SETTLE, Verb.RETIRE, Verb.ABANDON)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Every step of a plan, what each must prove, and what stands in the way."""

    name: str
    kind: str
    advance: str
    prospects: Prospects
    facts: Sequence[Fact]
    findings: Sequence[Finding]
    advances: Said
    doubts: Sequence[Doubt] = ()
    mended: Sequence[Finding] = ()
    """What this very move ends: nobody answers for it before."""

    @property
    def exit(self) -> Exit:
        """Refused while a finding blocks this kind of move."""
        return Exit.REFUSED if blocking(self.findings, self.kind) else Exit.DONE

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``: shares as per cent, times in whole seconds."""
        steps = [
            {"share": percent(step.share), "expected_s": _whole(step.seconds), **step.plain}
            for step in self.prospects.steps
        ]
        return {
            "move": self.name,
            "steps": steps,
            "findings": [finding.to_plain() for finding in self.findings],
            "mended": [finding.to_plain() for finding in self.mended],
            "advance": self.advance,
            **{fact.key: fact.plain for fact in (*self.prospects.facts, *self.facts)},
        }

    def lines(self, speech: Speech) -> list[str]:
        """Step by step, then the whole, then what stands in the way."""
        told = [speech.say(fact.says) for fact in self.prospects.facts if fact.says]
        for step in self.prospects.steps:
            for number, says in enumerate(step.says):
                key = "console.plan.more" if number else "console.plan.step"
                share = f"{percent(step.share):>6}"
                told.append(speech.say(said(key, share=share, says=says)))
        told.append(speech.say(self._whole_plan()))
        told.append(speech.say(self.advances))
        told += [speech.say(fact.says) for fact in self.facts if fact.says]
        told += [speech.finding(finding) for finding in self.findings]
        return told + [speech.say(mends_it(finding, speech)) for finding in self.mended]

    def _whole_plan(self) -> Said:
        """How long all steps take, where that is known."""
        seconds = self.prospects.seconds
        if seconds is None:
            return said("console.plan.whole_unknown")
        return said("console.plan.whole", time=duration(seconds))

    def answer(self, speech: Speech) -> Answer:
        """With the exit code of ``exit``."""
        answer = Answer(self.to_plain(), self.lines(speech), self.exit)
        return doubting(answer, self.doubts, speech)


def _whole(seconds: float | None) -> int | None:
    """None stays None: not known."""
    return None if seconds is None else round(seconds)


def outlook(here: Here, desk: Desk) -> Outlook:
    """Reads only; a move that was never planned may be asked for, too."""
    from kirikae.console.surveyed import survey_findings, today  # most verbs need no survey

    surveyed = survey_findings(here, desk.project)
    found = blocking(surveyed, desk.kind.name)
    obstacles = desk.thing.obstacles()
    return Outlook(
        desk.name,
        desk.kind.name,
        desk.settings.advance,
        desk.thing.prospects(),
        desk.thing.facts(desk.read()),
        [*found, *obstacles],
        _how_it_advances(desk),
        doubts(desk.project, today(), [*surveyed, *obstacles]),
        mended(surveyed, desk.kind.name),
    )


def mends_it(finding: Finding, speech: Speech) -> Said:
    """What stands there today, and that this move is the remedy."""
    manner = Manner(speech)
    return said("console.plan.mends", code=finding.code, says=manner.says(finding))


def _how_it_advances(desk: Desk) -> Said:
    """Who takes a step, within which windows, and whether one is open now."""
    settings = desk.settings
    asks = settings.advance == "ask"
    how = "another" if asks and settings.approver == "another" else settings.advance
    windows = said("console.plan.always")
    if settings.windows:
        zone = desk.project.time_zone
        windows = said("console.plan.windows", windows=list(settings.windows), zone=zone)
    closed = desk.calendar.closed(time.time())
    now = said("console.plan.open_now")
    if closed is not None:
        now = said("console.plan.closed_now", closed=closed)
    return said("console.plan.advance", how=said(f"console.plan.{how}"), windows=windows, now=now)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a move stands, who drives it, and what its kind knows besides."""

    move: Move
    facts: Sequence[Fact]
    driver: Holder | None
    closed: Said | None
    differs: Said | None = None
    share_found: int | None = None
    """Permille, as the world has it; None where it says nothing about one."""
    wait: Wait | None = None
    """What a move that runs waits for, by what is recorded of it; None: nobody has looked."""

    @property
    def exit(self) -> Exit:
        return Exit.DONE if self.differs is None else Exit.FOUND

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            **shown(self.move, wait=self.wait),
            "differs": Speech().say(self.differs),
            "driver": "" if self.driver is None else str(self.driver),
            "closed": Speech().say(self.closed),
            "lawful": self._lawful,
            **{fact.key: fact.plain for fact in self.facts},
        }

    def lines(self, speech: Speech) -> list[str]:
        """Where it stands, who drives it, then what its kind knows."""
        where = speech.where(self.move)
        told = [speech.say(said("console.is", name=self.move.name, where=where))]
        if self.differs is not None:
            told.append(speech.say(self.differs))
        told.append(speech.say(self._driver()))
        if self.wait is not None:
            told.append(speech.say(said("console.waits_for", what=self.wait.says)))
        if self._lawful:
            told.append(speech.say(said("console.status.lawful", verbs=self._lawful)))
        if self.closed is not None:
            told.append(speech.say(said("console.status.closed", closed=self.closed)))
        return told + [speech.say(fact.says) for fact in self.facts if fact.says]

    def _driver(self) -> Said:
        """Who holds the lease now."""
        if self.driver is None:
            return said(f"console.status.{_undriven(self.move)}", name=self.move.name)
        return said("console.status.driver", pid=self.driver.pid, host=self.driver.host)

    @property
    def _lawful(self) -> list[str]:
        """What a person may ask of it now, as it is typed."""
        name = self.move.name
        verbs = [verb for verb in _BY_HAND if self.move.allows(Order(verb))]
        typed = {Verb.BACK_OUT: f"kirikae back-out {name}"}
        return [f"`{typed.get(verb, f'kirikae move {verb} {name}')}`" for verb in verbs]


def _undriven(move: Move) -> str:
    """What goes on from here, by the word of ``console.status``."""
    if move.over:
        return "nobody_over"
    if move.held is not None:
        return "nobody_held"
    return "nobody_settled" if move.phase is Phase.SETTLED else "nobody"


def standing(desk: Desk) -> Standing:
    """Raises UnknownMove."""
    found = desk.journal.read(desk.name)
    closed = desk.calendar.closed(time.time())
    share = desk.thing.found()
    differs = difference(found, share)
    return Standing(found, desk.thing.facts(found), desk.lease.holder(), closed, differs, share)


def difference(move: Move, found: int | None) -> Said | None:
    """What the weights say where that is not what the journal says; None where they agree."""
    expected = {WHOLE} if move.phase is Phase.RETIRED else {move.share}
    if move.intent is not None:
        expected |= {move.intent.share, 0} if move.intent.verb in _TURNS else set()
    if found in expected or (found is None and not move.live):
        return None
    share: Said | str = said("console.button.some") if found is None else percent(found)
    return said("console.status.differs", name=move.name, found=share, share=move.share)
