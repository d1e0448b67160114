"""Look on: share, figures and evidence as the journal has them; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from kirikae.console.context import Desk
from kirikae.model.move import Move
from kirikae.model.said import Said
from kirikae.move.engine import Look, Wait, Waits

_EVERY_S = 1.0


def look_at(desk: Desk, move: Move) -> Look:
    """What the record says now, by the driver's own judge."""
    evidence = desk.thing.recorded(move)
    return Look(move, evidence, None if evidence is None else _waits(evidence.reason))


def _waits(reason: Said) -> Wait:
    """An onlooker sees no driver's wait, only what the judge still lacks."""
    return Wait(Waits.EVIDENCE, reason)


def watch(
    desk: Desk,
    tell: Callable[[Look], None],
    once: bool = False,
    record: Callable[[Move, bool], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Until the move is over, or one look if ``once``; the last look is answered, not told."""
    while True:
        found = desk.journal.read(desk.name)
        ends = once or found.over
        if record is not None:
            record(found, ends)
        look = look_at(desk, found)
        if ends:
            return look
        tell(look)
        sleep(_EVERY_S)
