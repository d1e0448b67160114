"""Columns that are cut out of a whole block are those that are read line by line, byte for byte."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.logs.columns import Columns, compute
from kirikae.logs.formats import Clock, format_named
from kirikae.logs.makers import Json, Parquet
from kirikae.logs.records import Records, columns_of
from kirikae.logs.zones import zone_named
from tests.logs_made import FORMATS, line_of, made
from tests.logs_world import BEGIN, NOW, TOKYO

pytestmark = pytest.mark.skipif(compute() is None, reason="pyarrow is not here")
COMBINED = b'10.0.0.1 - - [27/Nov/2026:10:00:07 +0900] "GET / HTTP/1.1" 200 5 "-" "a b"'


def records_of(name: str, lines: list[bytes], zone: str = TOKYO) -> Records:
    clock = Clock.at(zone_named(zone), NOW, 0)
    return Records(format_named(name), clock, columns_of(name, lines))


def both(records: Records, blocks: list[bytes], tmp_path: Path | None = None) -> None:
    """Bytes, counts, and what is read again, in each form."""
    for maker in (Json, Parquet):
        found = []
        for quick in (True, False):
            making = maker(records, quick).open(b"")
            for block in blocks:
                making.add(block)
            found.append((making.close().read(), making.put_in, making.unparsed))
        assert found[0] == found[1], maker.name
        for quick in (True, False):
            again = maker(records, quick)
            assert again.read_again(_body(found[0][0])) == found[0][1], (maker.name, quick)


def _body(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


@pytest.mark.parametrize("faults", [0, 0.2])
@pytest.mark.parametrize("name", FORMATS)
def test_with_every_fault_that_lines_have(name, faults):
    """Also with half hours, leap seconds and times that no clock shows."""
    body = made(name, BEGIN, timedelta(hours=3), 300, 5, (TOKYO, "Asia/Kathmandu"), faults).body
    body = body if body.endswith(b"\n") else body + b"\n"
    lines = body.split(b"\n")[:-1]
    half = sum(len(line) + 1 for line in lines[:100])
    both(records_of(name, lines), [body[:half], body[half:]])


@pytest.mark.parametrize("name", ["combined", "ltsv"])
def test_ordinary_lines_are_cut_at_once(name):
    """All of them: else it would be as slow as before."""
    lines = [line_of(name, BEGIN + timedelta(seconds=7 * n), n) for n in range(200)]
    columns = Columns.of(records_of(name, lines), b"\n".join(lines) + b"\n")
    assert columns is not None and columns.fits.all()


@pytest.mark.parametrize(
    "line",
    [
        COMBINED.replace(b":07 ", b":60 "),
        COMBINED.replace(b":07 ", b":61 "),
        COMBINED.replace(b"27/Nov", b"31/Nov"),
        COMBINED.replace(b"2026", b"1999"),
        COMBINED.replace(b"27/Nov/2026:10:00:07 +0900", b""),
        COMBINED.replace(b"27/Nov/2026:10:00:07 +0900", b"27/Nov/2026:10:00"),
        COMBINED.replace(b"+0900", b"+0907"),
        COMBINED.replace(b"- - ", b"- a b "),
        COMBINED.replace(b"- - ", b"-  "),
        COMBINED.replace(b"- - ", b"- "),
        COMBINED.replace(b"- - ", b" - - "),
        COMBINED.replace(b"- - ", b"- a[b "),
        COMBINED.replace(b"- - ", b"-\t- "),
        COMBINED.replace(b"GET /", b"GET /\\x22"),
        COMBINED.replace(b"GET /", b"GET /]"),
        COMBINED.replace(b"GET / HTTP/1.1", b""),
        COMBINED.replace(b" 200 5 ", b" 200  5 "),
        COMBINED.replace(b" 200 5 ", b" 200 5  "),
        COMBINED.replace(b" 200 5 ", b" 200 "),
        COMBINED.replace(b" 200 5 ", b"200 5 "),
        COMBINED.replace(b'"-" "a b"', b'"-""a b"'),
        COMBINED.replace(b'"-" "a b"', b'"-"  "a b"'),
        COMBINED.replace(b'"-" "a b"', b'"-" "a b" 0.003 "x"'),
        COMBINED.replace(b"a b", "日本\u3000".encode()),
        COMBINED + b" 0.003 -",
        COMBINED + b"x",
        COMBINED + b"\r",
        b"\xef\xbb\xbf" + COMBINED,
        b"\xff" + COMBINED,
        b"\0" + COMBINED,
        b"",
        b'" " " [ ] " " "',
        b'[] "" 1 1 "" ""',
    ],
)
def test_lines_that_nearly_fit(line):
    """Beside one that fits, before it and behind it."""
    both(records_of("combined", [COMBINED]), [b"%s\n%s\n%s\n" % (COMBINED, line, COMBINED)])
    both(records_of("combined", [COMBINED]), [line + b"\n"])


LTSV = b"time:2026-11-27T10:00:07+09:00\thost:10.0.0.1\tua:a b"


@pytest.mark.parametrize(
    "line",
    [
        LTSV.replace(b"host", b"hose"),
        LTSV.replace(b"ua:a b", b"ua:"),
        LTSV.replace(b"ua:a b", b"ua"),
        LTSV.replace(b"\tua:a b", b""),
        LTSV + b"\tmore:1",
        LTSV + b"\tua:2",
        LTSV.replace(b"a b", b'say "x" \\n'),
        LTSV.replace(b"T10", b" 10"),
        LTSV.replace(b"+09:00", b""),
        LTSV.replace(b":07+09:00", b":07.123+09:00"),
        LTSV.replace(b"2026-11-27T10:00:07+09:00", b"[27/Nov/2026:10:00:07 +0900]"),
        LTSV.replace(b"2026-11-27T10:00:07+09:00", b""),
        b"host:1\ttime:2026-11-27T10:00:07+09:00\tua:1",
        b"\t\t",
    ],
)
def test_labels_that_nearly_fit(line):
    """The same for labels and values."""
    both(records_of("ltsv", [LTSV]), [b"%s\n%s\n%s\n" % (LTSV, line, LTSV)])
    both(records_of("ltsv", [LTSV]), [line + b"\n"])


@given(st.lists(st.tuples(st.integers(0, len(COMBINED)), st.binary(max_size=3)), max_size=4))
def test_bytes_put_in_anywhere(changes):
    """Wherever somebody breaks a line."""
    line = COMBINED
    for at, more in changes:
        line = line[:at] + more.replace(b"\n", b"") + line[at + len(more) :]
    both(records_of("combined", [COMBINED]), [b"%s\n%s\n" % (line, COMBINED)])


def test_the_hour_that_is_there_twice():
    """Without an offset the tree's zone counts, minute by minute."""
    lines = [
        b"time:2026-11-01T%02d:%02d:59\thost:a\tua:b" % (hour, minute)
        for hour in (0, 1, 2)
        for minute in (0, 29, 59)
    ]
    both(records_of("ltsv", lines, "America/New_York"), [b"\n".join(lines) + b"\n"])
