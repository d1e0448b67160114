"""Schedulers: what they admit and send, through outages, pauses, clocks and other schedulers.

Rows are those of the fault matrix (docs/explanation/jobs.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import formatdate
from typing import Any

import pytest

from kirikae.aws.clock import ServerClock
from kirikae.aws.errors import NotThere
from kirikae.aws.sqs import Queue, queue_named
from kirikae.jobs.errors import NoTable
from kirikae.jobs.job import CatchUp, Firing, Owner, State
from kirikae.jobs.ledger import Ledger, Mark
from kirikae.jobs.scheduler import Clocks, Scheduler, asked_anew
from kirikae.jobs.scheduling import Moment, plan
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.tables import Jobs, jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.contract.test_ledger import Clock
from tests.queue_server import QueueServer

NOON = 29_000_000
"""A minute of UTC; 2025-02-20T21:20Z."""
EVERY = "# kirikae: id=every\n* * * * * every\n"
FIXED = "# kirikae: id=fixed\n0-59 0-23 * * * fixed\n"


def jobs(text: str = EVERY, name: str = "batch", zone: str = "UTC") -> Jobs:
    return jobs_of(read_table(text), text, name, Zone(zone))


class Machine:
    """A scheduler on a machine with a clock of its own.  ``table``: what its next look reads."""

    def __init__(self, place: Place, table: Jobs, **more: Any) -> None:
        self.told: list[tuple[str, Firing | None]] = []
        self.table: list[Jobs | Exception] = [table]
        self.ahead_s = 0.0
        clocks = Clocks(lambda: place.clock.now + self.ahead_s, place.clock)
        self.scheduler = Scheduler(
            self._load, place.ledger, place.queue, clocks, self._tell, **more
        )

    def _tell(self, says: str, firing: Firing | None) -> None:
        self.told.append((says, firing))

    def _load(self) -> Jobs | None:
        found = self.table.pop() if self.table else None
        if isinstance(found, Exception):
            raise found
        return found

    def look(self) -> Machine:
        self.scheduler.look()
        return self


class Place:
    """One ledger, one queue, one true time; any number of schedulers."""

    def __init__(self, ledger: Ledger, queue: Queue, server: QueueServer, clock: Clock) -> None:
        self.ledger = ledger
        self.queue = queue
        self.server = server
        self.clock = clock

    def machine(self, table: Jobs | None = None, **more: Any) -> Machine:
        own = jobs() if table is None else table
        self.ledger.own(own.ids, Owner.NEW, only_new=True)
        return Machine(self, own, **more)

    def sent(self) -> list[str]:
        """What the queue delivers, in order, each deleted."""
        found = []
        while received := self.queue.receive(10, 0, 30):
            for message in received:
                found.append(message.body)
                self.queue.delete(message.receipt)
        return found

    def states(self, job: str = "every") -> dict[int, State]:
        return {each.due - NOON: each.state for each in self.ledger.history(job, most=5000)}


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    clock = Clock()
    clock.now = NOON * 60.0
    server = QueueServer(tmp_path / "queues.db", clock)
    ledger = sqlite_ledger(tmp_path / "jobs.db", clock)
    yield Place(ledger, server.queue(), server, clock)
    ledger.close()
    server.close()


def test_row_1_of_three_schedulers_one_admits_and_one_message_is_delivered(place):
    """The others count what they would have done."""
    machines = [place.machine().look() for _ in range(3)]
    assert len(place.sent()) == 1
    counts = [machine.scheduler.counts for machine in machines]
    assert sum(each.admitted for each in counts) == 1 and sum(each.deduped for each in counts) == 2


@pytest.mark.parametrize("late_s", [20, 240, 360, 10800])
def test_row_2_a_scheduler_that_comes_later_sends_nothing_twice(place, late_s):
    """Also when SQS has forgotten the de-duplication ID: the ledger has not."""
    table = jobs("20 21 * * * once\n")
    late = place.machine(table)
    late.scheduler._ledger = _Pauses(place.ledger, lambda: _meanwhile(place, table, late_s))
    late.look()
    assert place.sent() == [] and late.scheduler.counts.deduped == 1


def _meanwhile(place: Place, table: Jobs, late_s: float) -> None:
    """Another scheduler does it, its message is run and gone, and time passes."""
    place.machine(table).look()
    assert len(place.sent()) == 1
    place.clock.go(late_s)


class _Pauses:
    """The scheduler stands still once, after it has looked at its clock."""

    def __init__(self, ledger: Ledger, meanwhile: Callable[[], None]) -> None:
        self._ledger = ledger
        self._meanwhile: Callable[[], None] | None = meanwhile

    def mark(self, table: str) -> Mark | None:
        meanwhile = self._meanwhile
        self._meanwhile = None
        found = self._ledger.mark(table)
        if meanwhile is not None:
            meanwhile()
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


@pytest.mark.parametrize(
    ("rule", "wild", "fixed"),
    [
        ("none", [], []),
        ("last", [2], [2]),
        ("all", [1, 2], [1, 2]),
        ("as-cron", [2], [1, 2]),
    ],
)
def test_row_3_after_three_minutes_without_a_scheduler_each_job_is_made_up_by_its_rule(
    place, rule, wild, fixed
):
    """And each firing says how late it is; what is not made up is missed."""
    text = "".join(each.replace("id=", f"catch-up={rule} id=") for each in (EVERY, FIXED))
    place.machine(jobs(text)).look()
    place.sent()
    place.clock.go(180)
    place.machine(jobs(text)).look()
    for job, made_up in (("every", wild), ("fixed", fixed)):
        states = place.states(job)
        assert [due for due in (1, 2) if states[due] is State.SENT] == made_up, job
        assert {states[due] for due in (1, 2)} <= {State.SENT, State.MISSED}
        assert states[3] is State.SENT
    for due in made_up:
        firing = place.ledger.firing("fixed", NOON + due)
        assert firing is not None and firing.late_by_s == (3 - due) * 60


def test_row_4_outside_the_window_it_is_missed_and_told(place):
    """Three hours: 179 rows, an alarm each, and nothing of them is run but the last."""
    place.machine().look()
    place.sent()
    place.clock.go(3 * 3600)
    late = place.machine().look()
    states = list(place.states().values())
    assert states.count(State.MISSED) == 178 and len(place.sent()) == 2
    assert len([says for says, _ in late.told if says == "missed"]) == 178


def test_row_4_a_wider_window_makes_up_more(place):
    """As the job asks."""
    text = EVERY.replace("id=", "catch-up=all window=4h id=")
    place.machine(jobs(text)).look()
    place.sent()
    place.clock.go(3 * 3600)
    place.machine(jobs(text)).look()
    assert len(place.sent()) == 180


def test_row_5_a_new_entry_is_not_made_up_from_before_it_was_there(place):
    """Its first due minute is the next one."""
    text = EVERY.replace("id=", "catch-up=all window=4h id=")
    place.machine(jobs("# kirikae: id=other\n0 0 1 1 * other\n")).look()
    place.clock.go(3600)
    both = "# kirikae: id=other\n0 0 1 1 * other\n" + text
    place.machine(jobs(both)).look()
    assert list(place.states()) == [60] and len(place.sent()) == 1


def test_row_6_a_scheduler_that_was_stopped_over_two_minutes_admits_both_once(place):
    """Due times come from the schedule, not from the clock at the run."""
    machine = place.machine()
    machine.look()
    place.clock.go(150)
    machine.look().look()
    assert place.states() == {0: State.SENT, 1: State.SENT, 2: State.SENT}
    assert len(place.sent()) == 3


def test_row_7_half_a_minute_of_skew_is_one_run(place):
    """Either way; it is told."""
    machines = [place.machine(), place.machine()]
    machines[0].ahead_s = 30
    machines[1].ahead_s = -30
    for _ in range(130):
        for machine in machines:
            machine.look()
        place.clock.go(1)
    dues = sorted(place.states())
    assert dues == list(range(dues[0], dues[-1] + 1))
    assert len(place.sent()) == len(dues)
    assert any("clock" in says for says, _ in machines[0].told)


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_row_7_ten_minutes_of_skew_and_it_stands_down(place, ahead_s):
    """The other one does the work."""
    wrong = place.machine()
    wrong.ahead_s = ahead_s
    wrong.look()
    assert place.sent() == [] and wrong.scheduler.counts.stood_down
    place.machine().look()
    assert len(place.sent()) == 1


def test_row_7_a_machine_that_slept_asks_what_time_it_is_before_it_stands_down(place):
    """What it heard before is of a clock that slept, too; what it hears now is right."""
    wall = place.clock
    slept_s = 0.0
    heard = ServerClock(wall, lambda: wall.now - slept_s)

    def ask() -> None:
        heard.hear({"date": formatdate(wall.now, usegmt=True)})

    ask()
    machine = place.machine()
    skews = (asked_anew(heard.skew_s, ask),)
    machine.scheduler._clocks = Clocks(wall, lambda: wall.now - slept_s, skews)
    slept_s = 180.0
    place.clock.go(180)
    assert heard.skew_s() == 180
    machine.look()
    assert machine.scheduler.counts.stood_down == 0 and len(place.sent()) == 1


def test_row_8_a_clock_that_is_put_back_admits_nothing_twice(place):
    """Two minutes, lived through again."""
    machine = place.machine()
    for _ in range(3):
        machine.look()
        place.clock.go(60)
    assert len(place.sent()) == 3
    place.clock.go(-120)
    for _ in range(3):
        machine.look()
        place.clock.go(60)
    assert len(place.sent()) == 1 and sorted(place.states()) == [0, 1, 2, 3]


def test_row_8_a_clock_that_jumps_by_more_than_three_hours_makes_nothing_up(place):
    """It was wrong before: no alarm for what never was."""
    machine = place.machine()
    machine.look()
    place.sent()
    wall = 5 * 3600
    steady = place.clock
    machine.scheduler._clocks = Clocks(lambda: place.clock.now, lambda: steady.now - wall)
    place.clock.go(wall)
    machine.look()
    assert sorted(place.states()) == [0, 300] and len(place.sent()) == 1


def minutes(text: str, zone: str, begin: str, hours: int) -> list[str]:
    """What one scheduler admits, as the wall clock of the zone shows it."""
    clock = Zone(zone)
    first = clock.minute_of(datetime.fromisoformat(begin))
    table = jobs(text, zone=zone)
    found = []
    for minute in range(first, first + hours * 60):
        moment = Moment(minute, first)
        wanted = plan(table, Mark(0, minute - 1), moment, {}).wanted
        found += [f"{clock.wall(each.due):%H:%M}" for each in wanted]
    return found


@pytest.mark.parametrize(
    ("entry", "spring", "autumn"),
    [
        ("30 2 * * *", ["03:00"], ["02:30"]),
        ("*/30 2 * * *", [], ["02:00", "02:30"]),
        ("0 1-4 * * *", ["01:00", "03:00", "04:00"], ["01:00", "02:00", "03:00", "04:00"]),
        (
            "30 *,1 * * *",
            ["00:30", "01:30", "03:30", "04:30"],
            ["00:30", "01:30", "01:30", "02:30", "03:30", "04:30"],
        ),
    ],
)
def test_row_9_daylight_saving_is_as_cron_does_it(entry, spring, autumn):
    """In the gap at once afterwards if fixed, in the fold twice if wild."""
    text = f"{entry} x\n"
    zone = "America/New_York"
    assert minutes(text, zone, "2026-03-08T00:00", 4) == spring
    assert minutes(text, zone, "2026-11-01T00:00", 6) == autumn


def test_row_10_a_crontab_that_is_edited_during_a_deployment_runs_once(place):
    """The older scheduler and the newer one mean the same job; what was admitted is what runs."""
    old = jobs("* * * * * score\n")
    new = jobs("A=1\n* * * * * score --fast\n")
    place.machine(old).look()
    place.machine(new).look()
    assert len(place.sent()) == 1
    firing = place.ledger.firing(old.ids[0], NOON)
    assert firing is not None and firing.digest == old.timed[0].digest
    assert place.ledger.definition(firing.digest) == old.timed[0].job


def test_row_11_two_identical_lines_are_two_firings(place):
    """sqsjfr makes one of them."""
    place.machine(jobs("* * * * * same\n* * * * * same\n")).look()
    assert len(place.sent()) == 2


@pytest.mark.parametrize("away_s", [30, 600])
def test_row_18_what_the_queue_does_not_take_waits_in_the_ledger(place, away_s):
    """And is sent with the same ID as soon as it takes messages again."""
    machine = place.machine(jobs("20 21 * * * once\n"))
    place.server.away = True
    machine.look()
    firing = place.ledger.history()[0]
    assert firing.state is State.ADMITTED and machine.scheduler.counts.send_failed
    place.clock.go(away_s)
    machine.look()
    place.server.away = False
    machine.look()
    assert len(place.sent()) == 1 and place.ledger.history()[0].state is State.SENT


def test_row_18_beyond_its_deadline_it_is_missed_never_lost(place):
    """Written down, told, and not sent."""
    text = "# kirikae: start-within=5m\n20 21 * * * once\n"
    machine = place.machine(jobs(text))
    place.server.away = True
    machine.look()
    place.clock.go(600)
    place.server.away = False
    machine.look()
    assert place.sent() == [] and place.ledger.history()[0].state is State.MISSED
    assert [says for says, firing in machine.told if firing] == ["missed"]


def test_row_18_an_answer_that_was_lost_is_sent_again_and_delivered_once(place):
    """Sent, killed before it was marked: the next scheduler sends it again under the same ID."""
    table = jobs("20 21 * * * once\n")
    first = place.machine(table)
    first.scheduler._ledger = _Forgets(place.ledger)
    first.look()
    place.machine(table).look()
    assert place.server.calls.count("SendMessageBatch") == 2 and len(place.sent()) == 1


def test_row_18_a_queue_that_is_away_at_the_start_is_found_as_soon_as_it_is_there(place):
    """Firings of the meantime are admitted; a name that no queue has is refused at once."""
    place.server.away = True
    place.queue = queue_named(place.server.aws, "jobs.fifo")
    machine = place.machine(jobs("20 21 * * * once\n")).look()
    assert place.ledger.history()[0].state is State.ADMITTED
    place.server.away = False
    machine.look()
    assert len(place.sent()) == 1
    with pytest.raises(NotThere):
        queue_named(place.server.aws, "other.fifo")


class _Forgets:
    """A ledger that never hears that something was sent."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> object:
        return (lambda firings: None) if name == "sent" else getattr(self._ledger, name)


def test_row_27_the_table_of_the_higher_serial_is_in_force(place):
    """The older scheduler admits nothing any more: its removed job is not run."""
    old = jobs(EVERY + "# kirikae: id=gone\n* * * * * gone\n# kirikae-table: serial=1\n")
    new = jobs(EVERY + "# kirikae-table: serial=2\n")
    machines = [place.machine(old), place.machine(new)]
    machines[1].look()
    machines[0].look()
    assert place.states("gone") == {} and len(place.sent()) == 1
    assert machines[0].scheduler.counts.stale == 1
    machines[0].scheduler._memory.reloaded = -1e9
    machines[0].table = [new]
    place.clock.go(60)
    machines[0].look()
    assert len(place.sent()) == 1 and machines[0].scheduler.counts.stale == 1


def test_row_28_a_job_of_the_old_side_is_recorded_and_not_sent(place):
    """The dry run: what the new side would fire."""
    machine = place.machine()
    place.ledger.own(["every"], Owner.OLD)
    machine.look()
    assert place.sent() == [] and place.states() == {0: State.RECORDED}
    place.ledger.own(["every"], Owner.NEW)
    place.clock.go(60)
    machine.look()
    assert len(place.sent()) == 1 and place.states()[1] is State.SENT


def test_a_bad_table_at_reload_leaves_the_former_one_in_force(place):
    """It is told, and the tick goes on."""
    machine = place.machine()
    machine.look()
    machine.table = [NoTable("nonsense")]
    machine.scheduler._memory.reloaded = -1e9
    place.clock.go(60)
    machine.look()
    assert machine.scheduler.counts.reload_failed == 1 and len(place.sent()) == 2
    assert "former table" in machine.told[0][0]


def test_reboot_runs_once_for_each_release(place):
    """However many schedulers start, and however often."""
    table = jobs("# kirikae: id=start\n@reboot start\n")
    for _ in range(2):
        place.machine(table, release="r1").look()
        place.clock.go(120)
    assert len(place.sent()) == 1
    place.machine(table, release="r2").look()
    assert len(place.sent()) == 1
    place.machine(table).look()
    assert place.sent() == []


def test_what_jobs_of_one_lock_share_is_a_group(place):
    """So the queue itself lets no second one out while the first is held."""
    text = "".join(
        f"# kirikae: id={name} lock=db overlap=queue-one\n* * * * * {name}\n" for name in "ab"
    )
    place.machine(jobs(text)).look()
    (first,) = place.queue.receive(1, 0, 30)
    assert place.queue.receive(10, 0, 30) == []
    place.queue.delete(first.receipt)
    assert len(place.queue.receive(10, 0, 30)) == 1


def test_every_catch_up_rule_is_tried_above():
    """A new one needs a row."""
    assert {str(rule) for rule in CatchUp} == {"none", "last", "all", "as-cron"}


def test_more_missed_firings_than_can_be_listed_are_counted():
    """A hundred jobs, a day: the newest are listed."""
    text = "".join(f"# kirikae: id=j{n}\n* * * * * x\n" for n in range(10))
    table = jobs(text)
    since = dict.fromkeys(table.ids, NOON - 9999)
    found = plan(table, Mark(0, NOON - 5000), Moment(NOON, NOON), since)
    missed = [wanted for wanted in found.wanted if wanted.missed]
    assert len(missed) == 10_000 and found.untold > 0
    assert replace(missed[-1], missed=False).due > NOON - 5000


def test_row_24_many_jobs_of_one_minute_are_all_sent_each_in_a_group_of_its_own(place):
    """None waits for another; benchmarks/jobs.py measures a thousand."""
    text = "".join(f"# kirikae: id=j{n}\n* * * * * x\n" for n in range(200))
    machine = place.machine(jobs(text)).look()
    assert machine.scheduler.counts.sent == 200
    groups = [message.group for _ in range(20) for message in place.queue.receive(10, 0, 30)]
    assert len(groups) == len(set(groups)) == 200
