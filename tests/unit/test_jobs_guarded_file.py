"""One crontab in the repository serves both: its guarded form on the hosts, what stands behind the
guards for schedulers, workers and the move."""

from __future__ import annotations

from pathlib import Path

import pytest

from kirikae.console.jobs_schedule import loader
from kirikae.jobs.errors import NoTable
from kirikae.jobs.tables import Jobs, jobs_of
from kirikae.jobs.wrapping import Manner, without_guards, wrapped
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.unit.test_jobs_move import Stage

TOKYO = Zone("Asia/Tokyo")
PLAIN = r"""MAILTO=ops@example.com
# kirikae: id=tick
* * * * * /srv/bin/tick 'a b'
# kirikae: id=dump overlap=skip
30 2 * * * flock -n /run/dump /srv/bin/dump >/srv/$(date +\%F)%of the input
*/5 * * * * echo unnamed
"""


def plain_jobs(text: str = PLAIN) -> Jobs:
    return jobs_of(read_table(text, Dialect.DEBIAN, False), text, "batch", TOKYO, "batch")


def guarded(text: str = PLAIN) -> str:
    table = read_table(text, Dialect.DEBIAN, False)
    edit = wrapped(text, table, plain_jobs(text), Manner())
    assert len(edit.jobs) == 3
    return edit.after


def test_a_scheduler_sends_what_stands_behind_the_guard(tmp_path: Path):
    file = tmp_path / "batch"
    file.write_text(guarded())
    load = loader(str(file), "batch", "debian", None, "Asia/Tokyo")
    found = load()
    assert found is not None
    assert [each.job.command for each in found.timed] == [
        each.job.command for each in plain_jobs().timed
    ]
    assert [each.digest for each in found.timed] == [each.digest for each in plain_jobs().timed]
    assert load() is None
    file.write_text(PLAIN)
    assert load() is not None


def test_a_move_reads_it_so_too(tmp_path: Path):
    stage = Stage(tmp_path, settings={"time_zone": "Asia/Tokyo"})
    (tmp_path / "batch").write_text(guarded())
    jobs = stage.thing.tab.jobs
    assert [each.job.command for each in jobs.timed] == [
        each.job.command for each in plain_jobs().timed
    ]


def test_a_guarded_line_that_somebody_edited_is_refused():
    text = guarded().replace("tick '\\''a b'\\'''", "tick '\\''a b'\\''' && date")
    with pytest.raises(NoTable, match=r"batch:3: a guard stands before this command"):
        without_guards(text, "batch", lambda text: read_table(text, Dialect.DEBIAN, False))


# --- how long the plan of such a move takes


def test_a_step_waits_until_a_job_of_the_new_side_is_due(tmp_path: Path):
    """A plan of ten minutes for a job of half past two at night is no plan."""
    stage = Stage(tmp_path, settings={"settles_within": "1m", "order": ["dump", "tick"]})
    (tmp_path / "batch").write_text("\n".join(PLAIN.splitlines()[:5]) + "\n")
    first, second = stage.thing.prospects().steps  # it is noon in UTC, the zone by default
    assert first.plain["jobs"] == ["dump"]
    assert first.seconds == 14 * 3600 + 30 * 60 + 60
    assert first.plain["first_due"] == {"dump": "2026-03-09 02:30 +0000"}
    assert [each.key for each in first.says] == ["jobs.prospect.step", "jobs.prospect.waits"]
    assert second.seconds == 600
    assert stage.thing.prospects().seconds == first.seconds + 600


def test_a_job_that_no_step_sees_is_named(tmp_path: Path):
    stage = Stage(tmp_path, settings={"settles_within": "1m", "order": ["tick", "dump"]})
    (tmp_path / "batch").write_text("\n".join(PLAIN.splitlines()[:5]) + "\n")
    first, second = stage.thing.prospects().steps
    assert (first.seconds, second.seconds) == (600, 600)
    assert [each.key for each in second.says] == ["jobs.prospect.step", "jobs.prospect.unseen"]
    (unseen,) = second.says[1].blanks["jobs"]
    assert unseen.blanks == {"job": "dump", "at": "2026-03-09 02:30 +0000"}


def test_where_no_job_is_due_soon_the_time_is_not_known(tmp_path: Path):
    stage = Stage(tmp_path)
    (tmp_path / "batch").write_text("0 0 1 1 * echo happy new year\n")
    (step,) = stage.thing.prospects().steps
    assert step.seconds is None
    assert [each.key for each in step.says] == ["jobs.prospect.step", "jobs.prospect.none_due"]
    assert step.plain["first_due"] == {stage.thing.tab.jobs.ids[0]: None}
