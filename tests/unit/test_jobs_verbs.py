"""`kirikae jobs`: what odd lines mean, and a calendar."""

from __future__ import annotations

import re

import pytest

from kirikae.jobs.lint import Weight
from tests.command import run

FEATURES = """\
SHELL=/bin/sh
# an hour that does not exist, and one that comes twice
30 2 * * * nightly
*/30 1 * * * often
0 4 1,15 * 5 either
0 4 */2 * 1 both
0 4 13 * 0-7 all
0 3 31 2 * never
0 22-2 * * * hollow
*/60 * * * * hourly
5.5,10 6 * * * dropped
0 5 * * * date +%d
0 6 * * * 7 /usr/bin/true
0 7 * * * -n /usr/bin/true
@reboot start
0 8 * * * twice
0 8 * * * twice
A-B=1
HOME_OF_B=$HOME
CRON_TZ=Asia/Tokyo
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "crontab"
    path.write_text(FEATURES)
    return str(path)


def notes(*arguments):
    ran = run("jobs", "lint", *arguments, "--json")
    return ran, {(note["line"], note["says"]["says"]) for note in ran.json["notes"]}


def test_every_odd_line_is_told_with_its_meaning(file):
    ran, told = notes(file, "--zone", "America/New_York")
    assert ran.exit_code == 6 and ran.json["outcome"] == "found" and ran.json["jobs"] == 15
    assert told == {
        (3, "jobs.lint.gap"),
        (4, "jobs.lint.fold"),
        (5, "jobs.lint.either"),
        (6, "jobs.lint.both"),
        (7, "jobs.lint.every_day"),
        (8, "jobs.lint.never"),
        (9, "jobs.lint.hollow"),
        (9, "jobs.lint.never"),
        (10, "jobs.lint.steps_over"),
        (11, "jobs.lint.dropped"),
        (12, "jobs.lint.percent"),
        (13, "jobs.lint.sixth"),
        (14, "jobs.lint.dash_n"),
        (15, "jobs.lint.reboot"),
        (16, "jobs.lint.twice"),
        (17, "jobs.lint.twice"),
        (18, "jobs.lint.below"),
        (18, "jobs.lint.name"),
        (19, "jobs.lint.below"),
        (19, "jobs.lint.literal"),
        (20, "jobs.lint.below"),
        (20, "jobs.lint.ignored_variable"),
    }


def test_the_sentence_says_where_and_what(file):
    lines = run("jobs", "lint", file).stdout.splitlines()
    assert f"{file}:11: `5.5,10` means minute 5: cron drops `.5,10` in silence" in lines
    japanese = run("jobs", "lint", file, "--lang", "ja").stdout
    assert "この行は決して実行されません" in japanese


def test_a_file_that_is_ignored_says_by_which_line(tmp_path):
    file = tmp_path / "crontab"
    file.write_text("0 1 * * * good\n70 * * * * bad\nMAILTO=\n")
    ran = run("jobs", "lint", str(file), "--json")
    assert ran.json["ignored"] and ran.json["jobs"] == 0
    first = ran.json["notes"][0]
    assert first["line"] == 0 and "as a whole because of line 2, 3" in first["sentence"]
    assert {note["weight"] for note in ran.json["notes"]} == {Weight.LOST}
    calendar = run("jobs", "next", str(file), "--from", "2026-01-01")
    assert "nothing is due" in calendar.stdout and "line 2, 3" in calendar.stderr
    cronie = run("jobs", "lint", str(file), "--dialect", "cronie", "--json").json
    assert not cronie["ignored"] and cronie["jobs"] == 1


def test_a_name_that_cron_does_not_read(tmp_path):
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "shop.cron").write_text("0 1 * * * root true\n")
    ran = run("jobs", "lint", str(folder / "shop.cron"), "--json")
    assert ran.json["jobs"] == 0 and ran.json["notes"][0]["says"]["says"] == "jobs.lint.unread"
    (folder / "shop").write_text("0 1 * * * root true\n")
    ran = run("jobs", "lint", str(folder / "shop"), "--json")
    assert ran.exit_code == 0 and ran.json["jobs"] == 1, "a column of users, by its place"


def test_the_calendar_is_a_list_of_minutes_of_utc(file):
    period = ("--from", "2026-03-08T06:00Z", "--until", "2026-03-08T07:01Z")
    ran = run("jobs", "next", file, "--zone", "America/New_York", "--json", *period)
    assert ran.exit_code == 0
    assert ran.json == [
        {"line": 4, "due": "2026-03-08T06:00Z"},
        {"line": 10, "due": "2026-03-08T06:00Z"},
        {"line": 4, "due": "2026-03-08T06:30Z"},
        {"line": 3, "due": "2026-03-08T07:00Z"},
        {"line": 10, "due": "2026-03-08T07:00Z"},
    ]


def test_the_calendar_shows_the_wall_clock_and_says_what_it_leaves_out(file):
    words = ("jobs", "next", file, "--zone", "America/New_York", "--from", "2026-11-01")
    shown = run(*words).stdout.splitlines()
    assert "2026-11-01 Sun 01:30 -0400  2026-11-01T05:30Z     4  often" in shown
    assert "2026-11-01 Sun 01:30 -0500  2026-11-01T06:30Z     4  often" in shown
    cut = run(*words, "--most", "3").stdout.splitlines()
    assert len(cut) == 4 and cut[-1].startswith(f"{len(shown) - 3} more")


def test_cronie_s_zone_of_an_entry_counts(tmp_path):
    file = tmp_path / "crontab"
    file.write_text("CRON_TZ=Asia/Tokyo\n0 9 * * * a\n")
    words = ("jobs", "next", str(file), "--from", "2026-01-01", "--json", "--dialect")
    assert run(*words, "cronie").json == [{"line": 2, "due": "2026-01-01T00:00Z"}]
    assert run(*words, "debian").json == [{"line": 2, "due": "2026-01-01T09:00Z"}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lint", "nowhere"], "nowhere cannot be read"),
        (["lint", "FILE", "--zone", "Mars"], "'Mars' is no time zone"),
        (["lint", "FILE", "--zone", "../../etc/passwd"], "is no time zone"),
        (["lint", "FILE", "--zone", "America"], "is no time zone"),
        (["lint", "FILE", "--zone", "x" * 5000], "is no time zone"),
        (["next", "FILE", "--from", "soon"], "--from 'soon' is no time"),
        (["next", "FILE", "--from", "2026-01-02", "--until", "2026-01-01"], "turn them round"),
        (["next", "FILE", "--until", "9999-12-31T23:59-12:00"], "is no time"),
        (["next", "FILE", "--until", "2199-12-31"], "ten years at most"),
        (["next", "FILE", "--zone", "Asia/Tokyo", "--from", "0001-01-01"], "is no time"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(file, words, says):
    ran = run("jobs", *[file if word == "FILE" else word for word in words])
    assert ran.exit_code == 2 and says in ran.stderr


def test_any_bytes_are_read(tmp_path):
    file = tmp_path / "crontab"
    file.write_bytes(b"\xff\xfe* * * * * x\n0 1 * * * \xe3\x81\n")
    ran = run("jobs", "lint", str(file), "--json")
    assert ran.exit_code == 6 and ran.json["ignored"]


CRON_D = """* * * * *  mikan  cd /srv/mikan && bin/tick
0 3 * * *  root flock -n /run/x /srv/mikan/bin/stock
"""


def test_a_file_of_cron_d_that_lies_elsewhere_is_not_wrapped_with_its_users(tmp_path):
    """The guard would have stood in the place of the user, and the user in the command's."""
    file = tmp_path / "mikan"
    file.write_text(CRON_D)
    told = run("jobs", "lint", str(file))
    assert told.exit_code == 6 and ":1: `mikan` looks like the user" in told.stdout
    asked = run("jobs", "wrap", str(file), "--zone", "Asia/Tokyo")
    assert asked.exit_code == 2 and "say `--system` if it does" in asked.stderr
    wrapped = run("jobs", "wrap", str(file), "--zone", "Asia/Tokyo", "--system")
    assert re.search(r"^\+\* .* mikan +/usr/local/bin/kirikae-guard", wrapped.stdout, re.M)


@pytest.mark.parametrize(
    "command",
    [
        "php /srv/shop/artisan schedule:run",
        "sudo php x.php",
        "nice -n 10 tar cf x y",
        "cd /srv && x",
        "nginx -s reopen",
        "/srv/x root",
        "env A=b php x",
        "certbot renew",
        "deploy --now",
        "root",
    ],
)
def test_what_a_person_s_own_crontab_has_is_no_user(command, tmp_path):
    """No question is asked of a crontab without a column of users."""
    file = tmp_path / "mine"
    file.write_text(f"5 4 * * * {command}\n")
    assert "looks like the user" not in run("jobs", "lint", str(file)).stdout
