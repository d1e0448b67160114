"""A world outside of kirikae: one share in a file, turned by a thing whose every call can be the
last.  It is also a kind of move of its own: what a second kind needs, and nothing in ``src/``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from kirikae.model.catalogue import Entry
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, Severity, Trace
from kirikae.model.move import Move, Phase
from kirikae.model.project import MoveSettings
from kirikae.model.said import Said, Words, said, text
from kirikae.model.store import Store, Stored
from kirikae.move.driver import Driver
from kirikae.move.engine import Engine, Look, Rules
from kirikae.move.errors import HandOnKnob
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench as KindBench
from kirikae.move.kind import Fact, Kind, Prospect, Prospects, Told, Turned
from kirikae.move.late import Patience
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore

PLAN = (100, 500, 1000)
WORDS = {
    "en": {
        "world.judged": "judged {verdict}",
        "world.share": "the file says {share:share}",
        "world.step": "a step of the world",
        "world.removal": "# Remove the file of {name}",
        "world.line": "{n} turns",
    },
    "ja": {
        "world.judged": "判定は {verdict}",
        "world.share": "ファイルでは {share:share}",
        "world.step": "世界の一段階",
        "world.removal": "# {name} のファイルを削除する",
        "world.line": "{n} 回転",
    },
}
SAY = Words.of("kirikae.move").plus(WORDS).say


@dataclass
class Fuse:
    """Kills this very process with SIGKILL at the n-th point it passes; 0 never."""

    at: int = 0
    passed: int = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class World:
    """The share as the outside has it; every write leaves a line, so that late acts can be seen."""

    file: Path
    fuse: Fuse = field(default_factory=Fuse)

    @property
    def share(self) -> int:
        return int(self.file.read_text().split()[-1]) if self.file.exists() else 0

    def turn(self, share: int) -> None:
        with self.file.open("a") as file:
            file.write(f"{share}\n")


@dataclass
class WorldThing:
    """The acts and the looks over a world."""

    world: World
    judge: Callable[[Move], Verdict] = lambda move: Verdict.PASS
    shares: tuple[int, ...] = PLAN
    blocked: bool = False
    subject: str = "the world"
    look_every_s: float = 1.0
    delay_s: float = 0.0

    # --- acts

    def prepare(self, move: Move) -> None:
        self.world.fuse.point()

    start = settle = retire = prepare

    def compare(self, move: Move) -> Evidence:
        verdict = Verdict.UNSURE if move.phase is Phase.SETTLED else self.judge(move)
        return Evidence(verdict, _judged(verdict), self.world.share)

    def shift(self, name: str, share: int, expected: tuple[int, ...] | None) -> None:
        self.world.fuse.point()
        found = self.world.share
        if expected is not None and found not in expected:
            raise HandOnKnob(found, expected[0])
        if expected is None or found != share:
            self.world.turn(share)
        self.world.fuse.point()

    def found(self) -> int | None:
        return self.world.share

    def discard(self, move: Move) -> None:
        self.shift(move.name, 0, None)

    # --- looks

    def plan(self) -> tuple[int, ...]:
        return self.shares

    def obstacles(self) -> list[Finding]:
        entry = CATALOGUE["WO01"]
        seen = [Trace("", str(self.world.file), "it rains")]
        return [entry.found(str(self.world.file), entry.title, seen)] if self.blocked else []

    def prospects(self) -> Prospects:
        steps = [Prospect(s, 60.0, (said("world.step"),), {"turns": 1}) for s in self.shares]
        return Prospects(tuple(steps))

    def facts(self, move: Move | None) -> list[Fact]:
        share = self.world.share
        return [Fact("found_share", share, said("world.share", share=share))]

    def recorded(self, move: Move) -> Evidence | None:
        if move.phase is not Phase.RUNNING or not move.share:
            return None
        verdict = self.judge(move)
        return Evidence(verdict, _judged(verdict), None, {"turns": 1.0})

    def told(self, evidence: Evidence) -> Told | None:
        if "turns" not in evidence.figures:
            return None
        line = said("world.line", n=evidence.figures["turns"])
        return Told(line, line)

    def assert_may_retire(self, move: Move) -> None:
        """Nobody asks the old world."""

    def removal(self, move: Move) -> Said:
        return said("world.removal", name=move.name)


def _judged(verdict: Verdict) -> Said:
    return said("world.judged", verdict=str(verdict))


class WorldMove(MoveSettings):
    """A move of a file."""

    kind: Literal["world"]
    file: str
    rain: bool = False


CATALOGUE = {
    "WO01": Entry("WO01", Severity.BLOCKS, ("world",), "it rains", "雨が降っている", "wait", "待つ")
}


def _open(settings: WorldMove, bench: KindBench) -> WorldThing:
    return WorldThing(World(bench.folder / settings.file), blocked=settings.rain)


WORLD: Kind[WorldMove] = Kind(
    name="world",
    settings=WorldMove,
    words=WORDS,
    open=_open,
    permissions=lambda settings, bench: [{"Sid": "World", "Effect": "Allow"}],
    turns=lambda settings: (Turned("file", settings.file),),
    by_hand=lambda settings, project: text(f"echo 0 >{settings.file}"),
    catalogue=CATALOGUE,
)


class FusedStore:
    """A store that passes a point before and after every write."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self._store = store
        self._fuse = fuse

    def get(self, key: str) -> Stored | None:
        return self._store.get(key)

    def list(self, prefix: str) -> list[str]:
        return self._store.list(prefix)

    def create_if_absent(self, key: str, body: str) -> str:
        self._fuse.point()
        tag = self._store.create_if_absent(key, body)
        self._fuse.point()
        return tag

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        return self._store.replace_if_match(key, body, tag)


@dataclass
class Bench:
    """Everything to drive a move of this world."""

    folder: Path
    fuse: Fuse = field(default_factory=Fuse)
    judge: Callable[[Move], Verdict] = lambda move: Verdict.PASS
    rules: Rules = field(default_factory=Rules)
    store: Store | None = None
    patience: Patience = field(default_factory=lambda: Patience(late_s=0.0))

    def __post_init__(self) -> None:
        store = FusedStore(self.store or SqliteStore(self.folder / "state.db"), self.fuse)
        self.world = World(self.folder / "world", self.fuse)
        self.thing = WorldThing(self.world, self.judge)
        self.journal = Journal(store, "test", "shop", "me", "here")
        self.lease = Lease(store, "test/shop/web")
        self.engine = Engine(self.journal, self.thing, self.lease, self.rules, self.patience)

    def plan(self) -> None:
        if not self.journal.names():
            self.journal.write(Move("web", PLAN, seq=1))

    def driver(
        self,
        sleep: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] | None = None,
    ) -> Driver:
        """A driver whose clock goes ten seconds at each look at it, unless it is given another."""
        ticks = iter(range(0, 10**9, 10))
        passing = clock or (lambda: float(next(ticks)))
        return Driver(self.engine, self.journal, self.lease, "web", clock=passing, sleep=sleep)

    def drive(self, tell: Callable[[Look], None] = lambda look: None) -> Look:
        """To the end, without waiting."""
        return self.driver().drive(tell)


def known(*kinds: Kind[Any]) -> dict[str, Callable[[], Kind[Any]]]:
    """As ``console/kinds.py`` has them."""
    return {kind.name: partial(_same, kind) for kind in kinds}


def _same(kind: Kind[Any]) -> Kind[Any]:
    return kind
