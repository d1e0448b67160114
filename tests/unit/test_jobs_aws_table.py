"""Jobs by AWS's expressions: what no crontab can say, admitted by the same schedulers."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kirikae.jobs.aws_lint import lint_aws
from kirikae.jobs.aws_table import aws_jobs
from kirikae.jobs.errors import NoTable
from kirikae.jobs.job import Overlap
from kirikae.jobs.scheduling import due_at
from kirikae.jobs.tables import Jobs
from kirikae.model.crontab.zones import Zone
from tests.command import run
from tests.unit.test_jobs_scheduler import NOON, Place
from tests.unit.test_jobs_scheduler import place as scheduling

__all__ = ["scheduling"]
TEXT = """\
# kirikae-table: serial=7
PATH="/opt/bin:/bin"
# kirikae: id=close overlap=skip timeout=2h
cron(30 9 L * ? *) /app/close --to=100%
CRON_TZ=Asia/Tokyo
rate(7 minutes) /app/poll
at(2026-03-08T09:00:00)  /app/once
"""


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() // 60)


def table(text: str = TEXT) -> Jobs:
    return aws_jobs(text, "batch", Zone("America/New_York"))


def test_settings_variables_and_zones_stand_above_as_in_a_crontab():
    close, poll, once = table().timed
    assert table().serial == 7 and close.job.id == "close"
    assert close.job.policy.overlap is Overlap.SKIP and close.job.timeout_s == 7200
    assert close.job.command == "/app/close --to=100%" and close.job.stdin is None
    assert close.job.environment == {"PATH": "/opt/bin:/bin"}
    assert (close.job.when, close.job.dialect) == ("cron(30 9 L * ? *)", "aws")
    assert (close.zone.name, poll.zone.name) == ("America/New_York", "Asia/Tokyo")
    assert once.job.command == "/app/once" and len(set(table().ids)) == 3


@pytest.mark.parametrize(
    ("text", "begin", "end", "dues"),
    [
        ("cron(0 9 L * ? *) x", "2026-02-26", "2026-03-01", ["2026-02-28T14:00"]),
        ("cron(0 9 ? * 6L *) x", "2026-02-20", "2026-03-01", ["2026-02-27T14:00"]),
        ("cron(0 9 ? * MON#2 *) x", "2026-02-01", "2026-03-01", ["2026-02-09T14:00"]),
        ("cron(0 9 15W * ? *) x", "2026-02-10", "2026-02-20", ["2026-02-16T14:00"]),
        ("cron(0 9 1 1 ? 2027) x", "2026-12-31", "2027-01-03", ["2027-01-01T14:00"]),
        ("cron(0 9 1 1 ? 2027) x", "2027-12-31", "2028-01-03", []),
        # 02:30 does not exist on 8 March in New York.
        ("cron(30 2 * * ? *) x", "2026-03-08", "2026-03-10", ["2026-03-09T06:30"]),
        # 01:30 comes twice on 1 November.
        ("cron(30 1 * * ? *) x", "2026-11-01", "2026-11-02", ["2026-11-01T05:30"]),
        ("at(2026-03-08T09:00:00) x", "2026-03-08", "2026-03-09", ["2026-03-08T13:00"]),
        ("rate(480 minutes) x", "2026-03-08", "2026-03-09", ["2026-03-08T02:00"]),
    ],
)
def test_it_is_due_when_aws_says(text, begin, end, dues):
    """Days and zone of New York; a rate counts from when its job was first heard of."""
    jobs = table(text)
    since = {jobs.ids[0]: minute("2026-03-07T18:00")}
    found = [at for at in range(minute(begin), minute(end)) if any(due_at(jobs, at, since))]
    if text.startswith("rate"):
        assert found == [minute(f"2026-03-08T{hour:02}:00") for hour in (2, 10, 18)]
    else:
        assert found == [minute(each) for each in dues]


@pytest.mark.parametrize(
    "text",
    [
        "0 9 * * * x",
        "cron(0 9 * * * *) x",
        "cron(0 9 * * ? *)",
        "cron(30 9 LW * ? *) x",
        "rate(10 seconds) x",
        "CRON_TZ=Nowhere/At_all",
        "at(2026-03-08) x",
        "# kirikae: id=a\nrate(1 minute) x\n# kirikae: id=a\nrate(1 minute) y",
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text):
    with pytest.raises(NoTable):
        table(text)


def test_schedulers_admit_it_once_and_run_nothing_of_it_at_a_release(scheduling: Place):
    """`@reboot` has no schedule either, and is another thing."""
    jobs = aws_jobs("# kirikae: id=a\nrate(2 minutes) x\n", "batch", Zone("UTC"))
    machines = [scheduling.machine(jobs, release="r1") for _ in range(2)]
    for _ in range(5):
        for machine in machines:
            machine.look()
        scheduling.clock.go(60)
    assert sorted(scheduling.states("a")) == [0, 2, 4]
    assert scheduling.clock.now == (NOON + 5) * 60.0


ODD = """\
cron(0 9 ? * 2-6 *) /app/weekdays
cron(30 2 * * ? *) /app/night
rate(7 minutes) /app/poll
at(2020-01-01T00:00:00) /app/once
cron(0 0 1 1 ? 2199) /app/later
cron(0 0 31 2 ? *) /app/never
cron(0 9 ? * MON#1 *) /app/month
# kirikae: overlp=skip
cron(0/15 * * * ? *) /app/often
"""


def test_lint_says_what_odd_lines_mean():
    """Numbers of weekdays, times that a change of the clock leaves out, rates, what never runs; a
    line that reads as it runs has no note."""
    notes = lint_aws(ODD, Zone("America/New_York"), minute("2026-01-01"), "jobs.aws")
    said = {note.line: (str(note.weight), note.says.key, note.says.blanks) for note in notes}
    assert said[1][:2] == ("odd", "jobs.aws_table.weekday")
    assert said[1][2]["means"] == ["MON", "TUE", "WED", "THU", "FRI"]
    assert said[2][:2] == ("odd", "jobs.lint.gap_wild") and said[2][2]["day"] == "2026-03-08"
    assert said[3][:2] == ("odd", "jobs.aws_table.rate")
    assert said[4][:2] == ("lost", "jobs.aws_table.past")
    assert said[6][:2] == ("lost", "jobs.lint.never")
    assert said[9][:2] == ("odd", "jobs.lint.settings")
    assert set(said) == {1, 2, 3, 4, 6, 9}


def test_lint_names_every_line_that_cannot_be_read():
    """Schedulers stop at the first one, and refuse all of the file."""
    text = "nonsense\nCRON_TZ=Mars/Base\ncron(1 2) x\nrate(1 hour) y\n"
    notes = lint_aws(text, Zone("UTC"), 0, "jobs.aws")
    lost = [note for note in notes if str(note.weight) == "lost"]
    assert [note.line for note in lost] == [0, 1, 2, 3] and lost[0].says.blanks["lines"] == [
        1,
        2,
        3,
    ]


def test_next_is_a_calendar_of_expressions(tmp_path):
    """In any zone; a rate counts from the begin, and that is told."""
    file = tmp_path / "jobs.aws"
    file.write_text("cron(30 9 ? * 2 *) a\nCRON_TZ=Asia/Tokyo\nrate(12 hours) b\n")
    words = ["--dialect", "aws", "--zone", "UTC", "--from", "2026-03-09", "--until", "2026-03-10"]
    listed = run("jobs", "next", str(file), *words, "--json")
    assert listed.exit_code == 0 and json.loads(listed.stdout) == [
        {"line": 3, "due": "2026-03-09T00:00Z"},
        {"line": 1, "due": "2026-03-09T09:30Z"},
        {"line": 3, "due": "2026-03-09T12:00Z"},
    ]
    shown = run("jobs", "next", str(file), *words)
    assert "2026-03-09 Mon 21:00 +0900" in shown.stdout and "first sees its job" in shown.stderr
    file.write_text("cron(30 9 ? * 2 *)\n")
    refused = run("jobs", "next", str(file), *words)
    assert refused.exit_code == 2 and "jobs.aws:1" in refused.stderr
