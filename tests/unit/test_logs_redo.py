"""What fails its proof is made again by the next backfill: it alone, and once."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest

from kirikae.logs.redo import ASIDE
from kirikae.model.said import LANGUAGES
from tests.logs_made import inflated, made, packed
from tests.logs_place import LogsPlace
from tests.logs_world import BEGIN, DAILY, HOURLY, LogsWorld

CHANGES = {
    "gone": lambda lines: None,
    "lost": lambda lines: lines[1:],
    "doubled": lambda lines: [lines[0], *lines],
    "altered": lambda lines: [lines[0] + b"!", *lines[1:]],
    "emptied": lambda lines: [],
    "damaged": lambda lines: lines,
}


def harmed(world: LogsWorld, change: str, number: int = 3) -> tuple[str, bytes | None]:
    """One part of the new tree becomes something else: its key, and what lies there now."""
    key, data = list(world.tree().items())[number]
    lines = CHANGES[change](inflated(data).split(b"\n")[:-1])
    file = world.new_root / key
    if lines is None:
        file.unlink()
        return key, None
    body = b"".join(line + b"\n" for line in lines)
    harm = data[:-9] if change == "damaged" else packed(body) if body else b""
    file.write_bytes(harm)
    return key, harm


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("layout", [DAILY, HOURLY], ids=["split", "copied"])
def test_a_failed_part_is_made_again_and_nothing_else_is_touched(tmp_path, layout, change):
    """What lay there instead is kept aside, if that is asked for; the second run writes nothing."""
    world = LogsWorld(tmp_path, layout)
    world.fill(days=1)
    world.backfill()
    before = world.tree()
    times = {key: (world.new_root / key).stat().st_mtime_ns for key in before}
    key, harm = harmed(world, change)
    folder = key[: key.rfind("/") + 1]
    failed = {label for label, verdict in world.verdicts(deep=True).items() if verdict == "fail"}
    assert failed == {folder}
    if harm is not None:
        harmed_tree = world.tree()
        done = world.backfill()
        assert done.states["conflict"] == 1 and not done.redone and world.tree() == harmed_tree
        verdicts = world.verdicts(deep=True)
        assert [label for label, verdict in verdicts.items() if verdict == "fail"] == [folder]
    done = world.backfill(put_aside=True)
    assert done.redone == 1
    kept = [key for key in world.tree() if key.startswith(ASIDE)]
    assert world.written == [*kept, key]
    assert [world.tree()[each] for each in kept] == ([] if harm is None else [harm])
    assert {each: data for each, data in world.tree().items() if each not in kept} == before
    for each in set(before) - {key}:
        assert (world.new_root / each).stat().st_mtime_ns == times[each]
    assert world.manifest().judged()[folder].verdict == "unsure", "made again is not proven"
    again = world.backfill()
    assert not again.redone and not world.written
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_a_failed_part_at_the_boundary_is_made_again(tmp_path):
    """With what the new writer has not put there, and no line more."""
    on = int((BEGIN + timedelta(hours=10, minutes=20)).timestamp())
    world = LogsWorld(tmp_path, on=on)
    found = made("combined", BEGIN, timedelta(hours=11), 200, 1, faults=0)
    world.put("2026/11/20/a.gz", packed(found.body))
    hour = (BEGIN + timedelta(hours=10)).astimezone(UTC).strftime("%Y/%m/%d/%H/")
    live = [line for line in found.lines if b":10:3" in line or b":10:4" in line]
    world.put_new(f"{hour}firehose-1.gz", packed(b"\n".join(live) + b"\n"))
    world.backfill()
    assert world.verdicts(deep=True)[hour] == "pass"
    before = world.tree()
    key = next(key for key in before if key.startswith(f"{hour}a-"))
    (world.new_root / key).write_bytes(packed(b"another\n"))
    assert world.verdicts(deep=True)[hour] == "fail"
    assert world.backfill(put_aside=True).redone == 1
    tree = world.tree()
    assert {each: tree[each] for each in before} == before and len(tree) == len(before) + 1
    world.backfill()
    assert not world.written
    assert world.verdicts(deep=True)[hour] == "pass"


def test_what_no_proof_has_failed_is_never_put_aside(tmp_path):
    """Where something else lies there, and nobody has looked: a person is told."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.backfill()
    harmed(world, "altered")
    (tmp_path / "state" / "logs.db").unlink()
    before = world.tree()
    assert world.backfill(put_aside=True).states == {"conflict": 1}
    assert world.tree() == before
    assert "fail" in world.verdicts().values()
    assert world.backfill().states == {"conflict": 1}
    assert world.backfill(put_aside=True).states == {"done": 1}
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_the_verbs_say_what_will_be_made_again(tmp_path):
    """Exit code 6 with the command; the dry run names it and changes nothing."""
    place = LogsPlace(tmp_path / "shop")
    place.fill(days=2)
    place.backfill_and_verify()
    key, _ = harmed(place, "lost")
    for language in LANGUAGES:
        ran = place.run("logs", "verify", "web", "--lang", language)
        assert ran.exit_code == 6 and "kirikae logs backfill web" in ran.stdout
        assert "--put-aside" in ran.stdout
    before = place.tree()
    would = place.json("logs", "backfill", "web", "--put-aside", "--dry-run")
    assert [each["folder"] for each in would["redo"]] == [key[: key.rfind("/") + 1]]
    assert "_kirikae/aside/" in would["would"][2] and place.tree() == before
    assert place.run("logs", "backfill", "web").exit_code == 6 and place.tree() == before
    assert place.json("logs", "backfill", "web", "--put-aside")["folders_redone"] == 1
    assert place.json("logs", "backfill", "web", "--dry-run")["redo"] == []
    assert place.run("logs", "verify", "web", "--deep").exit_code == 0
