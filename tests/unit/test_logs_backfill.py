"""The past moves whole: every line is where it belongs, once, and a second run writes nothing."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kirikae.logs.errors import LogsNotReady
from kirikae.logs.layout import Layout
from kirikae.logs.manifest import State
from kirikae.logs.proof import exported
from kirikae.logs.zones import Grain
from kirikae.model.objects import Listed
from tests.logs_made import FORMATS, inflated, line_of, made, packed
from tests.logs_world import BEGIN, DAILY, HOURLY, TOKYO, LogsWorld


def all_of(world: LogsWorld) -> Counter[bytes]:
    return sum(world.new_lines().values(), Counter())


def hour_of(line: bytes) -> str:
    """By another way than the code's: the time of a combined line."""
    text = line.split(b"[")[-1 if line.count(b"[") == 1 else 2 if b"[x" in line else 1]
    when = datetime.strptime(text[:26].decode(), "%d/%b/%Y:%H:%M:%S %z")
    return when.astimezone(UTC).strftime("%Y/%m/%d/%H/")


def test_days_of_japan_become_hours_of_utc(tmp_path):
    """Each line with a time in its own hour; those without one where their path says; all of them,
    as often as they were there."""
    world = LogsWorld(tmp_path)
    world.fill(days=2)
    done = world.backfill()
    assert done.states == {"done": 2}
    assert all_of(world) == world.old_lines()
    for folder, lines in world.new_lines().items():
        for line in lines:
            if b"+0900] " in line and b"/zz" not in line:
                assert hour_of(line) == folder
    first = world.tree()
    assert world.backfill().unchanged == 2 and not world.written
    (tmp_path / "state" / "logs.db").unlink()
    world.backfill()
    assert not world.written and world.tree() == first, "also without the manifest"
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_hours_of_japan_are_copied_and_not_read(tmp_path):
    """Nine hours are whole hours: the same bytes in another folder."""
    world = LogsWorld(tmp_path, HOURLY)
    world.fill(days=1)
    assert world.backfill().written == 24
    parts = world.manifest().parts()
    assert {part.mode for part in parts} == {"copy"} and all(p.sums is None for p in parts)
    old = sorted(file.read_bytes() for file in world.old_root.rglob("*.GZ"))
    assert sorted(world.tree().values()) == old
    assert "2026/11/19/15/web1_0-" in parts[0].new_key and parts[0].new_key.endswith(".log.gz")
    assert set(world.verdicts().values()) == {"pass"}
    assert {each.facts["unread"] for each in world.verify().values()} == {1}
    deep = world.verify(deep=True).values()
    assert {each.verdict for each in deep} == {"pass"}
    assert {each.facts["unread"] for each in deep} == {0}, "the look that reads says that it did"
    assert all(each.facts["sums"]["lines"] > 0 for each in deep)
    assert all(part.sums is not None for part in world.manifest().parts()), "now they were read"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_split(tmp_path, name):
    """Its header goes with every part, and is no record."""
    world = LogsWorld(tmp_path, Layout("%Y/%m/%d/", TOKYO, Grain.DAY, format=name))
    header = b"#Version: 1.0\n#Fields: date time\n" if name == "cloudfront" else b""
    body = made(name, BEGIN, timedelta(hours=24), 200, 3, (TOKYO,), faults=0.1).body
    world.put("2026/11/20/a.gz", packed(header + body, "members"))
    world.backfill()
    found = all_of(world)
    if header:
        for line in header.splitlines():
            assert found.pop(line) == len(world.tree())
    assert found == Counter(body.split(b"\n")[:-1])
    assert set(world.verdicts(deep=True).values()) == {"pass"}


@pytest.mark.parametrize("fault", ["cut", "bit", "garbage", "zstd cut", "zstd bit"])
def test_a_broken_object_is_never_half_moved(tmp_path, fault):
    """Told by name; the others are moved; its folders are unsure until somebody looks."""
    world = LogsWorld(tmp_path)
    world.fill(days=2)
    body = made("combined", BEGIN, timedelta(hours=24), 100, 9).body
    world.put("2026/11/20/broken.gz", packed(body, fault))
    assert world.backfill().states == {"done": 2, "broken": 1}
    assert not [key for key in world.tree() if "broken" in key]
    verdicts = world.verdicts()
    assert Counter(verdicts.values()).keys() == {"pass", "unsure"}


@pytest.mark.parametrize("fault", ["members", "zeros", "plain", "zstd", "zstd frames"])
def test_what_gzip_readers_put_up_with_is_read(tmp_path, fault):
    """Many members, an empty one, zeros at the end, and text that is not packed at all."""
    world = LogsWorld(tmp_path)
    world.fill(days=1, fault=fault)
    assert world.backfill().states == {"done": 1}
    assert all_of(world) == world.old_lines()


@pytest.mark.parametrize("letter", ["n", "日"])
def test_a_part_s_name_is_no_longer_than_a_folder_takes(tmp_path, letter):
    """Two long names that differ at their ends only stay two."""
    world = LogsWorld(tmp_path)
    for n in range(2):
        stem = letter * (240 // len(letter.encode())) + str(n)
        world.put(f"2026/11/20/{stem}.log", made("combined", BEGIN, timedelta(hours=1), 9, n).body)
    assert world.backfill().states == {"done": 2}
    assert all_of(world) == world.old_lines()


def test_a_last_line_without_a_newline_does_not_swallow_the_next(tmp_path):
    """Nor is it another line than with one."""
    world = LogsWorld(tmp_path)
    lines = made("combined", BEGIN, timedelta(hours=24), 50, 1, faults=0).lines
    world.put("2026/11/20/a.gz", packed(b"\n".join(lines)))
    world.put("2026/11/20/empty.gz", packed(b"\n")[:0])
    world.backfill()
    assert all_of(world) == Counter(lines)
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_an_object_that_changes_in_the_middle_is_not_moved(tmp_path, monkeypatch):
    """Nor one that changes after it was moved: it is told, and its folders are unsure."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    real = LogsWorld.place.fget
    place = real(world)
    carrier = place.carrier()
    [listed] = carrier.old.list()
    stale = Listed(listed.key, "0-0", listed.size, listed.modified)
    row, parts = carrier.moved(stale)
    assert (row.state, parts, world.tree()) == (State.CHANGED, [], {})
    world.backfill()
    world.put(listed.key, packed(b"something else\n"))
    assert world.backfill().states == {"changed": 1} and not world.written
    assert "fail" not in world.verdicts().values() and "unsure" in world.verdicts().values()


def test_what_changed_after_it_was_moved_is_never_moved_a_second_time(tmp_path):
    """However often it is run."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.backfill()
    before = world.tree()
    world.put("2026/11/20/web1_0.log.GZ", packed(b"something else\n"))
    for _ in range(3):
        assert world.backfill().states == {"changed": 1} and world.tree() == before


def test_nothing_is_moved_into_a_tree_that_somebody_else_writes_since_an_unknown_time(tmp_path):
    """Its lines would be there twice."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.put_new("2026/11/20/01/firehose-1.gz", packed(b"line\n"))
    with pytest.raises(LogsNotReady, match="double_write_since"):
        world.backfill()
    assert list(world.tree()) == ["2026/11/20/01/firehose-1.gz"]


@pytest.mark.parametrize("layout", [DAILY, HOURLY], ids=["split", "copied"])
def test_a_double_write_that_began_later_than_was_said_is_made_up(tmp_path, layout):
    """Hours that were the new writer's become the backfill's: what is missing there is told, and
    the next run writes it."""
    hours = (BEGIN + timedelta(hours=5), BEGIN + timedelta(hours=15))
    early, late = (int(hour.timestamp()) for hour in hours)
    world = LogsWorld(tmp_path, layout, on=early)
    found = made("combined", BEGIN, timedelta(hours=24), 24 * 20, 1, faults=0)
    for number in range(24 if layout is HOURLY else 1):
        begin = BEGIN + timedelta(hours=number)
        each = found.lines[number * 20 : number * 20 + 20] if layout is HOURLY else found.lines
        world.put(f"{begin.strftime(layout.prefix)}a.gz", packed(b"\n".join(each) + b"\n"))
    for line in found.lines:
        if hour_of(line) >= "2026/11/20/06/":
            world.put_new(f"{hour_of(line)}{hash(line)}.gz", packed(line + b"\n"))
    world.backfill()
    assert "fail" in world.verdicts().values()
    world.on = late
    assert "fail" in world.verdicts().values()
    world.backfill()
    assert set(world.verdicts(deep=True).values()) == {"pass"}
    assert all_of(world) == Counter(found.lines)


def planted(world: LogsWorld, change: str) -> tuple[str, dict[str, str]]:
    """Change one line of one part; which folder, and the verdicts afterwards."""
    key, data = next(iter(world.tree().items()))
    lines = inflated(data).split(b"\n")[:-1]
    if change == "lost":
        lines = lines[1:]
    elif change == "doubled":
        lines = [*lines, lines[0]]
    elif change == "altered":
        lines[0] = lines[0].replace(b"GET", b"PUT")
    rewritten(world, key, lines)
    return key[: key.rfind("/") + 1], world.verdicts(deep=True)


def rewritten(world: LogsWorld, key: str, lines: list[bytes]) -> None:
    """With the time of before: the listing alone does not show it."""
    before = (world.new_root / key).stat()
    (world.new_root / key).write_bytes(packed(b"\n".join(lines) + b"\n"))
    os.utime(world.new_root / key, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_lines_that_two_folders_have_swapped_are_found_in_both(tmp_path):
    """Although as many are there as before, and in all the same."""
    world = LogsWorld(tmp_path)
    world.fill(days=1, faults=0)
    world.backfill()
    [first, other] = list(world.tree())[:2]
    lines = {key: inflated(world.tree()[key]).split(b"\n")[:-1] for key in (first, other)}
    mine, theirs = lines[first][0], lines[other][0]
    rewritten(world, first, [theirs, *lines[first][1:]])
    rewritten(world, other, [mine, *lines[other][1:]])
    failed = {label for label, verdict in world.verdicts(deep=True).items() if verdict == "fail"}
    assert failed == {key[: key.rfind("/") + 1] for key in (first, other)}
    assert all_of(world) == world.old_lines()


OFFSETS = ("Asia/Tokyo", "UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York")


@pytest.mark.parametrize("name", ["combined", "ltsv", "json", "out_file"])
def test_several_offsets_in_one_object_are_lawful(tmp_path, name):
    """Each line's own counts: +09:00, UTC, +05:30, +05:45 and -05:00 beside each other."""
    world = LogsWorld(tmp_path, Layout("%Y/%m/%d/", TOKYO, Grain.DAY, format=name))
    lines: list[bytes] = []
    hours: Counter[str] = Counter()
    for number in range(200):
        zone = ZoneInfo(OFFSETS[number % len(OFFSETS)])
        when = (BEGIN.astimezone(UTC) + timedelta(minutes=7 * number)).astimezone(zone)
        lines.append(line_of(name, when, number))
        hours[when.astimezone(UTC).strftime("%Y/%m/%d/%H/")] += 1
    world.put("2026/11/20/a.gz", packed(b"\n".join(lines) + b"\n"))
    world.backfill()
    assert {label: found.total() for label, found in world.new_lines().items()} == dict(hours)
    assert all_of(world) == Counter(lines)
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_what_comes_later_makes_a_new_part_and_amends_the_proof(tmp_path):
    """The former parts and the former proof stay as they are."""
    world = LogsWorld(tmp_path)
    world.fill(days=1, faults=0)
    world.backfill()
    before = world.tree()
    folder = next(iter(before))[: next(iter(before)).rfind("/") + 1]
    carrier = world.place.carrier()
    first, _ = exported(carrier, world.manifest(), world.verify(deep=True)[folder])
    late = next(line for line in world.new_lines()[folder])
    world.put("2026/11/20/late.gz", packed(late + b"\n"))
    assert world.backfill().written == 1
    assert world.new_lines()[folder][late] == 2
    judged = world.verify(deep=True)[folder]
    assert judged.verdict == "pass"
    second, fresh = exported(carrier, world.manifest(), judged)
    assert fresh and second != first
    after = world.tree()
    assert {key: after[key] for key in before} == before and first in after


@pytest.mark.parametrize("change", ["lost", "doubled", "altered"])
def test_one_line_lost_doubled_or_altered_is_found_with_its_folder(tmp_path, change):
    """And no other folder is accused."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.backfill()
    folder, verdicts = planted(world, change)
    assert {label for label, verdict in verdicts.items() if verdict == "fail"} == {folder}
    judged = world.manifest().judged()[folder]
    assert judged.facts["redo"] == ["2026/11/20/web1_0.log.GZ"]
    [key] = [key for key in world.tree() if key.startswith(folder) and "web1_0" in key]
    before = world.tree()
    assert world.backfill().states["conflict"] == 1 and world.tree() == before
    assert set(world.verdicts(deep=True).values()) == {"fail", "pass"}, "nobody else is accused"
    (world.new_root / key).unlink()
    world.backfill()
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_what_verify_did_not_find_is_written_again_and_nothing_else(tmp_path):
    """And after that a run writes nothing."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.backfill()
    before = world.tree()
    gone = next(iter(before))
    (world.new_root / gone).unlink()
    assert "fail" in world.verdicts().values()
    world.written.clear()
    world.backfill()
    assert world.tree() == before and set(world.written) == {gone}
    assert set(world.verdicts().values()) == {"pass"}
    world.written.clear()
    world.backfill()
    assert not world.written


def test_a_part_that_is_gone_and_one_that_nobody_moved_are_found(tmp_path):
    """By the listing alone."""
    world = LogsWorld(tmp_path)
    world.fill(days=1)
    world.backfill()
    keys = list(world.tree())
    (world.new_root / keys[0]).unlink()
    world.put_new(keys[1].replace("web1", "copy-of-web1"), world.tree()[keys[1]])
    failed = {label for label, verdict in world.verdicts().items() if verdict == "fail"}
    assert failed == {key[: key.rfind("/") + 1] for key in keys[:2]}


def test_the_boundary_gets_only_what_the_new_writer_has_not_put_there(tmp_path):
    """Lines are counted, not looked up: what is there twice is there twice.  What the new side has
    besides is told."""
    on = int((BEGIN + timedelta(hours=10, minutes=20)).timestamp())
    world = LogsWorld(tmp_path, on=on)
    found = made("combined", BEGIN, timedelta(hours=24), 24 * 60, 1, faults=0)
    twice = [line for line in found.lines for _ in range(2)]
    world.put("2026/11/20/a.gz", packed(b"\n".join(twice) + b"\n"))
    hour = "2026/11/20/01/"
    mine = [line for line in twice if hour_of(line) == hour]
    live = [*mine[60:], line_of("combined", datetime.fromtimestamp(on, UTC), 77)]
    world.put_new(f"{hour}firehose-1.gz", packed(b"\n".join(live) + b"\n"))
    world.put_new(f"{hour}firehose-2.gz", packed(mine[61] + b"\n"))
    for later in {hour_of(line) for line in twice if hour_of(line) > hour}:
        theirs = [line for line in twice if hour_of(line) == later]
        world.put_new(f"{later}firehose-3.gz", packed(b"\n".join(theirs) + b"\n"))
    world.backfill()
    there = world.new_lines()[hour]
    assert Counter(mine) - there == Counter() and (there - Counter(mine)).total() == 2
    judged = world.verify()[hour]
    assert judged.verdict == "pass" and judged.facts["both"]["extra"] == 2
    assert set(world.verdicts(deep=True).values()) == {"pass"}
    first = world.tree()
    (tmp_path / "state" / "logs.db").unlink()
    world.backfill()
    assert world.tree() == first and not world.written


def test_by_arrival_lines_of_an_hour_are_looked_for_in_the_next_folder_too(tmp_path):
    """Firehose files an object by its oldest record: at the edges a line lies an hour later, and is
    neither lost nor put there again."""
    on = int((BEGIN + timedelta(hours=10, minutes=20)).timestamp())
    arrival = Layout("%Y/%m/%d/%H/", "UTC", writes="arrival")
    world = LogsWorld(tmp_path, new_layout=arrival, on=on)
    found = made("combined", BEGIN, timedelta(hours=24), 24 * 60, 1, faults=0)
    world.put("2026/11/20/a.gz", packed(found.body))
    live = [line for line in found.lines if hour_of(line) >= "2026/11/20/01/"][20:]
    for at in range(0, len(live), 60):
        first = hour_of(live[at])
        world.put_new(f"{first}firehose-{at}.gz", packed(b"\n".join(live[at : at + 60]) + b"\n"))
    world.backfill()
    assert all_of(world) == Counter(found.lines), "each line once"
    verdicts = world.verify()
    assert {each.verdict for each in verdicts.values()} == {"pass"}
    assert not any(each.facts.get("both", {}).get("extra") for each in verdicts.values())
    key = next(key for key in reversed(world.tree()) if "firehose" in key)
    (world.new_root / key).unlink()
    assert "fail" in world.verdicts().values()


def test_an_hour_that_may_still_get_lines_is_left_alone(tmp_path):
    """Until its lateness is over."""
    world = LogsWorld(tmp_path, now=(BEGIN + timedelta(hours=24, minutes=5)).timestamp())
    world.fill(days=1)
    assert world.backfill().states == {"waits": 1} and not world.tree()
    assert set(world.verdicts().values()) == {"unsure"}
    world.now += 900
    assert world.backfill().states == {"done": 1}


def test_many_in_flight_give_the_same_tree(tmp_path):
    """In threads: S3 is waited for by many at once."""
    one = LogsWorld(tmp_path / "one")
    many = LogsWorld(tmp_path / "many")
    for world in (one, many):
        world.fill(days=6, count=60)
        for file in world.old_root.rglob("*.GZ"):
            os.utime(file, ns=(0, 1))
    one.backfill()
    assert many.backfill(at_once=4).states == {"done": 6}
    assert many.tree() == one.tree()
    assert set(many.verdicts(deep=True).values()) == {"pass"}


def test_a_closed_window_stops_before_the_next_object(tmp_path):
    """And the same command goes on."""
    world = LogsWorld(tmp_path, HOURLY)
    world.fill(days=1)
    looks = iter([True] * 5 + [False] * 100)
    done = world.backfill(open_window=lambda: next(looks))
    assert done.stopped and done.states == {"done": 5}
    assert world.backfill().states == {"done": 19}


def test_stack_traces_stay_with_their_head(tmp_path):
    """With `multiline`; without it they go where their path says."""
    lines = made("combined", BEGIN + timedelta(hours=20), timedelta(hours=2), 4, 1, faults=0).lines
    body = b"".join(line + b"\n  at frame\n\n" for line in lines)
    for multiline, folder in ((True, "2026/11/20/11/"), (False, "2026/11/19/15/")):
        world = LogsWorld(tmp_path / str(multiline), multiline=multiline)
        world.put("2026/11/20/a", body)
        world.backfill()
        assert b"  at frame" in world.new_lines()[folder]


def test_pieces_of_16_kib_stay_together(tmp_path):
    """A line that was cut goes on in the next, which has no time."""
    world = LogsWorld(tmp_path)
    line = line_of("combined", BEGIN + timedelta(hours=20), 1)
    long = line + b"x" * (16384 - len(line))
    world.put("2026/11/20/a", long + b"\n" + b"y" * 10 + b"\nz\n")
    world.backfill()
    assert world.new_lines()["2026/11/20/11/"] == Counter([long, b"y" * 10])
    assert world.new_lines()["2026/11/19/15/"] == Counter([b"z"])


def test_lines_without_a_time_may_be_put_aside(tmp_path):
    """`no_time: quarantine`."""
    world = LogsWorld(tmp_path, quarantine=True)
    world.fill(days=1)
    world.backfill()
    aside = world.new_lines()["_unparsed/"]
    assert aside and all(b"+0900] " not in line or b"/zz" in line for line in aside)
    assert all_of(world) == world.old_lines()
    assert set(world.verdicts(deep=True).values()) == {"pass"}


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", datetime(2026, 11, 1), 25),
        ("America/New_York", datetime(2026, 3, 8), 23),
        ("Asia/Kolkata", datetime(2026, 11, 1), 25),
        ("Asia/Kathmandu", datetime(2026, 11, 1), 25),
    ],
)
def test_days_of_summer_time_and_of_half_hours(tmp_path, zone, day, hours):
    """A day of 25 hours and one of 23; hours that are not whole reach over 25 of UTC."""
    world = LogsWorld(tmp_path, Layout("%Y/%m/%d/", zone, Grain.DAY))
    begin = day.replace(tzinfo=ZoneInfo(zone))
    end = (day + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    length = end.astimezone(UTC) - begin.astimezone(UTC)
    found = made("combined", begin, length, 600, 1, (zone,), faults=0)
    world.put(f"{day:%Y/%m/%d}/a.gz", packed(found.body))
    world.backfill()
    assert len(world.new_lines()) == hours
    for folder, lines in world.new_lines().items():
        assert all(hour_of(line) == folder for line in lines)
    assert set(world.verdicts(deep=True).values()) == {"pass"}


def test_the_daily_layout_reaches_over_two_days_of_utc():
    """Nine hours of one, fifteen of the other."""
    span = DAILY.span("2026/11/20/a.gz")
    labels = Layout("%Y/%m/%d/", "UTC", Grain.DAY).labels(span)
    assert labels == ("2026/11/19/", "2026/11/20/")
