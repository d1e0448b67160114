"""A crontab moved from the command line, from `move plan` to the removal plan, and back in between:
the state machine and every verb know the second kind of move."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.aws.session import Aws
from kirikae.jobs.job import Owner
from kirikae.jobs.ledger import Ledger, Mark
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.thing import JobsThing
from tests.command import run
from tests.contract.test_ledger import TOKEN, served

ARN = "arn:aws:iam::123456789012:user/sre"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a}
  new: {cluster: c, ecs_service: b, target_group: b}
accepted:
  - {finding: SV01, where: the old fleet, by: me, why: no hosts here, until: 2099-01-01}
moves:
  batch:
    kind: jobs
    crontab: batch
    ledger: "LEDGER"
    token_file: token
    advance: auto
    plan: ["25%", "100%"]
    order: [harmless]
    bake: 0s
    stays: [{job: tape, reason: the robot hangs there, until: 2099-01-01}]
"""
TAB = """\
# kirikae: id=heavy
0 4 * * * /srv/heavy > /srv/out
# kirikae: id=reads
0 5 * * * /srv/ship /srv/out
# kirikae: id=harmless
0 6 * * * /srv/look
# kirikae: id=tape
0 7 * * * /srv/tape
# kirikae: id=other
0 8 * * * /srv/other
"""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A project folder, a ledger that answers over HTTP, and a scheduler that is alive."""
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.setattr(JobsThing, "look_every_s", 0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    book = sqlite_ledger(tmp_path / "jobs.db")
    (tmp_path / "batch").write_text(TAB)
    (tmp_path / "token").write_text(TOKEN)
    over = threading.Event()

    def schedule() -> None:
        while not over.wait(0.2):
            book.raise_mark("batch", Mark(0, int(time.time() // 60)))

    with served(book) as url:
        (tmp_path / "kirikae.yml").write_text(PROJECT.replace("LEDGER", url))
        scheduler = threading.Thread(target=schedule)
        scheduler.start()
        yield book
        over.set()
        scheduler.join()
    book.close()


def owned(ledger: Ledger) -> set[str]:
    return {job for job, owner in ledger.owners().items() if owner is Owner.NEW}


def test_a_crontab_is_moved_back_and_moved_again(ledger: Ledger, tmp_path: Path) -> None:
    """Chained jobs together, the harmless one first, what stays never; then a removal plan."""
    plan = run("move", "plan", "batch", "--json")
    assert plan.exit_code == 0, plan
    assert [step["share"] for step in plan.json["steps"]] == ["25%", "100%"]
    started = run("move", "start", "batch", "--json")
    assert started.exit_code == 0, started
    assert owned(ledger) == {"harmless", "other", "heavy", "reads"}
    back = run("back-out", "batch", "--json")
    assert owned(ledger) == set(), back
    status = run("move", "status", "batch", "--json")
    assert status.json["found_share"] == "0%", status
    assert run("move", "resume", "batch").exit_code == 0
    driven = run("move", "start", "batch", "--json")
    assert driven.exit_code == 0, driven
    assert "tape" not in owned(ledger) and len(owned(ledger)) == 4
    assert run("move", "retire", "batch").exit_code == 0
    page = (tmp_path / "removal-batch.md").read_text()
    assert "- [ ] batch:2: `0 4 * * * /srv/heavy > /srv/out`" in page
    assert "tape (the robot hangs there; 2099-01-01)" in page


def test_a_hand_on_an_owner_stops_the_move(ledger: Ledger) -> None:
    """Somebody gave one chained job to the new side by himself: no share has that."""
    assert run("move", "start", "batch", "--json").exit_code == 0
    assert run("back-out", "batch").exit_code in (0, 4)
    assert run("move", "resume", "batch").exit_code == 0
    ledger.own(["reads"], Owner.NEW)
    looked = run("move", "step", "batch", "--json")
    assert owned(ledger) == {"reads"}, looked
    assert run("move", "status", "batch", "--json").json["held"] is not None
