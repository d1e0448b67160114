"""`jobs lint --survey`: every crontab that was collected, by its own host's rules, and what else
runs by time; and what a timer's calendar means."""

from __future__ import annotations

import shutil

import pytest

from kirikae.model.crontab.systemd import crontab_times
from tests.command import run
from tests.unit.test_every_verb import PROJECT


@pytest.mark.parametrize(
    ("calendar", "times"),
    [
        ("daily", ("0 0 * * *", None)),
        ("Mon *-*-* 00:00:00", ("0 0 * * 1", None)),
        ("weekly", ("0 0 * * 1", None)),
        ("*-*-* 06:00:00", ("0 6 * * *", None)),
        ("*-*-* 6,18:00", ("0 6,18 * * *", None)),
        ("*-*-* *:0/15:00", ("0-59/15 * * * *", None)),
        ("*:5/20", ("5-59/20 * * * *", None)),
        ("Mon..Fri *-*-* 03:30:00", ("30 3 * * 1-5", None)),
        ("Mon..Fri 03:30", ("30 3 * * 1-5", None)),
        ("Sat,Sun 12:00", ("0 12 * * 6,7", None)),
        ("Fri..Sun 12:00", ("0 12 * * 5-7", None)),
        ("*-01,07-01 00:00:00 Asia/Tokyo", ("0 0 1 1,7 *", "Asia/Tokyo")),
        ("*-*-01..07 04:00 UTC", ("0 4 1-7 * *", "UTC")),
        ("Mon *-*-1..7 00:00", None),
        ("*-*~1 00:00", None),
        ("2027-01-01 00:00", None),
        ("*-*-* 00:00:30", None),
        ("*-*-* 25:00", None),
        ("Fri..Mon 00:00", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_a_calendar_of_systemd(calendar, times):
    """systemd.time(7); where a crontab cannot say the same, it says so."""
    assert crontab_times(calendar) == times


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hosts = '["ssh://batch1"]'
    (tmp_path / "kirikae.yml").write_text(
        PROJECT.partition("moves:")[0].replace('["ssh://web1"]', hosts)
    )
    bundles = tmp_path / ".kirikae/bundles"
    bundles.mkdir(parents=True)
    return bundles


def test_every_crontab_of_the_survey_is_linted(project):
    from tests.unit.test_survey import DATA

    (project / "batch1").mkdir()
    shutil.copy(DATA / "batch1.gz", project / "batch1/20261121T000000Z.gz")
    ran = run("jobs", "lint", "--survey", "--json")
    assert ran.exit_code in (0, 6) and ran.json["crontabs"]
    assert {each["host"] for each in ran.json["crontabs"]} == {"batch1"}
    assert all(each["file"].startswith("/") for each in ran.json["crontabs"])
    told = run("jobs", "lint", "--survey", "--lang", "ja")
    assert told.exit_code == ran.exit_code and "batch1:/" in told.stdout


def test_without_a_survey_it_says_what_to_do(project):
    ran = run("jobs", "lint", "--survey")
    assert ran.exit_code != 0 and "survey collect" in ran.stderr
    assert run("jobs", "lint").exit_code == 2
    assert run("jobs", "lint", "x", "--survey").exit_code == 2
