"""A world outside of kirikae: one share in a file, turned by a mover whose every call can be the
last."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move, Phase
from kirikae.model.store import Store, Stored
from kirikae.move.engine import Engine
from kirikae.move.journal import Journal
from kirikae.move.lease import Lease
from kirikae.move.mover import HandOnKnob
from kirikae.move.sqlite_store import SqliteStore

PLAN = (100, 500, 1000)


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
class WorldMover:
    world: World
    judge: Callable[[Move], Verdict] = lambda move: Verdict.PASS

    def prepare(self, move: Move) -> None:
        self.world.fuse.point()

    start = settle = retire = prepare

    def compare(self, move: Move) -> Evidence:
        verdict = Verdict.UNSURE if move.phase is Phase.SETTLED else self.judge(move)
        return Evidence(verdict, f"judged {verdict}", self.world.share)

    def shift(self, move: Move, share: int, expected: tuple[int, ...] | None) -> None:
        self.world.fuse.point()
        found = self.world.share
        if expected is not None and found not in expected:
            raise HandOnKnob(found, move.share, f"found {found}")
        if found != share:
            self.world.turn(share)
        self.world.fuse.point()

    def discard(self, move: Move) -> None:
        self.shift(move, 0, None)


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
    ask: bool = False
    store: Store | None = None

    def __post_init__(self) -> None:
        store = FusedStore(self.store or SqliteStore(self.folder / "state.db"), self.fuse)
        self.world = World(self.folder / "world", self.fuse)
        self.mover = WorldMover(self.world, self.judge)
        self.journal = Journal(store, "test", "shop", "me", "here")
        self.lease = Lease(store, "test/shop/web")
        self.engine = Engine(self.journal, self.mover, self.lease, self.ask)

    def plan(self) -> None:
        if not self.journal.names():
            self.journal.write(Move("web", PLAN, seq=1))
