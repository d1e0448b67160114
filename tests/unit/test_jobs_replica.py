"""EventBridge Scheduler as one more scheduler before the same ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.sqs import Outgoing
from kirikae.jobs.job import Owner, State
from kirikae.jobs.ledger import Mark, Wanted
from kirikae.jobs.messages import SCHEDULED_TIME
from kirikae.jobs.tables import jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.command import run
from tests.pace import eventually
from tests.unit.test_jobs_worker import NOON, Place, place

__all__ = ["place"]
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs.fifo"
ROLE = "arn:aws:iam::123456789012:role/clock"
AT = f"{datetime.fromtimestamp(NOON * 60, UTC):%Y-%m-%dT%H:%M:%SZ}"


def exported(folder: Path, text: str, *more: str, exit_code: int = 0) -> Any:
    (folder / "batch").write_text(text)
    words = ["jobs", "export", str(folder / "batch"), "--target", "scheduler", "--name", "batch"]
    ran = run(*words, "--queue", QUEUE, "--role", ROLE, *more, "--json")
    assert ran.exit_code == exit_code, ran.output
    return ran.json


class Clock:
    """EventBridge Scheduler: what it sends for one schedule at a time."""

    def __init__(self, place: Place, text: str) -> None:
        self.place = place
        self.text = text
        self.created = exported(place.folder, text)["create"]
        self.sent = 0

    def fires(self, at: str = AT, schedule: int = 0) -> None:
        target = self.created[schedule]["Target"]
        body = target["Input"].replace(SCHEDULED_TIME, at)
        self.sent += 1
        group = target["SqsParameters"]["MessageGroupId"]
        self.place.queue.send([Outgoing(body, group, f"content-{self.sent}")])

    def known(self) -> None:
        """A scheduler has read this crontab once."""
        jobs = jobs_of(read_table(self.text), self.text, "batch", Zone("UTC"), "/elsewhere/batch")
        self.place.ledger.define([timed.job for timed in jobs.timed])
        self.place.ledger.own(jobs.ids, Owner.NEW)


def text(place: Place, settings: str = "") -> str:
    return f"HOME={place.folder}\n# kirikae: id=a {settings}\n* * * * * echo x >>effects\n"


@pytest.fixture
def clock(place: Place) -> Iterator[Clock]:
    found = Clock(place, text(place))
    found.known()
    yield found


def test_a_schedule_is_written_whole(place):
    """Its zone, no flexible window, and an input that is another one each minute."""
    [one, two] = exported(place.folder, "0 3 1 * 5 x\n", "--zone", "Asia/Tokyo")["create"]
    assert one["Name"] != two["Name"] and one["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert one["ScheduleExpressionTimezone"] == "Asia/Tokyo"
    assert (one["Target"]["Arn"], one["Target"]["RoleArn"]) == (QUEUE, ROLE)
    assert json.loads(one["Target"]["Input"])["due"] == SCHEDULED_TIME
    assert one["Target"]["Input"] == two["Target"]["Input"]


def test_it_runs_once_whoever_was_first(place, clock):
    """The schedule, a second delivery of it, and a scheduler of kirikae's own."""
    place.worker()
    clock.fires()
    eventually(lambda: place.ledger.history("a"), "it is admitted")
    place.until(State.SUCCEEDED)
    clock.fires()
    [firing] = place.ledger.history("a")
    [admitted] = place.ledger.admit([Wanted("a", NOON, firing.digest)])
    assert not admitted.fresh
    place.until_empty()
    assert place.effects() == ["x"] and firing.digest == admitted.firing.digest


def test_what_a_scheduler_has_admitted_is_the_same_firing(place, clock):
    place.send("echo x >>effects")
    clock.fires()
    place.worker()
    place.until(State.SUCCEEDED)
    eventually(lambda: place.passes(5) and place.left() == 0, "both messages are done with")
    assert place.effects() == ["x"]


def test_a_job_of_the_old_side_is_written_down_and_not_run(place, clock):
    place.ledger.own(["a"], Owner.OLD)
    place.worker()
    clock.fires()
    eventually(lambda: place.ledger.history("a"), "it is written down")
    place.until(State.RECORDED)
    place.until_empty()
    assert place.effects() == []


def test_a_schedule_of_an_older_crontab_admits_nothing(place, clock):
    place.ledger.raise_mark("batch", Mark(2, NOON - 1))
    place.worker()
    clock.fires()
    place.until_empty()
    assert place.ledger.history("a") == [] and place.effects() == []


def test_a_job_whose_definition_nobody_told_is_a_dead_letter(place):
    """Not lost in silence."""
    clock = Clock(place, text(place))
    worker = place.worker()
    clock.fires()
    eventually(lambda: worker.counts.poison >= 3, "three times")
    eventually(lambda: place.dead.receive(1, 0, 30), "the dead-letter queue has it")
    assert place.ledger.history("a") == []


@pytest.mark.parametrize("words", [["--target", "rules", "--queue", QUEUE, "--role", ROLE]])
def test_a_rule_is_no_replica(tmp_path, words):
    (tmp_path / "batch").write_text("0 3 * * * x\n")
    ran = run("jobs", "export", str(tmp_path / "batch"), *words)
    assert ran.exit_code == 2 and "--target scheduler" in ran.stderr
    ran = run("jobs", "export", str(tmp_path / "batch"), "--target", "scheduler", "--role", ROLE)
    assert ran.exit_code == 2
