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


@dataclass(frozen=True, slots=True)
class Ticket:
    """One that is there.  ``number``: as the tracker counts."""

    number: int
    mark: Mark
    is_open: bool


class Deed(StrEnum):
    """What becomes of a ticket."""

    OPEN = "open"
    REOPEN = "reopen"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Act:
    """``number`` None: there is none yet.  ``finding`` None: it is gone, or answered for."""

    deed: Deed
    mark: Mark
    number: int | None = None
    finding: Finding | None = None


def mark_of(look: Looked, finding: Finding) -> Mark:
    """The same finding at the same place has the same mark in every run."""
    return Mark(finding.code, _sum(look.where), _sum(finding.where))


def mark_in(body: str) -> Mark | None:
    """None: this ticket is not of guard."""
    found = _MARK.search(body)
    return None if found is None else Mark(*found.groups())


def acts(looks: Sequence[Looked], wanted: Iterable[Finding], there: Sequence[Ticket]) -> list[Act]:
    """``wanted``: those that are to have a ticket; of the others one stays as it is, and is closed
    when it is gone or answered for."""
    chosen = set(map(id, wanted))
    found = {mark_of(look, each): each for look in looks for each in look.findings}
    due = {mark: each for mark, each in found.items() if id(each) in chosen}
    return [*_opened(due, there), *_closed(looks, found, there)]


def _opened(due: Mapping[Mark, Finding], there: Sequence[Ticket]) -> Iterator[Act]:
    newest = {ticket.mark: ticket for ticket in sorted(there, key=lambda each: each.number)}
    opened = {ticket.mark for ticket in there if ticket.is_open}
    for mark, finding in due.items():
        former = newest.get(mark)
        if former is None:
            yield Act(Deed.OPEN, mark, None, finding)
        elif mark not in opened:
            yield Act(Deed.REOPEN, mark, former.number, finding)


def _closed(
    looks: Sequence[Looked], found: Mapping[Mark, Finding], there: Sequence[Ticket]
) -> Iterator[Act]:
    whole = {(look.code, _sum(look.where)) for look in looks if not look.why}
    for ticket in there:
        finding = found.get(ticket.mark)
        gone = finding is None and (ticket.mark.code, ticket.mark.thing) in whole
        answered = finding is not None and bool(finding.accepted)
        if ticket.is_open and (gone or answered):
            yield Act(Deed.CLOSE, ticket.mark, ticket.number)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
