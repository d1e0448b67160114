"""Runs as ECS tasks of their own: rows 22 and 23, and a worker that goes away meanwhile.

ECS is scripted here: no single-machine ECS has no room, or forgets a task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kirikae.jobs.job import Firing, State, token
from kirikae.jobs.own_task import TaskRun, Tasks, ordinal, wanted_task
from kirikae.jobs.worker import Hands, Run, Settings, Worker
from tests.pace import eventually
from tests.unit.test_jobs_worker import NOON, Place

TASKS = Tasks("c", "batch", "job", ("subnet-1",), ("sg-1",), spot=True, look_s=0.02)


class Ecs:
    """Tasks by their client token."""

    def __init__(self, place: Place) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.driver = "awslogs"
        self.read: list[dict[str, Any]] = []
        self.output: tuple[int, Any] = (200, {"events": []})
        place.server.others = {
            "RunTask": self._run,
            "DescribeTasks": self._describe,
            "StopTask": self._stop,
            "DescribeTaskDefinition": self._defined,
            "GetLogEvents": self._logged,
        }

    def _defined(self, asked: dict[str, Any]) -> tuple[int, Any]:
        options = {"awslogs-group": "/ecs/batch", "awslogs-stream-prefix": "job"}
        log = {"logDriver": self.driver, "options": options}
        containers = [{"name": "web"}, {"name": "job", "logConfiguration": log}]
        return 200, {"taskDefinition": {"containerDefinitions": containers}}

    def _logged(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.read.append(asked)
        return self.output

    def _run(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(asked)
        if self.answers:
            return self.answers.pop(0)
        arn = f"arn:task/{asked['clientToken'][:8]}"
        self.tasks.setdefault(arn, {"taskArn": arn, "lastStatus": "RUNNING", "containers": []})
        return 200, {"tasks": [self.tasks[arn]], "failures": []}

    def _describe(self, asked: dict[str, Any]) -> tuple[int, Any]:
        found = [self.tasks[arn] for arn in asked["tasks"] if arn in self.tasks]
        return 200, {"tasks": found, "failures": []}

    def _stop(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.stopped.append(asked["task"])
        self.end(143, reason="stopped")
        return 200, {}

    def end(self, code: int | None, **more: str) -> None:
        """Every task stops."""
        for task in self.tasks.values():
            container = {"name": "job"} if code is None else {"name": "job", "exitCode": code}
            task |= {"lastStatus": "STOPPED", "containers": [container], **more}


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


@pytest.fixture
def ecs(place) -> Ecs:
    return Ecs(place)


def worker(place: Place) -> Worker:
    """One that starts tasks."""

    def in_task(run: Run, extra: dict[str, str]) -> TaskRun:
        def is_over() -> bool:
            found = place.ledger.firing(run.firing.job, run.firing.due)
            return found is not None and found.state.over

        return TaskRun(place.server.aws, TASKS, run.job, run.firing, extra, is_over)

    hands = Hands(in_task=in_task)
    made = Worker(place.ledger, place.queue, Settings(beat_s=0.05, receive_s=0, stop_s=11), hands)
    place.adopt(made)
    return made


def test_a_task_is_started_once_for_a_firing_and_its_exit_status_is_written_down(place, ecs):
    """With the token of the firing, and the firing as its starter."""
    firing = place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(0)
    done = place.until(State.SUCCEEDED)
    (asked,) = ecs.asked
    assert asked["clientToken"] == token(firing.id, 1) and len(asked["clientToken"]) == 64
    assert asked["startedBy"] == firing.id and asked["launchType"] == "FARGATE"
    assert done.runs[0].task.startswith("arn:task/")


def test_the_last_lines_of_a_task_stand_in_the_ledger(place, ecs):
    """Read from its own stream; those that its pattern finds are told."""
    lines = ["one", "FATAL: two", "three"]
    ecs.output = (200, {"events": [{"message": line} for line in lines]})
    place.send("true", "runs-in=own-task match=FATAL")
    made = worker(place)
    made._hands = replace(made._hands, tell=lambda *told: place.told.append(told))
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(1)
    done = place.until(State.FAILED)
    assert done.runs[-1].tail.splitlines() == lines
    [arn] = ecs.tasks
    assert ecs.read[0]["logStreamName"] == f"job/job/{arn.rpartition('/')[2]}"
    eventually(lambda: place.told, "it is told")
    assert place.told[0][1].matched == ("FATAL: two",)  # type: ignore[attr-defined]


@pytest.mark.parametrize("output", [(400, {"__type": "ResourceNotFoundException"}), (500, {})])
def test_a_task_whose_output_cannot_be_read_has_ended_all_the_same(place, ecs, output):
    ecs.output = output
    place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(0)
    assert place.until(State.SUCCEEDED).runs[-1].tail == ""


def test_a_task_that_logs_elsewhere_is_not_asked(place, ecs):
    ecs.driver = "awsfirelens"
    place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(0)
    place.until(State.SUCCEEDED)
    assert ecs.read == []


def test_spot_only_where_a_rerun_is_allowed(place, ecs):
    """And the command gets its standard input, its variables and its firing."""
    table = place.table("cat%one", "runs-in=own-task on-crash=rerun")
    job = table.timed[0].job
    firing = place.send("cat%one", "runs-in=own-task on-crash=rerun")
    wanted = wanted_task(TASKS, job, firing, {"KIRIKAE_FIRING": firing.id, "KIRIKAE_FENCE": "1"})
    assert wanted["capacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ]
    (override,) = wanted["overrides"]["containerOverrides"]
    names = {pair["name"]: pair["value"] for pair in override["environment"]}
    assert names["KIRIKAE_STDIN"] == "one\n" and names["KIRIKAE_FIRING"] == firing.id
    assert "KIRIKAE_FENCE" not in names and "HOME" in names


def test_row_22_no_room_is_asked_again_with_the_same_token(place, ecs):
    """RunTask answers 200 with failures; then an answer is lost."""
    ecs.answers = [
        (200, {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time"}]}),
        (500, {}),
    ]
    place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(0)
    place.until(State.SUCCEEDED)
    assert len(ecs.asked) == 3 and len({each["clientToken"] for each in ecs.asked}) == 1


def test_row_22_beyond_its_deadline_it_was_not_started(place, ecs):
    """Written down as that."""
    ecs.answers = [(200, {"tasks": [], "failures": [{"reason": "no room"}]})] * 1000
    place.send("true", "runs-in=own-task start-within=10m")
    worker(place)
    found = place.until(State.NOT_STARTED)
    assert "no room" in found.reason


def test_row_22_a_conflict_names_the_task_that_there_is(place, ecs):
    """It is taken over."""
    ecs.tasks["arn:task/other"] = {"taskArn": "arn:task/other", "lastStatus": "RUNNING"}
    conflict = {"__type": "ConflictException", "resourceIds": ["arn:task/other"]}
    ecs.answers = [(400, conflict)]
    place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: place.state().runs and place.state().runs[0].task, "it is taken over")
    ecs.end(0)
    assert place.until(State.SUCCEEDED).runs[0].task == "arn:task/other"


@pytest.mark.parametrize(("policy", "state"), [("fail", State.FAILED), ("rerun", State.ADMITTED)])
def test_row_23_a_task_that_vanishes_is_settled_by_the_policy(place, ecs, policy, state):
    """DescribeTasks decides; no event is needed."""
    place.send("true", f"runs-in=own-task on-crash={policy}")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.tasks = {}
    found = place.until(state)
    assert found.runs[0].reason == "its task vanished"
    assert ordinal(found.changed(runs=(*found.runs, found.runs[0]))) == 2


def test_a_worker_that_stops_leaves_the_task_to_the_next_one(place, ecs):
    """The same token: no second task beside it."""
    place.send("true", "runs-in=own-task")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    place.stop()
    assert place.state().state is State.ADMITTED and place.state().runs[0].lost
    place.send_again()
    worker(place)
    eventually(lambda: len(ecs.asked) == 2, "the next one asks")
    ecs.end(0)
    done = place.until(State.SUCCEEDED)
    assert len(ecs.tasks) == 1 and len(done.runs) == 2 and ecs.stopped == []


def test_a_spot_task_that_was_taken_away_is_a_new_task(place, ecs):
    """Where its policy allows it."""
    place.send("true", "runs-in=own-task on-crash=rerun")
    worker(place)
    eventually(lambda: ecs.tasks, "it is started")
    ecs.end(137, stopCode="SpotInterruption")
    place.until(State.ADMITTED)
    place.send_again()
    eventually(lambda: len(ecs.tasks) == 2, "another task")
    ecs.end(0)
    place.until(State.SUCCEEDED)


def test_a_time_out_stops_the_task(place, ecs):
    """And says so."""
    place.send("true", "runs-in=own-task timeout=0s")
    worker(place)
    found = place.until(State.FAILED)
    assert found.reason.startswith("timed out") and len(ecs.stopped) == 1


def test_a_firing_knows_which_task_it_is(place):
    """Runs that were lost had the same one."""
    firing: Firing = place.send("true")
    assert ordinal(firing) == 1 and firing.due == NOON
