"""What people order by hand: hold, resume, approve, abandon, settle, retire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kirikae.console.context import Desk
from kirikae.console.errors import NothingToApprove
from kirikae.console.here import DRY_RUN, Answer, Here
from kirikae.console.notify import tell_once
from kirikae.console.speech import Speech
from kirikae.console.telling import about, shown, shown_evidence
from kirikae.hosts.files import write_durably
from kirikae.model.errors import Exit
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Language, said, text
from kirikae.model.share import percent
from kirikae.move.driver import hold_without_lease
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
    if verb in (Verb.RESUME, Verb.SETTLE, Verb.RETIRE):
        desk.assert_same_subject(before)
    retires = verb is Verb.RETIRE
    if retires and before.phase is Phase.SETTLED:
        desk.thing.assert_may_retire(before)
    if dry_run:
        return dry(before, str(verb))
    lines: list[str] = []
    if retires:
        lines.append(_write_removal_plan(here, desk, before))
        speech = Speech(here.language(), desk.kind.name)
        lines.append(speech.say(said("console.retired.way_back", name=desk.name)))
    after = about(desk.driver.order(order))
    tell_once(desk, complain)
    return Answer(after.plain, (*lines, *after.lines))


def _write_removal_plan(here: Here, desk: Desk, move: Move) -> str:
    """Written first: were we killed in between, the plan would be there, and the order can be given
    again."""
    from kirikae.console.leavings import what_lives_there  # the whole survey: for this order alone

    file = here.folder / f"removal-{desk.name}.md"
    notify = desk.project.notify
    language: Language = notify.language if notify is not None else here.language()
    speech = Speech(language, desk.kind.name)
    parts = [
        speech.say(desk.thing.removal(move)).strip(),
        "",
        *what_lives_there(here, desk.project, speech),
    ]
    write_durably(file, "\n".join(parts) + "\n")
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
    if settings.approver == "another" and last_driver(desk) == desk.who:
        raise NothingToApprove(
            f"{desk.who} drives {name}; `approver: another` asks for the yes of somebody else"
        )
    after = percent(found.next_share) if found.next_share else "settled"
    if dry_run:
        return dry(found, f"approve the step to {after}")
    desk.journal.approve(found)
    return about(found, f"approved as {desk.who}: once it is proven it may go on to {after};")


def last_driver(desk: Desk) -> str:
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
