"""SIGKILL at every point of a move, and the same command again: the world always ends as the
journal says."""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from kirikae.aws.s3_store import S3Store
from kirikae.aws.session import Aws
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Order, Phase, Verb, Why
from kirikae.model.said import text
from kirikae.model.store import Store
from kirikae.move.button import back_out
from tests.world import Bench, Fuse


def in_child(work) -> int:
    """Run in a forked process; the answer is its exit code, negative if a signal killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except KirikaeError:
            os._exit(1)
        except BaseException:  # noqa: BLE001 - the child must never return into pytest
            os._exit(9)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def in_a_file() -> Store | None:
    """The store of most of these tests: SQLite in the test's folder."""
    return None


def drive_through(
    folder: Path, at: int = 0, verdict=lambda move: Verdict.PASS, store=in_a_file
) -> None:
    bench = Bench(folder, Fuse(at), verdict, store=store())
    bench.plan()
    bench.driver(lambda s: time.sleep(0.001)).drive(lambda look: None)


def check_lawful(bench: Bench) -> Move:
    """Every entry follows from the one before by the law, without a gap."""
    moves = [e.move for e in bench.journal.entries("web")]
    assert [m.seq for m in moves] == list(range(1, len(moves) + 1))
    for before, after in pairwise(moves):
        expected = before.intending(after.intent) if after.intent is not None else before.done()
        assert expected == after, (before, after)
    return moves[-1]


def points_of_a_whole_move(folder: Path) -> int:
    bench = Bench(folder)
    bench.plan()
    bench.drive()
    return bench.fuse.passed


def test_killed_at_every_point_and_run_again(tmp_path):
    """One driver, killed before and after every write and every act, then started again: settled,
    and the world with it."""
    points = points_of_a_whole_move(tmp_path)
    assert points > 30
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        assert in_child(lambda f=folder, n=at: drive_through(f, n)) == -signal.SIGKILL
        assert in_child(lambda f=folder: drive_through(f)) == 0, at
        bench = Bench(folder)
        move = check_lawful(bench)
        assert (move.phase, move.share, bench.world.share) == (Phase.SETTLED, 1000, 1000), at


def test_killed_while_backing_out(tmp_path):
    """The same for a move that fails at 50%: share 0 and held, wherever it was killed."""

    def verdict(move):
        return Verdict.FAIL if move.share == 500 else Verdict.PASS

    bench = Bench(tmp_path, judge=verdict)
    bench.plan()
    bench.drive()
    for at in range(1, bench.fuse.passed + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        assert in_child(lambda f=folder, n=at: drive_through(f, n, verdict)) == -signal.SIGKILL
        assert in_child(lambda f=folder: drive_through(f, 0, verdict)) == 0
        after = Bench(folder)
        move = check_lawful(after)
        assert (move.share, after.world.share) == (0, 0) and move.held.why is Why.BACKED_OUT, at


def test_a_driver_that_is_dead_but_not_yet_waited_for_is_replaced_at_once(tmp_path):
    """Found by the rivals: a killed child is a zombie until its parent asks, and a zombie drives
    nothing."""
    child = os.fork()
    if child == 0:
        Bench(tmp_path).lease.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    lease = Bench(tmp_path).lease
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert lease.acquire()
    os.waitpid(child, 0)


def rivals(folder: Path, rng: random.Random, button: bool, store=in_a_file, first: int = 0) -> None:
    """Three drivers at once, killed at random points, and perhaps the red button."""
    children = []
    for n in range(3):
        at = first if first and n == 0 else rng.randint(1, 60)
        child = os.fork()
        if child == 0:
            try:
                drive_through(folder, at, store=store)
            except BaseException:  # noqa: BLE001 - the child must never return into pytest
                os._exit(1)
            os._exit(0)
        children.append(child)
    if button:
        time.sleep(rng.random() * 0.15)
        press(folder, store)
    for child in children:
        os.waitpid(child, 0)


def press(folder: Path, store=in_a_file) -> None:
    bench = Bench(folder, store=store())
    try:
        back_out(bench.journal, bench.thing, bench.lease, "web", text("pressed"))
    except KirikaeError:
        pass  # nothing is on the new side yet, or no move at all: nothing to take back


def check_rivals(folder: Path, seed: int, store=in_a_file, first: int = 0) -> None:
    rng = random.Random(seed)
    button = rng.random() < 0.5
    rivals(folder, rng, button, store, first)
    bench = Bench(folder, store=store())
    held = bench.journal.names() and bench.journal.read("web").held
    if held:
        assert bench.world.share == bench.journal.read("web").share
        with bench.lease.held():
            bench.engine.order("web", Order(Verb.RESUME))
    assert in_child(lambda: drive_through(folder, store=store)) == 0
    move = check_lawful(bench)
    assert (move.phase, bench.world.share) == (Phase.SETTLED, 1000), seed


@pytest.mark.parametrize("seed", range(6))
def test_three_rivals_killed_at_random(tmp_path, seed):
    """Rival drivers, SIGKILL at random points, the red button in half of the runs: lawful, and the
    world equals the journal."""
    check_rivals(tmp_path, seed)


@pytest.mark.engine
@pytest.mark.parametrize(
    "seed",
    [*range(2000, 2003), *(pytest.param(n, marks=pytest.mark.prove) for n in range(2003, 2040))],
)
def test_three_rivals_on_a_bucket(local, monkeypatch, tmp_path, seed):
    """The same with the journal and the lease in a bucket: conditional writes do what transactions
    do."""
    for key, value in local.environment.items():
        monkeypatch.setenv(key, value)
    bucket = f"rivals-{seed}"
    local.client("s3").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": local.status["region"]}
    )
    check_rivals(tmp_path, seed, lambda: S3Store(Aws(local.status["region"]), bucket))


@pytest.mark.prove
def test_one_of_three_rivals_killed_at_every_point(tmp_path):
    """Each position of the journal and of the world once, beside two rivals that die at random, the
    red button in half of the runs."""
    points = points_of_a_whole_move(tmp_path)
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        folder.mkdir()
        check_rivals(folder, 5000 + at, first=at)
    print(
        f"one of three rivals killed at each of {points} points: every journal lawful, "
        "every world equal to its journal"
    )


@pytest.mark.prove
def test_many_rivals_killed_at_random(tmp_path):
    """The long proof: 300 batches of three."""
    for seed in range(1000, 1300):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_rivals(folder, seed)
    print(
        "300 batches of three rival drivers: every journal lawful, every world equal to its journal"
    )
