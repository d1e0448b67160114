"""Drive a move in the foreground until it is settled, held, over, or waits for somebody."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kirikae.model.errors import (
    AwsUnreachable,
    KirikaeError,
    StoreBroken,
    Unfinished,
    UsageProblem,
    Waiting,
)
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Said, said, text
from kirikae.model.share import WHOLE, percent
from kirikae.move.engine import Engine, Look, Wait, Waits
from kirikae.move.errors import (
    Beaten,
    Driven,
    LeaseLost,
    LeftAlone,
    Stopped,
    UnknownMove,
)
from kirikae.move.journal import BEATEN_AT_MOST, Journal, never_shown
from kirikae.move.lease import Lease

LOOK_S = 1.0
GLANCE_S = 0.2
UNREACHABLE_S = 300.0
HEARTBEAT_S = 60.0
REST_S = 5.0


@dataclass(frozen=True, slots=True)
class Driver:
    """One process that drives one move.

    ``look_every_s``: the rest between two looks; whether somebody pressed the red button is looked
    after each ``GLANCE_S`` all the same.
    """

    engine: Engine
    journal: Journal
    lease: Lease
    name: str
    look_every_s: float = LOOK_S
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def drive(self, tell: Callable[[Look], None]) -> Look:
        """Step until nothing more can be done here.

        Raises Driven, LeaseLost, and what did not go away within five minutes.
        """
        try:
            with self.lease.held():
                look = self._until_nothing_more(tell)
        except KirikaeError:
            # Also one that gives up while AWS does not answer may have slept in a call of its own.
            self.engine.clear_up(self.name)
            raise
        self._keep_down(look.move, tell)
        return look

    def _until_nothing_more(self, tell: Callable[[Look], None]) -> Look:
        answered = self.clock()
        known: Move | None = None
        while True:
            began = self.clock()
            try:
                self.lease.assert_held()
                look = self.engine.step(self.name)
                answered = self.clock()
            except KirikaeError as error:
                known = self._last_known(known)
                if known is None or not _may_pass(error, known):
                    raise
                if self.clock() - answered > UNREACHABLE_S:
                    raise _left_alone(error, known) from error
                look = Look(known, wait=_no_answer(error))
            known = look.move
            tell(look)
            if _nothing_more(look):
                return look
            self._rest(began, look.move)

    def _last_known(self, known: Move | None) -> Move | None:
        try:
            return self.journal.read(self.name)
        except KirikaeError:
            return known

    def _keep_down(self, move: Move, tell: Callable[[Look], None]) -> None:
        """No call of a former step may raise what was backed out; it needs no lease."""
        left_s = self.engine.doubtful_until(move) - self.engine.patience.clock()
        if left_s > 0:
            says = said("move.button.late", name=move.name, seconds=left_s)
            tell(Look(move, wait=Wait(Waits.ANSWER, says)))
            self.engine.keep_down(move)

    def _rest(self, began: float, move: Move) -> None:
        """Until the next look is due, or somebody has written an entry."""
        while self.clock() - began < self.look_every_s and not self._goes_on(move):
            self.sleep(GLANCE_S)

    def _goes_on(self, move: Move) -> bool:
        try:
            return self.journal.goes_on(move)
        except Unfinished:
            return False  # the next look waits for an answer

    def order(self, order: Order) -> Move:
        """One order by a person, under the lease."""
        with self.lease.held():
            return self.engine.order(self.name, order)


def _nothing_more(look: Look) -> bool:
    move = look.move
    ends = move.held is not None or move.over or move.phase is Phase.SETTLED
    return ends and move.intent is None and not _waits_for_an_answer(look)


def _waits_for_an_answer(look: Look) -> bool:
    return look.wait is not None and look.wait.on is Waits.ANSWER


def _may_pass(error: KirikaeError, known: Move) -> bool:
    """Is it waited for?  What does not answer is; where users are on the new side, so is whatever
    AWS refuses: a move that nobody drives helps nobody."""
    if isinstance(error, (LeaseLost, Waiting, UsageProblem)):
        return False
    return isinstance(error, Unfinished) or known.live


def _left_alone(error: KirikaeError, known: Move) -> KirikaeError:
    if isinstance(error, Unfinished):
        return error
    return LeftAlone(
        f"{known.name} is left at {percent(known.share)} and nobody drives it: {error}; "
        f"`kirikae move start {known.name}` takes over, "
        f"`kirikae back-out {known.name}` sends everybody back"
    )


def _no_answer(error: KirikaeError) -> Wait:
    return Wait(Waits.ANSWER, text(str(error)))


def hold_without_lease(journal: Journal, name: str, reason: Said | None) -> Move:
    """Ask a running driver to stop where it is: like the red button, a hold is an entry that anyone
    may append.

    Raises OutOfOrder if the move is over, or if an open act must be finished first.
    """
    for _ in range(BEATEN_AT_MOST):
        try:
            order = Order(Verb.HOLD, reason=reason)
            held = journal.write(journal.read(name).intending(order))
            break
        except Beaten:
            continue
    else:
        raise never_shown(name)
    try:
        return journal.write(held.done())
    except Beaten:
        # The driver saw the entry and finished it, or the red button was pressed.
        return journal.read(name)


@dataclass(slots=True)
class Service:
    """Drives for weeks: whenever there is something to drive and nobody else does, until
    ``stopped`` or the move is over.

    ``beat`` is called at most each minute while this driver sees the journal, also while it rests:
    what missing beats tell is that nobody watches.
    """

    driver: Driver
    tell: Callable[[Look], None]
    beat: Callable[[], None]
    stopped: Callable[[], bool]
    _beaten: float | None = None
    _said: str = field(default="")

    def serve(self) -> None:
        """Raises Stopped out of a drive that was told to stop."""
        driver = self.driver
        while not self.stopped():
            trouble = ""
            try:
                move = driver.journal.read(driver.name)
                if move.over:
                    return
                if move.held is not None and move.intent is None:
                    self._alive()
                else:
                    self._told(driver.drive(self._told))
            except (Driven, UnknownMove) as error:
                trouble = str(error)
                self._alive()
            except (AwsUnreachable, StoreBroken, LeaseLost, LeftAlone) as error:
                trouble = str(error)
            self._tell_trouble(trouble)
            self._rest()

    def _told(self, look: Look) -> None:
        self.tell(look)
        self._alive()

    def _alive(self) -> None:
        if self.stopped():
            raise Stopped("told to stop; another driver may take over")
        now = self.driver.clock()
        if self._beaten is None or now - self._beaten >= HEARTBEAT_S:
            self.beat()
            self._beaten = self.driver.clock()

    def _tell_trouble(self, trouble: str) -> None:
        """Once, not each time."""
        if trouble and trouble != self._said:
            wait = Wait(Waits.ANSWER, text(trouble))
            self.tell(Look(Move(self.driver.name, (WHOLE,)), wait=wait))
        self._said = trouble

    def _rest(self) -> None:
        rested = self.driver.clock()
        while self.driver.clock() - rested < REST_S and not self.stopped():
            self.driver.sleep(LOOK_S)
