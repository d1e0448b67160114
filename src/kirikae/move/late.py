"""No late act: what a call may still do when nobody waits for its answer any more.

A call that raised the share may have been on its way when the red button was pressed, or its answer
may never have come.  The lease cannot call it back, so whoever takes the share down looks for so
long whether it stays down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kirikae.model.errors import KirikaeError
from kirikae.model.move import Move, Order, Verb
from kirikae.move.journal import Entry, Journal
from kirikae.move.mover import Mover

LATE_S = 30.0
"""How long a call may be under way: longer than the lease's ``ACT_S``, with a margin."""
PROMPT_S = 3.0
"""An act that was done within this was answered at its first try."""
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long late calls are looked out for.  ``clock``: the journal's time."""

    late_s: float = LATE_S
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def raises_to(move: Move, order: Order) -> int | None:
    """The share that carrying out this order may raise the world to; None: it raises nothing."""
    match order.verb:
        case Verb.SHIFT:
            return order.share
        case Verb.RESUME if move.live and move.share:
            return move.share
        case _:
            return None


def ceiling(move: Move) -> int:
    """The largest share that the world may have by the journal."""
    match move.intent:
        case Order(verb=Verb.SHIFT, share=share):
            return share
        case Order(verb=Verb.BACK_OUT | Verb.ABANDON):
            return 0
        case _:
            return move.share


def under_way_until(journal: Journal, move: Move, patience: Patience) -> float:
    """Until when a call of a former step may still take effect; a time that is over: none can.

    A step that was prompt left nothing on its way.
    """
    now = patience.clock()
    for intended, after in _pairs(journal, move):
        if after.at + patience.late_s < now:
            break
        order = intended.move.intent
        if order is None or raises_to(intended.move, order) is None:
            continue
        open_still = after.move.intent is not None
        if open_still or after.at - intended.at > PROMPT_S:
            return min(after.at, now) + patience.late_s
    return 0.0


def _pairs(journal: Journal, move: Move) -> Iterator[tuple[Entry, Entry]]:
    """(an entry, the one after it), the latest first."""
    entries = journal.before(move)
    after = next(entries, None)
    for entry in entries:
        if after is not None:
            yield entry, after
        after = entry


def keep_down(
    journal: Journal,
    mover: Mover,
    move: Move,
    until: float,
    wait: Patience,
) -> None:
    """Share 0 is looked at and set again until then; whoever goes on with the move ends it."""
    while wait.clock() < until and not _goes_on(journal, move):
        try:
            if mover.found() != 0:
                mover.shift(move.name, 0, None)
        except KirikaeError:
            pass  # it is looked at again
        wait.sleep(_LOOK_S)


def _goes_on(journal: Journal, move: Move) -> bool:
    try:
        return journal.goes_on(move)
    except KirikaeError:
        return False


def take_back(mover: Mover, latest: Move, was_set: int) -> None:
    """Who was beaten after an act sees that nothing of it stays above the journal's share; down
    needs no lease."""
    allowed = ceiling(latest)
    if was_set > allowed:
        mover.shift(latest.name, allowed, None)
