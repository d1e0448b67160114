"""The new side's lines as FireLens and subscription filters wrap them, beside the old side's."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject
from kirikae.logs.wrapping import unwrapped
from tests.logs_made import made, packed
from tests.logs_world import BEGIN, DAILY, UTC_HOURS, LogsWorld
from tests.unit.test_logs_backfill import hour_of

LONG = "x" * 40_000


def firelens(line: str, **more: str) -> str:
    return json.dumps({"container_id": "a", "source": "stdout", "log": line, **more}) + "\n"


def pieces(line: str, whose: str = "a") -> list[str]:
    """As Docker cuts it."""
    parts = [line[at : at + 16384] for at in range(0, len(line), 16384)]
    return [
        firelens(
            part,
            container_id=whose,
            partial_message="true",
            partial_id="7",
            partial_last=str(number == len(parts) - 1).lower(),
        )
        for number, part in enumerate(parts)
    ]


def cloudwatch(*lines: str, kind: str = "DATA_MESSAGE") -> str:
    events = [
        {"id": str(number), "timestamp": 1, "message": line} for number, line in enumerate(lines)
    ]
    return json.dumps({"messageType": kind, "logGroup": "/shop", "logEvents": events})


def plain(body: str, how: str) -> list[bytes]:
    blocks = Blocks(inflated(unwrapped([gzip.compress(body.encode())], how)))  # type: ignore[arg-type]
    return [line for block in blocks for line in block.split(b"\n")[:-1]]


def test_what_the_container_said_is_taken_out():
    """Quotes, Japanese and an empty line; with and without the newline that some writers keep."""
    body = firelens('a "b"') + firelens("日本\n") + firelens("")
    assert plain(body, "firelens") == [b'a "b"', "日本".encode(), b""]


def test_pieces_of_16_kib_are_one_line_again_though_others_stand_between_them():
    """Of two containers that were cut at the same time; one whose end is missing is kept."""
    first, other = pieces(LONG), pieces(LONG.replace("x", "y"), "b")
    mixed = [row for pair in zip(first, other, strict=True) for row in pair]
    body = "".join([*mixed, firelens("short"), pieces(LONG, "c")[0]])
    assert plain(body, "firelens") == [
        LONG.encode(),
        LONG.replace("x", "y").encode(),
        b"short",
        b"x" * 16384,
    ]


def test_control_messages_hold_no_log_and_nothing_need_stand_between_objects():
    """As Firehose puts them one behind the other."""
    body = cloudwatch("a", "b") + cloudwatch("probe", kind="CONTROL_MESSAGE") + cloudwatch("c\n")
    assert plain(body, "cloudwatch") == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("no json\n", "firelens"),
        ('{"msg": "x"}\n', "firelens"),
        ("[1]\n", "firelens"),
        ("{", "cloudwatch"),
        ('{"a": 1}', "cloudwatch"),
        ("x" + cloudwatch("a"), "cloudwatch"),
    ],
)
def test_what_is_not_wrapped_so_is_told(body, how):
    """Never counted as something else."""
    with pytest.raises(BrokenObject):
        plain(body, how)


@pytest.mark.parametrize("how", ["firelens", "cloudwatch"])
def test_both_sides_hold_the_same_lines_however_one_wraps_them(tmp_path, how):
    """A line that the new side lost is found, with its hour."""
    layout = replace(UTC_HOURS, wrapped=how)
    world = LogsWorld(tmp_path, DAILY, layout, on=int((BEGIN - timedelta(hours=1)).timestamp()))
    found = made("combined", BEGIN, timedelta(hours=24), 240, 1, faults=0)
    world.put("2026/11/20/a.gz", packed(found.body))
    hours: dict[str, list[str]] = {}
    for line in found.lines:
        hours.setdefault(hour_of(line), []).append(line.decode())
    for hour, lines in hours.items():
        rows = "".join(map(firelens, lines)) if how == "firelens" else cloudwatch(*lines)
        world.put_new(f"{hour}firehose-1.gz", gzip.compress(rows.encode() + b"\n"))
    world.backfill()
    assert set(world.verdicts().values()) == {"pass"}
    hour, lines = next(iter(hours.items()))
    rows = "".join(map(firelens, lines[1:])) if how == "firelens" else cloudwatch(*lines[1:])
    world.put_new(f"{hour}firehose-1.gz", gzip.compress(rows.encode() + b"\n"))
    assert {label for label, verdict in world.verdicts().items() if verdict == "fail"} == {hour}


def test_what_the_new_writer_could_not_file_is_told(tmp_path):
    """It lies below Firehose's error prefix, in no hour."""
    world = LogsWorld(tmp_path, DAILY, replace(UTC_HOURS, errors="errors/"))
    world.fill(days=1)
    world.put_new("errors/processing-failed/2026/11/20/03/x", b'{"rawData":"..."}')
    world.backfill()
    verdicts = world.verdicts()
    assert verdicts.pop("errors/processing-failed/2026/11/20/03/") == "unsure"
    assert set(verdicts.values()) == {"pass"}


def test_records_that_nothing_separates_are_found_to_be_missing(tmp_path):
    """Firehose puts nothing between records: whoever sends them without a newline merges them."""
    world = LogsWorld(tmp_path, on=int((BEGIN - timedelta(hours=1)).timestamp()))
    found = made("combined", BEGIN, timedelta(hours=1), 20, 1, faults=0)
    world.put("2026/11/20/a.gz", packed(found.body))
    world.put_new(f"{hour_of(found.lines[0])}firehose-1.gz", gzip.compress(b"".join(found.lines)))
    world.backfill()
    assert world.verdicts()[hour_of(found.lines[0])] == "fail"
