"""The red button: share 0 first, whatever is broken; then the journal, and whoever drives.

It needs no lease and no journal.  Whatever AWS answers is tried again for minutes; a look is never
believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.model.move import Move, Order, Verb
from kirikae.model.said import Said, said, text
from kirikae.move.engine import ACKNOWLEDGE_S, Engine
from kirikae.move.errors import Beaten, Driven, StillThere
from kirikae.move.journal import BEATEN_AT_MOST, Journal, never_shown
from kirikae.move.late import LATE_S, Patience
from kirikae.move.lease import Lease
from kirikae.move.mover import Mover

PERSIST_S = 300.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0
_GLANCE_S = 0.05
_ASSERT_EVERY_S = 0.4


def _nobody(says: Said) -> None:
    """Where nobody is told."""


@dataclass(frozen=True, slots=True)
class Finger:
    """How the button is pressed.  ``tell``: each try and each wait.  ``late_s``: how long a call of
    a former step is looked out for."""

    tell: Callable[[Said], None] = _nobody
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    persist_s: float = PERSIST_S
    late_s: float = LATE_S
    now: Callable[[], float] = time.time


def set_to_zero(mover: Mover, name: str, finger: Finger) -> None:
    """Share 0, tried again while AWS does not answer.

    Raises StillThere after minutes, and at once what AWS refuses for good.
    """
    began = finger.clock()
    pause_s = _FIRST_PAUSE_S
    tries = 0
    while True:
        tries += 1
        try:
            mover.shift(name, 0, None)
            return
        except AwsUnreachable as error:
            if finger.clock() - began > finger.persist_s:
                raise StillThere(
                    f"{tries} tries in {finger.persist_s:.0f} s were not answered ({error}); "
                    f"press again: `kirikae back-out {name}`"
                ) from error
            finger.tell(
                said(
                    "move.button.again",
                    name=name,
                    n=tries,
                    error=text(str(error)),
                )
            )
        finger.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def back_out(
    journal: Journal,
    mover: Mover,
    lease: Lease,
    name: str,
    reason: Said | None,
    finger: Finger = Finger(),
) -> Move:
    """Share 0, then the journal.

    Raises StillThere, OutOfOrder and UnknownMove (share 0 was set all the same), and whatever the
    journal has to say.
    """
    set_to_zero(mover, name, finger)
    return write_down(
        journal,
        mover,
        lease,
        name,
        reason,
        finger,
    )


def write_down(
    journal: Journal,
    mover: Mover,
    lease: Lease,
    name: str,
    reason: Said | None,
    finger: Finger,
) -> Move:
    """Append the order and see that whoever drives has read it; share 0 is asserted until then, and
    for as long as a call of a former step may be under way."""
    pressed = _press(journal, name, reason)
    patience = Patience(finger.late_s, finger.now, finger.sleep)
    engine = Engine(
        journal,
        mover,
        lease,
        patience=patience,
    )
    after = _answered(
        journal,
        mover,
        lease,
        pressed,
        engine,
        finger,
    )
    left_s = engine.doubtful_until(after) - finger.now()
    if left_s > 0:
        finger.tell(said("move.button.late", name=name, seconds=left_s))
        engine.keep_down(after)
    return after


def _answered(
    journal: Journal,
    mover: Mover,
    lease: Lease,
    pressed: Move,
    engine: Engine,
    finger: Finger,
) -> Move:
    """The move once the back-out is done: by its driver, or by us as soon as nobody drives.  What
    AWS does not answer is tried again for as long as late calls are looked out for."""
    name = pressed.name
    began = finger.clock()
    deadline = began + ACKNOWLEDGE_S
    told = False
    while True:
        move = journal.read(name)
        if move.seq > pressed.seq and move.intent is None:
            return move
        if finger.clock() < deadline and lease.holder() is not None:
            finger.sleep(_GLANCE_S)
            continue
        try:
            with lease.held(patient=False):
                return engine.carry_out(name)
        except Driven:
            # The driver lives: it sees the entry before its next act, and share 0 is asserted
            # until then.
            if not told:
                finger.tell(said("move.button.driver", name=name))
                told = True
        except AwsUnreachable as error:
            if finger.clock() - began > finger.late_s:
                raise
            finger.tell(said("move.button.record_again", name=name, error=text(str(error))))
        set_to_zero(mover, name, finger)
        finger.sleep(_ASSERT_EVERY_S)


def _press(journal: Journal, name: str, reason: Said | None) -> Move:
    """Append the back-out, whatever else is written at the same time.  Raises OutOfOrder where it
    is not lawful."""
    for _ in range(BEATEN_AT_MOST):
        move = journal.read(name)
        if move.intent is not None and move.intent.verb is Verb.BACK_OUT:
            return move
        try:
            return journal.write(move.intending(Order(Verb.BACK_OUT, reason=reason)))
        except Beaten:
            continue
    raise never_shown(name)


def share_found(mover: Mover) -> tuple[bool, int | None]:
    """(was it answered, the share) of one look that may fail."""
    try:
        return True, mover.found()
    except KirikaeError:
        return False, None
