"""A gigabyte of logs with every fault planted: every line is accounted for (`make prove`)."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from kirikae.logs.manifest import Manifest
from kirikae.logs.sums import sums_of, total_of
from kirikae.logs.thing import manifest_file
from tests.logs_made import made, packed
from tests.logs_place import LogsPlace
from tests.logs_world import BEGIN, TOKYO

MEGABYTES = int(os.environ.get("KIRIKAE_LOGS_MB", "1000"))
_LINES = 40_000
_FAULTS = ("", "members", "zeros", "plain")
_BROKEN = ("cut", "bit", "garbage")


@pytest.mark.prove
def test_a_gigabyte_is_accounted_for_line_by_line(tmp_path):
    """By the generator's own truth for each hour of UTC; by the sums of all that was made; then
    every part is read again."""
    place = LogsPlace(tmp_path / "shop")
    hours: Counter[str] = Counter()
    sums = []
    size = 0
    number = 0
    while size < MEGABYTES * 1_000_000:
        begin = BEGIN - timedelta(days=number % 300)
        zones = (TOKYO, "UTC", "Asia/Kolkata", "Asia/Kathmandu")
        found = made("combined", begin, timedelta(hours=24), _LINES, number, zones, 0.02)
        home = begin.astimezone(UTC)
        hours.update(_folder(when or home) for when in found.hours)
        sums.append(sums_of(found.lines))
        body = found.body
        size += len(body)
        packing = _FAULTS[number % len(_FAULTS)]
        place.put(f"{begin:%Y/%m/%d}/web{number}.log.gz", packed(body, packing))
        number += 1
    for at, fault in enumerate(_BROKEN):
        place.put(f"{BEGIN - timedelta(days=400 + 3 * at):%Y/%m/%d}/x.gz", packed(body, fault))
    moved = place.json("logs", "backfill", "web")
    assert moved["objects"] == {"done": number, "broken": len(_BROKEN)}
    proven = place.json("logs", "verify", "web", "--deep")
    assert proven["fail"] == 0 and proven["unsure"] == 24 * len(_BROKEN)
    passed = [each for each in proven["folders"] if each["verdict"] == "pass"]
    found_sums = {each["folder"]: each["sums"] for each in passed}
    assert {folder: each["lines"] for folder, each in found_sums.items()} == dict(hours)
    parts = Manifest(manifest_file(place.folder, "web")).parts()
    assert total_of(part.sums for part in parts) == total_of(sums)


def _folder(when: datetime) -> str:
    return when.strftime("%Y/%m/%d/%H/")
