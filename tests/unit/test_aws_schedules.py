"""AWS's schedule expressions; crontab entries turned into them: the same minutes, or a reason."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from random import Random

import pytest

from kirikae.jobs.conversion import RULES_A_BUS, Export, Wish, export
from kirikae.model.crontab.aws import Cron, Rate, Service, dues, read_expression
from kirikae.model.crontab.schedule import DAY_MIN, bits_of
from kirikae.model.crontab.table import Entry, read_table
from kirikae.model.crontab.zones import Zone, minute_of
from kirikae.model.said import Said, Words, words_of

RULES = Service.RULES
SCHEDULER = Service.SCHEDULER
TOKYO = Zone("Asia/Tokyo")
UTC = Zone("UTC")
NOW = 29_484_000  # 2026-01-22


def at(text):
    return minute_of(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "rules", "scheduler"),
    [
        ("cron(0 10 * * ? *)", True, True),
        ("cron(0-59/10 0-23/2 ? * * *)", True, True),
        ("cron(* * ? * SAT#3 *)", True, True),
        ("cron(15 10 ? * 6L 2002-2005)", True, True),
        ("cron(0 8 1 * ? *)", True, True),
        ("cron(0/15 * * * ? *)", True, True),
        ("cron(0 12 L * ? *)", True, True),
        ("cron(0 12 3W * ? 2026/2)", True, True),
        ("rate(1 minute)", True, True),
        ("rate(5 minutes)", True, True),
        ("rate(1 minutes)", False, True),
        ("rate(5 minute)", False, True),
        ("at(2026-11-20T13:00:00)", False, True),
        ("at(2021-12-31T23:59:59Z)", False, False),
        ("at(2021-02-30T23:59:59)", False, False),
        ("cron(0 1 * * * *)", False, False),
        ("cron(0 1 ? * ? *)", False, False),
        ("cron(71 8 1 * ? *)", False, False),
        ("cron(0 8 1 * ?)", False, False),
        ("cron(0 8 1 13 ? *)", False, False),
        ("cron(0 8 ? * 0 *)", False, False),
        ("cron(0 8 ? * 8 *)", False, False),
        ("cron(0 8 ? * 2#6 *)", False, False),
        ("cron(0 8 ? * 2#1,3#1 *)", False, False),
        ("cron(0 8 32W * ? *)", False, False),
        ("cron(0 20-2 * * ? *)", False, False),
        ("cron(0 8 1 * ? 1969)", False, False),
        ("cron(0 8 1 * ? 2200)", False, False),
        ("cron(*/0 8 1 * ? *)", False, False),
        ("rate(10 seconds)", False, False),
        ("rate( 10 minutes )", False, False),
        ("rate(0 minutes)", False, False),
        ("daily", False, False),
        (f"cron({','.join(['0'] * 130)} 1 * * ? *)", False, False),
    ],
)
def test_what_aws_takes(text, rules, scheduler):
    for service, wanted in ((RULES, rules), (SCHEDULER, scheduler)):
        read = read_expression(text, service)
        assert (not isinstance(read, Said)) is wanted, (service, read)
        if isinstance(read, Said):
            assert Words(words_of("kirikae.model")).say(read, "en")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("cron(0 0 L 2 ? *)", ["2026-02-28", "2027-02-28", "2028-02-29"]),
        ("cron(0 0 ? 1 6L *)", ["2026-01-30", "2027-01-29", "2028-01-28"]),
        ("cron(0 0 ? 1 2#1 *)", ["2026-01-05", "2027-01-04", "2028-01-03"]),
        ("cron(0 0 ? 2 2#5 *)", []),
        ("cron(0 0 1W 8 ? *)", ["2026-08-03", "2027-08-02", "2028-08-01"]),
        ("cron(0 0 31W 10 ? *)", ["2026-10-30", "2027-10-29", "2028-10-31"]),
        (
            "cron(0 0 ? 1 L 2028)",
            ["2028-01-01", "2028-01-08", "2028-01-15", "2028-01-22", "2028-01-29"],
        ),
        ("cron(0 0 29 2 ? 2026-2028)", ["2028-02-29"]),
        ("cron(0 0 1 1 ? 2027/1)", ["2027-01-01", "2028-01-01"]),
    ],
)
def test_days_of_its_own(text, days):
    read = read_expression(text, SCHEDULER)
    found = dues(read, UTC, at("2026-01-01T00:00Z"), at("2029-01-01T00:00Z"))
    assert [str(UTC.wall(minute).date()) for minute in found] == days


def test_scheduler_passes_over_a_gap_and_runs_once_in_a_fold():
    zone = Zone("America/New_York")
    read = read_expression("cron(30 1,2 * * ? *)", SCHEDULER)
    spring = dues(read, zone, at("2026-03-08T05:00Z"), at("2026-03-09T04:00Z"))
    autumn = dues(read, zone, at("2026-11-01T04:00Z"), at("2026-11-02T05:00Z"))
    assert [f"{zone.wall(m):%H:%M%z}" for m in spring] == ["01:30-0500"]
    assert [f"{zone.wall(m):%H:%M%z}" for m in autumn] == ["01:30-0400", "02:30-0500"]


def test_a_rate_needs_a_firing_that_was_seen():
    """The API does not tell its phase."""
    read = read_expression("rate(7 minutes)", RULES)
    assert read == Rate(7)
    assert list(dues(read, UTC, 100, 130)) == []
    assert list(dues(read, UTC, 100, 130, first=3)) == [101, 108, 115, 122, 129]
    assert list(dues(read, UTC, 101, 109, first=1000)) == [104]


def test_at_is_once():
    read = read_expression("at(2026-11-20T13:00:00)", SCHEDULER)
    begin = at("2026-11-19T00:00Z")
    assert list(dues(read, TOKYO, begin, begin + 10_000)) == [at("2026-11-20T04:00Z")]


# --- conversion


def entries(*lines):
    return read_table("\n".join(lines) + "\n").entries


def convert(line, service=RULES, zone=TOKYO, **more) -> Export:
    [found] = export(entries(line + " true"), Wish(service, zone, NOW, **more))
    return found


@pytest.mark.parametrize(
    ("times", "zone", "rules"),
    [
        ("0 3 * * *", "Asia/Tokyo", ["0 18 * * ? *"]),
        ("30 8,9 * * *", "Asia/Tokyo", ["30 0,23 * * ? *"]),
        ("0 8-10 * * 1", "Asia/Tokyo", ["0 23 ? * 1 *", "0 0-1 ? * 2 *"]),
        ("0 7 * * 1-5", "Asia/Tokyo", ["0 22 ? * 1-5 *"]),
        ("0 5 1,15 * *", "Asia/Tokyo", ["0 20 14 * ? *", "0 20 L * ? *"]),
        ("0 0 31 * *", "Asia/Tokyo", ["0 15 30 1,3,5,7-8,10,12 ? *"]),
        ("30 8 * * *", "Asia/Kolkata", ["0 3 * * ? *"]),
        ("30 4 1,15 * 5", "Asia/Tokyo", ["30 19 14 * ? *", "30 19 L * ? *", "30 19 ? * 5 *"]),
        ("0 22 27 2 *", "America/Panama", ["0 3 28 2 ? *"]),
        ("0 22 29 2 *", "America/Panama", None),
    ],
)
def test_rules_in_utc(times, zone, rules):
    found = convert(times, zone=Zone(zone))
    assert found.refused is None
    if rules is not None:
        assert [each[5:-1] for each in found.expressions] == rules
    assert_same_minutes(found, Zone(zone))


def test_a_leap_day_has_a_list_of_years_with_an_end():
    found = convert("0 0 29 2 *")
    [rule] = found.expressions
    assert rule.startswith("cron(0 15 28 2 ? 2028,2032,") and found.until == 2096


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("0 0 */2 * 1", "both"),
        ("0 3 * 3 1", "weekday_and_month"),
        ("@reboot", "reboot"),
        ("0 0 31 2 *", "never"),
    ],
)
def test_what_rules_cannot_say_is_refused_with_the_reason(line, key):
    assert convert(line).refused.key == f"jobs.export.{key}"


def test_a_shell_s_own_things_need_a_worker():
    table = entries("MAILTO=ops", "0 1 * * * true")
    assert export(table, Wish(SCHEDULER, TOKYO, NOW))[0].refused.key == "jobs.export.shell"
    assert export(table, Wish(SCHEDULER, TOKYO, NOW, worker=True))[0].expressions
    [stdin] = export(entries("0 1 * * * cat%x"), Wish(SCHEDULER, TOKYO, NOW))
    assert stdin.refused.key == "jobs.export.stdin"


def test_rules_need_a_zone_whose_clock_never_changes():
    zone = Zone("America/New_York")
    assert convert("0 3 * * *", zone=zone).refused.key == "jobs.export.clock_changes"


def test_a_bus_takes_three_hundred_rules():
    found = export(entries(*["0 3 * * * true"] * 302), Wish(RULES, TOKYO, NOW))
    assert [one.refused is None for one in found] == [True] * RULES_A_BUS + [False] * 2


def test_scheduler_has_the_wall_s_own_times():
    assert convert("0 8-10 * * 1", SCHEDULER).expressions == ("cron(0 8-10 ? * 2 *)",)
    assert convert("0 0 1-7 * */7", SCHEDULER).expressions == ("cron(0 0 ? * 1#1 *)",)
    assert convert("0 0 1-31 * 1", SCHEDULER).expressions == ("cron(0 0 * * ? *)",)


def test_what_a_change_of_the_clock_makes_of_it_is_told():
    """A fixed time in the gap runs after it under cron, and not at all on AWS; a wild one runs
    twice in the fold, there once."""
    zone = Zone("America/New_York")
    keys = {
        line: [
            warning.key.rpartition(".")[2] for warning in convert(line, SCHEDULER, zone).warnings
        ]
        for line in ("30 2 * * *", "*/20 1 * * *", "0 5 * * *", "30 2 1 * *")
    }
    assert keys == {
        "30 2 * * *": ["missing"],
        "*/20 1 * * *": ["missing"],
        "0 5 * * *": [],
        "30 2 1 * *": [],
    }


# --- brute force

FIRST = date(2026, 1, 1)
LAST = date(2034, 12, 31)
_DAYS = (LAST - FIRST).days + 1
_BEGIN = (FIRST - date(1970, 1, 1)).days


def by_cron(entry: Entry, offset: int) -> dict[int, int]:
    """Minute of the day in UTC -> its days in UTC, a bit each, from the day before the first."""
    found: Counter[int] = Counter()
    days = 0
    for day in range(-1, _DAYS + 1):
        noon = bits_of((_BEGIN + day) * DAY_MIN)
        here = entry.schedule
        fits = here.months & noon.month and (
            (here.days & noon.day and here.weekdays & noon.weekday)
            if here.both
            else (here.days & noon.day or here.weekdays & noon.weekday)
        )
        days |= bool(fits) << day + 1
    for hour in range(24):
        for minute in range(60):
            if here.hours >> hour & 1 and here.minutes >> minute & 1:
                turn, time = divmod(hour * 60 + minute - offset, DAY_MIN)
                found[time] |= days << 1 + turn
    return {time: trimmed(mask) for time, mask in found.items() if trimmed(mask)}


def by_rules(expressions) -> dict[int, int]:
    found: Counter[int] = Counter()
    for text in expressions:
        read = read_expression(text, RULES)
        assert isinstance(read, Cron), (text, read)
        days = sum(read.has_day(_BEGIN + day) << day + 2 for day in range(-1, _DAYS + 1))
        for time in read.minutes_of_day():
            found[time] |= days
    return {time: trimmed(mask) for time, mask in found.items() if trimmed(mask)}


def trimmed(mask: int) -> int:
    """Without the days at both ends that a shift may have brought in from outside."""
    return mask >> 2 & (1 << _DAYS) - 1


def assert_same_minutes(found: Export, zone: Zone) -> None:
    offset = zone.stretch(NOW).offset
    assert by_rules(found.expressions) == by_cron(found.entry, offset), found.entry.when


ZONES = ("Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu", "UTC", "America/Panama")


def random_times(random: Random) -> str:
    def some(low, high, often):
        if random.random() < often:
            return "*"
        shape = random.random()
        if shape < 0.2:
            return f"*/{random.choice((2, 3, 5, 10, 15))}"
        if shape < 0.4:
            first = random.randint(low, high)
            return f"{first}-{random.randint(first, high)}"
        return ",".join(
            str(random.randint(low, high)) for _ in range(random.choice((1, 1, 1, 2, 3)))
        )

    often = (0.05, 0.2, 0.65, 0.85, 0.65)
    spans = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    return " ".join(some(*span, chance) for span, chance in zip(spans, often, strict=True))


def refusals_of(count: int, seed: str) -> Counter[str]:
    random = Random(seed)
    refused: Counter[str] = Counter()
    for number in range(count):
        zone = Zone(ZONES[number % len(ZONES)])
        found = convert(random_times(random), zone=zone)
        if found.refused is not None:
            refused[found.refused.key] += 1
        else:
            assert_same_minutes(found, zone)
    return refused


def test_random_entries_have_the_same_minutes_for_nine_years():
    """A slice of the four hundred."""
    assert sum(refusals_of(40, "slice").values()) < 8


@pytest.mark.prove
def test_four_hundred_random_entries_have_the_same_minutes_for_nine_years():
    refused = refusals_of(400, "prove")
    print(f"{400 - sum(refused.values())} of 400 exact; refused: {dict(refused)}")
    assert sum(refused.values()) < 40
    assert not set(refused) - {
        "jobs.export.both",
        "jobs.export.weekday_and_month",
        "jobs.export.never",
    }
