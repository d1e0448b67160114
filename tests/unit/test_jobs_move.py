"""A move of jobs: which move together, what is compared, and what a look says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from kirikae.console import kinds
from kirikae.jobs.cronlog import read_log
from kirikae.jobs.errors import NotPrepared, StillRuns
from kirikae.jobs.groups import chained, ladder
from kirikae.jobs.job import Job, OnCrash, Owner, Policy, State, read_stamp
from kirikae.jobs.ledger import Claim, Ending, Hold, Ledger, Mark, Wanted
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.thing import JobsThing
from kirikae.model.crontab.zones import Zone
from kirikae.model.evidence import Verdict
from kirikae.model.finding import blocking
from kirikae.model.move import Move, Phase
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore

NOON = read_stamp("20260308T1200Z")
UTC = Zone("UTC")
TAB = """\
# kirikae: id=a
*/10 * * * * /srv/a
# kirikae: id=b
*/10 * * * * flock -n /run/x /srv/b
# kirikae: id=c
0 1 * * * flock /run/x /srv/c
# kirikae: id=d
*/20 * * * * /srv/d
"""


def job(name, command, **policy):
    return Job(name, "", "debian", "* * * * *", "UTC", command, policy=Policy(**policy))


# --- groups


def test_jobs_that_share_a_lock_or_a_file_move_together():
    jobs = [
        job("dump", "mysqldump shop > /srv/dump.sql 2>/dev/null"),
        job("ship", "aws s3 cp /srv/dump.sql s3://backup/"),
        job("one", "flock -w 10 /run/lock/x ./one >> /var/log/batch.log 2>&1"),
        job("two", "flock /run/lock/x ./two >> /var/log/batch.log 2>&1"),
        job("alone", "./alone >> /var/log/batch.log 2>&1"),
        job("by-hand", "./by-hand"),
        job("locked", "./locked", lock="/run/lock/x"),
    ]
    assert chained(jobs, [["alone", "by-hand", "not there"]]) == [
        ("dump", "ship"),
        ("one", "two", "locked"),
        ("alone", "by-hand"),
    ]


def test_harmless_ones_come_first_and_a_larger_share_has_them_all():
    jobs = [
        job("fragile", "./a"),
        job("again", "./b", on_crash=OnCrash.RERUN),
        job("x", "flock /l ./x"),
        job("y", "flock /l ./y"),
        job("first", "./c"),
    ]
    found = ladder(jobs, ["first"], [])
    assert found.groups == (("first",), ("again",), ("fragile",), ("x", "y"))
    assert found.shares == (200, 400, 600, 1000)
    assert found.plan([1, 250, 500, 1000]) == (200, 400, 600, 1000)
    before: set[str] = set()
    for share in (0, *found.shares):
        assert before <= set(found.owned(share))
        before = set(found.owned(share))
        assert found.share_of(before) == share
    assert found.share_of(["fragile"]) not in (0, *found.shares)


# --- cron's log


def test_cron_s_own_lines():
    text = """\
Mar  8 11:50:01 batch1 CRON[99]: (root) CMD (/srv/a)
2026-03-08T20:51:01.123456+09:00 batch1 CRON[100]: (app) CMD (cd /x && ./y (z))
2026-03-08T11:52:01+0000 batch1 crond[7]: (root) CMD (/kirikae-guard -w '* * * * *' b -c 'x')
Dec 31 23:59:01 batch1 CRON[1]: (root) CMD (old)
Mar  8 11:53:01 batch1 CRON[99]: (root) MAIL (mailed 1 byte)
nonsense
"""
    found = [
        (line.minute, line.user, line.command[:8], line.job) for line in read_log(text, UTC, NOON)
    ]
    assert found == [
        (NOON - 10, "root", "/srv/a", None),
        (NOON - 9, "app", "cd /x &&", None),
        (NOON - 8, "root", "/kirikae", "b"),
        (read_stamp("20251231T2359Z"), "root", "old", None),
    ]


# --- the thing


@dataclass
class Stage:
    """A ledger, a journal and a clock that stands until it is put on."""

    folder: Path
    now: float = NOON * 60.0
    settings: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "batch").write_text(TAB)
        self.book: Ledger = sqlite_ledger(self.folder / "jobs.db", lambda: self.now)
        store = SqliteStore(self.folder / "state.db")
        self.journal = Journal(store, "test", "shop", "me", "here", lambda: self.now)
        self.move = Move("batch", (250, 1000), seq=1)

    @property
    def thing(self) -> JobsThing:
        settings = {
            "kind": "jobs",
            "crontab": "batch",
            "ledger": "http://127.0.0.1:1",
            "bake": "10m",
            **self.settings,
        }
        read = JobsMove.model_validate(settings)
        return JobsThing(read, lambda: self.book, self.journal, lambda: self.now, self.folder)

    def begin(self, share: int) -> Move:
        """This step begins now."""
        if not self.journal.names():
            self.journal.write(self.move)
        self.thing.prepare(self.move)
        self.thing.shift("batch", share, None)
        last = self.journal.last("batch").move
        step = Move("batch", (250, 1000), Phase.RUNNING, share, seq=last.seq + 1)
        self.journal.write(step)
        return Move("batch", (250, 1000), Phase.RUNNING, share, stepped=step.seq, attempt=1)

    def pass_minutes(self, minutes: int, missing: str = "", state: State = State.SUCCEEDED) -> None:
        """Schedulers, workers and guards do their work, but for one job."""
        for _ in range(minutes):
            self.now += 60
            minute = int(self.now // 60)
            owners = self.book.owners()
            for timed in self.thing.tab.jobs.timed:
                name = timed.job.id
                if not UTC.moment(minute).due(timed.entry.schedule) or name == missing:
                    continue
                self.run(name, minute, owners.get(name, Owner.OLD), state)
            self.book.raise_mark("batch", Mark(0, minute))

    def run(self, name: str, due: int, side: Owner, state: State = State.SUCCEEDED) -> None:
        if side is Owner.NEW:
            [admitted] = self.book.admit([Wanted(name, due, "digest")])
            self.book.sent([admitted.firing])
        admit = Policy() if side is Owner.OLD else None
        claimed = self.book.claim(Claim(name, due, side, "w", admit=admit, start=True))
        hold = Hold(name, due, claimed.fence)
        assert self.book.finish(hold, Ending(state, again=False))


@pytest.fixture
def stage(tmp_path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.book.close()


def look(stage, move):
    evidence = stage.thing.compare(move)
    assert kinds.words().say(evidence.reason, "ja")
    return evidence.verdict, evidence.reason.key.rpartition(".")[2]


def test_a_plan_has_the_shares_that_chained_jobs_allow(stage):
    """Four jobs, two of them behind one lock."""
    assert stage.thing.plan() == (250, 500, 1000)


def test_before_the_first_step_guards_and_schedulers_are_heard(stage):
    """A job whose guard is silent would run twice as soon as it is handed over."""
    move = stage.begin(0)
    assert look(stage, move) == (Verdict.UNSURE, "no_scheduler")
    stage.pass_minutes(8, missing="d")
    assert look(stage, move) == (Verdict.UNSURE, "listens")
    stage.pass_minutes(4, missing="d")
    assert look(stage, move) == (Verdict.UNSURE, "none_heard")
    stage.pass_minutes(20, missing="d")
    assert look(stage, move) == (Verdict.UNSURE, "silent")
    assert stage.thing.compare(move).reason.blanks["jobs"] == ["d"]
    again = stage.begin(0)
    stage.pass_minutes(30)
    assert look(stage, again) == (Verdict.PASS, "ready")
    stage.now += 600
    assert look(stage, again) == (Verdict.UNSURE, "scheduler_silent")


def test_readiness_can_be_asked_before_anything_was_begun(stage):
    """`kirikae doctor` does, of a journal that knows no such move."""
    move = Move("batch", stage.thing.plan(), Phase.PREPARED, 0)
    assert look(stage, move) == (Verdict.UNSURE, "no_scheduler")
    stage.pass_minutes(20, missing="d")
    assert look(stage, move) == (Verdict.UNSURE, "silent")
    stage.pass_minutes(70)
    assert look(stage, move) == (Verdict.PASS, "ready")


def test_a_step_that_is_well_passes_when_it_was_watched(stage):
    move = stage.begin(250)
    stage.pass_minutes(8)
    assert look(stage, move) == (Verdict.UNSURE, "bakes")
    stage.pass_minutes(20)
    evidence = stage.thing.compare(move)
    assert (evidence.verdict, evidence.found) == (Verdict.PASS, 250)
    assert evidence.figures["new"] == 2 and evidence.figures["old"] == 3
    assert stage.thing.told(evidence) is not None


def test_a_minute_counts_as_soon_as_it_is_settled(stage):
    """Not a minute later: a rehearsal has few of them."""
    move = stage.begin(250)
    stage.pass_minutes(10)
    stage.now += stage.thing._settings.settles_within - 1
    assert stage.thing._count(stage.thing._window(move), None).planned == 0
    stage.now += 1
    assert stage.thing._count(stage.thing._window(move), None).planned == 2


@pytest.mark.parametrize(
    ("harm", "key"),
    [("missing", "missing"), ("failed", "failed"), ("extra", "extra"), ("late", "late")],
)
def test_what_harms_is_told_at_once(stage, harm, key):
    stage.begin(0)
    stage.pass_minutes(10)
    stage.settings = {"bake": "1000m"}
    move = stage.begin(250)
    if harm == "missing":
        stage.pass_minutes(20, missing="a")
    elif harm == "failed":
        stage.pass_minutes(20, state=State.FAILED)
    elif harm == "extra":
        stage.pass_minutes(3)
        stage.run("a", int(stage.now // 60), Owner.NEW)
        stage.pass_minutes(20)
    else:
        stage.pass_minutes(9)
        stage.now += 200
        stage.run("a", NOON + 20, Owner.NEW)
        stage.pass_minutes(20, missing="a")
        stage.run("a", NOON + 30, Owner.NEW)
        stage.run("a", NOON + 40, Owner.NEW)
    assert look(stage, move) == (Verdict.FAIL, key)


def test_cron_that_runs_a_job_past_its_guard_is_seen_in_its_log(stage):
    """The new side's job, started by cron as well: it ran twice."""
    stage.settings = {"log": "cron.log", "bake": "1000m"}
    log = stage.folder / "cron.log"
    log.write_text("")
    move = stage.begin(250)
    stage.pass_minutes(20)
    assert look(stage, move) == (Verdict.UNSURE, "bakes")
    log.write_text("Mar  8 12:10:01 batch1 CRON[9]: (root) CMD (/srv/a)\n")
    evidence = stage.thing.compare(move)
    assert evidence.reason.key == "jobs.judge.extra"
    assert evidence.reason.blanks["firings"] == ["a@20260308T1210Z"]
    log.unlink()
    assert look(stage, move) == (Verdict.UNSURE, "no_log")


def test_the_old_side_s_cron_that_stopped_is_seen_in_its_log(stage):
    stage.settings = {"log": "cron.log"}
    (stage.folder / "cron.log").write_text("")
    move = stage.begin(0)
    stage.pass_minutes(20, missing="b")
    assert look(stage, move) == (Verdict.FAIL, "missing")


def test_what_stays_has_a_reason_and_a_day(stage):
    stage.settings = {
        "stays": [{"job": "d", "reason": "it mails the tape robot", "until": date(2026, 3, 7)}]
    }
    assert stage.thing.plan() == (333, 1000)
    assert [finding.code for finding in blocking(stage.thing.obstacles(), "jobs")] == ["JM03"]
    assert {fact.key for fact in stage.thing.facts(None)} >= {"found_share", "stays.d"}


def test_a_job_that_is_not_there_is_an_obstacle(stage):
    stage.settings = {"order": ["nobody"]}
    assert [finding.code for finding in blocking(stage.thing.obstacles(), "jobs")] == ["JM02"]
    with pytest.raises(NotPrepared, match="nobody"):
        stage.thing.prepare(stage.move)


def test_a_lock_file_is_told_until_the_ledger_keeps_the_firings_apart(stage):
    """Two workers hold two lock files, and nothing says what becomes of the second firing."""
    told = [each.where for each in stage.thing.obstacles() if each.code == "JM06"]
    tab = stage.folder / "batch"
    text = tab.read_text()
    assert told and len(told) == text.count("flock")
    tab.write_text(text.replace("# kirikae: id=", "# kirikae: overlap=skip id="))
    stage.settings = {}
    assert [each.code for each in stage.thing.obstacles()] == []


def test_what_runs_at_the_start_of_the_host_stays_or_is_in_the_way(stage):
    """The finding names the job's ID, which `stays` wants; then it is gone."""
    (stage.folder / "batch").write_text(TAB + "@reboot /srv/poller\n")
    [found] = [each for each in stage.thing.obstacles() if each.code == "JM04"]
    assert found.where in found.says
    stage.settings["stays"] = [
        {"job": found.where, "reason": "the host's", "until": date(2099, 1, 1)}
    ]
    assert "JM04" not in [each.code for each in stage.thing.obstacles()]


def test_a_file_that_cron_ignores_is_an_obstacle(stage):
    (stage.folder / "batch").write_text("5/15 * * * * x\n")
    [finding] = stage.thing.obstacles()
    assert finding.code == "JM01" and "line 1" in finding.says


def test_nothing_is_retired_while_the_old_side_runs_a_job(stage):
    move = stage.begin(1000)
    assert stage.thing.assert_may_retire(move) is None
    stage.thing.shift("batch", 0, None)
    due = int(stage.now // 60)
    stage.book.claim(Claim("a", due, Owner.OLD, "guard", admit=Policy(), start=True))
    stage.thing.shift("batch", 1000, None)
    with pytest.raises(StillRuns, match="a@"):
        stage.thing.assert_may_retire(move)


def test_the_removal_plan_has_a_box_for_every_line(stage):
    text = kinds.words().say(stage.thing.removal(stage.move), "en")
    assert text.count("- [ ] batch:") == 4 and "flock -n /run/x /srv/b" in text
