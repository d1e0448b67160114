"""The crontab engine beside cronsim and croniter, in the same run.

Goals: load 100,000 lines in at most 3 s; the due set of 100,000 entries at most 50 ms at the 99th
percentile; at least 100,000 times ``next`` a second in UTC and 30,000 in a zone with daylight
saving.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from croniter import croniter
from cronsim import CronSim

from bench import result
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import Entry, read_entry, read_table
from kirikae.model.crontab.zones import Zone, minute_of

ENTRIES = 100_000
MINUTES = 60
PEERS_ENTRIES = 2_000
NEXTS = 20_000
BEGIN = datetime(2026, 3, 8, tzinfo=UTC)
TIMES = ("*/5 * * * *", "0 * * * *", "30 4 * * *", "0 0 * * 1", "0 0 1 * *", "30 4 1,15 * 5")


def lines(count: int) -> list[str]:
    """A quarter of them each few minutes, as crontabs of a fleet are."""
    rng = random.Random(1)
    found = []
    for _ in range(count):
        if rng.random() < 0.25:
            found.append(f"*/{rng.choice((2, 5, 10, 15, 20, 30))} * * * * true")
        else:
            weekday = rng.choice(("*", "*", "*", "1-5", "0"))
            found.append(f"{rng.randrange(60)} {rng.randrange(24)} * * {weekday} true")
    return found


def took(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def load() -> list[Entry]:
    text = "\n".join(lines(ENTRIES)) + "\n"
    began = time.perf_counter()
    table = read_table(text)
    seconds = time.perf_counter() - began
    some = [line.removesuffix(" true") for line in lines(PEERS_ENTRIES)]
    scale = ENTRIES / PEERS_ENTRIES
    sim = scale * took(lambda: [CronSim(each, BEGIN) for each in some])
    iterated = scale * took(lambda: [croniter(each, BEGIN) for each in some])
    result(
        f"load {ENTRIES:,} lines",
        f"{seconds:.2f} s (goal 3); cronsim {sim:.1f} s, croniter {iterated:.1f} s, from "
        f"{PEERS_ENTRIES:,} lines; ratio to cronsim {seconds / sim:.2f}",
    )
    return list(table.entries)


def due_set(entries: list[Entry]) -> None:
    zone = Zone("America/New_York")
    schedules = [entry.schedule for entry in entries if entry.schedule is not None]
    spent = []
    for minute in range(minute_of(BEGIN), minute_of(BEGIN) + 24 * 60, 24 * 60 // MINUTES):
        began = time.perf_counter()
        zone.moment(minute).select(schedules)
        spent.append(1000 * (time.perf_counter() - began))
    spent.sort()
    some = [line.removesuffix(" true") for line in lines(PEERS_ENTRIES)]
    matched = took(lambda: [croniter.match(each, BEGIN) for each in some])
    peer = 1000 * matched * ENTRIES / PEERS_ENTRIES
    result(
        f"due set of {ENTRIES:,} entries",
        f"median {spent[len(spent) // 2]:.0f} ms, p99 {spent[-1]:.0f} ms of {len(spent)} minutes "
        f"(goal 50); croniter.match {peer:,.0f} ms; ratio {spent[-1] / peer:.4f}",
    )


def nexts() -> None:
    for name in ("UTC", "America/New_York"):
        zone = Zone(name)
        ours, theirs = [], []
        for times in TIMES:
            found = read_entry(f"{times} true", Dialect.DEBIAN, False)
            assert isinstance(found, Entry) and found.schedule is not None
            ours.append(_rate(zone, found))
            theirs.append(_peer_rate(times, zone))
        ratio = min(mine / peer for mine, peer in zip(ours, theirs, strict=True))
        goal = 100_000 if name == "UTC" else 30_000
        result(
            f"next in {name}",
            f"{min(ours):,.0f} to {max(ours):,.0f} a second (goal {goal:,}); cronsim "
            f"{min(theirs):,.0f} to {max(theirs):,.0f}; least ratio {ratio:.1f}",
        )


def _rate(zone: Zone, entry: Entry) -> float:
    schedule = entry.schedule
    assert schedule is not None
    minute = minute_of(BEGIN)
    count = 0
    began = time.perf_counter()
    while count < NEXTS:
        following = zone.following(schedule, minute)
        # Some entries run once a month: begin anew before the century ends.
        minute = minute_of(BEGIN) if following is None or count % 500 == 0 else following
        count += 1
    return count / (time.perf_counter() - began)


def _peer_rate(times: str, zone: Zone) -> float:
    begin = BEGIN.astimezone(zone.info)
    sim = CronSim(times, begin)
    began = time.perf_counter()
    for count in range(NEXTS // 10):
        if count % 500 == 0:
            sim = CronSim(times, begin + timedelta(minutes=count))
        next(sim)
    return NEXTS / 10 / (time.perf_counter() - began)


if __name__ == "__main__":
    due_set(load())
    nexts()
