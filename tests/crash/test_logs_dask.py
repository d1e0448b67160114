"""A backfill on workers of Dask: real processes, of which one is killed in the middle; then its
owner is, at every point, and the scheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kirikae.logs.backfill import Backfill, Done
from kirikae.logs.errors import TreeTrouble
from kirikae.logs.folder import PENDING
from kirikae.logs.pools import address_of
from kirikae.logs.throttle import Throttle
from kirikae.logs.worker import Place
from kirikae.model.errors import UsageProblem
from tests.crash.test_sigkill import in_child
from tests.logs_made import inflated
from tests.logs_world import LogsWorld
from tests.pace import ended, eventually
from tests.world import Fuse

pytest.importorskip("distributed")
DAYS = 5


@dataclass
class Cluster:
    """A scheduler and workers on this machine."""

    folder: Path
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def begun(cls, folder: Path, workers: int) -> Cluster:
        file = folder / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        made = cls(folder, _dask("scheduler", *words, "--scheduler-file", str(file)))
        eventually(file.exists, "the scheduler of Dask is up")
        for _ in range(workers):
            made.add()
        return made

    @property
    def address(self) -> str:
        return str(json.loads((self.folder / "scheduler.json").read_text())["address"])

    @property
    def on(self) -> str:
        return self.address.replace("tcp://", "dask://")

    def add(self) -> None:
        local = str(self.folder / "workers")
        words = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", local]
        self.workers.append(_dask("worker", self.address, *words))

    def close(self) -> None:
        for each in [*self.workers, self.scheduler]:
            each.kill()
            ended(each)


def _dask(part: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    made = Cluster.begun(tmp_path / "cluster", 2)
    yield made
    made.close()


def world_in(folder: Path, at: int = 0, days: int = DAYS) -> LogsWorld:
    world = LogsWorld(folder, fuse=Fuse(at))
    if not world.old_root.exists():
        world.fill(days=days, count=120)
        world.put("2026/11/20/broken.gz", b"\x1f\x8b\x08 cut")
        for file in world.old_root.rglob("*"):
            os.utime(file, (0, 0))
    return world


def moved(
    world: LogsWorld,
    on: str,
    keep_up: Callable[[], None] = lambda: None,
) -> Done:
    place = world.place
    plain = Place(place.trees, place.owners, place.old, place.new)
    throttle = Throttle(time.monotonic, time.sleep)
    return Backfill(plain, world.manifest(), throttle, on=on, keep_up=keep_up).run()


def tree(world: LogsWorld) -> dict[str, bytes]:
    """Unpacked: once in some hundreds of objects the library packed the same lines into other
    bytes.  Without what somebody is still at, or was when he was killed."""
    return {
        key: inflated(data) for key, data in world.tree().items() if not key.startswith(PENDING)
    }


def test_a_worker_that_dies_costs_its_objects_in_flight_only(cluster, tmp_path):
    """SIGKILL after the first object: the other one does the rest, the same lines as one machine
    alone would write; the second run writes nothing."""
    whole = world_in(tmp_path / "whole")
    whole.backfill()
    world = world_in(tmp_path / "dask")
    killed: list[int] = []

    def kill_one() -> None:
        if not killed:
            killed.append(cluster.workers[0].pid)
            cluster.workers[0].kill()

    done = moved(world, cluster.on, kill_one)
    assert killed and ended(cluster.workers[0]) == -signal.SIGKILL
    assert done.states == {"done": DAYS, "broken": 1}
    assert tree(world) == tree(whole)
    assert set(world.verdicts(deep=True).values()) == {"pass", "unsure"}
    before = {file: file.stat().st_mtime_ns for file in world.new_root.rglob("*.gz")}
    again = moved(world, cluster.on)
    assert (again.unchanged, again.written) == (DAYS, 0)
    assert {file: file.stat().st_mtime_ns for file in world.new_root.rglob("*.gz")} == before
    assert not list(world.new_root.glob(f"{PENDING}/*"))


@pytest.mark.prove
def test_the_owner_is_killed_at_every_point_and_goes_on(cluster, tmp_path):
    """Before and after what it writes down, and after each object: what was in flight goes on
    without it, and is found."""
    whole = world_in(tmp_path / "whole")
    fuse = whole.fuse
    moved(whole, cluster.on, fuse.point)
    points = fuse.passed
    assert points >= DAYS
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        world_in(folder)

        def owner(folder: Path = folder, at: int = at) -> Any:
            world = world_in(folder, at)
            return moved(world, cluster.on, world.fuse.point)

        assert in_child(owner) in (-signal.SIGKILL, 0)
        world = world_in(folder)
        moved(world, cluster.on)
        assert tree(world) == tree(whole), at
        assert moved(world, cluster.on).written == 0, at


@pytest.mark.prove
def test_workers_come_and_go_and_the_scheduler_dies(cluster, tmp_path):
    """Told with what to do; with another scheduler it goes on where it was."""
    whole = world_in(tmp_path / "whole", days=12)
    whole.backfill()
    world = world_in(tmp_path / "dask", days=12)

    def another() -> None:
        cluster.workers[-1].kill()
        cluster.add()
        if len(cluster.workers) > 4:
            cluster.scheduler.kill()

    with pytest.raises(TreeTrouble, match="scheduler of Dask"):
        moved(world, cluster.on, another)
    (tmp_path / "second").mkdir()
    second = Cluster.begun(tmp_path / "second", 2)
    try:
        moved(world, second.on)
    finally:
        second.close()
    assert tree(world) == tree(whole)


@pytest.mark.parametrize("on", ["dask://", "dask://x", "tcp://a:1", "dask://a:b", "ecs:"])
def test_where_it_is_to_work_must_be_readable(on):
    """With how to write it."""
    with pytest.raises(UsageProblem, match="dask://HOST:8786"):
        address_of(on)


def test_folders_of_this_machine_are_not_moved_elsewhere(tmp_path):
    """Workers there would write into folders of their own."""
    with pytest.raises(UsageProblem, match="buckets"):
        moved(world_in(tmp_path), "dask://10.0.0.9:8786")
