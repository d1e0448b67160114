"""Times, paths, formats and gzip files: every rule by its own row."""

from __future__ import annotations

import bz2
import gzip
import lzma
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kirikae.logs.classify import Class, classified
from kirikae.logs.codec import Blocks, inflated, unreadable
from kirikae.logs.errors import BrokenObject, NoLayout
from kirikae.logs.formats import Clock, Untimed, format_named
from kirikae.logs.layout import Layout, layout_from
from kirikae.logs.owners import Owner, Owners
from kirikae.logs.tables import (
    Table,
    View,
    boundary_of,
    map_statements,
    mapped,
    projection,
    share_of,
    view_sql,
)
from kirikae.logs.throttle import Throttle
from kirikae.logs.trees import taken_apart
from kirikae.logs.work import Trees
from kirikae.logs.zones import Grain, whole_hours, zone_named
from kirikae.model.objects import Listed
from tests.logs_made import packed
from tests.logs_world import DAILY, HOURLY, NOW, TOKYO, UTC_HOURS

UTC_ZONE = ZoneInfo("UTC")
BODY = b"one\ntwo\nthree\nfour\n"


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


# --- when a line happened

CASES = [
    ("combined", b'1 - - [27/Nov/2026:07:12:33 +0900] "GET / HTTP/1.1"', "2026-11-26T22:12:33"),
    ("combined", b'1 - [x [27/Nov/2026:07:12:33 +0000] "GET /"', "2026-11-27T07:12:33"),
    ("combined", b'1 - - [27/Nov/2026:07:12:33 +0545] "GET /"', "2026-11-27T01:27:33"),
    ("combined", b"[27/Nov/2026:23:59:60 +0000] leap", "2026-11-27T23:59:59"),
    ("combined", b'- [31/Nov/2026:07:12:33 +0900] "GET /"', "malformed"),
    ("combined", b'- [27/Nov/2026:25:12:33 +0900] "GET /"', "malformed"),
    ("combined", b"Traceback (most recent call last):", "no_time"),
    ("combined", b'- [27/Nov/2036:07:12:33 +0900] "GET /"', "absurd"),
    ("combined", b'- [27/Nov/1999:07:12:33 +0900] "GET /"', "absurd"),
    ("ltsv", b"time:2026-11-27T07:12:33+09:00\thost:1", "2026-11-26T22:12:33"),
    ("ltsv", b"host:1\ttime:[27/Nov/2026:07:12:33 +0900]\r", "2026-11-26T22:12:33"),
    ("ltsv", b"\xef\xbb\xbftime:2026-11-27T07:12:33Z\tx:1", "2026-11-27T07:12:33"),
    ("ltsv", b"host:1", "no_time"),
    ("ltsv", b"time:yesterday\thost:1", "malformed"),
    ("json", b'{"time":"2026-11-27T07:12:33.5+09:00","a":1}', "2026-11-26T22:12:33"),
    ("json", b'{"a":{"time":"x"},"time":1795763553}', "2026-11-27T07:12:33"),
    ("json", b'{"time":"2026-11-27T07:12:33Z","cut', "2026-11-27T07:12:33"),
    ("json", b'{"a":1,"time":"2026-11-27T07:12:33Z","time":"x"}', "2026-11-27T07:12:33"),
    ("json", b'{"a":1}', "no_time"),
    ("json", b'{"time":true}', "malformed"),
    ("json", b"not json", "malformed"),
    ("out_file", b"2026-11-27T07:12:33+09:00\tapp\t{}", "2026-11-26T22:12:33"),
    ("out_file", b"no tab", "no_time"),
    ("alb", b"h2 2026-11-27T07:12:33.123456Z app/x", "2026-11-27T07:12:33"),
    ("alb", b"ftp 2026-11-27T07:12:33.123456Z app/x", "no_time"),
    ("cloudfront", b"2026-11-27\t07:12:33\tNRT1", "2026-11-27T07:12:33"),
    ("cloudfront", b"#Version: 1.0", "no_time"),
]


@pytest.mark.parametrize(("name", "line", "expected"), CASES)
def test_when_a_line_happened(name, line, expected):
    """By its own offset where it has one; no reason is lost where it has no time."""
    form = format_named(name)
    clock = Clock.at(UTC_ZONE, NOW + 86400, utc("2016-01-01T00:00:00"))
    found = clock.epoch(form.stamp(line, form.key))
    assert found == (expected if isinstance(found, Untimed) else utc(expected))


def test_a_time_without_an_offset_is_one_of_the_tree():
    """The hour that is there twice: its first; the one that is leapt over: as if it were not."""
    clock = Clock.at(ZoneInfo("America/New_York"), NOW)
    form = format_named("ltsv")
    for wall, expected in (
        ("2026-11-01T01:30:00", "2026-11-01T05:30:00"),
        ("2026-03-08T02:30:00", "2026-03-08T07:30:00"),
        ("2026-07-01T00:00:00", "2026-07-01T04:00:00"),
    ):
        found = clock.epoch(form.stamp(b"time:" + wall.encode() + b"\tx:1", form.key))
        assert found == utc(expected)


# --- what a path says


@pytest.mark.parametrize(
    ("zone", "key", "begin", "hours"),
    [
        ("Asia/Tokyo", "2026/11/27/07/a", "2026-11-26T22:00:00", 1),
        ("Asia/Kolkata", "2026/11/27/07/a", "2026-11-27T01:30:00", 1),
        ("America/New_York", "2026/11/01/01/a", "2026-11-01T05:00:00", 2),
        ("America/New_York", "2026/11/01/00/a", "2026-11-01T04:00:00", 1),
        ("America/New_York", "2026/03/08/02/a", "2026-03-08T07:00:00", 0),
    ],
)
def test_the_time_that_a_path_stands_for(zone, key, begin, hours):
    """Two hours of the one that is there twice, none of the one that is leapt over."""
    span = Layout("%Y/%m/%d/%H/", zone).span(key)
    assert span.begin == utc(begin) and span.end - span.begin == 3600 * hours


def test_a_name_may_say_a_finer_time():
    """Daily folders with objects of five minutes: each in one hour of UTC."""
    layout = Layout("%Y/%m/%d/", TOKYO, Grain.DAY, name="%Y%m%d%H%M_*.gz", slice_s=300)
    span = layout.span("2026/11/27/202611270855_0.gz")
    assert (span.begin, span.end) == (utc("2026-11-26T23:55:00"), utc("2026-11-27T00:00:00"))
    assert (
        layout.span("2026/11/27/other.gz").end - layout.span("2026/11/27/other.gz").begin == 86400
    )
    assert layout.span("2026/11/28/202611270855_0.gz").begin == utc("2026-11-27T15:00:00")
    assert layout.span("2026/13/27/a") is None and layout.span("x/a") is None


def test_zones_whose_offsets_are_whole_hours_for_all_of_their_time():
    """Lord Howe's clocks change by half an hour."""
    whole = {"UTC", "Asia/Tokyo", "America/New_York"}
    for name in (*whole, "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"):
        assert whole_hours(zone_named(name)) == (name in whole)


@pytest.mark.parametrize("at", ["logs/%H/", "logs/%Y/%m/%q/", "logs/"])
def test_a_template_that_names_no_day_is_none(at):
    with pytest.raises(NoLayout):
        layout_from(at)


def test_a_place_is_taken_apart_at_the_last_slash_before_its_time(tmp_path):
    """Buckets and folders."""
    assert taken_apart("s3://b/logs/dt=%Y-%m-%d/", tmp_path) == ("s3://b/logs/", "dt=%Y-%m-%d/")
    assert taken_apart("old/%Y/%m/%d/", tmp_path) == (f"{tmp_path}/old/", "%Y/%m/%d/")
    with pytest.raises(NoLayout):
        taken_apart("s3://%Y/%m/%d/", tmp_path)


# --- classes

ARRIVAL = Layout("%Y/%m/%d/%H/", "UTC", writes="arrival")
TIMELESS = Layout("%Y/%m/%d/", TOKYO, Grain.DAY, has_time=False)


@pytest.mark.parametrize(
    ("layout", "key", "kind", "why"),
    [
        (HOURLY, "2026/11/20/07/a.gz", Class.COPY, "one_folder"),
        (DAILY, "2026/11/20/a.gz", Class.SPLIT, "several_folders"),
        (ARRIVAL, "2026/11/20/07/a.gz", Class.SCAN, "arrival"),
        (HOURLY, "by-hand/a.gz", Class.SCAN, "no_path"),
        (TIMELESS, "2026/11/20/a.gz", Class.TIMELESS, "no_time"),
        (HOURLY, "2026/11/20/07/a.bz2", Class.SPECIAL, "packed"),
        (Layout("%Y/%m/%d/%H/", "Asia/Kolkata"), "2026/11/20/07/a", Class.SPLIT, "several_folders"),
        (
            Layout("%Y/%m/%d/%H/", "America/New_York"),
            "2026/11/01/01/a",
            Class.SPLIT,
            "several_folders",
        ),
        (Layout("%Y/%m/%d/%H/", "America/New_York"), "2026/03/08/02/a", Class.SCAN, "no_hour"),
    ],
)
def test_classes(layout, key, kind, why):
    """Each with its reason."""
    found = classified(Trees(layout, UTC_HOURS, NOW), Listed(key, "e", 10, 0.0))
    assert (found.kind, found.why) == (kind, why)


def test_archived_and_very_large_objects_are_for_a_person():
    """Before anything is asked of them."""
    trees = Trees(HOURLY, UTC_HOURS, NOW)
    for listed in (
        Listed("2026/11/20/07/a", "e", 10, 0.0, "DEEP_ARCHIVE"),
        Listed("2026/11/20/07/a", "e", 6 << 30, 0.0),
    ):
        assert classified(trees, listed).kind is Class.SPECIAL


def test_each_folder_has_one_owner():
    """By when the first record was seen."""
    on = utc("2026-11-20T10:20:00")
    owners = Owners(UTC_HOURS, on + 7200, 900, on)
    expected = {
        "08": Owner.BACKFILL,
        "09": Owner.BACKFILL,
        "10": Owner.BOUNDARY,
        "11": Owner.LIVE,
        "12": Owner.LIVE,
    }
    assert {hour: owners.of(f"2026/11/20/{hour}/") for hour in expected} == expected
    assert Owners(UTC_HOURS, on, 900).of("2026/11/20/10/") is Owner.OPEN
    assert owners.of("_unparsed/") is Owner.BACKFILL


# --- gzip


@pytest.mark.parametrize(
    "fault", ["", "members", "zeros", "plain", "zstd", "zstd frames", "zstd skipped"]
)
def test_what_is_read(fault):
    """In pieces of any length."""
    data = packed(BODY, fault)
    for length in (1, 7, len(data)):
        chunks = [data[at : at + length] for at in range(0, len(data), length)]
        assert b"".join(inflated(chunks)) == BODY


@pytest.mark.parametrize("fault", ["cut", "bit", "garbage", "zstd cut", "zstd bit"])
def test_what_is_broken(fault):
    """Told, whatever the pieces."""
    data = packed(BODY, fault)
    for length in (1, len(data)):
        chunks = [data[at : at + length] for at in range(0, len(data), length)]
        with pytest.raises(BrokenObject):
            list(inflated(chunks))


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (bz2.compress(BODY), "it is bzip2"),
        (lzma.compress(BODY), "it is xz"),
        (b"PK\x03\x04", "it is zip"),
        (b"\x04\x22\x4d\x18", "it is lz4"),
        (b"\xff\x06\x00\x00sNaPpY", "it is Snappy"),
        (b"PAR1", "it is Parquet"),
        (gzip.compress(packed(BODY)), "inside of its gzip, it is gzip"),
        (gzip.compress(packed(BODY, "zstd")), "inside of its gzip, it is zstd"),
    ],
)
def test_what_is_packed_otherwise_than_its_name_says_holds_no_lines(begin, told):
    """Its bytes would be cut at what look like newlines, and moved as lines without a time."""
    for length in (1, len(begin)):
        chunks = [begin[at : at + length] for at in range(0, len(begin), length)]
        with pytest.raises(BrokenObject, match=told):
            list(inflated(chunks))


@pytest.mark.parametrize("name", ["a.TAR.gz", "a.tgz", "a.tar", "a.bz2", "a.tar.zst"])
def test_names_of_what_is_not_read(name):
    assert unreadable(name)
    assert not unreadable("tar.gz.log") and not unreadable("a.star.log.gz")


def test_a_cut_at_the_end_of_a_member_cannot_be_seen_in_the_bytes():
    """That is why the length is compared with the listed one."""
    assert b"".join(inflated([packed(BODY, "cut at a member")])) == b"one\ntwo\nthree\n"


def test_blocks_are_whole_lines():
    """A last line without a newline gets one, and that is known."""
    blocks = Blocks([b"a\nb", b"c\n", b"d"])
    assert list(blocks) == [b"a\nbc\nd\n"] and blocks.unterminated and blocks.length == 6
    assert list(Blocks([])) == [] and list(Blocks([b""])) == []


# --- tables


def tables() -> tuple[Table, Table]:
    old = Table("logs", "old", "s3://b/logs/", HOURLY)
    return old, Table("logs", "new", "s3://b/utc/", UTC_HOURS)


def test_a_projected_table_of_japan_time_shows_its_newest_hours():
    """Projected dates are made in UTC."""
    old, new = tables()
    assert "'2026/11/20/07,NOW+9HOURS'" in projection(old, "2026/11/20/07/", NOW)
    text = projection(new, "2026/11/19/22/", NOW)
    assert "'2026/11/19/22,NOW'" in text and "'yyyy/MM/dd/HH'" in text
    assert "'s3://b/utc/${dt}/'" in text
    hive = Layout("dt=%Y-%m-%d/hour=%H/", "Asia/Kolkata")
    text = projection(Table("logs", "x", "s3://b/", hive), "dt=2026-11-20/hour=07/", NOW)
    assert "NOW+6HOURS" in text and r"'\'dt=\'yyyy-MM-dd\'/hour=\'HH'" in text


def test_the_map_points_hours_of_utc_to_folders_of_japan_time():
    """No byte is copied; a folder whose lines belong to several hours is not mapped."""
    folders = ["2026/11/20/07/", "2026/11/20/08/", "by-hand/"]
    found = list(mapped(HOURLY, UTC_HOURS, folders))
    assert found[2] == "by-hand/" and found[0].label == "2026/11/19/22/"
    [statement] = map_statements(tables()[1], "s3://b/logs/", found[:2])
    assert "(dt = '2026/11/19/22') LOCATION 's3://b/logs/2026/11/20/07/'" in statement
    back = list(mapped(UTC_HOURS, HOURLY, ["2026/11/19/22/"]))
    assert back[0].label == "2026/11/20/07/"
    assert list(mapped(DAILY, UTC_HOURS, ["2026/11/20/"])) == ["2026/11/20/"]
    assert list(mapped(ARRIVAL, HOURLY, ["2026/11/19/22/"])) == ["2026/11/19/22/"]


def test_a_long_map_is_several_statements():
    """None longer than Athena takes; each partition once."""
    folders = [
        f"2026/{m:02}/{d:02}/{h:02}/" for m in range(1, 13) for d in range(1, 29) for h in range(24)
    ]
    found = list(mapped(HOURLY, UTC_HOURS, folders))
    statements = list(map_statements(tables()[1], "s3://b/logs/", found))
    assert len(statements) > 1 and max(map(len, statements)) < 262_144
    assert sum(text.count("PARTITION (") for text in statements) == len(folders)


def test_the_view_tells_its_share_and_takes_each_line_from_one_tree():
    """Set as a whole, read back from its first line."""
    old, new = tables()
    begins = [utc(f"2026-11-20T{hour:02}:00:00") for hour in range(20)]
    boundary = boundary_of(250, begins)
    assert boundary == begins[5]
    text = view_sql(View("access", old, new, 900, 250, boundary))
    assert share_of(text) == (250, boundary)
    assert "dt <= '2026/11/20/05'" in text and "dt >= '2026/11/20/14'" in text
    assert text.count("TIMESTAMP '2026-11-20 05:00:00 UTC'") == 2
    for share, absent in ((0, "logs.new"), (1000, "logs.old")):
        whole = view_sql(View("access", old, new, 900, share, boundary_of(share, begins)))
        assert share_of(whole) == (share, None) and f"FROM {absent}" not in whole
    assert share_of("CREATE VIEW x") is None and share_of("-- kirikae: share 1001\n") is None


def test_an_arrival_tree_is_searched_beyond_its_boundary():
    """Lines come late."""
    old, _ = tables()
    new = Table("logs", "new", "s3://b/utc/", ARRIVAL)
    text = view_sql(View("access", old, new, 7200, 500, utc("2026-11-20T05:00:00")))
    assert "dt <= '2026/11/20/07'" in text


# --- not too fast


def test_it_waits_between_requests_and_halves_where_s3_says_so():
    """On a clock of its own."""
    now = [0.0]
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    throttle = Throttle(lambda: now[0], sleep, 10.0, 1000.0)
    for _ in range(3):
        throttle.before(2, 0)
    assert waited == pytest.approx([0.2, 0.2])
    throttle.before(1, 500)
    throttle.before(1, 0)
    assert waited[-1] == pytest.approx(0.5)
    throttle.refused()
    assert (throttle.now_rate, throttle.slowed) == (5.0, 1)
    for _ in range(100):
        throttle.passed()
    assert throttle.now_rate == 10.0
