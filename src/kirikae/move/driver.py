"""Drive a move in the foreground until it is settled, held, over, or waits for somebody."""

from __future__ import annotations

import time
from collections.abc import Callable

from kirikae.model.errors import AwsUnreachable, StoreBroken, Waiting
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.share import WHOLE
from kirikae.move.engine import Engine, Look
from kirikae.move.journal import Beaten, Journal, UnknownMove
from kirikae.move.lease import Driven, Lease, LeaseLost

LOOK_S = 1.0
GLANCE_S = 0.2
UNREACHABLE_S = 300.0
HEARTBEAT_S = 60.0
REST_S = 5.0


class Stopped(Waiting):
    """The driver was told to stop; the move stands as the journal says."""


def drive(
    engine: Engine,
    journal: Journal,
    lease: Lease,
    name: str,
    tell: Callable[[Look], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Step until nothing more can be done here.  Raises Driven, LeaseLost, AwsUnreachable (after
    five minutes)."""
    answered = clock()
    with lease.held():
        while True:
            began = clock()
            try:
                look = engine.step(name)
                answered = clock()
            except AwsUnreachable as error:
                if clock() - answered > UNREACHABLE_S:
                    raise
                tell(Look(journal.read(name), waits_for=str(error)))
                sleep(LOOK_S)
                continue
            tell(look)
            if look.move.intent is None and (
                look.move.held or look.move.over or look.move.phase is Phase.SETTLED
            ):
                return look
            while clock() - began < LOOK_S and not journal.goes_on(look.move):
                sleep(GLANCE_S)  # somebody may press the red button between two looks


def carry_out_order(engine: Engine, lease: Lease, name: str, order: Order) -> Move:
    """One order by a person, under the lease."""
    with lease.held():
        return engine.order(name, order)


def hold_without_lease(journal: Journal, name: str, reason: str) -> Move:
    """Ask a running driver to stop where it is: like the red button, a hold is an entry that anyone
    may append.

    Raises OutOfOrder if the move is over, or if an open act must be finished first.
    """
    while True:
        try:
            held = journal.write(journal.read(name).intending(Order(Verb.HOLD, reason=reason)))
            break
        except Beaten:
            continue
    try:
        return journal.write(held.done())
    except Beaten:
        return journal.read(
            name
        )  # the driver saw the entry and finished it, or the red button was pressed


def serve(  # noqa: C901
    engine: Engine,
    journal: Journal,
    lease: Lease,
    name: str,
    tell: Callable[[Look], None],
    beat: Callable[[], None],
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Drive for weeks: whenever there is something to drive and nobody else does, until ``stopped``
    or the move is over.

    ``beat`` is called at most each minute while this driver sees the journal, also while it rests:
    what missing beats tell is that nobody watches.  Raises Stopped out of a drive that was told to
    stop."""
    beaten = clock() - HEARTBEAT_S

    def alive(look: Look | None = None) -> None:
        nonlocal beaten
        if look is not None:
            tell(look)
        if stopped():
            raise Stopped("told to stop; another driver may take over")
        if clock() - beaten >= HEARTBEAT_S:
            beat()
            beaten = clock()

    said = ""
    while not stopped():
        trouble = ""
        try:
            move = journal.read(name)
            if move.over:
                return
            if move.held and move.intent is None:
                alive()
            else:
                alive(drive(engine, journal, lease, name, alive, clock, sleep))
        except (Driven, UnknownMove) as error:
            trouble = str(error)
            alive()
        except (AwsUnreachable, StoreBroken, LeaseLost) as error:
            trouble = str(error)
        if trouble and trouble != said:
            tell(Look(Move(name, (WHOLE,)), waits_for=trouble))
        said = trouble
        rested = clock()
        while clock() - rested < REST_S and not stopped():
            sleep(LOOK_S)
