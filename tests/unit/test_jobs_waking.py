"""Guards of a host that was asleep: each made-up minute runs once, as Debian's cron does, and
nothing runs that cron would not have started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kirikae.jobs.job import LIKE_CRON, Firing, Owner, State, read_stamp
from kirikae.jobs.ledger import Claim, Ending, Hold, Ledger, Refused, Wanted, Why
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.waking import claimed_after_sleep
from kirikae.jobs.wire import times_of
from kirikae.model.crontab.fields import Dialect

MIDNIGHT = read_stamp("20260310T0000Z")


class Host:
    """Guards of one host, or of a second; ``start`` answers the minute that it was given."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._started = 0

    def start(self, when: str, at: float, host: str = "vm1", zone: str = "UTC") -> int | Why:
        """``at``: minutes after midnight, by the host's clock."""
        schedule, clock = times_of(when, zone, Dialect.DEBIAN)
        latest = list(clock.dues(schedule, MIDNIGHT - 3000, MIDNIGHT + int(at) + 1))[-1]
        self._started += 1
        holder = f"{host}:{self._started}:{int((MIDNIGHT + at) * 60)}"
        claim = Claim("a", latest, Owner.OLD, holder, admit=LIKE_CRON, start=True)
        found = claimed_after_sleep(self.ledger, claim, schedule, clock)
        again = claimed_after_sleep(self.ledger, claim, schedule, clock)
        assert _plain(again) == _plain(found), "an answer that was lost is asked for again"
        if isinstance(found, Refused):
            return found.why
        self.ledger.finish(Hold("a", found.due, found.fence), Ending(State.SUCCEEDED, 0))
        return found.due - MIDNIGHT


def _plain(found: Firing | Refused) -> object:
    if isinstance(found, Refused):
        return found.why
    return found.due if found.state.over else replace(found, version=0)


@pytest.fixture
def host(tmp_path) -> Iterator[Host]:
    ledger = sqlite_ledger(tmp_path / "jobs.db", lambda: MIDNIGHT * 60.0)
    yield Host(ledger)
    ledger.close()


def test_a_host_that_slept_for_three_minutes_runs_each_of_them(host):
    """Measured on Debian: stepped from 00:10 to 00:13, `* * * * *` runs four times at 00:13."""
    assert host.start("* * * * *", 9) == 9
    woken = [host.start("* * * * *", 13 + n / 6) for n in range(4)]
    assert woken == [13, 12, 11, 10]
    assert host.start("* * * * *", 13.9) is Why.OVER
    assert host.start("* * * * *", 14) == 14


def test_of_fixed_times_three_hours_are_made_up(host):
    """`13 0-3` twice after two hours; the one that ran on time does not run again."""
    assert host.start("13 0-3 * * *", 13) == 13
    assert [host.start("13 0-3 * * *", 140 + n / 6) for n in range(2)] == [133, 73]
    assert host.start("13 0-3 * * *", 141) is Why.OVER


def test_a_wild_entry_is_made_up_for_five_minutes_only(host):
    assert host.start("*/2 * * * *", 0) == 0
    assert host.start("*/2 * * * *", 20) == 20
    assert [host.start("*/2 * * * *", 20.1) for _ in range(3)] == [18, 16, Why.OVER]


def test_a_second_start_by_hand_runs_nothing(host):
    """Nothing slept: the minute before ran on time."""
    assert host.start("* * * * *", 12) == 12
    assert host.start("* * * * *", 13) == 13
    assert host.start("* * * * *", 13.5) is Why.OVER


def test_a_job_that_the_ledger_does_not_know_yet_has_nothing_to_make_up(host):
    """Its earlier minutes were cron's alone."""
    assert host.start("* * * * *", 13) == 13
    assert host.start("* * * * *", 13.5) is Why.OVER


def test_another_host_with_the_same_line_makes_nothing_up(host):
    """Two hosts with one ID are one job."""
    assert host.start("* * * * *", 9) == 9
    assert host.start("* * * * *", 13) == 13
    assert host.start("* * * * *", 13.1, host="vm2") is Why.OVER


def test_a_minute_that_the_new_side_owns_is_not_made_up_by_the_old(host):
    """It was handed over while the host slept."""
    assert host.start("* * * * *", 9) == 9
    host.ledger.own(["a"], Owner.NEW)
    host.ledger.admit([Wanted("a", MIDNIGHT + 11, "digest")])
    host.ledger.own(["a"], Owner.OLD)
    assert [host.start("* * * * *", 13.1) for _ in range(3)] == [13, 12, 10]


def test_a_clock_that_was_put_back_runs_nothing_again(host):
    """cron repeats wild entries after a step back; the ledger knows their minutes."""
    for at in (8, 9, 10):
        assert host.start("* * * * *", at) == at
    assert [host.start("* * * * *", at) for at in (8.1, 9.1, 10.1)] == [Why.OVER] * 3
    assert host.start("* * * * *", 11) == 11


def test_a_host_whose_clock_is_wrong_runs_each_minute_once(host):
    """Ten minutes ahead: whoever comes for the same minute later, by the right time, is refused."""
    assert host.start("* * * * *", 20) == 20
    assert host.start("* * * * *", 20.2, host="vm2") is Why.OVER
    [admitted] = host.ledger.admit([Wanted("a", MIDNIGHT + 20, "digest")])
    assert not admitted.fresh


def test_after_a_gap_cron_starts_an_entry_twice_and_it_runs_once(host):
    """`0 1-4` in New York, 8 March: cron starts it twice at 03:00 (07:00 UTC)."""
    new_york = {"zone": "America/New_York"}
    day = read_stamp("20260308T0000Z") - MIDNIGHT
    one, three = day + 6 * 60, day + 7 * 60
    assert host.start("0 1-4 * * *", one, **new_york) == one
    assert host.start("0 1-4 * * *", three, **new_york) == three
    assert host.start("0 1-4 * * *", three + 0.2, **new_york) is Why.OVER
    assert host.start("0 1-4 * * *", three + 60, **new_york) == three + 60


def test_in_an_hour_that_comes_twice_a_wild_entry_runs_in_both(host):
    """And a fixed one in the first; cron does not start it again."""
    new_york = {"zone": "America/New_York"}
    day = read_stamp("20261101T0000Z") - MIDNIGHT
    first, second = day + 5 * 60 + 30, day + 6 * 60 + 30
    assert host.start("30 * * * *", first, **new_york) == first
    assert host.start("30 * * * *", second, **new_york) == second
