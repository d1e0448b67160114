"""Drive a move one step: finish what was begun, or look, decide, write down and do.

``step`` may be killed at any line.  Whoever calls it next reads the journal, sees the open intent,
and carries it out again; movers make that harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from kirikae.model.errors import KirikaeError, OutOfOrder
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move, Order, Phase, Verb, Why
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.errors import Beaten, HandOnKnob
from kirikae.move.journal import Journal
from kirikae.move.late import (
    Patience,
    ceiling,
    keep_down,
    raises_to,
    take_back,
    under_way_until,
)
from kirikae.move.lease import Lease
from kirikae.move.mover import Mover

ACKNOWLEDGE_S = 1.0
"""How long the red button gives the driver to answer."""
_GLANCE_S = 0.2
_STALE_S = 10.0
"""How long looks may lag behind a change (DescribeRules was seen some seconds behind)."""


class Waits(StrEnum):
    """What a move waits for."""

    EVIDENCE = "evidence"
    APPROVAL = "approval"
    WINDOW = "window"
    PERSON = "person"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for, and why in words."""

    on: Waits
    says: Said


@dataclass(frozen=True, slots=True)
class Look:
    """What one step saw and did: for people and for ``--json``."""

    move: Move
    evidence: Evidence | None = None
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a step that is proven may be taken: who approved it, or what it still waits for."""

    approver: str = ""
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """When a proven step is taken.

    ``ask``: it waits for an approval; ``by_another``: of somebody else than who drives.
    ``closed``: why no step may be taken now, or None; it is asked before a step forward and never
    before a back-out.
    """

    ask: bool = False
    by_another: bool = False
    closed: Callable[[], Said | None] = lambda: None


AT_ONCE = Rules()
PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Lost:
    """An act that raised the share, and of which is not known how it ended; until when it may
    still take effect."""

    share: int
    until: float


def decide(move: Move, evidence: Evidence | None) -> Order | None:
    """What to do next on our own authority.  Retiring is never ours to decide."""
    if move.held is not None or move.over:
        return None
    match move.phase:
        case Phase.PLANNED:
            return Order(Verb.PREPARE)
        case Phase.PREPARED:
            return Order(Verb.START)
        case Phase.RUNNING | Phase.SETTLED if evidence is not None:
            return _after_looking(move, evidence)
        case _:
            return None


def _after_looking(move: Move, evidence: Evidence) -> Order | None:
    if evidence.found != move.share:
        return _hands_off(move, evidence.found)
    if move.phase is Phase.SETTLED:
        return None
    if evidence.verdict is Verdict.FAIL and move.share > 0:
        return Order(Verb.BACK_OUT, reason=evidence.reason)
    if evidence.verdict is not Verdict.PASS:
        return None
    return Order(Verb.SETTLE) if move.next_share is None else Order(Verb.SHIFT, move.next_share)


def _hands_off(move: Move, found: int | None) -> Order:
    """Somebody else turned the share: it is left as it is."""
    key = "move.hand" if found is not None else "move.hand_unknown"
    reason = said(
        key,
        found=found,
        share=move.share,
        name=move.name,
    )
    return Order(Verb.HOLD, reason=reason, why=Why.HAND_ON_KNOB)


class Engine:
    def __init__(
        self,
        journal: Journal,
        mover: Mover,
        lease: Lease,
        rules: Rules = AT_ONCE,
        patience: Patience = PATIENT,
    ) -> None:
        self._journal = journal
        self._mover = mover
        self._lease = lease
        self._rules = rules
        self._patience = patience
        self._acted = -inf
        self._lost: Lost | None = None

    def step(self, name: str) -> Look:
        """One look and at most one act; the lease must be held.  A rival's entry makes it read
        again."""
        move = self._journal.read(name)
        if move.intent is not None:
            return Look(self._carry_out(move))
        looks = move.live and move.held is None
        evidence = self._mover.compare(move) if looks else None
        if evidence is not None and evidence.found != move.share:
            found = self._once_more(move, evidence.found)
            evidence = replace(evidence, verdict=Verdict.UNSURE, found=found)
        order = decide(move, evidence)
        if order is None:
            return Look(move, evidence, _waits_for(move, evidence))
        permission = self._permission(move, order)
        if permission.wait is not None:
            return Look(move, evidence, permission.wait)
        try:
            intended = self._journal.write(move.intending(order), evidence, permission.approver)
            return Look(self._carry_out(intended), evidence)
        except Beaten:
            return Look(self._journal.read(name), evidence)

    def _once_more(self, move: Move, found: int | None) -> int | None:
        """A look right after an own act may show what was before it, and a share of 0 may be the
        red button, whose entry follows: neither is a hand on the knob.  Nor is a call of our own
        that was not answered and takes effect now: the journal's share is set again."""
        if self._is_own_late_call(found):
            self._set_again(move)
        # A driver that was killed since may have acted as lately: its entry says when.
        acted = max(self._acted, self._journal.last(move.name).at)
        recent = self._patience.clock() - acted < _STALE_S
        if not recent and found != 0:
            return found
        until = self._patience.clock() + (_STALE_S if recent else ACKNOWLEDGE_S)
        while found != move.share and self._patience.clock() < until:
            if self._journal.goes_on(move):
                break
            self._patience.sleep(_GLANCE_S)
            found = self._mover.found()
        return found

    def _is_own_late_call(self, found: int | None) -> bool:
        lost = self._lost
        return lost is not None and found == lost.share and self._patience.clock() < lost.until

    def _set_again(self, move: Move) -> None:
        """The share that the journal says; whatever was written in between wins."""
        self._lease.assert_held()
        try:
            self._mover.shift(move.name, move.share, None)
            self._acted = self._patience.clock()
            take_back(self._mover, self._journal.read(move.name), move.share)
        except KirikaeError:
            self._keep_in_mind(move.share)
            raise

    def _permission(self, move: Move, order: Order) -> Permission:
        """Only a step forward needs one."""
        if order.verb not in (Verb.SHIFT, Verb.SETTLE):
            return Permission()
        approvers = self._journal.approved_by(move) if self._rules.ask else []
        if self._rules.by_another:
            approvers = [who for who in approvers if who != self._journal.who]
        if self._rules.ask and not approvers:
            return Permission(wait=self._asks(move, order))
        closed = self._rules.closed() if order.verb is Verb.SHIFT else None
        if closed is not None:
            says = said("move.waits_window", order=order.says, closed=closed)
            return Permission(wait=Wait(Waits.WINDOW, says))
        return Permission(", ".join(approvers))

    def _asks(self, move: Move, order: Order) -> Wait:
        key = "move.waits_another" if self._rules.by_another else "move.waits_approval"
        says = said(
            key,
            name=move.name,
            order=order.says,
            driver=self._journal.who,
        )
        return Wait(Waits.APPROVAL, says)

    def order(self, name: str, order: Order) -> Move:
        """Do what a person asked for; the lease must be held."""
        move = self._journal.read(name)
        if move.intent is not None:
            move = self._carry_out(move)
        return self._carry_out(self._journal.write(move.intending(order)))

    def carry_out(self, name: str) -> Move:
        """Finish what is open; the lease must be held."""
        return self._carry_out(self._journal.read(name))

    def _carry_out(self, move: Move) -> Move:
        """Do the open intent and write that it is done; whatever came in between wins (the red
        button, a hand)."""
        while (order := move.intent) is not None:
            self._lease.assert_held()
            latest = self._journal.read(move.name)
            if latest.seq != move.seq:
                move = latest
                continue
            try:
                move = self._do(move, order)
            except HandOnKnob as hand:
                move = self._hold_for(move, hand)
        return move

    def _do(self, move: Move, order: Order) -> Move:
        """Act and write that it is done.  An act that raised the share and did not end well is
        kept in mind."""
        raised = raises_to(move, order)
        try:
            self._act(move, order)
            if raised is not None:
                self._read_back(raised)
            return self._journal.write(move.done())
        except Beaten:
            return self._beaten(move, raised)
        except HandOnKnob:
            raise
        except KirikaeError:
            self._keep_in_mind(raised)
            raise

    def _beaten(self, move: Move, raised: int | None) -> Move:
        """What came in between wins.  Until that is seen to, the act is kept in mind."""
        before = self._lost
        self._keep_in_mind(raised)
        latest = self._journal.read(move.name)
        if raised is not None:
            take_back(self._mover, latest, raised)
        self._lost = before
        return latest

    def _keep_in_mind(self, raised: int | None) -> None:
        if raised is not None:
            self._lost = Lost(raised, self._patience.clock() + self._patience.late_s)

    def _read_back(self, share: int) -> None:
        """Looks may lag behind a change: the next one should not take our own for a hand."""
        self._acted = self._patience.clock()
        while self._mover.found() != share:
            if self._patience.clock() - self._acted > _STALE_S:
                return
            self._patience.sleep(_GLANCE_S)

    @property
    def patience(self) -> Patience:
        return self._patience

    def doubtful_until(self, move: Move) -> float:
        """Until when the share of a move that was backed out may be raised by a late call."""
        if move.share or move.held is None or move.held.why is not Why.BACKED_OUT:
            return 0.0
        mine = self._lost.until if self._lost is not None else 0.0
        return max(mine, under_way_until(self._journal, move, self._patience))

    def keep_down(self, move: Move) -> None:
        """No late call raises the share of a move that was backed out."""
        keep_down(
            self._journal,
            self._mover,
            move,
            self.doubtful_until(move),
            self._patience,
        )

    def clear_up(self, name: str) -> None:
        """Before a driver without a lease leaves: a call of its own that was not answered must not
        stay above the journal's share."""
        lost = self._lost
        while lost is not None and self._patience.clock() < lost.until:
            try:
                latest = self._journal.read(name)
                if ceiling(latest) >= lost.share:
                    return
                if self._mover.found() == lost.share:
                    take_back(self._mover, latest, lost.share)
            except KirikaeError:
                pass  # it is tried again
            self._patience.sleep(1.0)

    def _hold_for(self, move: Move, hand: HandOnKnob) -> Move:
        try:
            return self._journal.write(move.intending(_hands_off(move, hand.found)))
        except (Beaten, OutOfOrder):
            return self._journal.read(move.name)

    def _act(self, move: Move, order: Order) -> None:
        match order.verb:
            case Verb.PREPARE:
                self._mover.prepare(move)
            case Verb.START:
                self._mover.start(move)
            case Verb.SHIFT:
                self._mover.shift(move.name, order.share, (move.share, order.share))
            case Verb.RESUME if move.live:
                self._mover.shift(move.name, move.share, None)
            case Verb.BACK_OUT:
                self._mover.shift(move.name, 0, None)
            case Verb.SETTLE:
                self._mover.settle(move)
            case Verb.RETIRE:
                self._mover.shift(move.name, WHOLE, (WHOLE,))
                self._mover.retire(move)
            case Verb.ABANDON:
                self._mover.discard(move)
            case Verb.HOLD | Verb.RESUME:
                pass


def _waits_for(move: Move, evidence: Evidence | None) -> Wait | None:
    if move.over:
        return None
    if move.held is not None:
        return Wait(Waits.PERSON, said("move.waits_person", held=held_in_words(move)))
    if evidence is not None and move.phase is Phase.RUNNING:
        return Wait(Waits.EVIDENCE, evidence.reason)
    return None


def held_in_words(move: Move) -> Said | None:
    """Why it stands still; None: it does not."""
    held = move.held
    if held is None:
        return None
    why = said(f"model.why.{held.why}")
    if held.reason is None:
        return why
    if held.why is Why.BACKED_OUT:
        return said("move.backed_out", why=why, reason=held.reason)
    return held.reason
