"""SIGKILL at every point of a backfill, and the same command again: the same tree, and nothing is
written a second time."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from kirikae.logs.backfill import Backfill
from kirikae.logs.errors import TreeTrouble
from kirikae.logs.throttle import Throttle
from tests.crash.test_sigkill import in_child
from tests.logs_made import made, packed
from tests.logs_world import BEGIN, LogsWorld
from tests.world import Fuse

HOURS = 5


def world_in(folder: Path, at: int = 0) -> LogsWorld:
    """Two days that are split, a copy of an hour that both writers filled, and a broken object."""
    on = int((BEGIN + timedelta(hours=HOURS, minutes=20)).timestamp())
    world = LogsWorld(folder, on=on, fuse=Fuse(at))
    if world.old_root.exists():
        return world
    for number in range(2):
        length = timedelta(hours=HOURS + 1)
        found = made("combined", BEGIN, length, 40, number, faults=0)
        world.put(f"2026/11/20/a{number}.gz", packed(found.body))
    world.put("2026/11/20/broken.gz", packed(found.body, "cut"))
    hour = (BEGIN + timedelta(hours=HOURS)).astimezone(UTC).strftime("%Y/%m/%d/%H/")
    live = [line for line in found.lines if b":05:3" in line or b":05:4" in line]
    world.put_new(f"{hour}firehose-1.gz", packed(b"\n".join(live) + b"\n"))
    for file in [*world.old_root.rglob("*.gz"), *world.new_root.rglob("*.gz")]:
        os.utime(file, (0, 0))
    return world


def test_killed_at_every_point_and_run_again(tmp_path):
    """Before and after every object and every row of the manifest, and between a file and its
    name."""
    whole = world_in(tmp_path / "whole")
    whole.backfill()
    points = whole.fuse.passed
    assert points > 30
    assert not [key for key in whole.tree() if "broken" in key]
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        world_in(folder)
        killed = in_child(lambda f=folder, n=at: world_in(f, n).backfill())
        assert killed == -signal.SIGKILL
        world = world_in(folder)
        world.backfill()
        assert world.tree() == whole.tree(), at
        world.backfill()
        assert not world.written, at


def test_killed_again_and_again_at_random(tmp_path):
    """And with the manifest lost in between: it is a cache."""
    whole = world_in(tmp_path / "whole")
    whole.backfill()
    rng = random.Random(17)
    world_in(tmp_path / "other")
    for _ in range(12):
        at = rng.randrange(1, 25)
        in_child(lambda n=at: world_in(tmp_path / "other", n).backfill())
        if rng.random() < 0.3:
            (tmp_path / "other" / "state" / "logs.db").unlink(missing_ok=True)
    world = world_in(tmp_path / "other")
    world.backfill()
    assert world.tree() == whole.tree()
    assert world.verdicts(deep=True) == whole.verdicts(deep=True)


def test_killed_at_every_point_of_making_a_failed_part_again(tmp_path):
    """Before and after it is put aside, taken away, and written."""
    failed = world_in(tmp_path / "failed")
    failed.backfill()
    key = next(key for key in failed.tree() if "/a1-" in key)
    (failed.new_root / key).write_bytes(packed(b"another\n"))
    assert "fail" in failed.verdicts().values()
    shutil.copytree(failed.folder, tmp_path / "whole")
    whole = world_in(tmp_path / "whole")
    whole.backfill(put_aside=True)
    points = whole.fuse.passed
    assert points >= 8
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        shutil.copytree(failed.folder, folder)
        killed = in_child(lambda f=folder, n=at: world_in(f, n).backfill(put_aside=True))
        assert killed == -signal.SIGKILL
        world = world_in(folder)
        world.backfill(put_aside=True)
        assert world.tree() == whole.tree(), at
        assert world.backfill().redone == 0 and not world.written, at
    assert "fail" not in whole.verdicts(deep=True).values()


def test_a_full_disk_of_the_manifest_is_told_and_made_up_for(tmp_path):
    """Exit code 3 with its file; the next run finds what was written, and writes the rest."""
    whole = world_in(tmp_path / "whole")
    whole.backfill()
    world = world_in(tmp_path / "other")
    manifest = world.manifest()
    rows = manifest._rows
    pages = rows.execute("PRAGMA page_count").fetchone()[0]
    rows.execute(f"PRAGMA max_page_count = {pages}")
    throttle = Throttle(time.monotonic, time.sleep)
    with pytest.raises(TreeTrouble, match=r"logs\.db"):
        for number in range(1000):
            manifest.set_head(f"what fills it {number}", "x" * 2000)
    with pytest.raises(TreeTrouble, match=r"logs\.db"):
        Backfill(world.place, manifest, throttle).run()
    manifest.close()
    world.backfill()
    assert world.tree() == whole.tree()
