"""With a shared store another machine goes on where one was lost; one alone owns the manifest."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from functools import cached_property

import pytest

from kirikae.logs import shared
from kirikae.logs.errors import ManifestOwned, NoManifest
from kirikae.logs.manifest import Judged, Manifest
from kirikae.logs.shared import SharedManifest, Shelf
from kirikae.logs.verify import Verifier
from kirikae.move.sqlite_store import SqliteStore
from tests.crash.test_sigkill import in_child
from tests.logs_made import packed
from tests.logs_place import LogsPlace
from tests.logs_world import LogsWorld

SCOPE = "test/shop/web"


@dataclass
class Machine(LogsWorld):
    """Both trees and the store are everybody's; the manifest's file is this machine's own."""

    name: str = "a"

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(SqliteStore(self.folder / "store.db"), SCOPE)

    def manifest(self) -> Manifest:
        return SharedManifest(self.folder / f"state-{self.name}" / "logs.db", self.shelf)

    def verify(self, deep: bool = False) -> dict[str, Judged]:
        """As the verb does it."""
        manifest = self.manifest()
        with manifest.owned():
            return Verifier(self.place.carrier(), manifest, deep).run(self.now)

    def other(self) -> Machine:
        return Machine(self.folder, name="b")

    def lost(self) -> None:
        shutil.rmtree(self.folder / f"state-{self.name}")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(shared, "_ROWS", 3)


def test_another_machine_knows_what_the_lost_one_did(tmp_path):
    """Objects, parts with their sums, verdicts: nothing is looked at again."""
    first = Machine(tmp_path)
    first.fill(days=3)
    first.backfill()
    verdicts = first.verdicts(deep=True)
    rows, parts = first.manifest().rows(), first.manifest().parts()
    judged = first.manifest().judged()
    first.lost()
    other = first.other()
    kept = other.manifest()
    assert (kept.rows(), kept.parts(), kept.judged()) == (rows, parts, judged)
    assert kept.head("codec") == "isal" or kept.head("codec").startswith("zlib")
    done = other.backfill()
    assert done.unchanged == 3 and not done.states and not other.written
    assert other.verdicts() == verdicts


def test_what_was_done_since_the_last_batch_is_found(tmp_path):
    """Killed at some points: the other machine ends with the same tree, its next run writes
    nothing, and the first machine goes on from there."""
    whole = LogsWorld(tmp_path / "whole")
    whole.fill(days=2, count=60)
    whole.backfill()
    for file in whole.old_root.rglob("*.GZ"):
        os.utime(file, (0, 0))
    shutil.rmtree(whole.new_root)
    shutil.rmtree(whole.folder / "state")
    whole.backfill()
    for at in (3, 40, 110):
        folder = tmp_path / str(at)
        shutil.copytree(whole.old_root, folder / "old")

        def backfilled(folder=folder, at=at) -> None:
            machine = Machine(folder)
            machine.fuse.at = at
            machine.backfill()

        assert in_child(backfilled) == -signal.SIGKILL
        other = Machine(folder, name="b")
        other.backfill()
        assert other.tree() == whole.tree(), at
        other.backfill()
        assert not other.written
        first = Machine(folder)
        assert first.backfill().unchanged == 2 and not first.written
        assert set(first.verdicts(deep=True).values()) == {"pass"}


def test_only_one_machine_is_let_in_and_it_is_told_which(tmp_path):
    """By the store: neither sees the other's file."""
    first = Machine(tmp_path)
    first.fill(days=1)
    with first.manifest().owned(), pytest.raises(ManifestOwned, match=rf"process {os.getpid()} on"):
        first.other().backfill()
    assert first.other().backfill().states == {"done": 1}


def test_who_lost_the_lease_overwrites_nothing(tmp_path):
    """A batch is written once: the later of two is told, and what it did is found again."""
    first = Machine(tmp_path)
    first.fill(days=1)
    slept = first.manifest()
    first.other().backfill()
    slept.set_head("codec", "another")
    with pytest.raises(ManifestOwned, match="run the same command again"):
        slept.seal()
    assert first.backfill().unchanged == 1


def test_a_manifest_of_before_is_shared_whole_and_so_it_is_with_another_store(tmp_path):
    """Whoever turns to a store in a bucket, or to another one, begins with all that is known."""
    world = LogsWorld(tmp_path)
    world.fill(days=2)
    world.backfill()
    shutil.copytree(tmp_path / "state", tmp_path / "state-a")
    first = Machine(tmp_path)
    first.backfill()
    assert first.other().backfill().unchanged == 2
    (tmp_path / "store.db").unlink()
    first = Machine(tmp_path)
    first.backfill()
    third = Machine(tmp_path, name="c")
    assert third.backfill().unchanged == 2 and third.manifest().parts() == first.manifest().parts()


def test_an_object_that_changed_has_no_part_twice(tmp_path):
    """A later batch stands for an earlier one, row by row."""
    first = Machine(tmp_path)
    first.fill(days=1)
    first.put("2026/11/20/late.gz", packed(b"no time\n"))
    first.backfill()
    (first.old_root / "2026/11/20/late.gz").unlink()
    first.backfill()
    kept = first.other().manifest()
    assert kept.rows() == first.manifest().rows() and kept.parts() == first.manifest().parts()
    assert kept.rows()["2026/11/20/late.gz"].state == "changed"


def test_a_driver_elsewhere_sees_the_verdicts(tmp_path):
    """`move drive` on a machine on which nothing was ever verified."""
    place = LogsPlace(tmp_path / "shop", "store: s3://team/shop\n")
    assert place.thing.judged() == {}
    first = Machine(tmp_path / "shop")
    first.__dict__["shelf"] = Shelf(place.journal.store, SCOPE)
    with pytest.raises(NoManifest):
        SharedManifest(tmp_path / "none.db", first.shelf, must_be_there=True)
    first.fill(days=1)
    first.backfill()
    verdicts = first.verdicts()
    assert {label: each.verdict for label, each in place.thing.judged().items()} == verdicts
