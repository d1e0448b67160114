"""The engine says of every crontab what Debian's own cron does with it, minute by minute.

One deviation is meant: what cron runs twice or three times in the minute after a gap is due there
once (``model/crontab/zones.py``).
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kirikae.jobs.tables import jobs_of
from kirikae.jobs.wrapping import Manner, wrapped
from kirikae.model.crontab.table import Entry, Table, read_table
from kirikae.model.crontab.zones import Zone
from tests.oracle.crontabs import BROKEN, LEGAL, ODD, Author
from tests.oracle.debian_cron import File, Heard, Started, missing, run

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

_DAY = 1440


@dataclass(frozen=True, slots=True)
class Window:
    """``begin``: on the wall of this zone."""

    zone: str
    begin: str
    minutes: int = 2 * _DAY

    @property
    def first(self) -> int:
        """The minute of UTC at which cron is started: it looks at those after it."""
        wall = datetime.fromisoformat(self.begin).replace(tzinfo=ZoneInfo(self.zone))
        return int(wall.timestamp()) // 60


NEW_YORK_SPRING = Window("America/New_York", "2026-03-07T12:00")
WINDOWS = (
    NEW_YORK_SPRING,
    Window("America/New_York", "2026-10-31T12:00"),
    Window("Australia/Lord_Howe", "2026-04-04T12:00"),
    Window("Australia/Lord_Howe", "2026-10-03T12:00"),
    Window("America/Havana", "2026-03-07T12:00"),
    Window("America/Havana", "2026-10-31T12:00"),
    Window("Europe/London", "2027-03-27T12:00"),
    Window("Africa/Cairo", "2026-04-23T12:00"),
    Window("Africa/Cairo", "2026-10-29T12:00"),
    Window("America/Sao_Paulo", "2018-02-17T12:00"),  # midnight comes twice,
    Window("America/Sao_Paulo", "2018-11-03T12:00"),  # and not at all
    Window("Pacific/Apia", "2011-12-29T12:00"),  # a whole day is left out
    Window("Asia/Tokyo", "2026-12-31T01:00"),
    Window("Asia/Kathmandu", "2028-02-28T20:00"),
    Window("UTC", "2027-02-27T00:00"),
)


@dataclass(frozen=True, slots=True)
class Firing:
    """One job in one minute of UTC, as the shell gets it."""

    at: str
    minute: int
    shell: str
    command: str
    stdin: str


def crontabs(count: int, seed: str) -> dict[str, File]:
    """As many legal ones as odd ones as broken ones; half of them of the system."""
    found: dict[str, File] = {}
    for number in range(count):
        name = f"f{number:03}"
        habits = (LEGAL, ODD, BROKEN)[number % 3]
        system = number % 2 == 0
        author = Author(f"{seed}-{number}", habits, system)
        found[name] = File(author.file(name), system)
    return found


def by_cron(heard: Heard) -> Counter[Firing]:
    return Counter(
        Firing(
            started.variables["AT"],
            started.at // 60,
            started.shell,
            started.command,
            started.stdin,
        )
        for started in heard.started
    )


def by_engine(tables: Mapping[str, Table], window: Window) -> set[Firing]:
    zone = Zone(window.zone)
    return {
        Firing(
            entry.variables["AT"],
            minute,
            entry.variables.get("SHELL", "/bin/sh"),
            entry.command,
            entry.stdin or "",
        )
        for table in tables.values()
        for entry in table.entries
        for minute in _minutes(entry, zone, window)
    }


def _minutes(entry: Entry, zone: Zone, window: Window) -> Iterator[int]:
    if entry.schedule is None:
        yield window.first
        return
    yield from zone.dues(entry.schedule, window.first + 1, window.first + window.minutes + 1)


def _variables_that_differ(
    tables: Mapping[str, Table], started: tuple[Started, ...]
) -> list[tuple[str, str]]:
    """(which entry, which variable) does not reach its job as the engine says."""
    entries = {entry.variables["AT"]: entry for table in tables.values() for entry in table.entries}
    return [
        (job.variables["AT"], name)
        for job in started
        for name, value in entries[job.variables["AT"]].variables.items()
        if name != "LOGNAME" and job.variables.get(name) != value
    ]


def assert_agree(root: Path, files: Mapping[str, File], window: Window) -> int:
    """How many firings they agree on."""
    heard = run(root, files, window.zone, window.first * 60, window.minutes)
    tables = {
        name: read_table(file.text, with_user=file.system, users={"root"})
        for name, file in files.items()
    }
    assert heard.ignored == {name for name, table in tables.items() if table.ignored}
    ran = by_cron(heard)
    expected = by_engine(tables, window)
    assert set(ran) - expected == set(), "cron ran what the engine does not know of"
    assert expected - set(ran) == set(), "the engine knows what cron did not run"
    assert _variables_that_differ(tables, heard.started) == []
    assert_doubles_only_after_a_gap(ran, window)
    return len(expected)


def assert_doubles_only_after_a_gap(ran: Counter[Firing], window: Window) -> None:
    zone = Zone(window.zone)
    for firing, times in ran.items():
        stretch = zone.stretch(firing.minute)
        assert times == 1 or (stretch.gap and firing.minute == stretch.begin), firing


def test_a_slice_of_random_crontabs_runs_as_in_debians_cron(tmp_path: Path) -> None:
    """Twelve crontabs, from noon to noon over the night in which New York's clock jumps."""
    window = Window("America/New_York", NEW_YORK_SPRING.begin, _DAY)
    assert assert_agree(tmp_path, crontabs(12, "slice"), window) > 100


@pytest.mark.prove
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window.zone}-{window.begin}")
def test_random_crontabs_run_as_in_debians_cron(tmp_path: Path, window: Window) -> None:
    """200 crontabs, each over two days in each of these zones and times of the year."""
    assert assert_agree(tmp_path, crontabs(200, "prove"), window) > 1000


def test_a_wrapped_crontab_gives_its_shell_the_same(tmp_path: Path) -> None:
    """Real cron takes a file with the guard in it, at the same minutes, and the guard's last word
    is the command as cron gave it before."""
    window = Window("Asia/Tokyo", "2026-12-31T22:00", 240)
    files = crontabs(24, "wrap")
    guarded = {name: _wrapped(name, file) for name, file in files.items()}
    former = run(tmp_path / "former", files, window.zone, window.first * 60, window.minutes)
    found = run(tmp_path / "guarded", guarded, window.zone, window.first * 60, window.minutes)
    assert former.ignored == found.ignored
    assert Counter(map(_given, former.started)) == Counter(map(_given, found.started))
    assert any("kirikae-guard" in job.command for job in found.started)


def _wrapped(name: str, file: File) -> File:
    table = read_table(file.text, with_user=file.system, users={"root"})
    jobs = jobs_of(table, file.text, name, Zone("Asia/Tokyo"))
    return File(wrapped(file.text, table, jobs, Manner()).after, file.system)


def _given(job: Started) -> tuple[object, ...]:
    guarded = "kirikae-guard" in job.command
    command = shlex.split(job.command)[-1] if guarded else job.command
    return (job.variables["AT"], job.at // 60, job.shell, command, job.stdin)
