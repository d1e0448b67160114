"""The crontab reader against what Debian's cron 3.0pl1-162 was seen to do, and cronie's source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.model.crontab.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SPANS,
    WEEKDAY,
    Dialect,
    Field,
    Wrong,
    read_field,
)
from kirikae.model.crontab.table import Entry, read_entry, read_table, read_variable, split_percent
from kirikae.model.crontab.zones import Zone, minute_of
from kirikae.model.said import Said

DEBIAN = Dialect.DEBIAN
CRONIE = Dialect.CRONIE
REFUSED = "refused"
EVERY_5 = list(range(0, 60, 5))


def values(text, span, dialect=DEBIAN):
    read = read_field(text, span, dialect)
    return REFUSED if isinstance(read, Wrong) else read.values


def entry(times, dialect=DEBIAN):
    found = read_entry(f"{times} true", dialect, False)
    assert isinstance(found, Entry), found
    return found


@pytest.mark.parametrize(
    ("text", "span", "debian", "cronie"),
    [
        ("5/15", MINUTE, REFUSED, REFUSED),
        ("0/15", MINUTE, REFUSED, REFUSED),
        ("*/60", MINUTE, [0], [0]),
        ("*/100", MINUTE, [0], [0]),
        ("1-10/20", MINUTE, [1], [1]),
        ("10-5", MINUTE, [], []),
        ("10-5,20", MINUTE, [20], [20]),
        ("22-2", HOUR, [], []),
        ("5-0", WEEKDAY, [], [0, 5, 6]),
        ("FRI-SUN", WEEKDAY, [], [0, 5, 6]),
        ("sat-mon", WEEKDAY, [], []),
        ("7-1", WEEKDAY, [], []),
        ("6-7", WEEKDAY, [0, 6], [0, 6]),
        ("0-7", WEEKDAY, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        ("0-7/2", WEEKDAY, [0, 2, 4, 6], [0, 2, 4, 6]),
        ("*/7", WEEKDAY, [0], [0]),
        ("*/8", WEEKDAY, [0], [0]),
        ("1#2", WEEKDAY, [1], REFUSED),
        ("5.5", MINUTE, [5], REFUSED),
        ("5.5,10", MINUTE, [5], REFUSED),
        ("1-2-3,20", MINUTE, [1, 2], REFUSED),
        ("*5", HOUR, list(range(24)), REFUSED),
        ("**", HOUR, list(range(24)), REFUSED),
        ("*-5", HOUR, list(range(24)), REFUSED),
        ("*/5/2", MINUTE, EVERY_5, REFUSED),
        ("*/5-9", MINUTE, EVERY_5, REFUSED),
        ("0~30", MINUTE, [0], REFUSED),
        ("5L", DAY, REFUSED, REFUSED),
        ("L", DAY, REFUSED, REFUSED),
        ("?", DAY, REFUSED, REFUSED),
        ("5,", MINUTE, REFUSED, REFUSED),
        (",5", MINUTE, REFUSED, REFUSED),
        ("5,,5", MINUTE, REFUSED, REFUSED),
        ("*,", MINUTE, REFUSED, REFUSED),
        ("*/0", MINUTE, REFUSED, REFUSED),
        ("*/-5", MINUTE, REFUSED, REFUSED),
        ("*/", MINUTE, REFUSED, REFUSED),
        ("*/05", MINUTE, EVERY_5, EVERY_5),
        ("000", MINUTE, [0], [0]),
        ("05", HOUR, [5], [5]),
        ("1a", MINUTE, REFUSED, REFUSED),
        ("*/5a", MINUTE, REFUSED, REFUSED),
        ("5-a", MINUTE, REFUSED, REFUSED),
        ("+5", MINUTE, REFUSED, REFUSED),
        ("-5", MINUTE, REFUSED, REFUSED),
        ("5-", MINUTE, REFUSED, REFUSED),
        ("1--3", MINUTE, REFUSED, REFUSED),
        ("５", MINUTE, REFUSED, REFUSED),
        ("5-70", MINUTE, REFUSED, REFUSED),
        ("70-5", MINUTE, REFUSED, REFUSED),
        ("60", MINUTE, REFUSED, REFUSED),
        ("24", HOUR, REFUSED, REFUSED),
        ("0", DAY, REFUSED, REFUSED),
        ("0", MONTH, REFUSED, REFUSED),
        ("13", MONTH, REFUSED, REFUSED),
        ("8", WEEKDAY, REFUSED, REFUSED),
        ("sun-tue", WEEKDAY, [0, 1, 2], [0, 1, 2]),
        ("jan-mar", MONTH, [1, 2, 3], [1, 2, 3]),
        ("mon,wed", WEEKDAY, [1, 3], [1, 3]),
        ("1-fri", WEEKDAY, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ("MON-FRI/2", WEEKDAY, [1, 3, 5], [1, 3, 5]),
        ("1-dec", MONTH, list(range(1, 13)), list(range(1, 13))),
        ("monday", WEEKDAY, REFUSED, REFUSED),
        ("january", MONTH, REFUSED, REFUSED),
        ("tues", WEEKDAY, REFUSED, REFUSED),
        ("su", WEEKDAY, REFUSED, REFUSED),
        ("mon", MINUTE, REFUSED, REFUSED),
    ],
)
def test_a_field(text, span, debian, cronie):
    assert values(text, span) == debian
    assert values(text, span, CRONIE) == cronie


def test_what_debian_drops_is_kept_in_mind():
    read = read_field("1-2-3,20", MINUTE, DEBIAN)
    assert isinstance(read, Field) and read.dropped == "-3,20"
    assert read_field("0~30", MINUTE, CRONIE) is Wrong.RANDOM


def days(times, until="2026-07-01"):
    """The days from 2026-01-01 on, in UTC."""
    found = Zone("UTC").dues(entry(f"0 0 {times}").schedule, at("2026-01-01"), at(until))
    return len(list(found))


def at(text):
    return minute_of(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("times", "count"),
    [
        ("1,15 * 5", 36),
        ("*/2 * 1", 13),
        ("1-31 * 1", 181),
        ("1 * */2", 3),
        ("1 * 0-7", 181),
        ("13 * 5", 30),
        ("29-31 * 1-5", 133),
        ("* feb-apr mon", 13),
        ("*,1 * 1", 26),
        ("1,* * 1", 181),
        ("1-7 * */7", 6),
        ("*/100 * 1", 1),
        ("* * 1-5/2", 77),
        ("1 */2 *", 3),
        ("31 2 *", 0),
    ],
)
def test_day_and_weekday(times, count):
    """Only the first character of a field says whether both must fit, or either."""
    assert days(times) == count


def test_day_and_weekday_in_one_month():
    assert days("1 * *,1", "2026-02-01") == 1
    assert days("1 * 1,*", "2026-02-01") == 31


NEW_YORK = Zone("America/New_York")
SPRING = ("2026-03-08T06:00", "2026-03-08T09:00")
"""01:00 to 05:00 on the wall, of which the hour from 02:00 does not exist."""
AUTUMN = ("2026-11-01T05:00", "2026-11-01T09:00")
"""01:00 in the first pass to 03:59."""


def walls(times, period, zone=NEW_YORK):
    begin, end = map(at, period)
    told = []
    for minute in zone.dues(entry(times).schedule, begin, end):
        wall = zone.wall(minute)
        told.append(f"{wall:%H:%M}{'S' if wall.fold else ''}")
    return " ".join(told)


@pytest.mark.parametrize(
    ("times", "spring", "autumn"),
    [
        ("30 1 * * *", "01:30", "01:30"),
        ("0 2 * * *", "03:00", "02:00"),
        ("30 2 * * *", "03:00", "02:30"),
        ("59 2 * * *", "03:00", "02:59"),
        ("*/30 2 * * *", "", "02:00 02:30"),
        ("15 */2 * * *", "04:15", "02:15"),
        ("0 1-4 * * *", "01:00 03:00 04:00", "01:00 02:00 03:00"),
        ("30 0-23 * * *", "01:30 03:00 03:30 04:30", "01:30 02:30 03:30"),
        ("30 1,* * * *", "01:30 03:00 03:30 04:30", "01:30 02:30 03:30"),
        ("30 *,1 * * *", "01:30 03:30 04:30", "01:30 01:30S 02:30 03:30"),
        ("0-59/30 1,2,3 * * *", "01:00 01:30 03:00 03:30", "01:00 01:30 02:00 02:30 03:00 03:30"),
        ("*/59 1 * * *", "01:00 01:59", "01:00 01:59 01:00S 01:59S"),
        ("@hourly", "01:00 03:00 04:00", "01:00 01:00S 02:00 03:00"),
        ("*/20 3 * * *", "03:00 03:20 03:40", "03:00 03:20 03:40"),
    ],
)
def test_daylight_saving(times, spring, autumn):
    """As the packaged cron did it; what it runs twice at 03:00 is due there once (documented)."""
    assert walls(times, SPRING) == spring
    assert walls(times, AUTUMN) == autumn


def test_a_change_of_half_an_hour():
    """Lord Howe: 02:00 to 02:30 on 2026-10-04, and 02:00 back to 01:30 on 2026-04-05."""
    zone = Zone("Australia/Lord_Howe")
    spring = ("2026-10-03T15:00", "2026-10-03T16:30")
    assert walls("10 2 * * *", spring, zone) == "02:30"
    assert walls("*/10 2 * * *", spring, zone) == "02:30 02:40 02:50"
    autumn = ("2026-04-04T14:00", "2026-04-04T15:59")
    assert walls("45 1 * * *", autumn, zone) == "01:45"
    assert walls("45 * * * *", autumn, zone) == "01:45 01:45S"


def test_a_change_at_midnight():
    """Asuncion's like: in Santiago 2026-09-06 begins at 01:00."""
    zone = Zone("America/Santiago")
    day = ("2026-09-06T03:00", "2026-09-06T06:00")
    assert walls("30 0 * * *", day, zone) == "01:00"
    assert walls("*/15 0 * * *", day, zone) == ""


def test_a_day_that_a_country_left_out_is_a_correction():
    """Samoa had no 2011-12-30: nothing is made up."""
    day = ("2011-12-30T00:00", "2011-12-31T23:00")
    assert walls("0 12 30 12 *", day, Zone("Pacific/Apia")) == ""


TIMES = st.lists(
    st.sampled_from(["*", "*/7", "0", "5", "1,2", "1-3", "*/2", "2-1", "30", "1,*", "0-6"]),
    min_size=5,
    max_size=5,
)


@given(TIMES, st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]), st.integers(0, 3))
def test_the_next_minute_is_the_first_that_is_due(times, name, hours):
    """Bit tricks against asking every minute of two days around a change."""
    found = read_entry(f"{' '.join(times)} true", DEBIAN, False)
    if isinstance(found, Said):
        return
    zone = Zone(name)
    begin = at("2026-03-07T12:00") + 60 * hours
    end = begin + 48 * 60
    asked = [m for m in range(begin, end) if zone.moment(m).due(found.schedule)]
    assert asked == list(zone.dues(found.schedule, begin, end))


@pytest.mark.parametrize(
    ("line", "debian", "cronie"),
    [
        ("N=V", ("N", "V"), ("N", "V")),
        ("  N = V", ("N", "V"), ("N", "V")),
        ('"N"=V', ("N", "V"), ("N", "V")),
        ("'A B'=c", ("A B", "c"), ("A B", "c")),
        ("F-O=1", ("F-O", "1"), ("F-O", "1")),
        ("1FOO=1", ("1FOO", "1"), ("1FOO", "1")),
        ("=x", ("", "x"), ("", "x")),
        ("MAILTO=", None, ("MAILTO", "")),
        ('FOO=""', ("FOO", ""), ("FOO", "")),
        ('FOO="a" b', None, None),
        ('FOO="a', None, None),
        (r'FOO="a\"b"', None, None),
        ('FOO="b" # c', None, None),
        ("export A=b", None, None),
        ("FOO", None, None),
        ("A B=c", None, None),
        ('FOO=a"b"', ("FOO", 'a"b"'), ("FOO", 'a"b"')),
        ('FOO="  x  "', ("FOO", "  x"), ("FOO", "  x  ")),
        ("FOO=  a  b  ", ("FOO", "a  b"), ("FOO", "a  b")),
        ("D=$A", ("D", "$A"), ("D", "$A")),
        ("E=1 # c", ("E", "1 # c"), ("E", "1 # c")),
        ("FOO=x\r", ("FOO", "x"), ("FOO", "x")),
        ("* * * * * FOO=bar true", None, None),
    ],
)
def test_a_variable(line, debian, cronie):
    for dialect, wanted in ((DEBIAN, debian), (CRONIE, cronie)):
        found = read_variable(line, dialect)
        assert (found and (found.name, found.value)) == wanted, dialect


def test_a_long_value_is_cut_in_silence():
    found = read_variable("A=" + "x" * 1000, DEBIAN)
    assert found.cut and len(found.name + "=" + found.value) == 998
    assert not read_variable("A=" + "x" * 1000, CRONIE).cut


@pytest.mark.parametrize(
    ("raw", "command", "stdin"),
    [
        ("date +%d", "date +", "d\n"),
        (r"date +\%d", "date +%d", None),
        (r"echo a\\%b", "echo a\\", "b\n"),
        (r"echo a\\\%b", r"echo a\%b", None),
        (r"sed 's/\\./x/'", r"sed 's/\./x/'", None),
        ("cat%one%two", "cat", "one\ntwo\n"),
        ("cat%%", "cat", "\n"),
        ("cat%", "cat", ""),
        (r"cat% a \% b ", "cat", " a % b \n"),
        (r"printf '%s'", "printf '", "s'\n"),
        (r"a \n b", r"a \n b", None),
        (r"cat%a\b\\", "cat", "a\\b\\\\\n"),
        (r"cat%\\", "cat", r"\\"),
    ],
)
def test_a_percent_sign(raw, command, stdin):
    """As Debian's packaged cron was seen to do; the last line is ended only if a letter stands in
    it that is no backslash."""
    assert split_percent(raw) == (command, stdin)


def test_cronie_keeps_two_backslashes():
    assert split_percent(r"sed 's/\\./x/' a\\%b", CRONIE) == (r"sed 's/\\./x/' a\\", "b\n")


def lines(*texts, dialect=DEBIAN, **more):
    return read_table("\n".join(texts) + "\n", dialect, **more)


def test_a_value_is_cut_at_a_byte():
    [cut] = lines("V=" + "ø" * 600, "* * * * * true").variables
    assert cut.cut and cut.value == "ø" * 498


def test_variables_hold_for_what_stands_below():
    table = lines("A=1", "* * * * * one", "A=2", "* * * * * two")
    assert [e.variables["A"] for e in table.entries] == ["1", "2"]


def test_one_bad_line_and_debian_ignores_the_file():
    table = lines("0 1 * * * good", "70 * * * * bad")
    assert table.ignored and table.entries == () and len(table.written) == 1
    [fault] = table.faults
    assert fault.line == 2 and fault.why.key == "model.crontab.range"
    kept = lines("0 1 * * * good", "70 * * * * bad", dialect=CRONIE)
    assert not kept.ignored and len(kept.entries) == 1 and kept.faults[0].line == 2


def test_a_last_line_without_an_end():
    """Debian ignores the file, cronie loses the entry; a comment is no fault of cronie's either."""
    debian = read_table("0 1 * * * a\n0 2 * * * b", DEBIAN)
    assert debian.ignored and debian.faults[0].line == 2
    cronie = read_table("0 1 * * * a\n0 2 * * * b", CRONIE)
    assert [e.command for e in cronie.entries] == ["a"]


def test_a_file_of_the_system_has_a_user():
    table = lines("0 1 * * * root true", "0 2 * * * nobody-here x", with_user=True, users={"root"})
    assert table.ignored and table.faults[0].why.blanks["user"] == "nobody-here"
    [entry] = lines("0 1 * * * root true", with_user=True).entries
    assert (entry.user, entry.command) == ("root", "true")
    assert lines("@daily root true", with_user=True).entries[0].user == "root"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("* * * * * root  two", " two"),
        ("* * * * * root\t\ttwo", "\ttwo"),
        ("* * * * * root * two", "* two"),
        ("* * * * * root ", ""),
        ("* * * * * root", None),
        ("* * * * * root\r", None),
        ("* * * * * root " + " " * 20 + "x" * 979, None),
        ("* * * * * root " + "ø" * 499, "ø" * 499),
        ("* * * * * root " + "ø" * 500, None),
    ],
)
def test_debian_takes_one_blank_after_the_user_and_counts_bytes(line, command):
    """As its packaged cron was seen to do under ``tests/oracle``; None: the file is ignored."""
    table = lines(line, with_user=True, users={"root"})
    assert [entry.command for entry in table.entries] == ([] if command is None else [command])


@pytest.mark.parametrize(
    ("line", "debian", "cronie"),
    [
        ("* * * * *", True, False),
        ("* * * * * *", False, True),
        ("* * * * * 5 true", True, True),
        ("@DAILY true", False, False),
        ("@ daily true", False, False),
        ("@every 5m true", False, False),
        ("@daily\r", False, False),
        ("\r", False, False),
        ("\ufeff* * * * * true", False, False),
        ("\u00a0* * * * * true", False, False),
        ("* * * * * tr\0ue", False, False),
        ("-* * * * * true", False, True),
        ("* * * * * " + "x" * 998, True, True),
        ("* * * * * " + "x" * 999, False, True),
        ("\t * \t*  * * *\ttrue", True, True),
        ("* * * * * echo größe", True, True),
        ("* * * *", False, False),
    ],
)
def test_a_line(line, debian, cronie):
    for dialect, wanted in ((DEBIAN, debian), (CRONIE, cronie)):
        assert (not lines(line, dialect=dialect).faults) is wanted, dialect


def test_cronie_has_a_zone_for_each_entry():
    text = ("CRON_TZ=Asia/Tokyo", "0 9 * * * a")
    assert lines(*text, dialect=CRONIE).entries[0].zone == "Asia/Tokyo"
    assert lines(*text).entries[0].zone is None


def test_reboot_has_no_minute():
    [entry] = lines("@reboot true").entries
    assert entry.schedule is None


@given(st.text(alphabet="*0123456789,-/#.%~@ \t\r\n=\"'abcmonA", max_size=120))
def test_any_text_is_read_line_by_line(text):
    """No text makes it fall over, and no line is lost: it is an entry, a variable, a fault or
    nothing."""
    for dialect in Dialect:
        table = read_table(text, dialect)
        told = len(table.written) + len(table.faults) + len(table.variables)
        meant = [
            line
            for line in text.split("\n")
            if line.lstrip(" \t") and not line.lstrip(" \t").startswith("#")
        ]
        assert told >= len(meant) - 1


def test_a_leap_day_of_one_weekday_is_found():
    """A Monday the 29th of February comes each 28 years; in 2100 there is none."""
    zone = Zone("UTC")
    found = zone.following(entry("0 0 29 2 *").schedule, at("2097-01-01"))
    assert zone.wall(found).date().isoformat() == "2104-02-29"
    both = zone.following(entry("0 0 29 2 */7").schedule, at("2026-01-01"))
    assert zone.wall(both).strftime("%Y-%m-%d %A") == "2032-02-29 Sunday"
    assert zone.wall(both) - zone.wall(at("2026-01-01")) > timedelta(days=2000)
    assert len(SPANS) == 5
