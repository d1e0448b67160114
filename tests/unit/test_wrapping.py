"""The guard before a crontab's jobs: every command still reaches the shell as it was, and the way
back is exact to the byte."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.jobs.errors import NoTable
from kirikae.jobs.tables import jobs_of
from kirikae.jobs.wrapping import Manner, unwrapped, wrapped
from kirikae.model.crontab.fields import Dialect
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.command import run

TOKYO = Zone("Asia/Tokyo")


def wrap(text, dialect=Dialect.DEBIAN, system=False, **manner):
    table = read_table(text, dialect, with_user=system)
    jobs = jobs_of(table, text, "batch", TOKYO)
    return wrapped(text, table, jobs, Manner(**manner))


def unwrap(text, dialect=Dialect.DEBIAN, system=False):
    return unwrapped(text, read_table(text, dialect, with_user=system))


def shown(text, dialect=Dialect.DEBIAN, system=False):
    """What cron gives each job: its schedule, variables, the last word of its command, stdin."""
    return [
        (entry.schedule, dict(entry.variables), shlex.split(entry.command)[-1], entry.stdin)
        for entry in read_table(text, dialect, with_user=system).entries
    ]


def plain(text, dialect=Dialect.DEBIAN, system=False):
    return [
        (entry.schedule, dict(entry.variables), entry.command, entry.stdin)
        for entry in read_table(text, dialect, with_user=system).entries
    ]


LINES = (
    '0 7 * * * cd /srv && ./report --day "$(date +\\%F)" >> /var/log/report 2>&1',
    "*/5 * * * * echo 'it''s' | sed 's/\\\\./x/'",
    "1 2 * * * mail -s hi ops%Dear ops,%%it's \\% done",
    "3 4 * * 1 echo a\\\\%stdin 'quoted'",
    "  5 6 1 * *\ttail\\",
    "@daily  true # no comment",
)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("line", LINES)
def test_the_shell_gets_the_same_and_the_way_back_is_exact(line, dialect):
    text = f"MAILTO=ops@example.com\n# kept\n{line}\n\nA=1\n"
    edit = wrap(text, dialect)
    assert len(edit.jobs) == 1 and not edit.left
    assert shown(edit.after, dialect) == plain(text, dialect)
    assert "kirikae-guard -w '" in edit.after and edit.after.startswith("MAILTO=ops@example.com\n")
    assert unwrap(edit.after, dialect).after == text
    assert wrap(edit.after, dialect).after == edit.after


@given(
    command=st.text(st.sampled_from("ab \\%'\"$`;&|\t\r#*é"), min_size=1, max_size=30),
    system=st.booleans(),
    dialect=st.sampled_from(list(Dialect)),
)
def test_any_command(command, system, dialect):
    """Whatever stands in a line: wrapped exactly, or left as it is."""
    text = f"0 7 * * 1-5 {'root ' if system else ''}{command}\n"
    edit = wrap(text, dialect, system)
    if edit.jobs:
        assert shown(edit.after, dialect, system) == plain(text, dialect, system)
    else:
        assert edit.after == text
    back = unwrap(edit.after, dialect, system)
    assert back.after == text and not back.left


def test_what_is_left_alone_is_told_with_the_reason():
    text = "\n".join(
        (
            "@reboot start",
            "0 1 * * * ",
            "SHELL=/usr/bin/python3",
            "0 2 * * * print(1)",
            "SHELL=/bin/sh",
            "0 3 * * * " + "x" * 950,
            "0 4 * * * fine",
            "",
        )
    )
    edit = wrap(text)
    assert [(left.line, left.why.key.rpartition(".")[2]) for left in edit.left] == [
        (1, "reboot"),
        (2, "nothing"),
        (4, "shell"),
        (6, "long"),
    ]
    assert len(edit.jobs) == 1


def test_its_id_and_its_options_stand_in_the_line():
    text = "# kirikae: id=report\n0 7 * * * true\n"
    [line] = wrap(text, unreachable="open", conf="/etc/my guard.conf").after.splitlines()[1:]
    assert line == (
        "0 7 * * * /usr/local/bin/kirikae-guard -w '0 7 * * *' -z Asia/Tokyo -u open "
        "-f '/etc/my guard.conf' report -c 'true'"
    )
    assert unwrap(f"# kirikae: id=report\n{line}\n").after == text


@pytest.mark.parametrize(
    "manner",
    [{"guard": "/opt/guard"}, {"guard": "/opt/my own/kirikae-guard"}, {"conf": "/etc/my o'clock"}],
)
def test_what_could_not_be_taken_away_again_is_not_put_there(manner):
    text = "0 7 * * * true\n"
    edit = wrap(text, **manner)
    assert edit.after == text and edit.left[0].why.key == "jobs.wrap.no_way_back"


def test_an_unknown_zone_is_told_with_its_line():
    with pytest.raises(NoTable, match="batch:3: CRON_TZ above it: 'Asia/Tokio' is no time zone"):
        wrap("CRON_TZ=Asia/Tokio\n\n0 7 * * * true\n", Dialect.CRONIE)


def test_a_line_that_somebody_changed_afterwards_is_left_to_him():
    text = wrap("0 7 * * * true\n").after.replace("'true'", "'true' >> /var/log/x")
    back = unwrap(text)
    assert back.after == text and back.left[0].why.key == "jobs.wrap.by_hand"


# --- the verbs


@pytest.fixture
def tab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "batch"
    path.write_bytes(b"MAILTO=ops\n# kirikae: id=report\n0 7 * * * echo \xff\n")
    path.chmod(0o640)
    return path


def test_nothing_is_written_before_it_was_reviewed(tab, tmp_path):
    """The diff first; its digest writes exactly that; the former file is kept; the way back."""
    before = tab.read_bytes()
    first = run("jobs", "wrap", str(tab), "--zone", "UTC", "--json")
    assert first.exit_code == 5 and tab.read_bytes() == before
    assert [line[0] for line in first.json["diff"][3:]] == [" ", " ", "-", "+"]
    wrong = run("jobs", "wrap", str(tab), "--zone", "UTC", "--reviewed", "0" * 12)
    assert wrong.exit_code == 2 and tab.read_bytes() == before
    done = run(
        "jobs", "wrap", str(tab), "--zone", "UTC", "--reviewed", first.json["digest"], "--json"
    )
    assert done.exit_code == 0 and done.json["jobs"] == ["report"]
    assert (tmp_path / done.json["kept"]).read_bytes() == before
    assert tab.stat().st_mode & 0o777 == 0o640
    assert run("jobs", "wrap", str(tab), "--zone", "UTC").exit_code == 0
    back = run("jobs", "unwrap", str(tab), "--json")
    run("jobs", "unwrap", str(tab), "--reviewed", back.json["digest"])
    assert tab.read_bytes() == before


def test_dry_run_shows_and_writes_nothing(tab):
    before = tab.read_bytes()
    ran = run("jobs", "wrap", str(tab), "--zone", "UTC", "--dry-run", "--reviewed", "x", "--json")
    assert (ran.exit_code, ran.json["outcome"]) == (0, "dry run") and ran.json["diff"]
    assert tab.read_bytes() == before


def test_read_only_refuses(tab):
    digest = run("jobs", "wrap", str(tab), "--zone", "UTC", "--json").json["digest"]
    ran = run("--read-only", "jobs", "wrap", str(tab), "--zone", "UTC", "--reviewed", digest)
    assert ran.exit_code == 2 and b"guard" not in tab.read_bytes()


def test_a_file_that_cron_ignores_is_refused(tmp_path):
    bad = tmp_path / "bad"
    bad.write_text("0 7 * * * true\n5/15 * * * * true\n")
    ran = run("jobs", "wrap", str(bad), "--zone", "UTC")
    assert ran.exit_code == 2 and "because of line 2" in ran.stderr
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "a.b").write_text("0 7 * * * root true\n")
    assert run("jobs", "wrap", str(folder / "a.b"), "--zone", "UTC").exit_code == 2


def test_the_guard_is_printed():
    ran = run("jobs", "guard")
    assert ran.stdout.startswith("#!/bin/sh\n") and ran.stdout.endswith('exit "$kg_status"\n')


def test_export_says_what_becomes_of_each_line(tmp_path):
    file = tmp_path / "tab"
    file.write_text("0 5 1,15 * * true\n0 0 */2 * 1 true\n")
    ran = run("jobs", "export", str(file), "--target", "rules", "--zone", "Asia/Tokyo", "--json")
    assert ran.exit_code == 6
    first, second = ran.json["jobs"]
    assert [each["ScheduleExpression"] for each in first["schedules"]] == [
        "cron(0 20 14 * ? *)",
        "cron(0 20 L * ? *)",
    ]
    assert second["refused"]["says"]["says"] == "jobs.export.both"
    told = run("jobs", "export", str(file), "--target", "scheduler", "--zone", "Asia/Tokyo")
    assert "cron(0 5 1,15 * ? *)  Asia/Tokyo" in told.stdout
