"""Drive a move one step: finish what was begun, or look, decide, write down and do.

``step`` may be killed at any line.  Whoever calls it next reads the journal, sees the open intent,
and carries it out again; movers make that harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kirikae.model.errors import AwsUnreachable, OutOfOrder, StoreBroken, Unfinished
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.share import WHOLE, percent
from kirikae.move.journal import Beaten, Journal
from kirikae.move.lease import Driven, Lease
from kirikae.move.mover import HandOnKnob, Mover

ACKNOWLEDGE_S = 1.0
"""How long the red button waits for the driver before it acts by itself."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one step saw and did: for people and for ``--json``."""

    move: Move
    evidence: Evidence | None = None
    waits_for: str = ""


def decide(move: Move, evidence: Evidence | None) -> Order | None:
    """What to do next on our own authority.  Retiring is never ours to decide."""
    if move.held or move.over:
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
    found = evidence.found_share
    if found is not None and found != move.share:
        return Order(
            Verb.HOLD,
            reason=f"somebody else set the share to {percent(found)}; the journal says "
            f"{percent(move.share)}. It is left as it is: "
            f"`kirikae move resume {move.name}` sets it back to {percent(move.share)} and goes on, "
            f"`kirikae back-out {move.name}` sets it to 0",
        )
    if move.phase is Phase.SETTLED:
        return None
    if evidence.verdict is Verdict.FAIL and move.share > 0:
        return Order(Verb.BACK_OUT, reason=evidence.reason)
    if evidence.verdict is not Verdict.PASS:
        return None
    return Order(Verb.SETTLE) if move.next_share is None else Order(Verb.SHIFT, move.next_share)


class Engine:
    """``ask``: a step waits for an approval (``by_another``: of somebody else than who drives).
    ``closed``: why no step may be taken now, or empty; it is asked before a step forward and never
    before a back-out."""

    def __init__(
        self,
        journal: Journal,
        mover: Mover,
        lease: Lease,
        ask: bool = False,
        by_another: bool = False,
        closed: Callable[[], str] = lambda: "",
    ) -> None:
        self._journal = journal
        self._mover = mover
        self._lease = lease
        self._ask = ask
        self._by_another = by_another
        self._closed = closed

    def step(self, name: str) -> Look:
        """One look and at most one act; the lease must be held.  A rival's entry makes it read
        again."""
        move = self._journal.read(name)
        if move.intent is not None:
            return Look(self._carry_out(move))
        looks = move.live and not move.held
        evidence = self._mover.compare(move) if looks else None
        order = decide(move, evidence)
        if order is None:
            return Look(move, evidence, self._waits_for(move, evidence))
        approver = ""
        if order.verb in (Verb.SHIFT, Verb.SETTLE):
            approver, waits_for = self._permission(move, order)
            if waits_for:
                return Look(move, evidence, waits_for)
        try:
            return Look(
                self._carry_out(self._journal.write(move.intending(order), evidence, approver)),
                evidence,
            )
        except Beaten:
            return Look(self._journal.read(name), evidence)

    def _permission(self, move: Move, order: Order) -> tuple[str, str]:
        """(who approved a step that is proven, what it still waits for; empty: nothing)."""
        approvers = self._journal.approved_by(move) if self._ask else []
        if self._by_another:
            approvers = [who for who in approvers if who != self._journal.who]
        if self._ask and not approvers:
            whose = (
                f" by somebody else than {self._journal.who}, who drives"
                if self._by_another
                else ""
            )
            return "", f"approval{whose}: `kirikae move approve {move.name}` lets it {order}"
        if order.verb is Verb.SHIFT and (closed := self._closed()):
            return "", f"its window to {order}: {closed}"
        return ", ".join(approvers), ""

    def _waits_for(self, move: Move, evidence: Evidence | None) -> str:
        if move.over:
            return ""
        if move.held:
            return f"a person: held, {move.held}"
        return evidence.reason if evidence is not None and move.phase is Phase.RUNNING else ""

    def order(self, name: str, order: Order) -> Move:
        """Do what a person asked for; the lease must be held."""
        move = self._journal.read(name)
        if move.intent is not None:
            move = self._carry_out(move)
        return self._carry_out(self._journal.write(move.intending(order)))

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
                self._act(move, order)
                move = self._journal.write(move.done())
            except Beaten:
                move = self._journal.read(move.name)
            except HandOnKnob as hand:
                try:
                    move = self._journal.write(move.intending(Order(Verb.HOLD, reason=str(hand))))
                except (Beaten, OutOfOrder):
                    move = self._journal.read(move.name)
        return move

    def _act(self, move: Move, order: Order) -> None:  # noqa: C901
        match order.verb:
            case Verb.PREPARE:
                self._mover.prepare(move)
            case Verb.START:
                self._mover.start(move)
            case Verb.SHIFT:
                self._mover.shift(move, order.share, (move.share, order.share))
            case Verb.RESUME:
                if move.live:
                    self._mover.shift(move, move.share, None)
            case Verb.BACK_OUT:
                self._mover.shift(move, 0, None)
            case Verb.SETTLE:
                self._mover.settle(move)
            case Verb.RETIRE:
                self._mover.shift(move, WHOLE, (WHOLE,))
                self._mover.retire(move)
            case Verb.ABANDON:
                self._mover.discard(move)
            case Verb.HOLD:
                pass


def back_out(
    journal: Journal,
    mover: Mover,
    lease: Lease,
    name: str,
    reason: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Move:
    """The red button.  It needs no lease: it appends the order, gives the driver a second to carry
    it out, then sets share 0 itself and asserts it again until it holds the lease or the driver has
    answered."""
    try:
        pressed = _press(journal, name, reason)
    except (StoreBroken, AwsUnreachable) as error:
        mover.shift(Move(name, (WHOLE,)), 0, None)
        raise Unfinished(
            f"share 0 was set, but the journal cannot be written ({error}): a driver "
            "that still reads it may set the share again; "
            f"stop it, and press once more as soon as the journal answers"
        ) from error
    deadline = clock() + ACKNOWLEDGE_S
    while True:
        move = journal.read(name)
        if move.seq > pressed.seq and move.intent is None:
            return move
        if clock() >= deadline:
            mover.shift(move, 0, None)
            try:
                with lease.held():
                    return Engine(journal, mover, lease)._carry_out(journal.read(name))
            except Driven:
                # the driver lives: it sees the entry before its next act, and share 0 is asserted
                # until then
                pass
            sleep(0.4)
        else:
            sleep(0.05)


def _press(journal: Journal, name: str, reason: str) -> Move:
    """Append the back-out, whatever else is written at the same time.  Raises OutOfOrder where it
    is not lawful."""
    while True:
        move = journal.read(name)
        if move.intent is not None and move.intent.verb is Verb.BACK_OUT:
            return move
        try:
            return journal.write(move.intending(Order(Verb.BACK_OUT, reason=reason)))
        except Beaten:
            continue
