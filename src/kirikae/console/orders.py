"""What people order by hand: hold, resume, approve, abandon, settle, retire, the red button."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kirikae.console.context import Desk, load_project, open_desk
from kirikae.console.errors import NothingToApprove
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.notify import tell_once
from kirikae.console.speech import Speech
from kirikae.console.telling import about, shown, shown_evidence
from kirikae.hosts.files import write_durably
from kirikae.model.errors import (
    AwsUnreachable,
    Exit,
    KirikaeError,
    StoreBroken,
    UsageProblem,
)
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Language, Said, said, text
from kirikae.model.share import percent
from kirikae.move.driver import hold_without_lease
from kirikae.move.engine import back_out as press
from kirikae.move.journal import Entry

Complain = Callable[[str], None]


def dry(found: Move, lead: str) -> Answer:
    """What would be done, and where the move stands now."""
    told = about(found, f"would {lead};")
    return Answer({"would": lead, **told.plain}, told.lines, Exit.DONE, DRY_RUN)


def hold(desk: Desk, reason: str, dry_run: bool, complain: Complain) -> Answer:
    """Stop where it is; the share stays."""
    if dry_run:
        return dry(desk.journal.read(desk.name), "hold")
    held = hold_without_lease(desk.journal, desk.name, text(reason))
    tell_once(desk, complain)
    return about(held)


def by_hand(here: Here, desk: Desk, verb: Verb, dry_run: bool, complain: Complain) -> Answer:
    """One order by a person; whether it is lawful is asked before anything is done.

    Raises OutOfOrder, AnotherSubject, and what the kind of move says against a retirement.
    """
    before = desk.journal.read(desk.name)
    order = Order(verb)
    if before.intent is None:
        before.intending(order)
    if verb in (Verb.SETTLE, Verb.RETIRE):
        desk.assert_same_subject(before)
    retires = verb is Verb.RETIRE
    if retires and before.phase is Phase.SETTLED:
        desk.thing.assert_may_retire(before)
    if dry_run:
        return dry(before, str(verb))
    lines: list[str] = []
    if retires:
        lines.append(_write_removal_plan(here, desk, before))
    after = about(desk.driver.order(order))
    tell_once(desk, complain)
    return Answer(after.plain, (*lines, *after.lines))


def _write_removal_plan(here: Here, desk: Desk, move: Move) -> str:
    """Written first: were we killed in between, the plan would be there, and the order can be given
    again."""
    file = here.folder / f"removal-{desk.name}.md"
    notify = desk.project.notify
    language: Language = notify.language if notify is not None else here.language()
    speech = Speech(language, desk.kind.name)
    write_durably(file, speech.say(desk.thing.removal(move)).strip() + "\n")
    return f"nothing is deleted; what may be removed, and in which order, stands in {file}"


def approve(desk: Desk, dry_run: bool) -> Answer:
    """Say yes to the next step (with ``advance: ask``).  Raises NothingToApprove."""
    found = desk.journal.read(desk.name)
    name = desk.name
    settings = desk.settings
    if settings.advance != "ask" or found.over or found.phase is Phase.SETTLED:
        raise NothingToApprove(
            f"{name} is {Speech().where(found)} with `advance: {settings.advance}`: "
            "no step of it waits for an approval"
        )
    if settings.approver == "another" and _driver(desk) == desk.who:
        raise NothingToApprove(
            f"{desk.who} drives {name}; `approver: another` asks for the yes of somebody else"
        )
    after = percent(found.next_share) if found.next_share else "settled"
    if dry_run:
        return dry(found, f"approve the step to {after}")
    desk.journal.approve(found)
    return about(found, f"approved as {desk.who}: once it is proven it may go on to {after};")


def _driver(desk: Desk) -> str:
    """Who intended something last."""
    entries = reversed(desk.journal.entries(desk.name))
    return next((entry.who for entry in entries if entry.move.intent is not None), "")


@dataclass(frozen=True, slots=True)
class History:
    """The journal: what was intended, done and seen, by whom."""

    name: str
    entries: Sequence[Entry]

    def to_plain(self) -> list[dict[str, object]]:
        return [_entry(entry) for entry in self.entries]

    def lines(self, speech: Speech) -> list[str]:
        return [history_line(entry, speech) for entry in self.entries]


def history(desk: Desk) -> History:
    """Raises UnknownMove."""
    desk.journal.last(desk.name)
    return History(desk.name, desk.journal.entries(desk.name))


def _entry(entry: Entry) -> dict[str, object]:
    evidence = None if entry.evidence is None else shown_evidence(entry.evidence)
    return {
        **shown(entry.move),
        "at": entry.at,
        "who": entry.who,
        "where": entry.where,
        "requests": list(entry.requests),
        "approver": entry.approver,
        "evidence": evidence,
    }


def history_line(entry: Entry, speech: Speech) -> str:
    approved = said("console.history.not_approved")
    if entry.approver:
        approved = said("console.history.approved", who=entry.approver.rpartition("/")[2])
    reason = "" if entry.evidence is None else f"  [{speech.say(entry.evidence.reason)}]"
    line = said(
        "console.history.line",
        seq=entry.move.seq,
        at=datetime.fromtimestamp(entry.at).strftime("%H:%M:%S"),
        where=speech.where(entry.move),
        reason=reason,
        who=entry.who.rpartition("/")[2],
        approved=approved,
    )
    return speech.say(line)


# --- the red button


@dataclass(frozen=True, slots=True)
class Pressed:
    """What the red button did for one move.

    ``move``: None where it was not touched.  ``found``: where it stood, if the journal told.
    ``trouble``: what went wrong, or empty.
    """

    name: str
    move: Move | None = None
    found: Move | None = None
    when: Said | None = None
    trouble: str = ""


def back_out(
    here: Here, name: str | None, reason: Said, dry_run: bool, complain: Complain
) -> Answer:
    """Share 0 now for this move, or for each that is live, whatever a driver is doing.

    One that cannot be backed out never keeps the others from it.  Raises UsageProblem for one that
    was named and is not live.
    """
    names = list(load_project(here).moves) if name is None else [name]
    pressed = [_press(here, each, reason, dry_run, complain) for each in names]
    if name is not None:
        _assert_live(pressed[0])
    return _answer(pressed, dry_run)


def _answer(pressed: Sequence[Pressed], dry_run: bool) -> Answer:
    done = [each.move for each in pressed if each.move is not None]
    lines = [line for each in pressed for line in _lines(each, dry_run)]
    troubles = [f"{each.name}: {each.trouble}" for each in pressed if each.trouble]
    plain: dict[str, object] = {"moves": [shown(move) for move in done], "troubles": troubles}
    if len(done) == 1:
        plain = {**shown(done[0]), **plain}
    if troubles:
        return Answer(plain, lines, Exit.UNFINISHED, "", troubles)
    if dry_run:
        return Answer(plain, lines, Exit.DONE, DRY_RUN)
    if not done:
        return Answer(plain, ("no move of this project is live",), Exit.DONE, NOTHING_TO_DO)
    return Answer(plain, lines, Exit.BACKED_OUT)


def _lines(pressed: Pressed, dry_run: bool) -> tuple[str, ...]:
    if pressed.move is None:
        return ()
    lead = "would set it to 0% and hold it;" if dry_run else ""
    when = (Speech().say(pressed.when),) if pressed.when is not None else ()
    return (*about(pressed.move, lead).lines, *when)


def _press(here: Here, name: str, reason: Said, dry_run: bool, complain: Complain) -> Pressed:
    try:
        desk = open_desk(here, name, anyone=True)
        return _press_at(desk, reason, dry_run, complain)
    except UsageProblem:
        raise
    except (KirikaeError, AwsUnreachable) as error:
        return Pressed(name, trouble=str(error))


def _press_at(desk: Desk, reason: Said, dry_run: bool, complain: Complain) -> Pressed:
    try:
        found = desk.read()
    except (StoreBroken, AwsUnreachable):
        # The button works without the journal, and says so.
        found = Move(desk.name, desk.thing.plan(), Phase.RUNNING)
    if found is None or not found.live:
        return Pressed(desk.name, found=found)
    if dry_run:
        return Pressed(desk.name, found, found)
    after = press(desk.journal, desk.thing, desk.lease, desk.name, reason)
    tell_once(desk, complain)
    return Pressed(desk.name, after, found, _when_in_force(desk, after))


def _when_in_force(desk: Desk, move: Move) -> Said | None:
    """By DNS a back-out is as slow as resolvers forget: say so."""
    try:
        facts = desk.thing.facts(move)
    except (KirikaeError, AwsUnreachable):
        return None
    return next((fact.says for fact in facts if fact.key == "back_out_delay_s"), None)


def _assert_live(pressed: Pressed) -> None:
    if pressed.move is None and not pressed.trouble:
        where = Speech().where(pressed.found) if pressed.found is not None else "not started"
        raise UsageProblem(f"{pressed.name} is {where}: nothing of it is on the new side")
