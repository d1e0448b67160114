"""A crontab as jobs: IDs that outlive an edit, and settings in comments."""

from __future__ import annotations

import pytest

from kirikae.jobs.errors import NoTable
from kirikae.jobs.job import CatchUp, OnCrash, Overlap, RunsIn
from kirikae.jobs.tables import Jobs, jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone

CRONTAB = """\
PATH=/opt/bin:/usr/bin
# a plain comment
*/5 * * * * score
# kirikae: id=report overlap=skip timeout=20m
# kirikae: on-crash=rerun retries=2 backoff=30s start-within=10m
0 7 * * * report --day=$(date +\\%d)%one%two
# kirikae: runs-in=own-task catch-up=all window=1h match=(?i)error lock=db notify=failure,missed

30 7 * * * away from its comment
* * * * * same
* * * * * same
@reboot start
"""


def jobs(text: str = CRONTAB, name: str = "batch") -> Jobs:
    return jobs_of(read_table(text), text, name, Zone("Asia/Tokyo"))


def test_settings_stand_in_the_comment_right_above():
    """Two comments add up; an empty line ends them."""
    report = jobs().get("report")
    assert report is not None
    policy = report.policy
    assert (policy.overlap, policy.on_crash, policy.retries) == (Overlap.SKIP, OnCrash.RERUN, 2)
    assert (policy.backoff_s, policy.start_within_s, report.timeout_s) == (30, 600, 1200)
    assert (report.stdin, report.command) == ("one\ntwo\n", "report --day=$(date +%d)")
    assert report.environment == {"PATH": "/opt/bin:/usr/bin"} and report.zone == "Asia/Tokyo"
    away = jobs().timed[2].job
    assert away.catch_up is CatchUp.AS_CRON and away.policy.lock == ""


def test_every_setting_is_read():
    """Each of them, as it is written."""
    text = (
        "# kirikae: runs-in=own-task catch-up=all window=1h match=(?i)error lock=db "
        "notify=failure,missed\n* * * * * x\n"
    )
    (timed,) = jobs(text).timed
    job = timed.job
    assert (job.runs_in, job.catch_up, job.window_s) == (RunsIn.OWN_TASK, CatchUp.ALL, 3600)
    assert (job.match, job.policy.lock, job.notify) == ("(?i)error", "db", ("failure", "missed"))


def test_two_identical_lines_are_two_jobs():
    """cron runs both."""
    assert len(set(jobs().ids)) == 6


def test_an_edit_of_the_command_is_the_same_job_with_another_definition():
    """So a rolling deployment runs it once."""
    before = jobs().timed[0]
    after = jobs(CRONTAB.replace("* score", "* score --fast").replace("/opt/bin", "/opt/b")).timed[
        0
    ]
    assert before.job.id == after.job.id and before.digest != after.digest
    assert jobs(name="other").timed[0].job.id != before.job.id


@pytest.mark.parametrize(
    "comment",
    [
        "colour=red",
        "overlap",
        "overlap=maybe",
        "timeout=20",
        "retries=many",
        "id=a/b",
        "match=(",
        "on-crash=again",
        "notify=me",
        "ledger-away=perhaps",
    ],
)
def test_a_setting_that_is_none_is_refused_with_its_place(comment):
    """A typing error must not become cron's own behaviour in silence."""
    with pytest.raises(NoTable, match="batch:1"):
        jobs(f"# kirikae: {comment}\n* * * * * x\n")


def test_an_id_stands_for_one_job():
    """Twice the same is refused."""
    with pytest.raises(NoTable, match="already"):
        jobs("# kirikae: id=a\n* * * * * x\n# kirikae: id=a\n1 * * * * y\n")


def test_the_serial_of_a_table_stands_in_a_comment():
    """Without one it is 0."""
    assert jobs("# kirikae-table: serial=42\n* * * * * x\n").serial == 42
    assert jobs().serial == 0
