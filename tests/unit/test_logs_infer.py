"""What a tree that nobody has described looks like, from some of its objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kirikae.logs.errors import NoLayout
from kirikae.logs.folder import FolderObjects
from kirikae.logs.infer import Inferred, inferred, sampled_of, template_of
from kirikae.logs.zones import Grain
from tests.logs_made import FORMATS, line_of, made, packed, timeless


def looked_at(folder: Path) -> Inferred:
    objects = FolderObjects(folder)
    listed = list(objects.list())
    return inferred(listed, list(sampled_of(objects, listed)), objects.url)


def put(folder: Path, key: str, lines: list[bytes]) -> None:
    file = folder / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(packed(b"\n".join(lines) + b"\n"))


def hours(folder: Path, name: str, zone: str, late_min: int = 0) -> None:
    """Six hours; each object's lines happened so long before their folder says."""
    for number in range(6):
        begin = datetime(2026, 11, 20, 4 + number, tzinfo=ZoneInfo(zone))
        when = begin - timedelta(minutes=late_min)
        found = made(name, when, timedelta(minutes=59), 60, number, (zone,), faults=0)
        put(folder, f"{begin:app/%Y/%m/%d/%H}/web1.gz", found.lines)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "Asia/Kolkata"])
def test_format_zone_and_grain_are_seen(tmp_path, name, zone):
    """From what the lines say, and where they lie."""
    hours(tmp_path, name, zone)
    found = looked_at(tmp_path)
    assert (found.layout.format, found.zones[0]) == (name, zone)
    assert (found.layout.prefix, found.layout.grain) == ("app/%Y/%m/%d/%H/", Grain.HOUR)
    assert found.layout.writes == "event" and found.inside == found.sampled == 6


def test_one_line_of_another_hour_makes_it_a_tree_by_arrival(tmp_path):
    """An honest one."""
    hours(tmp_path, "ltsv", "UTC", late_min=5)
    found = looked_at(tmp_path)
    assert found.layout.writes == "arrival" and found.inside < found.sampled


def test_lines_without_a_time_and_lines_of_several_offsets_are_told(tmp_path):
    """The one cannot be split, the other is lawful."""
    put(tmp_path / "a", "2026/11/20/x.gz", [timeless("json", n) for n in range(9)])
    assert not looked_at(tmp_path / "a").layout.has_time
    when = datetime(2026, 11, 20, 4, tzinfo=UTC)
    zones = [ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")]
    lines = [line_of("combined", when.astimezone(zone), 1) for zone in zones]
    put(tmp_path / "b", "2026/11/20/x.gz", lines)
    assert len(looked_at(tmp_path / "b").offsets) == 2


@pytest.mark.parametrize(
    ("key", "template"),
    [
        ("logs/2026/11/27/07/a.gz", "logs/%Y/%m/%d/%H/"),
        ("logs/dt=2026-11-27/hour=07/a.gz", "logs/dt=%Y-%m-%d/hour=%H/"),
        ("logs/20261127/a.gz", "logs/%Y%m%d/"),
        ("year=2026/month=11/day=27/a", "year=%Y/month=%m/day=%d/"),
        ("logs/by-hand/a.gz", None),
    ],
)
def test_templates_of_paths(key, template):
    assert template_of(key) == template


def test_a_tree_without_a_day_in_its_paths_is_told(tmp_path):
    """With what to do."""
    put(tmp_path, "by-hand/a.gz", [b"x"])
    with pytest.raises(NoLayout, match="no day can be seen"):
        looked_at(tmp_path)
