"""Which tickets a run opens, opens again and closes: one for each finding and object, however often
it is run.

A ticket carries a mark.  It is closed only where its check was looked at whole and found nothing at
its place any more: what was not checked, or not named this time, is not gone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kirikae.guard.seen import Looked
from kirikae.model.finding import Finding

_MARK = re.compile(r"<!-- kirikae-guard (\w+) ([0-9a-f]{16}) ([0-9a-f]{16}) -->")


@dataclass(frozen=True, slots=True)
class Mark:
    """``thing``, ``place``: sums of the object's name and of the finding's place."""

    code: str
    thing: str
    place: str

    def __str__(self) -> str:
        """A remark of Markdown, which nobody sees."""
        return f"<!-- kirikae-guard {self.code} {self.thing} {self.place} -->"


_STATE = re.compile(r"<!-- kirikae-guard-state ([0-9a-f]{16}) by=([\w,]*) -->")


@dataclass(frozen=True, slots=True)
class State:
    """What a ticket says now: the sum of its words, and the scanners whose results it goes by."""

    sum: str
    by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A remark as the mark is."""
        return f"<!-- kirikae-guard-state {self.sum} by={','.join(self.by)} -->"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One that is there.  ``number``: as the tracker counts.  ``state`` None: people changed it so
    that nobody knows what it said; it is not updated."""

    number: int
    mark: Mark
    is_open: bool
    state: State | None = None


class Deed(StrEnum):
    """What becomes of a ticket."""

    OPEN = "open"
    REOPEN = "reopen"
    UPDATE = "update"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Act:
    """``number`` None: there is none yet.  ``finding`` None: it is gone, or answered for.
    ``stays``: the other ticket of the same finding, where this one is closed as the second."""

    deed: Deed
    mark: Mark
    number: int | None = None
    finding: Finding | None = None
    state: State | None = None
    stays: int | None = None


def mark_of(look: Looked, finding: Finding) -> Mark:
    """The same finding at the same place has the same mark in every run."""
    return Mark(
        finding.code,
        _sum(look.where),
        _sum(finding.where),
    )


def mark_in(body: str) -> Mark | None:
    """None: this ticket is not of guard."""
    found = _MARK.search(body)
    return None if found is None else Mark(*found.groups())


def state_of(look: Looked, finding: Finding) -> State:
    """Of other words, another severity, or other scanners it is another one."""
    words = f"{finding.severity}\n{finding.says}\n{finding.remedy}"
    return State(_sum(words), look.by)


def state_in(body: str) -> State | None:
    """None: it is not there any more."""
    found = _STATE.search(body)
    if found is None:
        return None
    return State(
        found[1],
        tuple(each for each in found[2].split(",") if each),
    )


def acts(
    looks: Sequence[Looked],
    wanted: Iterable[Finding],
    there: Sequence[Ticket],
) -> list[Act]:
    """``wanted``: those that are to have a ticket; of the others one stays as it is, and is closed
    when it is gone or answered for."""
    chosen = set(map(id, wanted))
    found = {mark_of(look, each): (look, each) for look in looks for each in look.findings}
    due = {mark: row for mark, row in found.items() if id(row[1]) in chosen}
    known = {mark: finding for mark, (_, finding) in found.items()}
    closed = list(
        _closed(
            looks,
            known,
            there,
        )
    )
    gone = {each.mark for each in closed}
    doubles = [each for each in _doubles(there) if each.mark not in gone]
    return [*_opened(due, there), *closed, *doubles]


def _doubles(there: Sequence[Ticket]) -> Iterator[Act]:
    """Two runs at once opened two: the older stays, whichever run looks."""
    first: dict[Mark, int] = {}
    for ticket in sorted(there, key=lambda each: each.number):
        if not ticket.is_open:
            continue
        stays = first.setdefault(ticket.mark, ticket.number)
        if stays != ticket.number:
            yield Act(
                Deed.CLOSE,
                ticket.mark,
                ticket.number,
                stays=stays,
            )


def _opened(due: Mapping[Mark, tuple[Looked, Finding]], there: Sequence[Ticket]) -> Iterator[Act]:
    ordered = sorted(there, key=lambda each: each.number)
    newest = {ticket.mark: ticket for ticket in ordered}
    opened = {ticket.mark: ticket for ticket in reversed(ordered) if ticket.is_open}
    for mark, (look, finding) in due.items():
        state = state_of(look, finding)
        former = newest.get(mark)
        current = opened.get(mark)
        if former is None:
            yield Act(
                Deed.OPEN,
                mark,
                None,
                finding,
                state,
            )
        elif current is None:
            yield Act(
                Deed.REOPEN,
                mark,
                former.number,
                finding,
                state,
            )
        elif current.state not in (None, state):
            yield Act(
                Deed.UPDATE,
                mark,
                current.number,
                finding,
                state,
            )


def _closed(
    looks: Sequence[Looked],
    found: Mapping[Mark, Finding],
    there: Sequence[Ticket],
) -> Iterator[Act]:
    whole = {(look.code, _sum(look.where)): look.by for look in looks if not look.why}
    for ticket in there:
        finding = found.get(ticket.mark)
        gone = finding is None and _is_looked_for(ticket, whole)
        answered = finding is not None and bool(finding.accepted)
        if ticket.is_open and (gone or answered):
            yield Act(
                Deed.CLOSE,
                ticket.mark,
                ticket.number,
            )


def _is_looked_for(ticket: Ticket, whole: Mapping[tuple[str, str], tuple[str, ...]]) -> bool:
    """By each scanner that had told it: of one that did not run now nothing is known."""
    by = whole.get((ticket.mark.code, ticket.mark.thing))
    if by is None:
        return False
    return ticket.state is None or set(ticket.state.by) <= set(by)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
