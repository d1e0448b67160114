"""Workers: what becomes of messages, leases and runs.  Rows are those of the fault matrix.

The queue is kirikae local's own, the ledger is the real one; both have the test's clock, so a lease
or a message runs out only when a test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.sqs import Outgoing
from kirikae.jobs import worker as working
from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.job import Firing, Job, Owner, State
from kirikae.jobs.ledger import Claim, Ledger, Wanted
from kirikae.jobs.messages import outgoing
from kirikae.jobs.runner import Ended
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.tables import Jobs, jobs_of
from kirikae.jobs.worker import Hands, Run, Settings, Worker
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.command import run
from tests.contract.test_ledger import Clock
from tests.pace import eventually
from tests.queue_server import QueueServer

NOON = 29_000_000
SETTINGS = Settings(beat_s=0.05, receive_s=0, stop_s=11)


class Away:
    """A ledger that can be out of reach."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away: set[str] = set()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*args: Any, **more: Any) -> Any:
            self.asked.append(name)
            if name in self.away or "all" in self.away:
                raise LedgerAway("away")
            return getattr(self._ledger, name)(*args, **more)

        return ask


class Place:
    """One ledger, one queue with a dead-letter queue, any number of workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.clock.now = NOON * 60.0 + 1
        self.server = QueueServer(folder / "queues.db", self.clock)
        self.queue = self.server.queue(dead="dead.fifo")
        self.dead = self.server.queue("dead.fifo")
        self.ledger = sqlite_ledger(folder / "jobs.db", self.clock)
        self.log = folder / "effects"
        self.told: list[tuple[str, State, Ended]] = []
        self.output: list[str] = []
        self._workers: list[tuple[Worker, threading.Thread]] = []

    def table(self, command: str, settings: str = "", name: str = "a") -> Jobs:
        """``%`` begins the standard input; commands write into ``effects``."""
        text = f"HOME={self.folder}\n# kirikae: id={name} {settings}\n* * * * * {command}\n"
        found = jobs_of(read_table(text), text, "batch", Zone("UTC"))
        self.ledger.define([timed.job for timed in found.timed])
        return found

    def send(self, command: str, settings: str = "", due: int = NOON, name: str = "a") -> Firing:
        """Admitted and sent, as a scheduler does."""
        (timed,) = self.table(command, settings, name).timed
        self.ledger.own([name], Owner.NEW)
        wanted = Wanted(name, due, timed.digest, 0, timed.job.in_ledger)
        (admitted,) = self.ledger.admit([wanted])
        self.send_again()
        return admitted.firing

    def send_again(self) -> None:
        """Whatever no message carries."""
        waiting = self.ledger.unsent()
        self.queue.send([outgoing(firing) for firing in waiting])
        self.ledger.sent(waiting)

    def worker(self, ledger: Ledger | None = None, settings: Settings = SETTINGS) -> Worker:
        hands = Hands(
            tell=lambda run, ended, state: self.told.append((run.firing.id, state, ended)),
            log=lambda firing, stream, line: self.output.append(line),
        )
        worker = Worker(ledger or self.ledger, self.queue, settings, hands)
        self.adopt(worker)
        return worker

    def adopt(self, worker: Worker) -> None:
        """It works until ``stop``."""
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        self._workers.append((worker, thread))

    def stop(self) -> None:
        for worker, thread in self._workers:
            worker.stop()
            thread.join()
        self._workers = []

    def effects(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def state(self, due: int = NOON, job: str = "a") -> Firing:
        found = self.ledger.firing(job, due)
        assert found is not None
        return found

    def until(self, state: State, due: int = NOON, job: str = "a") -> Firing:
        eventually(lambda: self.state(due, job).state is state, lambda: str(self.state(due, job)))
        return self.state(due, job)

    def body(self, command: str, **more: object) -> str:
        """A message that names its command, as sqsjkr's do."""
        return json.dumps({"command": f"{command} >>{self.log}", **more})

    def passes(self, seconds: float) -> bool:
        """Time goes on no faster than workers beat: no lease of a living one runs out."""
        for _ in range(int(seconds / 5)):
            eventually(self._beaten, "all that runs beats")
            self.clock.go(5)
        return True

    def _beaten(self) -> bool:
        live = [each for each in self.ledger.history() if each.state.live]
        return all(each.lease_until >= self.clock.now + 50 for each in live)

    def left(self) -> int:
        """Messages in the queue, in flight or not."""
        told = self.queue.attributes()
        keys = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(told[key]) for key in keys)

    def until_empty(self) -> None:
        eventually(lambda: self.left() == 0, "the queue is empty")

    def close(self) -> None:
        self.server.away = False
        self.stop()
        self.ledger.close()
        self.server.close()


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


def test_a_firing_is_run_written_down_and_acknowledged(place):
    """With its ID, attempt and fence in the environment."""
    place.send("echo $KIRIKAE_FIRING $KIRIKAE_ATTEMPT $KIRIKAE_FENCE; cat%in")
    worker = place.worker()
    done = place.until(State.SUCCEEDED)
    assert done.runs[0].tail.splitlines() == [f"{done.id} 1 1", "in"]
    assert done.exit_code == 0 and done.runs[0].started is not None
    place.until_empty()
    eventually(lambda: worker.as_sqsjkr() == {"idle_worker": 4, "busy_worker": 0}, "it is idle")
    counts = worker.as_sqsjkr_v2()["invocations"]
    assert counts == {"succeeded": 1, "failed": 0, "errored": 0}


def test_a_failure_is_retried_by_its_policy_as_a_new_message(place):
    """The scheduler sends the next attempt when its time has come."""
    place.send("echo x >>effects; exit 3", "retries=1 backoff=30s")
    place.worker()
    place.until(State.ADMITTED)
    place.until_empty()
    place.send_again()
    assert place.left() == 0
    place.clock.go(31)
    place.send_again()
    failed = place.until(State.FAILED)
    assert [run.exit_code for run in failed.runs] == [3, 3] and len(place.effects()) == 2


def test_row_12_a_worker_that_died_before_the_start_is_replaced(place):
    """Its claim runs out; the message comes again; it runs once."""
    firing = place.send("echo x >>effects")
    (message,) = place.queue.receive(1, 0, 60)
    assert isinstance(place.ledger.claim(Claim("a", NOON, Owner.NEW, "dead")), Firing)
    place.clock.go(61)
    place.worker()
    done = place.until(State.SUCCEEDED)
    assert place.effects() == ["x"] and done.attempt == firing.attempt and len(done.runs) == 2
    assert message.times == 1


@pytest.mark.parametrize(("policy", "effects"), [("fail", 0), ("rerun", 1)])
def test_row_12_a_worker_that_died_in_the_middle_is_settled_by_the_policy(place, policy, effects):
    """At most once, or once more; the message never runs it by itself."""
    place.send("echo x >>effects", f"on-crash={policy}")
    place.queue.receive(1, 0, 60)
    place.ledger.claim(Claim("a", NOON, Owner.NEW, "dead", start=True))
    place.clock.go(61)
    place.worker()
    place.until_empty()
    assert place.ledger.sweep() == []
    place.send_again()
    place.until(State.LOST if policy == "fail" else State.SUCCEEDED)
    assert len(place.effects()) == effects


def test_row_12_a_worker_that_died_after_the_end_before_the_delete_runs_nothing_again(place):
    """Row 21, too: the ledger says done, so the message is only deleted."""
    place.send("echo x >>effects")
    place.server.refuse_deletes = 1
    worker = place.worker()
    place.until(State.SUCCEEDED)
    eventually(lambda: worker.counts.delete_failed == 1, "the delete failed")
    assert place.left() == 1
    place.clock.go(61)
    place.until_empty()
    assert place.effects() == ["x"]


@pytest.mark.parametrize("policy", ["fail", "rerun"])
def test_row_13_a_worker_that_is_told_to_stop_ends_its_runs_and_says_so(place, policy):
    """SIGTERM to the group; what may run again is there for the next worker at once."""
    place.send(
        "trap 'echo cleaned; exit 9' TERM; echo up; while :; do sleep 0.05; done",
        f"on-crash={policy}",
    )
    place.worker()
    eventually(lambda: "up" in place.output, "it runs")
    place.stop()
    stopped = place.state()
    assert "cleaned" in stopped.runs[0].tail and stopped.runs[0].exit_code == 9
    if policy == "fail":
        assert stopped.state is State.FAILED and place.ledger.unsent() == []
    else:
        assert stopped.state is State.ADMITTED and stopped.attempt == 2
        assert [each.attempt for each in place.ledger.unsent()] == [2]


def test_row_13_what_a_stopping_worker_has_not_started_is_given_back(place):
    """The next worker has it at once."""
    worker = place.worker()
    worker._stopped.set()
    place.stop()
    place.send("echo x >>effects")
    late = Worker(place.ledger, place.queue, SETTINGS)
    late._stopped.set()
    assert late._received(1) == []
    place.worker()
    place.until(State.SUCCEEDED)
    assert place.effects() == ["x"]


def test_row_14_a_worker_whose_lease_is_gone_ends_its_command(place):
    """Its ending does not count; both attempts are shown."""
    place.send("echo up; trap 'exit 1' TERM; while :; do sleep 0.05; done", "on-crash=rerun")
    ledger = Away(place.ledger)
    first = place.worker(ledger)
    eventually(lambda: "up" in place.output, "the first one runs")
    ledger.away = {"heartbeat"}
    eventually(lambda: first.counts.ledger_away > 0, "it cannot beat")
    place.clock.go(61)
    place.ledger.sweep()
    assert place.state().attempt == 2
    ledger.away = set()
    eventually(lambda: first.counts.lease_lost == 1, "its ending does not count")
    found = place.state()
    assert found.state is State.ADMITTED and found.runs[0].reason.startswith("its worker went away")
    assert place.told[0][1] is State.FAILED and place.told[0][2].reason == "its lease was lost"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("allow", {0: State.SUCCEEDED, 1: State.SUCCEEDED}),
        ("skip", {0: State.SUCCEEDED, 1: State.SKIPPED}),
        ("queue-one", {0: State.SUCCEEDED, 1: State.SUCCEEDED}),
        ("kill-old", {0: State.FAILED, 1: State.SUCCEEDED}),
    ],
)
def test_row_15_a_job_longer_than_its_period_is_settled_by_its_rule(place, rule, expected):
    """Every firing has its row."""
    go = place.folder / "go"
    command = f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo x >>effects"
    place.send(command, f"overlap={rule}")
    place.worker()
    eventually(lambda: place.output == ["up"], "the first one runs")
    place.passes(60)
    place.send(command, f"overlap={rule}", due=NOON + 1)
    place.passes(5)
    if rule == "allow":
        eventually(lambda: place.output == ["up", "up"], "both run")
    if rule == "kill-old":
        place.until(State.FAILED)
        eventually(lambda: place.passes(5) and place.output == ["up", "up"], "the later one runs")
    go.touch()
    place.until(expected[0])
    eventually(lambda: place.passes(5) and place.state(NOON + 1).state is expected[1], "the other")
    assert len(place.effects()) == list(expected.values()).count(State.SUCCEEDED)


def test_row_16_a_run_longer_than_a_message_can_be_held_goes_on_by_its_lease(place):
    """Acknowledged early; nobody gets it again."""
    go = place.folder / "go"
    place.send(f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo x >>effects")
    worker = place.worker(settings=Settings(beat_s=0.05, receive_s=0, held_s=0))
    eventually(lambda: "up" in place.output, "it runs")
    place.until_empty()
    assert place.state().state is State.RUNNING
    other = place.worker()
    go.touch()
    place.until(State.SUCCEEDED)
    assert place.effects() == ["x"] and other.counts.started == 0 and worker.counts.started == 1


@pytest.mark.parametrize("body", ["no json", "[]", '{"command": ""}', '{"firing": "x"}', "{}"])
def test_row_17_poison_goes_to_the_dead_letter_queue_and_its_group_goes_on(place, body):
    """After three receives; other groups never wait."""
    place.queue.send([Outgoing(body, "g", "1")])
    place.queue.send([Outgoing(place.body("echo after"), "g", "2")])
    place.worker()
    eventually(lambda: place.effects() == ["after"], "the next one of its group runs")
    told = eventually(lambda: place.dead.receive(10, 0, 30), "the poison is in the other queue")
    assert [each.body for each in told] == [body]


def test_row_19_without_the_ledger_nothing_is_run(place):
    """Fail closed: the message comes again."""
    place.send("echo x >>effects")
    ledger = Away(place.ledger)
    ledger.away = {"all"}
    worker = place.worker(ledger)
    eventually(lambda: worker.counts.ledger_away > 0, "it asked")
    assert place.effects() == [] and place.left() == 1
    ledger.away = set()
    eventually(lambda: place.passes(5) and place.effects() == ["x"], "it runs afterwards")


def test_row_19_a_message_is_no_poison_because_the_ledger_is_away_for_long(place, monkeypatch):
    """It is kept, not given back: three receives would make it a dead letter."""
    monkeypatch.setattr(working, "_PAUSE_S", 0.05)
    place.send("echo x >>effects")
    ledger = Away(place.ledger)
    ledger.away = {"all"}
    worker = place.worker(ledger)
    for _ in range(8):
        asked = worker.counts.ledger_away
        eventually(lambda at=asked: worker.counts.ledger_away > at + 1, "it asks and holds again")
        place.clock.go(50)
    assert worker.counts.received == 1 and worker.counts.poison == 0
    ledger.away = set()
    eventually(lambda: place.passes(5) and place.effects() == ["x"], "it runs afterwards")
    assert place.dead.receive(1, 0, 30) == []


def test_row_19_a_job_may_say_that_it_runs_without_the_ledger(place):
    """Fail open: only the queue stands against a second run; written down when it is back."""
    table = place.table("echo x >>effects", "ledger-away=run")
    place.send("echo x >>effects", "ledger-away=run")
    ledger = Away(place.ledger)
    ledger.away = {"all"}
    worker = place.worker(ledger)
    worker.knows([timed.job for timed in table.timed])
    eventually(lambda: place.passes(5) and place.effects() == ["x"], "it runs")
    place.until_empty()
    assert place.state().state is State.SENT
    ledger.away = set()
    place.until(State.SUCCEEDED)
    assert place.effects() == ["x"]


def test_row_20_a_message_that_comes_twice_while_it_runs_is_left(place):
    """The second worker sees a live lease and asks later."""
    go = place.folder / "go"
    firing = place.send(f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo x >>effects")
    place.worker()
    eventually(lambda: "up" in place.output, "it runs")
    place.queue.send([Outgoing(outgoing(firing).body, "another-group", "another-id")])
    other = place.worker()
    eventually(lambda: other.counts.refused or place._workers[0][0].counts.refused, "refused")
    go.touch()
    place.until(State.SUCCEEDED)
    eventually(lambda: place.passes(5) and place.left() == 0, "both messages are gone")
    assert place.effects() == ["x"]


def test_messages_of_sqsjkr_are_understood(place):
    """Environment, lock and life time; the same event is run once."""
    body = place.body("echo $A", envs={"A": "b"}, event_id="e1")
    for n in range(2):
        place.queue.send([Outgoing(body, f"g{n}", str(n))])
    place.queue.send([Outgoing(place.body("echo late", life_time="30s"), "late", "late")])
    place.clock.go(40)
    place.worker()
    eventually(lambda: place.passes(5) and place.left() == 0, "the queue is empty")
    assert place.effects() == ["b"]


def test_messages_of_sqsjfr_are_understood(place):
    """Two schedulers with different bodies of one firing run it once."""
    body = place.body("echo x", invoked_at=NOON * 60, entry_id=0, envs={})
    place.queue.send([Outgoing(body, "sqsjfr", "1")])
    place.queue.send([Outgoing(f"{body} ", "sqsjfr", "2")])
    place.worker()
    eventually(lambda: place.passes(5) and place.left() == 0, "the queue is empty")
    assert place.effects() == ["x"]


def test_a_command_that_cannot_be_started_is_said_to_be_so(place):
    """Neither succeeded nor lost."""
    text = "SHELL=/no/shell\n# kirikae: id=a\n* * * * * true\n"
    (timed,) = jobs_of(read_table(text), text, "b", Zone("UTC")).timed
    place.ledger.define([timed.job])
    place.ledger.own(["a"], Owner.NEW)
    place.ledger.admit([Wanted("a", NOON, timed.digest)])
    place.send_again()
    place.worker()
    found = place.until(State.NOT_STARTED)
    assert "/no/shell" in found.reason


def test_a_lost_answer_of_the_ledger_ends_once(place):
    """Claim and finish are asked again."""
    place.send("echo x >>effects")
    ledger = Away(place.ledger)
    ledger.away = {"finish"}
    worker = place.worker(ledger)
    eventually(lambda: worker.counts.ledger_away > 0, "it asked")
    ledger.away = set()
    place.until(State.SUCCEEDED)
    assert place.effects() == ["x"]


def test_every_line_is_heard_and_matches_are_told(place):
    """For the log, and for whoever is to be told."""
    place.send("echo out; echo 'FATAL: no' >&2", "match=FATAL")
    place.worker()
    place.until(State.SUCCEEDED)
    eventually(lambda: place.told, "it is told")
    assert sorted(place.output) == ["FATAL: no", "out"]
    assert place.told[0][2].matched == ("FATAL: no",)


def own_task_job() -> Job:
    return Job("a", "c:1", "debian", "* * * * *", "UTC", "true")


def test_a_run_knows_whether_somebody_else_would_begin_it(place):
    """Then it must not outlive its lease."""
    firing = place.send("true", "on-crash=rerun")
    message = place.queue.receive(1, 0, 30)[0]
    (timed,) = place.table("true", "on-crash=rerun").timed
    run = Run(message, firing, timed.job, None, 0, 0)
    assert run.may_run_elsewhere
    assert not Run(message, firing, own_task_job(), None, 0, 0).may_run_elsewhere


@pytest.mark.parametrize(
    ("given", "missing"), [("--cluster", "--task-definition"), ("--task-definition", "--cluster")]
)
def test_tasks_of_their_own_need_a_cluster_and_a_definition(given, missing):
    """With one of them every such job would be refused, one by one."""
    ran = run("jobs", "worker", "--queue", "q", "--ledger", "dynamodb://t", given, "x", "--dry-run")
    assert ran.exit_code == 2 and f"need {missing}, too" in ran.stderr
