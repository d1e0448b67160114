"""The semantics of schedules and policies in forms of another kind than the tables have, against
models that are written here a second time, as simply as can be."""

from __future__ import annotations

import itertools
import random
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kirikae.jobs.job import CatchUp, OnCrash, Overlap, Owner, Policy, State
from kirikae.jobs.ledger import Claim, Ending, Hold, Ledger, Mark, Refused, Wanted, Why
from kirikae.jobs.scheduling import Moment, plan
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.model.crontab.aws import Service, dues, read_expression
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import read_entry, split_percent
from kirikae.model.crontab.zones import Zone
from kirikae.model.said import Said
from tests.contract.test_ledger import Clock
from tests.unit.test_jobs_scheduler import NOON, jobs

# --- daylight saving: other zones, other lengths, other hours

CHANGES = [
    ("Australia/Lord_Howe", "2026-10-03T15:30", 30),
    ("Australia/Lord_Howe", "2026-04-04T15:00", -30),
    ("America/Havana", "2026-03-08T05:00", 60),
    ("America/Havana", "2026-11-01T05:00", -60),
    ("Africa/Cairo", "2026-04-23T22:00", 60),
    ("Asia/Beirut", "2026-03-28T22:00", 60),
    ("Pacific/Chatham", "2026-09-26T14:00", 60),
    ("Pacific/Chatham", "2026-04-04T14:00", -60),
    ("Antarctica/Troll", "2026-03-29T01:00", 120),
    ("Antarctica/Troll", "2026-10-25T01:00", -120),
    ("America/St_Johns", "2026-03-08T05:30", 60),
    ("Africa/Casablanca", "2026-02-15T02:00", -60),
]
"""Zone, the first minute (UTC) of the other offset, how far the wall clock jumps."""


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() // 60)


def wall(zone: ZoneInfo, at: int) -> datetime:
    return datetime.fromtimestamp(at * 60, zone).replace(tzinfo=None)


def a_field(chance: random.Random, low: int, high: int) -> str:
    """No step, no name: nothing that the reader is asked about here."""
    if chance.random() < 0.35:
        return "*"
    chosen = {chance.randint(low, high) for _ in range(chance.randint(1, 4))}
    return ",".join(map(str, sorted(chosen)))


def by_hand(zone: ZoneInfo, change: int, jump: int, begin: int, end: int, entry: str) -> set[int]:
    """cron(8): a wild entry goes by the wall; a fixed one that the gap left out runs at its end,
    and of minutes that come twice in the first pass."""
    minutes, hours = (
        {int(each) for each in text.split(",")} if text != "*" else None
        for text in entry.split(" ")[:2]
    )
    wild = entry.split(" ")[0] == "*" or entry.split(" ")[1] == "*"

    def fits(at: datetime) -> bool:
        return (minutes is None or at.minute in minutes) and (hours is None or at.hour in hours)

    found = set()
    for at in range(begin, end):
        second_pass = not wild and jump < 0 and change <= at < change - jump
        if fits(wall(zone, at)) and not second_pass:
            found.add(at)
    if not wild and jump > 0:
        here = wall(zone, change)
        if any(fits(here - timedelta(minutes=ago)) for ago in range(1, jump + 1)):
            found.add(change)
    return found


@pytest.mark.parametrize(("name", "at", "jump"), CHANGES)
def test_daylight_saving_of_every_kind(name, at, jump):
    """Half an hour, two hours, at midnight, at a quarter to three: sixty entries around each."""
    zone = ZoneInfo(name)
    change = minute(at)
    before, after = wall(zone, change - 1), wall(zone, change)
    assert (after - before) == timedelta(minutes=1 + jump), (name, before, after)
    begin, end = change - 600, change + 600
    chance = random.Random(f"{name} {at}")
    for _ in range(60):
        entry = f"{a_field(chance, 0, 59)} {a_field(chance, 0, 23)} * * *"
        read = read_entry(f"{entry} x", Dialect.DEBIAN, with_user=False)
        assert not isinstance(read, Said) and read.schedule is not None
        found = set(Zone(name).dues(read.schedule, begin, end))
        assert found == by_hand(zone, change, jump, begin, end, entry), entry


# --- AWS's days of its own


def last_weekday(year: int, month: int, weekday: int) -> int:
    """``weekday``: 1 is Sunday."""
    days = monthrange(year, month)[1]
    return max(
        d for d in range(1, days + 1) if date(year, month, d).isoweekday() % 7 + 1 == weekday
    )


def nearest(year: int, month: int, day: int) -> int | None:
    """``15W``: the nearest day of Monday to Friday, in the same month."""
    days = monthrange(year, month)[1]
    if day > days:
        return None
    near = sorted(range(1, days + 1), key=lambda d: (abs(d - day), d))
    return next(d for d in near if date(year, month, d).isoweekday() < 6)


def days_of(text: str, year: int, month: int) -> list[int]:
    found = read_expression(f"cron(0 0 {text} {year})", Service.SCHEDULER)
    assert not isinstance(found, Said), found
    begin = minute(f"{year}-{month:02}-01")
    end = begin + monthrange(year, month)[1] * 1440
    return [wall(ZoneInfo("UTC"), at).day for at in dues(found, Zone("UTC"), begin, end)]


@pytest.mark.parametrize("year", [2026, 2027, 2028])
def test_last_nth_and_nearest_days_of_three_years(year):
    """With a leap year among them."""
    for month in range(1, 13):
        days = monthrange(year, month)[1]
        assert days_of("L * ?", year, month) == [days]
        for weekday in range(1, 8):
            assert days_of(f"? * {weekday}L", year, month) == [last_weekday(year, month, weekday)]
            every = [
                d
                for d in range(1, days + 1)
                if date(year, month, d).isoweekday() % 7 + 1 == weekday
            ]
            for nth in range(1, 6):
                wanted = every[nth - 1 : nth]
                assert days_of(f"? * {weekday}#{nth}", year, month) == wanted
        for day in (1, 2, 15, 28, 29, 30, 31):
            found = nearest(year, month, day)
            assert days_of(f"{day}W * ?", year, month) == ([] if found is None else [found]), day


# --- the percent sign


def by_letter(raw: str) -> tuple[str, str | None]:
    """Debian's, letter by letter: a backslash before a backslash or a percent sign is dropped in
    the command, and there such a percent sign does not end it."""
    command = ""
    at = 0
    while at < len(raw) and raw[at] != "%":
        if raw[at] == "\\" and raw[at + 1 : at + 2] in ("\\", "%") and at + 1 < len(raw):
            at += 1
        command += raw[at]
        at += 1
    return command, None if at >= len(raw) else raw[at + 1 :]


def test_percent_signs_and_backslashes_in_any_order():
    """All words of up to six letters out of three."""
    for length in range(1, 7):
        for letters in itertools.product("a\\%", repeat=length):
            raw = "".join(letters)
            command, stdin = split_percent(raw)
            wanted, rest = by_letter(raw)
            assert command == wanted, raw
            assert (stdin is None) is (rest is None), raw


# --- what is made up


@pytest.mark.parametrize("rule", list(CatchUp))
def test_every_rule_with_every_window_and_every_outage(rule):
    """All of the window, its last one, or none; entries of fixed times all of it as cron does; and
    each minute that is not run is written down as missed."""
    for wild, window, away in itertools.product((True, False), (0, 1, 5, 30), (1, 2, 5, 6, 31, 60)):
        times = "* * * * *" if wild else "0-59 0-23 * * *"
        table = jobs(f"# kirikae: id=a catch-up={rule} window={window}m\n{times} x\n")
        found = plan(table, Mark(0, NOON - away), Moment(NOON, NOON), {"a": NOON - 500}).wanted
        run = sorted(each.due - NOON for each in found if not each.missed)
        missed = sorted(each.due - NOON for each in found if each.missed)
        inside = [-ago for ago in range(min(away - 1, window), 0, -1)]
        every = rule is CatchUp.ALL or (rule is CatchUp.AS_CRON and not wild)
        made_up = [] if rule is CatchUp.NONE else inside if every else inside[-1:]
        assert run == [*made_up, 0], (rule, wild, window, away)
        assert sorted([*run, *missed]) == list(range(1 - away, 1))


# --- overlap and crashes together


def outcome(ledger: Ledger, clock: Clock, policy: Policy, crashes: bool) -> tuple[object, State]:
    """Two firings a minute apart; the first one's worker ends well, or dies in the middle.  The
    answer to the second's claim while the first runs, and what became of the first."""
    for n in range(2):
        ledger.admit([Wanted("a", NOON + n, "d", 0, policy)])
        ledger.sent([f for f in ledger.unsent() if f.due == NOON + n])
    first = ledger.claim(Claim("a", NOON, Owner.NEW, "w1", 600, 1, start=True))
    assert not isinstance(first, Refused)
    clock.go(61)
    second = ledger.claim(Claim("a", NOON + 1, Owner.NEW, "w2", 600, 1, start=True))
    if crashes:
        clock.go(601)
        ledger.sweep()
    else:
        ledger.finish(Hold("a", NOON, first.fence), Ending(State.SUCCEEDED, 0))
    stands = ledger.firing("a", NOON)
    assert stands is not None
    return (second.why if isinstance(second, Refused) else "granted"), stands.state


@pytest.mark.parametrize(
    ("overlap", "on_crash", "crashes"), list(itertools.product(Overlap, OnCrash, (False, True)))
)
def test_overlap_and_crash_in_every_combination(tmp_path, overlap, on_crash, crashes):
    """What the later firing is told does not depend on what a crash means, and the other way
    round; nobody runs beside an earlier one but where that is allowed."""
    clock = Clock()
    clock.now = NOON * 60.0
    ledger = sqlite_ledger(tmp_path / "jobs.db", clock)
    ledger.own(["a"], Owner.NEW)
    policy = Policy(on_crash, overlap)
    told, first = outcome(ledger, clock, policy, crashes)
    ledger.close()
    waits = Why.SKIPPED if overlap is Overlap.SKIP else Why.OVERLAP
    assert told == ("granted" if overlap is Overlap.ALLOW else waits)
    if not crashes:
        # The later one has asked for its end: "well" that comes after that does not count.
        killed = overlap is Overlap.KILL_OLD
        assert first is (State.FAILED if killed else State.SUCCEEDED)
    elif on_crash is OnCrash.RERUN and overlap is not Overlap.KILL_OLD:
        assert first is State.ADMITTED
    else:
        assert first in (State.LOST, State.FAILED)
