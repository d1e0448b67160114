"""The fault matrix with real processes, real signals and clocks that a test puts: the rows that
``test_jobs_processes.py``, ``test_jobs_clocks.py`` and the two storms do not hold.

The queue is kirikae local's own; what ran is counted from what the commands wrote.  ECS is scripted
in rows 22 and 23: no single machine has no room, or forgets a task."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from kirikae.aws.sqs import Outgoing
from kirikae.jobs.job import Firing, State
from kirikae.jobs.runner import CUT
from tests.crash.jobs_world import ONCE, Gate, Sleeper, World, skewing_library
from tests.pace import eventually
from tests.unit.test_jobs_own_task import Ecs
from tests.unit.test_jobs_runner import alive

pytestmark = pytest.mark.prove
Worlds = Callable[[str], World]
TEN = "2027-01-12T10:00"
BEFORE_TEN = "2027-01-12T09:59:40"
AT_TEN = f"0 10 * * * {ONCE}"
UNTIL_GO = f"echo $KIRIKAE_FIRING >>ups; while [ ! -e go ]; do sleep 0.1; done; {ONCE}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return skewing_library(tmp_path_factory.mktemp("skew"))


@pytest.fixture
def worlds(tmp_path: Path, library: Path) -> Iterator[Worlds]:
    made: list[World] = []

    def world(begin: str) -> World:
        made.append(World(tmp_path, library, begin))
        return made[-1]

    yield world
    for each in made:
        each.close()


@pytest.mark.parametrize("late_s", [20, 240, 360, 10_800])
def test_row_2_a_scheduler_that_slept_before_it_admitted_sends_nothing_twice(worlds, late_s):
    """It looked at its clock at ten, and was stopped; the other one's message is run and gone when
    it goes on.  The queue has forgotten it after five minutes, the ledger has not."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n{AT_TEN}\n")
    world.worker()
    gate = Gate(world.port)
    late = world.scheduler(port=gate.port)
    world.goes_to(world.minute() * 60 + 60)
    gate.until_held()
    late.stop()
    world.scheduler()
    world.until_state(State.SUCCEEDED, "a")
    world.until_empty()
    world.goes_to(world.now() + late_s)
    gate.open()
    late.go_on()
    gate.until_done()
    world.until_over()
    world.assert_once("a")
    assert late.end()["admitted"] == 0 and world.left() == 0
    gate.close()


def test_row_4_what_was_due_in_three_hours_without_a_scheduler_is_missed_and_told(worlds):
    """All but what lies within five minutes."""
    world = worlds(TEN)
    world.crontab(f"# kirikae: id=a\n* * * * * {ONCE}\n")
    world.worker()
    scheduler = world.scheduler()
    dead = world.minute()
    world.until_admitted(dead)
    world.until_over()
    scheduler.kill()
    world.goes_to((dead + 180) * 60)
    scheduler.start()
    world.until_admitted(dead + 180)
    world.rests()
    states = world.states("a")
    missed = [due for due, state in states.items() if state is State.MISSED]
    assert len(missed) >= 175 and max(missed) < max(states) - 1
    assert sorted(states) == list(range(min(states), max(states) + 1))
    assert len(world.told("scheduler", "missed")) == len(missed)
    assert sum(world.effects().values()) == len(states) - len(missed)


def test_row_5_an_entry_that_is_added_while_nobody_schedules_is_not_made_up(worlds):
    """Killed, an hour, a new line whose window is four hours: it runs from now on."""
    world = worlds(TEN)
    old = f"# kirikae: id=old\n* * * * * {ONCE}\n"
    world.crontab(old)
    world.worker()
    scheduler = world.scheduler()
    world.until_admitted(world.minute())
    scheduler.kill()
    world.crontab(f"{old}# kirikae: id=new catch-up=all window=4h\n* * * * * {ONCE}\n")
    world.goes_to(world.now() + 3600)
    again = world.minute()
    scheduler.start()
    world.until_admitted(again)
    world.lives(1)
    world.rests()
    assert min(world.states("new")) >= again
    world.assert_once("new")


SPRING = {
    "gap": ("30 2 * * *", ["07:00"]),
    "wild": ("*/30 2 * * *", []),
    "hours": ("0 1-4 * * *", ["07:00"]),
    "after": ("1 3 * * *", ["07:01"]),
}
AUTUMN = {
    "first": ("58 1 * * *", ["05:58"]),
    "second": ("1 1 * * *", []),
    "wild": ("*/2 * * * *", ["05:58", "06:00", "06:02"]),
    "hour": ("0 * * * *", ["06:00"]),
}


@pytest.mark.parametrize(
    ("begin", "entries"),
    [("2027-03-14T06:57:01", SPRING), ("2027-11-07T05:57:01", AUTUMN)],
    ids=["spring", "autumn"],
)
def test_row_9_the_night_of_a_change_of_the_clocks_is_as_cron_lives_it(worlds, begin, entries):
    """In New York, six minutes of it, with scheduler and worker killed in the middle."""
    world = worlds(begin)
    jobs = [f"# kirikae: id={job}\n{when} {ONCE}\n" for job, (when, _) in entries.items()]
    world.crontab("".join(jobs))
    worker = world.worker()
    scheduler = world.scheduler("crontab", "--zone", "America/New_York")
    first = world.minute()
    world.until_admitted(first)
    world.lives(3)
    for each in (scheduler, worker):
        each.kill()
        each.start()
    world.lives(2)
    world.rests()
    found = {job: world.at(job, first + 5) for job in entries}
    assert found == {job: at for job, (_, at) in entries.items()}
    for job in entries:
        world.assert_once(job)


def test_row_10_a_crontab_that_is_edited_during_a_deployment_runs_each_minute_once(worlds):
    """Both versions at once, the older one killed: each firing ran what its digest names."""
    world = worlds(TEN)
    older = world.crontab("* * * * * echo $KIRIKAE_FIRING old >>effects\n", "old/crontab")
    newer = world.crontab("A=1\n* * * * * echo $KIRIKAE_FIRING new $A >>effects\n", "new/crontab")
    world.worker()
    old = world.scheduler(older)
    world.until_admitted(world.minute())
    world.until_over()
    world.scheduler(newer, "--offset", "1")
    world.lives(2)
    old.kill()
    world.lives(2)
    world.rests()
    rows = world.rows()
    assert len({each.job for each in rows}) == 1
    assert [each.due for each in rows] == sorted({each.due for each in rows}, reverse=True)
    lines = (world.folder / "effects").read_text().splitlines()
    said = {words[0]: words[1] for words in (line.split() for line in lines)}
    assert len(said) == len(lines) == len(rows) and set(said.values()) == {"old", "new"}
    for each in rows:
        meant = world.ledger.definition(each.digest)
        assert meant is not None and f" {said[each.id]} " in meant.command


def test_row_11_two_identical_lines_are_two_runs_of_each_minute(worlds):
    """Of two schedulers, one of them killed."""
    world = worlds(TEN)
    world.crontab(f"* * * * * {ONCE}\n* * * * * {ONCE}\n")
    world.worker()
    scheduler = world.scheduler()
    world.scheduler("crontab", "--offset", "1")
    world.until_admitted(world.minute())
    world.lives(1)
    scheduler.kill()
    world.lives(1)
    world.rests()
    rows = world.rows()
    one, other = {each.job for each in rows}
    assert set(world.states(one)) == set(world.states(other)) and len(rows) >= 6
    for job in (one, other):
        world.assert_once(job)


def test_row_15_a_job_longer_than_its_period_is_settled_by_its_rule(worlds):
    """The next minute begins while all four run; their scheduler is killed then."""
    rules = ("allow", "skip", "queue-one", "kill-old")
    world = worlds("2027-01-12T10:00:55")
    world.crontab(
        "".join(f"# kirikae: id={rule} overlap={rule}\n* * * * * {UNTIL_GO}\n" for rule in rules)
    )
    scheduler = world.scheduler()
    world.worker("--at-once", "10")
    eventually(lambda: len(world.effects("ups")) >= 4, "all four run", 60)
    one = min(world.states("allow"))
    eventually(lambda: _sent_after(world, one) >= 4, "the next minute's are sent", 90)
    scheduler.kill()
    _, *later = sorted(world.states("kill-old"))
    world.until_state(State.FAILED, "kill-old", one)
    last = f"kill-old@{_stamp(later[-1])}"
    eventually(lambda: world.effects("ups")[last], "the last one runs", 90)
    (world.folder / "go").touch()
    world.until_over()
    found = {rule: world.states(rule) for rule in rules}
    assert set(found["allow"].values()) == {State.SUCCEEDED}
    assert [found["skip"][due] for due in later] == [State.SKIPPED] * len(later)
    assert found["queue-one"][one] is State.SUCCEEDED
    assert found["queue-one"][later[0]] is State.SUCCEEDED
    assert found["kill-old"][later[-1]] is State.SUCCEEDED
    assert max(world.effects().values()) == 1


def _sent_after(world: World, minute: int) -> int:
    return sum(row.due > minute and row.state is not State.ADMITTED for row in world.rows())


def test_row_16_a_run_of_half_a_day_is_acknowledged_before_sqs_forgets_who_has_it(worlds):
    """Eleven hours pass for all of them; then the lease alone holds it, and no other worker gets
    it."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n0 10 * * * {UNTIL_GO}\n")
    scheduler = world.scheduler()
    first = world.worker("--lease", "3600")
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: world.effects("ups"), "it runs", 60)
    scheduler.kill()
    second = world.worker("--lease", "3600")
    eventually(lambda: _acknowledged_later(world), "it is acknowledged", 600, poll_s=0.2)
    assert world.now() - min(world.states("a")) * 60 > 11 * 3600
    assert set(world.states("a").values()) == {State.RUNNING}
    world.passes(600)
    (world.folder / "go").touch()
    world.until_over()
    world.assert_once("a")
    assert [each.end()["started"] for each in (first, second)] == [1, 0]


def _acknowledged_later(world: World) -> bool:
    """Time passes, and slowly where a lease is nearly over: no beat is left out."""
    [running] = world.rows("a")
    world.passes(100 if running.lease_until - world.now() > 1800 else 5)
    return world.left() == 0


@pytest.mark.parametrize("body", ["no json", '{"command": ""}', '{"firing": "x"}'])
def test_row_17_poison_goes_to_the_dead_letter_queue_past_a_worker_that_is_killed(worlds, body):
    """What stands behind it in its group runs, and so does another group."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n{AT_TEN}\n")
    world.queue.send([Outgoing(body, "g", "1")])
    after = f'{{"command": "echo after >>{world.folder}/effects"}}'
    world.queue.send([Outgoing(after, "g", "2")])
    worker = world.worker()
    world.scheduler()
    eventually(lambda: "ReceiveMessage" in world.server.calls, "it receives", 60)
    worker.kill()
    worker.start()
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: len(world.effects()) == 2, lambda: f"both ran: {world.effects()}", 120)
    told = eventually(lambda: world.dead.receive(10, 0, 30), "the poison lies apart", 60)
    assert [each.body for each in told] == [body]
    assert set(world.effects().values()) == {1}


@pytest.mark.parametrize(("away_s", "soon"), [(30, State.SUCCEEDED), (600, State.MISSED)])
def test_row_18_the_queue_is_away_and_the_scheduler_is_killed_meanwhile(worlds, away_s, soon):
    """What waits in the ledger is sent; beyond its deadline it is missed."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n{AT_TEN}\n# kirikae: id=soon start-within=5m\n{AT_TEN}\n")
    world.worker()
    scheduler = world.scheduler()
    eventually(lambda: world.ledger.mark("tab"), "it has looked", 60)
    world.server.away = True
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: world.states("soon"), "it is written down", 60)
    scheduler.kill()
    world.goes_to(world.now() + away_s)
    scheduler.start()
    tried = world.server.calls.count("GetQueueUrl")
    eventually(lambda: world.server.calls.count("GetQueueUrl") > tried + 1, "it tries", 60)
    world.server.away = False
    world.until_over()
    world.until_empty()
    world.assert_once("a")
    assert set(world.states("soon").values()) == {soon}
    assert len(world.effects()) == (2 if soon is State.SUCCEEDED else 1)


def test_row_19_the_ledger_is_killed_and_only_what_may_runs(worlds):
    """Admitted and sent, then the ledger dies: the one job waits for it, the other one does not;
    both have run once when it is back."""
    world = worlds(BEFORE_TEN)
    each = f"0,1 10 * * * {ONCE}"
    world.crontab(f"# kirikae: id=shut\n{each}\n# kirikae: id=open ledger-away=run\n{each}\n")
    scheduler = world.scheduler()
    worker = world.worker()
    eventually(lambda: world.ledger.mark("tab"), "it has looked", 60)
    world.lives(1)
    worker.stop()
    second = world.minute() + 1
    world.goes_to(second * 60)
    world.until_state(State.SENT, "shut", second)
    world.until_state(State.SENT, "open", second)
    scheduler.kill()
    world.serve.kill()
    worker.go_on()
    ran = f"open@{_stamp(second)}"
    eventually(lambda: world.effects()[ran], lambda: f"{ran}: {world.effects()}", 90)
    assert world.effects()[f"shut@{_stamp(second)}"] == 0
    world.serve.start()
    world.until_state(State.SUCCEEDED, "shut", second)
    world.until_empty()
    world.until_state(State.SUCCEEDED, "open", second)
    for job in ("shut", "open"):
        world.assert_once(job)


def _stamp(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y%m%dT%H%MZ}"


def test_row_20_a_message_whose_time_ran_out_while_it_runs_is_refused(worlds):
    """The queue's clock goes ahead by a minute: another worker gets it, and sees a live lease."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n0 10 * * * {UNTIL_GO}\n")
    world.scheduler()
    first = world.worker()
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: world.effects("ups"), "it runs", 60)
    second = world.worker()
    world.queue_ahead_s = 60
    eventually(lambda: _receives(world) >= 2, "somebody gets it again", 60)
    (world.folder / "go").touch()
    world.until_over()
    world.queue_ahead_s = 3600
    world.until_empty()
    world.assert_once("a")
    counts = [each.end() for each in (first, second)]
    assert sum(each["started"] for each in counts) == 1
    assert sum(each["refused"] for each in counts) >= 1


def _receives(world: World) -> int:
    """How often its message was received."""
    with closing(sqlite3.connect(world.folder / "queues.db")) as read:
        found: int = read.execute("select max(received) from message").fetchone()[0]
        return found


def test_row_21_a_delete_that_fails_before_the_worker_is_killed_runs_nothing_again(worlds):
    """The next worker gets the message, asks the ledger, and deletes it."""
    world = worlds(BEFORE_TEN)
    world.crontab(f"# kirikae: id=a\n{AT_TEN}\n")
    world.server.refuse_deletes = 1
    world.scheduler()
    worker = world.worker()
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: world.server.refuse_deletes == 0, "the delete failed", 60)
    worker.kill()
    assert world.left() == 1
    worker.start()
    world.until_empty()
    world.until_over()
    world.assert_once("a")


OWN_TASK = ("--cluster", "c", "--task-definition", "batch", "--subnet", "subnet-1")


def _ecs(world: World) -> Ecs:
    return Ecs(SimpleNamespace(server=world.server))  # type: ignore[arg-type]


def test_row_22_no_room_and_a_lost_answer_and_a_dead_worker_are_one_task(worlds):
    """Asked again under one token; the worker is killed, and the next one takes the task over."""
    world = worlds(BEFORE_TEN)
    ecs = _ecs(world)
    failure = {"reason": "Capacity is unavailable at this time"}
    ecs.answers = [(200, {"tasks": [], "failures": [failure]}), (500, {})]
    world.crontab("# kirikae: id=a runs-in=own-task on-crash=rerun\n0 10 * * * true\n")
    world.scheduler()
    worker = world.worker(*OWN_TASK)
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: ecs.tasks, "it is started", 60)
    worker.kill()
    asked = len(ecs.asked)
    worker.start()
    eventually(lambda: len(ecs.asked) > asked, "the next worker asks", 120)
    ecs.end(0)
    done = world.until_state(State.SUCCEEDED, "a")
    assert len(ecs.tasks) == 1 and len({each["clientToken"] for each in ecs.asked}) == 1
    assert asked >= 3 and len(done.runs) == 2


@pytest.mark.parametrize(("policy", "tasks"), [("fail", 1), ("rerun", 2)])
def test_row_23_a_task_that_vanishes_is_settled_by_the_policy(worlds, policy, tasks):
    """No event tells of it: DescribeTasks does, a real worker asking; another task, or none."""
    world = worlds(BEFORE_TEN)
    ecs = _ecs(world)
    world.crontab(f"# kirikae: id=a runs-in=own-task on-crash={policy}\n0 10 * * * true\n")
    world.scheduler()
    world.worker(*OWN_TASK)
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: ecs.tasks, "it is started", 60)
    first = dict(ecs.tasks)
    ecs.tasks = {}
    if policy == "rerun":
        eventually(lambda: set(ecs.tasks) - set(first), "another task", 120)
        ecs.end(0)
    found = world.until_state(State.FAILED if policy == "fail" else State.SUCCEEDED, "a")
    assert found.runs[0].reason == "its task vanished"
    assert len({each["clientToken"] for each in ecs.asked}) == tasks


def test_row_24_a_thousand_jobs_of_midnight_all_run_though_a_worker_is_killed(worlds):
    """Two schedulers, two workers; no group waits for another."""
    world = worlds("2027-01-12T23:59:30")
    ids = [f"j{n}" for n in range(1000)]
    jobs = [f"# kirikae: id={job} on-crash=rerun\n0 0 * * * {ONCE}\n" for job in ids]
    world.crontab("".join(jobs))
    for offset in ("0", "1"):
        world.scheduler("crontab", "--offset", offset)
    worker = world.worker("--at-once", "20")
    world.worker("--at-once", "20")
    eventually(lambda: world.ledger.mark("tab"), "they have looked", 60)
    world.goes_to(world.minute() * 60 + 60)
    eventually(lambda: len(world.effects()) > 100, "it has begun", 120)
    worker.kill()
    worker.start()
    rows = _all(world, len(ids))
    effects = world.effects()
    assert {row.job for row in rows} == set(ids)
    for row in rows:
        assert row.state is State.SUCCEEDED and 1 <= effects[row.id] <= len(row.runs), row


def _all(world: World, count: int) -> list[Firing]:
    found: list[Firing] = []

    def over() -> bool:
        found[:] = [row for row in world.rows() if row.state.over]
        return len(found) >= count

    eventually(over, lambda: f"{len(found)} of {count} ended", 300, lambda: len(found), 1.0)
    return found


def test_row_25_output_without_an_end_costs_a_worker_no_memory(worlds):
    """Fifty megabytes of one line, and a child that keeps the pipe open after the end."""
    world = worlds(BEFORE_TEN)
    huge = "head -c 50000000 /dev/zero | tr '\\0' x"
    child = "sleep 600 & echo $! >child"
    world.crontab(
        f"# kirikae: id=huge\n0 10 * * * {huge}\n# kirikae: id=pipe\n0 10 * * * {child}\n"
    )
    world.scheduler()
    worker = world.worker()
    world.goes_to(world.minute() * 60 + 60)
    done = world.until_state(State.SUCCEEDED, "huge")
    assert len(done.runs[0].tail) < 2_000_000
    assert CUT in (world.folder / "worker.log").read_text()
    world.until_state(State.SUCCEEDED, "pipe")
    child_of = int((world.folder / "child").read_text())
    eventually(lambda: not alive(child_of), "nobody of its group goes on", 60)
    assert _peak_mb(worker.running.pid) < 150


def _peak_mb(pid: int) -> float:
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024


class First(Sleeper):
    """Process 1 of a namespace of its own, as in a container without an init."""

    def start(self) -> None:
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable]
        with (self.folder / "worker.log").open("ab") as log:
            self.running = subprocess.Popen(
                [*command, "-m", "kirikae", "jobs", *self.words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a namespace of processes")
def test_row_26_a_worker_that_is_process_1_reaps_what_its_jobs_leave_behind(worlds):
    """Orphans that ended are no zombies; what is left of a job's group is ended."""
    world = worlds(BEFORE_TEN)
    orphans = f"(sleep 1 &) ; (setsid sleep 2 &) ; (sleep 600 &) ; {ONCE}"
    world.crontab(f"# kirikae: id=a\n0 10 * * * {orphans}\n")
    world.scheduler()
    words = ["worker", "--lease", "8", "--json", *world.words(world.port)]
    unshare = world.adopt(words, First).running.pid
    world.goes_to(world.minute() * 60 + 60)
    world.until_state(State.SUCCEEDED, "a")
    [worker] = eventually(lambda: _children(unshare), "there is a worker")
    eventually(lambda: not _children(worker), lambda: f"nobody is left: {_children(worker)}", 60)
    world.assert_once("a")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_row_27_the_newer_table_stays_in_force_though_its_scheduler_is_killed(worlds):
    """The older scheduler alone admits nothing: its removed job does not come back."""
    world = worlds(TEN)
    both = f"# kirikae: id=a\n* * * * * {ONCE}\n"
    gone = f"# kirikae: id=gone\n* * * * * {ONCE}\n"
    older = world.crontab(f"{both}{gone}# kirikae-table: serial=1\n", "old/crontab")
    newer = world.crontab(f"{both}# kirikae-table: serial=2\n", "new/crontab")
    world.worker()
    old = world.scheduler(older)
    world.until_admitted(world.minute())
    new = world.scheduler(newer)
    eventually(lambda: world.ledger.mark("tab").serial == 2, "the newer one is in force", 60)  # type: ignore[union-attr]
    world.until_over()
    last = max(world.states("gone"))
    world.lives(1)
    new.kill()
    minute = world.minute() + 2
    world.goes_to(minute * 60)
    assert old.running.poll() is None
    new.start()
    world.until_admitted(minute)
    world.until_over()
    assert max(world.states("gone")) == last and old.end()["stale"] >= 1
    world.rests()
    for job in ("a", "gone"):
        world.assert_once(job)
