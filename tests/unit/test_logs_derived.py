"""The same lines in fewer objects, as JSON, as Parquet: each proven by reading again what was made,
and by readers that are not ours."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.logs.derived import Derive, Fate
from kirikae.logs.errors import BrokenObject
from kirikae.logs.folder import FolderObjects
from kirikae.logs.formats import FORMATS, Clock, format_named
from kirikae.logs.makers import Compact, Json, Parquet
from kirikae.logs.records import (
    Records,
    canonical,
    columns_of,
    counted,
    from_json,
    to_json,
)
from kirikae.logs.sums import sums_of
from kirikae.model.move import Move, Phase
from tests.logs_made import made, packed
from tests.logs_place import LogsPlace
from tests.logs_world import BEGIN, NOW

LABEL = "2026/11/26/22/"
TOKYO = ZoneInfo("Asia/Tokyo")


def records_of(name: str, lines: list[bytes]) -> Records:
    clock = Clock.at(TOKYO, NOW)
    return Records(format_named(name), clock, columns_of(name, lines))


def lines_of(name: str, count: int = 400) -> list[bytes]:
    """With every fault that records have."""
    return made(name, BEGIN, timedelta(hours=1), count, 5, faults=0.3).lines


class Place:
    """A folder of some objects, and the place of the other tree."""

    def __init__(self, folder: Path, name: str, objects: int = 5) -> None:
        self.new = FolderObjects(folder / "new")
        self.target = FolderObjects(folder / "target")
        self.root = folder
        self.lines = lines_of(name)
        for number in range(objects):
            body = b"\n".join(self.lines[number::objects])
            self.put(f"{number}.gz", packed(body + b"\n", ("", "members", "plain")[number % 3]))

    def put(self, name: str, data: bytes) -> None:
        file = self.root / "new" / LABEL / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def derive(self, maker: Any, size: int = 10**9, headed: bool = False) -> Derive:
        return Derive(self.new, self.target, maker, size, headed)

    def made(self) -> list[Path]:
        return sorted((self.root / "target" / LABEL).iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_fewer_objects_hold_the_same_lines(tmp_path, name):
    """Counted by Python's own gzip; the second run makes nothing."""
    place = Place(tmp_path, name)
    derive = place.derive(Compact(), size=len(b"\n".join(place.lines)) // 2)
    result = derive.folder(LABEL)
    assert result.fate is Fate.MADE and result.objects[0] == 5 and result.objects[1] < 5
    read = b"".join(gzip.decompress(file.read_bytes()) for file in place.made())
    assert Counter(read.split(b"\n")[:-1]) == Counter(place.lines)
    assert result.sums == sums_of(place.lines)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert derive.folder(LABEL).fate is Fate.UNCHANGED
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_header_stands_at_the_head_of_what_was_made(tmp_path):
    """Readers leave out two lines of each object: they must be no records."""
    place = Place(tmp_path, "cloudfront", 0)
    header = b"#Version: 1.0\n#Fields: date time\n"
    for number in range(2):
        place.put(f"{number}.gz", packed(header + b"\n".join(place.lines) + b"\n"))
    result = place.derive(Compact(True), headed=True).folder(LABEL)
    [file] = place.made()
    text = gzip.decompress(file.read_bytes())
    assert text.startswith(header) and text.count(b"#Version") == 1
    assert result.fate is Fate.MADE and result.sums == sums_of(place.lines * 2)


@pytest.mark.parametrize("name", FORMATS)
def test_every_record_is_there_again_in_parquet(tmp_path, name):
    """Rows are read by pyarrow alone; a line that is no record is there as it was."""
    parquet = pytest.importorskip("pyarrow.parquet")
    place = Place(tmp_path, name)
    records = records_of(name, place.lines)
    result = place.derive(Parquet(records)).folder(LABEL)
    assert result.fate is Fate.MADE and result.unparsed, result.why
    [file] = place.made()
    rows = parquet.read_table(file).to_pylist()
    assert len(rows) == len(place.lines)
    kept = Counter(row["unparsed"] for row in rows if row["unparsed"] is not None)
    assert kept == Counter(line for line in place.lines if records.row(line) is None)
    timed = [row["event_time"] for row in rows if row["event_time"] is not None]
    assert timed and all(when.tzinfo is not None for when in timed)
    assert all(BEGIN - timedelta(hours=6) <= when < BEGIN + timedelta(hours=1) for when in timed)


@pytest.mark.parametrize("name", FORMATS)
def test_every_record_is_there_again_in_json(tmp_path, name):
    """One object a line."""
    place = Place(tmp_path, name)
    result = place.derive(Json(records_of(name, place.lines))).folder(LABEL)
    assert result.fate is Fate.MADE, result.why
    [file] = place.made()
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert len(rows) == len(place.lines)
    assert sum("unparsed" in row for row in rows) == result.unparsed > 0


def test_columns_of_a_combined_line():
    """As Athena's table has them; quotes that nginx escapes stay what they are."""
    line = (
        b'10.0.0.1 - a[b [27/Nov/2026:10:00:00 +0900] "GET /\\x22 HTTP/1.1" 200 5 "-" "a \\"b\\""'
        b" 0.003"
    )
    records = records_of("combined", [line])
    found = records.row(line)
    assert found is not None
    row, when = found
    assert dict(zip(records.columns, row, strict=True)) == {
        "host": "10.0.0.1",
        "ident": "-",
        "user_name": "a[b",
        "logged": "27/Nov/2026:10:00:00 +0900",
        "request": "GET /\\x22 HTTP/1.1",
        "status": "200",
        "size": "5",
        "referer": "-",
        "user_agent": 'a \\"b\\"',
        "rest": " 0.003",
    }
    assert when == int(datetime(2026, 11, 27, 1, tzinfo=UTC).timestamp())


def test_what_json_says_is_kept_to_the_letter():
    """Numbers as they were written; keys that come twice, and lists, lose nothing."""
    first = b'{"time":"2026-11-27T10:00:00+09:00","n":1.10,"a":"x"}'
    records = records_of("json", [first])
    number = b"123456789012345678901234567890"
    big = b'{"time":"2026-11-27T10:00:00+09:00","n":%s,"z":[1.50,{"q":1}]}' % number
    found = records.row(big)
    assert found is not None
    assert (
        found[0][1] == "123456789012345678901234567890" and found[0][3] == '{"z": [1.50, {"q": 1}]}'
    )
    assert records.row(b'{"time":"2026-11-27T10:00:00+09:00","n":1,"n":2}') is None
    ltsv = records_of("ltsv", [b"time:x\ta:1"])
    found = ltsv.row(b"time:x\ta:1\ta:2\tb:3")
    assert found is not None and found[0] == ("x", "1", "a:2\tb:3")


@given(
    st.lists(
        st.one_of(
            st.sampled_from(lines_of("ltsv", 60)),
            st.binary(max_size=60).filter(lambda line: b"\n" not in line),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_bytes_go_there_and_back(lines):
    """JSON and Parquet count what the lines count."""
    pytest.importorskip("pyarrow")
    records = Records(format_named("ltsv"), Clock.at(TOKYO, NOW), ("time", "host", "rest"))
    for maker in (Json(records), Parquet(records)):
        making = maker.open(b"")
        making.add(b"\n".join(lines) + b"\n")
        with making.close() as body:
            assert maker.read_again(body) == making.put_in
        assert making.put_in.lines == len(lines)


def _flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("change", ["lost", "doubled", "altered", "swapped", "none"])
def test_a_maker_that_loses_doubles_alters_or_swaps_is_caught(tmp_path, change, monkeypatch):
    """There is no proof then, whatever else went well."""
    place = Place(tmp_path, "ltsv")
    records = records_of("ltsv", place.lines)
    maker = Json(records)
    real = to_json
    count = 0

    def faulty(records: Records, row: Any, when: int | None) -> bytes:
        nonlocal count
        count += 1
        text = real(records, row, when)
        if count != 7 or change == "none":
            return text
        if change == "doubled":
            return text + b"\n" + text
        if change == "swapped":  # values of two columns
            return real(records, (row[1], row[0], *row[2:]), when)
        return {"lost": b"{}", "altered": text.replace(b"200", b"201")}[change]

    monkeypatch.setattr("kirikae.logs.makers.to_json", faulty)
    result = place.derive(maker).folder(LABEL)
    proofs = list((tmp_path / "target").glob("_kirikae/proof/*"))
    assert (result.fate is Fate.MADE, bool(proofs)) == (change == "none",) * 2
    if change != "none":
        assert result.fate is Fate.DIFFERS


def test_late_lines_after_it_was_made_are_told_and_nothing_is_there_twice(tmp_path):
    """What was made of other objects must be taken away first."""
    place = Place(tmp_path, "ltsv")
    assert place.derive(Compact()).folder(LABEL).fate is Fate.MADE
    place.put("late.gz", packed(b"time:2026-11-27T07:10:00+09:00\tn:1\n"))
    result = place.derive(Compact()).folder(LABEL)
    assert result.fate is Fate.STALE and result.why.startswith(f"{LABEL}compact-")
    for file in place.made():
        file.unlink()
    assert place.derive(Compact()).folder(LABEL).fate is Fate.MADE


def test_broken_objects_are_told_and_what_was_damaged_has_no_proof(tmp_path):
    """Read again from where it lies, not from memory."""
    place = Place(tmp_path, "ltsv")
    place.put("broken.gz", packed(b"a\nb\n" * 99, "cut"))
    assert place.derive(Compact()).folder(LABEL).fate is Fate.UNREADABLE
    (tmp_path / "new" / LABEL / "broken.gz").unlink()
    assert place.derive(Compact()).folder(LABEL).fate is Fate.MADE
    for proof in (tmp_path / "target").glob("_kirikae/proof/*"):
        proof.unlink()
    [file] = place.made()
    file.write_bytes(_flipped(file.read_bytes()))
    assert place.derive(Compact()).folder(LABEL).fate in (Fate.UNREADABLE, Fate.DIFFERS)
    with pytest.raises(BrokenObject):
        Json(records_of("ltsv", place.lines)).read_again(io.BytesIO(b"no\n"))


def test_json_reads_what_json_wrote():
    """A time, none, and texts with any letter."""
    records = Records(format_named("ltsv"), Clock.at(TOKYO, NOW), ("a", "rest"))
    for row, when in ((('x\x1f"', None), 0), ((None, "日本"), None)):
        assert from_json(records, to_json(records, row, when)) == canonical(row, when)
    assert counted([b"a", b"b"]) == counted([b"b", b"a"])


# --- the verbs


@pytest.fixture
def place(tmp_path: Path) -> LogsPlace:
    found = LogsPlace(tmp_path / "place")
    found.fill(days=1, count=120, faults=0.1)
    found.backfill_and_verify()
    return found


def settle(place: LogsPlace) -> None:
    move = Move("web", place.thing.plan(), seq=1)
    place.journal.write(move)
    place.journal.write(replace(move, phase=Phase.SETTLED, share=1000, seq=2))


def test_only_after_the_move_is_settled(place):
    """Never the same step; a dry run says what it would make."""
    words = ["logs", "compact", "web", "--at", "small/"]
    assert place.run(*words, "--dry-run", "--json").json["folders"]
    refused = place.run(*words)
    assert refused.exit_code == 1 and "settled" in refused.stderr
    assert not (place.folder / "small").exists()


def test_both_verbs_over_all_that_is_proven(place, monkeypatch):
    """With the table to use it by; the second run makes nothing; a third form beside them."""
    pytest.importorskip("pyarrow")
    store = place.folder / ".kirikae" / "state.db"
    monkeypatch.setattr("tests.logs_place.SqliteStore", lambda file: _store(store))
    settle(place)
    folders = len(place.new_lines())
    ran = place.run("logs", "compact", "web", "--at", "small/", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["fates"] == {"made": folders} and "small/${dt}/" in ran.json["sql"]
    assert place.json("logs", "compact", "web", "--at", "small/")["fates"] == {"unchanged": folders}
    for form in ("parquet", "json"):
        words = ["logs", "convert", "web", "--to", form, "--at", f"{form}/"]
        ran = place.run(*words, "--json")
        assert ran.exit_code == 0 and ran.json["fates"] == {"made": folders}, ran.stderr
        assert "event_time" in ran.json["sql"]
        assert place.json(*words)["fates"] == {"unchanged": folders}
    lines = sum(each["sums"]["lines"] for each in ran.json["folders"])
    assert lines == place.old_lines().total()


def _store(file: Path) -> Any:
    from kirikae.move.sqlite_store import SqliteStore

    return SqliteStore(file)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--at", "new/"], "is a tree of this move"),
        (["--at", "new/below/"], "is a tree of this move"),
        (["--at", "s3://b/x/"], "both"),
        (["--at", "x/", "--folder", "2020/01/01/00/"], "not proven"),
    ],
)
def test_what_cannot_be_is_told(place, words, told):
    """Exit code 2, with what to write."""
    ran = place.run("logs", "compact", "web", *words)
    assert ran.exit_code == 2 and told in ran.stderr
