"""Whole moves of traffic through a faulty AWS, one seed each.

Drivers die, and the red button is pressed at any moment, also in the middle of a call.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.console import kinds
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move, Phase, Why
from kirikae.model.said import text
from kirikae.move.button import Finger, back_out
from kirikae.move.driver import Driver
from kirikae.move.engine import Engine, Look
from kirikae.move.errors import UnknownMove
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench
from kirikae.move.late import Patience, ceiling
from kirikae.move.lease import Lease
from kirikae.traffic.batches import recorded
from kirikae.traffic.judging import trial_over
from kirikae.traffic.settings import TrafficMove
from kirikae.traffic.thing import TrafficThing
from tests.faulty.cloud import BEGAN, RULE, Clock, Cloud, Faults, FaultyAws, FaultyStore

PROJECT = f"""\
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {{target_group: old}}
  new: {{cluster: c, ecs_service: new, target_group: new}}
moves:
  web:
    kind: traffic
    router: {{listener_rule: "{RULE}"}}
    plan: ["10%", "50%", "100%"]
    judge: {{worse_requests_at_most: "4%", bake: 5s, warm_up: 0s, fast_enough: 1s}}
    figures: {{period: 1s, lateness: 2s}}
"""
HORIZON_S = 3000.0
_AFTER_S = 90.0


class Killed(BaseException):
    """The driver's process ends here."""


class Over(BaseException):
    """Long enough."""


@dataclass
class Walk:
    """One move, one seed."""

    seed: int
    faults: Faults | None = None
    harm: float | None = None
    pressed: bool = False
    off_s: float = 0.0
    horizon_s: float = HORIZON_S
    looks: list[Look] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clock = Clock()
        faults = self.faults or Faults.by(self.rng)
        harm = self.rng.choice((0.0, 0.0, 0.2, 0.6)) if self.harm is None else self.harm
        self.cloud = Cloud(self.clock, self.rng, faults, harm)
        self.store = FaultyStore(self.cloud)
        self.project = kinds.read_project(PROJECT, "kirikae.yml")
        self.driving = False
        self.presses = self.rng.random() < 0.5
        self.kills = self.rng.choice((0, 0, 1, 3))

    # --- who takes part, each with a memory of its own

    def thing(self, journal: Journal, aws: FaultyAws) -> TrafficThing:
        settings = self.project.moves["web"]
        bench = Bench("web", self.project, aws, journal, aws.now, Path())
        thing = kinds.kind_of(settings).open(settings, bench)
        assert isinstance(thing, TrafficThing)
        thing.obstacles = list  # type: ignore[method-assign] - what is in the way is not the matter
        return thing

    def journal(self, who: str, aws: FaultyAws) -> Journal:
        return Journal(self.store, "test", "shop", who, "here", aws.now)

    def lease(self, host: str) -> Lease:
        off = self.off_s if host != "button" else 0.0

        def wall() -> float:
            return self.clock() + off

        lease = Lease(self.store, "test/shop/web", wall, self.clock, self.clock.sleep)
        lease._me["host"] = host
        return lease

    def driver(self, n: int) -> Driver:
        aws = FaultyAws(self.cloud, self.off_s)
        journal = self.journal(f"driver {n}", aws)
        thing = self.thing(journal, aws)
        lease = self.lease(f"host {n}")
        engine = Engine(journal, thing, lease, patience=Patience(30.0, aws.now, self.clock.sleep))
        return Driver(engine, journal, lease, "web", clock=self.clock, sleep=self.clock.sleep)

    def press(self) -> None:
        """As a person would: again, until it says that it is done.

        A driver that was stopped in the middle of a call for longer than any call may take, and is
        killed right after it woke, takes nothing back: `move status` tells of it.  That is the one
        pair of faults that is not walked.
        """
        self.pressed = True
        self.kills = 0
        driving = self.driving
        self.driving = False
        inside = self.cloud.inside
        self.cloud.inside = lambda: None
        finger = Finger(clock=self.clock, sleep=self.clock.sleep, now=self.clock, persist_s=1000.0)
        for _ in range(50):
            aws = FaultyAws(self.cloud)
            journal = self.journal("the button", aws)
            thing = self.thing(journal, aws)
            try:
                back_out(journal, thing, self.lease("button"), "web", text("smoke"), finger)
                break
            except KirikaeError as error:
                self.ended.append(f"button: {error}")
                if not self._begun():
                    self.pressed = False
                    break
            self.clock.sleep(1.0)
        self.cloud.inside = inside
        self.driving = driving

    def _begun(self) -> bool:
        return self.quiet().live

    def quiet(self) -> Move:
        """The move as the journal has it, without stumbling."""
        try:
            return self.quiet_journal().read("web")
        except UnknownMove:
            return Move("web", (1000,))

    def quiet_journal(self) -> Journal:
        store = FaultyStore(Cloud(Clock(), random.Random(0)), self.store._kept)
        return Journal(store, "test", "shop", "judge", "here", self.clock)

    def without_button(self) -> Walk:
        self.presses = False
        self.kills = 0
        return self

    def tried(self) -> Move:
        """The move in its last attempt above share 0."""
        entries = reversed(self.quiet_journal().entries("web"))
        return next(entry.move for entry in entries if entry.move.share)

    def judged_again(self) -> Evidence:
        """What the record of that attempt says."""
        move = self.tried()
        batches = recorded(self.quiet_journal(), move)
        settings = self.project.moves["web"]
        assert isinstance(settings, TrafficMove)
        return trial_over(settings, move, batches).evidence()

    # --- the walk

    def go(self) -> Walk:
        self._plan()
        self.clock.at_time(BEGAN + self.horizon_s, self._enough)
        if self.presses:
            self._press_sometime()
        for n in range(100):
            driver = self.driver(n)
            if self.kills:
                self._kill_sometime()
            self.driving = True
            try:
                driver.drive(self.looks.append)
            except Over:
                self.ended.append("over")
            except Killed:
                self.ended.append("killed")
                # A process that is gone renews nothing; another machine waits its lease out.
                self.driving = False
                self.clock.sleep(1.0)
            except KirikaeError as error:
                self.driving = False
                self.ended.append(f"driver: {type(error).__name__}: {error}")
                self.clock.sleep(5.0)
            if self._over() or self.clock.at - BEGAN > self.horizon_s:
                break
        self.kills = 0
        self.clock.sleep(_AFTER_S)
        return self

    def _enough(self) -> None:
        if self.driving:
            raise Over

    def _over(self) -> bool:
        move = self.quiet()
        done = move.held is not None or move.phase is Phase.SETTLED
        return done and move.intent is None

    def _plan(self) -> None:
        settings = self.project.moves["web"]
        self.quiet_journal().write(Move("web", settings.plan, seq=1))  # type: ignore[attr-defined]

    def _press_sometime(self) -> None:
        """Between two acts, or in the middle of a ModifyRule."""
        if self.rng.random() < 0.5:
            self.clock.at_time(self.clock.at + self.rng.uniform(3, 120), self.press)
            return
        left = [self.rng.randint(2, 4)]

        def inside() -> None:
            left[0] -= 1
            if left[0] == 0:
                self.press()

        self.cloud.inside = inside

    def _kill_sometime(self) -> None:
        def kill() -> None:
            if self.kills and self.driving:
                self.kills -= 1
                raise Killed

        self.clock.at_time(self.clock.at + self.rng.uniform(1, 60), kill)

    # --- what must hold

    def check(self) -> None:
        move = self.quiet()
        share = self.cloud.share
        told = (self.seed, self.cloud.faults, self.cloud.harm, self.ended[-5:], move)
        if self.pressed:
            assert share == 0, told
            assert move.share == 0 and move.held is not None, told
            assert move.held.why is Why.BACKED_OUT, told
            return
        # A late call of a former step may be taken for a hand: then less is on the new side.
        hand = move.held is not None and move.held.why is Why.HAND_ON_KNOB and share < move.share
        assert hand or share == move.share or share == ceiling(move), told
        assert not hand or self.cloud.faults.late, told
        if self.cloud.harm:
            assert move.phase is not Phase.SETTLED, told
            assert share == 0, told
        elif not hand and self.ended[-1:] != ["over"]:
            # Where hardly an answer is whole, a proof may take longer than anybody looks on here.
            assert (move.phase, share) == (Phase.SETTLED, 1000), told
