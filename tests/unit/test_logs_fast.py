"""The fast path gives what the plain path gives, byte for byte, for every format."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kirikae.logs.fast import Fast, usable
from kirikae.logs.formats import Clock, format_named
from kirikae.logs.layout import Layout
from kirikae.logs.stretches import Reader, Stretch, plain
from kirikae.logs.zones import Grain
from tests.logs_made import FORMATS, line_of, made

TOKYO = ZoneInfo("Asia/Tokyo")
BEGIN = datetime(2026, 11, 27, 7, 30, tzinfo=TOKYO)
NOW = datetime(2026, 11, 28, tzinfo=UTC).timestamp()

pytestmark = pytest.mark.skipif(not usable(), reason="no numpy here")


def reader(name: str, old: str = "Asia/Tokyo", new: str = "UTC", grain: Grain = Grain.HOUR):
    layout = Layout("utc/%Y/%m/%d/%H/" if grain is Grain.HOUR else "utc/%Y/%m/%d/", new, grain)
    return Reader(format_named(name), Clock.at(ZoneInfo(old), NOW), layout)


def both(block: bytes, by: Reader) -> list[Stretch]:
    """What both ways give; that they are the same, and that none fell back."""
    fast = Fast(by)
    expected = list(plain(block, by))
    assert fast.stretches(block) == expected
    assert fast.stretches(block) == expected, "with what was remembered"
    assert not fast.fell_back
    return expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(4))
def test_with_every_fault_that_records_have(name, seed):
    """Late, malformed, without a time, doubled, brackets, NUL, CR, bytes that are no UTF-8."""
    zones = ("Asia/Tokyo", "UTC", "Asia/Kathmandu", "America/New_York")
    found = made(name, BEGIN, timedelta(hours=3), 400, seed, zones, faults=0.2)
    both(found.body, reader(name))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("old", "new", "grain"),
    [
        ("Asia/Kolkata", "UTC", Grain.HOUR),
        ("Asia/Tokyo", "Asia/Kathmandu", Grain.HOUR),
        ("UTC", "Australia/Lord_Howe", Grain.DAY),
        ("America/New_York", "UTC", Grain.DAY),
    ],
)
def test_with_zones_of_half_and_quarter_hours(name, old, new, grain):
    """Then the minutes decide as well."""
    begin = datetime(2026, 11, 27, 0, 0, tzinfo=ZoneInfo(old))
    found = made(name, begin, timedelta(hours=26), 300, 1, (old,), faults=0.05)
    stretches = both(found.body, reader(name, old, new, grain))
    assert len({stretch.place for stretch in stretches}) > 2


@pytest.mark.parametrize("name", ["ltsv", "json", "out_file"])
def test_without_offsets_the_zone_of_the_tree_counts(name):
    """Also in the hour that is there twice."""
    lines = []
    for minute in range(0, 300, 7):
        wall = datetime(2026, 11, 1, 0, 0) + timedelta(minutes=minute)
        lines.append(line_of(name, wall, minute))
    both(b"\n".join(lines) + b"\n", reader(name, "America/New_York"))


@pytest.mark.parametrize("name", FORMATS)
def test_with_bytes_that_nobody_meant(name):
    """Lines of one format with bytes changed, cut out and put in."""
    rng = random.Random(name)
    lines = made(name, BEGIN, timedelta(hours=2), 60, 7).lines
    for _ in range(60):
        torn = []
        for line in lines:
            raw = bytearray(line)
            for _ in range(rng.choice((0, 0, 1, 3))):
                if raw:
                    raw[rng.randrange(len(raw))] = rng.choice(b'[]" :0159Z+-T/\t\0\xff{}a')
            if rng.random() < 0.1:
                del raw[rng.randrange(len(raw) + 1) :]
            torn.append(bytes(raw).replace(b"\n", b" "))
        both(b"\n".join(torn) + b"\n", reader(name))


@pytest.mark.parametrize("name", FORMATS)
def test_small_blocks(name):
    """None, one line, an empty line, a line that is only a time, one that ends within it."""
    line = line_of(name, BEGIN, 1)
    assert Fast(reader(name)).stretches(b"") == []
    for block in (line + b"\n", b"\n", b"\n\n" + line + b"\n", b"[\n", line + b"\n["):
        both(block if block.endswith(b"\n") else block + b"\n", reader(name))
    for length in range(len(line)):
        both(line[:length] + b"\n" + line + b"\n", reader(name))
