"""What is told while it lasts: a firing that nobody begins, a run that goes on, an error in its
output; each once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kirikae.console.jobs_work import _notice, _see
from kirikae.jobs.job import Firing, Job, Owner, State
from kirikae.jobs.notices import Event, Notice
from kirikae.jobs.runner import Ended
from kirikae.jobs.watching import Seen, next_due, not_begun, seen, windows
from tests.pace import eventually
from tests.unit.test_jobs_scheduler import NOON, jobs
from tests.unit.test_jobs_scheduler import place as scheduling
from tests.unit.test_jobs_worker import Place, place

__all__ = ["place", "scheduling"]
JOB = Job("a", "tab:2", "debian", "*/10 * * * *", "Asia/Tokyo", "true")
FIRING = Firing("a", NOON, Owner.NEW, State.SENT, NOON * 60.0)
AT = NOON * 60.0


@pytest.mark.parametrize(
    ("change", "after_s", "told"),
    [
        ({}, 299, False),
        ({}, 301, True),
        ({}, 470, True),
        ({}, 490, False),
        ({"state": State.ADMITTED}, 301, True),
        ({"state": State.RUNNING}, 301, False),
        ({"state": State.MISSED}, 301, False),
        ({"side": Owner.OLD, "state": State.RECORDED}, 301, False),
        ({"attempt": 2}, 301, False),
        ({"not_before": AT + 200}, 301, False),
        ({"job": "gone"}, 301, False),
    ],
)
def test_a_firing_that_nobody_begins_is_told(change, after_s, told):
    row = replace(FIRING, **change)
    assert [*not_begun([row], {"a": JOB}, AT + after_s)] == ([row] if told else [])
    [(begin, end)] = windows([JOB], NOON + after_s // 60)
    assert not told or begin <= NOON < end


def test_a_patient_job_does_not_make_the_others_rows_be_read_by_the_week():
    patient = replace(JOB, late_s=7 * 86_400.0)
    found = windows([JOB, patient, JOB], NOON)
    assert len(found) == 2 and all(end - begin < 10 for begin, end in found)


@pytest.mark.parametrize(
    ("settings", "run", "told"),
    [
        ({}, {}, []),
        ({}, {"started": AT + 400, "now": AT + 401}, [Event.LATE]),
        ({"late_s": 600.0}, {"started": AT + 400, "now": AT + 401}, []),
        ({}, {"now": AT + 600, "next_due": AT + 600}, [Event.OVERRUN]),
        ({}, {"now": AT + 599, "next_due": AT + 600}, []),
        ({"overrun_s": 30.0}, {"now": AT + 32}, [Event.OVERRUN]),
        ({"overrun_s": 3600.0}, {"now": AT + 700, "next_due": AT + 600}, []),
        ({}, {"matched": ("FATAL x",), "matches": 3}, [Event.STDERR]),
    ],
)
def test_what_is_told_of_a_run_that_goes_on(settings, run, told):
    what = {"started": AT + 1, "now": AT + 2, **run}
    found = [*seen(Seen(replace(JOB, **settings), FIRING, **what))]
    assert [each.event for each in found] == told


def test_the_next_due_minute_is_the_schedule_s_own():
    """In the zone of the job; a message of sqsjkr has none."""
    assert next_due(JOB, FIRING) == (NOON + 10) * 60.0
    daily = replace(JOB, when="0 0 * * *")
    assert next_due(daily, FIRING) == (NOON // 1440 * 1440 + 900) * 60.0 + 86_400 * (
        NOON % 1440 >= 900
    )
    assert next_due(replace(JOB, dialect="message"), FIRING) is None
    assert next_due(replace(JOB, zone="Nowhere/At_all"), FIRING) is None


def test_one_of_two_schedulers_tells_that_nobody_begins(scheduling):
    """Once, and again for the next firing."""
    machines = [scheduling.machine(jobs("# kirikae: id=a\n*/5 * * * * x\n")) for _ in range(2)]
    for _ in range(12):
        for machine in machines:
            machine.look()
        scheduling.clock.go(60)
    told = [firing.due - NOON for each in machines for says, firing in each.told if says == "late"]
    assert sorted(told) == [0, 5]
    assert machines[0].scheduler.counts.late + machines[1].scheduler.counts.late == len(told)


class Chat:
    """A teller that keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def tell(self, notice: Notice, events: tuple[str, ...], now: float) -> None:
        self.notices.append(notice)

    def events(self) -> list[Event]:
        return [each.event for each in self.notices]


def test_an_error_is_told_while_the_job_still_runs_and_not_again_at_its_end(place: Place):
    chat = Chat()
    worker = place.worker()
    worker._hands = replace(worker._hands, see=lambda run: _see(chat, run))  # type: ignore[arg-type]
    settings = "match=FATAL match-in=both"
    place.send("echo FATAL; until [ -e go ]; do sleep 0.05; done; echo x >>effects", settings)
    eventually(lambda: Event.STDERR in chat.events(), "told while it runs")
    assert place.state().state is State.RUNNING and place.effects() == []
    run = worker._under_way()[0]
    (place.folder / "go").touch()
    place.until(State.SUCCEEDED)
    assert chat.events().count(Event.STDERR) == 1
    ended = Ended(0, "", "FATAL", ("FATAL",), 1)
    assert _notice(place.ledger, run, ended, State.SUCCEEDED) is None
