"""`survey watch`: what was written is named, nothing is lost between looks, and what no rule knew
becomes a finding."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
from datetime import date

import pytest

from kirikae.console.context import load_project
from kirikae.console.here import Here
from kirikae.console.survey_watch import Watched as Ended
from kirikae.console.survey_watch import Watching, findings_of_watch
from kirikae.console.surveyed import watch_of
from kirikae.hosts.ssh import Host
from kirikae.model.bundle import Watched
from kirikae.model.errors import Exit
from kirikae.survey.errors import BundleProblem
from kirikae.survey.sections import unpacked
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import findings
from kirikae.survey.watch import Look, Watch, look_from, script, watch_from
from tests.command import run
from tests.made_host import NOW, Machine
from tests.unit.test_survey import PROJECT, bundle_text

TODAY = date(2026, 11, 21)


def wrote(path, uid=0, times=1, last=NOW + 500, folder=False, files=0):
    return Watched(path, folder, uid, 10, NOW + 100, last, times, files)


def told(machine, *written):
    """Code and place of what rests on the watch."""
    bundle = replace(machine.bundle(), watched=written)
    found = findings([bundle], [], TODAY)
    return {
        (each.code, each.where)
        for each in found
        if any(trace.says.startswith("written while watched") for trace in each.evidence)
    }


# --- what runs on the host


def looked(folder, since, shell="sh"):
    asked = f"TOP={folder}\n{script(since)}"
    done = subprocess.run(shell.split(), input=asked.encode(), capture_output=True, check=True)
    return look_from(unpacked(done.stdout), "host")


@pytest.mark.parametrize("shell", ["sh", "bash --posix"])
def test_a_look_names_what_was_written_since_and_nothing_else(tmp_path, shell):
    """By the time of writing and by the time of change, which `cp -p` cannot hide."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/new").write_text("x")
    (tmp_path / "a/copied with its old time").write_text("x")
    os.utime(tmp_path / "a/copied with its old time", (1, 1))
    first = looked(tmp_path, None, shell)
    assert first.written == () and first.at > 1
    look = looked(tmp_path, first.at - 3600, shell)
    files = {each.path for each in look.written if not each.folder}
    assert files == {f"{tmp_path}/a/new", f"{tmp_path}/a/copied with its old time"}
    assert f"{tmp_path}/a" in {each.path for each in look.written if each.folder}
    assert looked(tmp_path, first.at + 3600, shell).written == ()


def test_a_part_of_a_name_that_nobody_could_think_of_stays_on_the_host(tmp_path):
    """A session's name is a key to it."""
    (tmp_path / "sess_0123456789abcdef01234").write_text("x")
    (tmp_path / "a-long-name-without-any-number").write_text("x")
    (tmp_path / "with\na break").write_text("x")
    look = looked(tmp_path, 1)
    names = {each.path.removeprefix(f"{tmp_path}/") for each in look.written if not each.folder}
    assert names == {"sess_*", "a-long-name-without-any-number", "with\na break"}


def test_a_look_writes_nothing(tmp_path):
    """Neither a mark nor a time."""
    (tmp_path / "f").write_text("x")
    before = {path: os.lstat(path)[:9] for path in (tmp_path, tmp_path / "f")}
    looked(tmp_path, 1)
    assert {path: os.lstat(path)[:9] for path in (tmp_path, tmp_path / "f")} == before


# --- what is kept


def test_what_was_written_again_is_counted_and_what_was_seen_stays_seen():
    """The same look of a slow clock twice is one time."""
    watch = Watch("h", NOW, NOW).after(Look(NOW + 10, (wrote("/a/f", last=NOW + 5),)))
    again = watch.after(Look(NOW + 20, (wrote("/a/f", last=NOW + 5),)))
    assert again.written["/a/f"].times == 1
    later = again.after(Look(NOW + 30, (wrote("/a/f", last=NOW + 25),)))
    assert later.written["/a/f"].times == 2 and later.written["/a/f"].last == NOW + 25
    assert later.after(Look(NOW + 40, ())).written == later.written
    assert (later.looks, later.watched_s) == (3, 30)


def test_a_crowd_is_counted_at_its_folder():
    """Fifty are named."""
    many = tuple(wrote(f"/a/{number}") for number in range(130))
    watch = Watch("h", NOW, NOW).after(Look(NOW + 10, many))
    assert len(watch.written) == 51 and watch.written["/a"].files == 80
    assert watch_from(json.dumps(watch.to_plain()), "file") == watch


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', "null", '{"format": 1}'])
def test_a_watch_that_cannot_be_read_says_what_to_do(text):
    with pytest.raises(BundleProblem, match="watch again"):
        watch_from(text, "web1.json")


# --- what it means


@pytest.fixture
def machine():
    """An application of `deploy`, and a service of root's."""
    made = Machine()
    made.release("/srv/app", {"app.py": "x", "lib/a.py": "x"}, uid=1000)
    made.unit("app", user="deploy", folder="/srv/app", command="/usr/bin/python3 /srv/app/app.py")
    made.owned["/usr/share/shop/a"] = "shop"
    return made


def test_what_lay_still_before_is_state_in_use(machine):
    """Nobody names it: it was ST21, left behind."""
    machine.file("/var/lib/app/list", uid=1000)
    machine.folder("/var/lib/app", uid=1000)
    assert told(machine, wrote("/var/lib/app/list", uid=1000)) == {("ST01", "/var/lib/app")}


def test_what_is_written_between_code_is_state(machine):
    """A file for itself; and one of no known name is told by its class."""
    assert told(machine, wrote("/srv/app/counter.dat", uid=1000)) == {
        ("ST01", "/srv/app/counter.dat")
    }
    assert told(machine, wrote("/opt/x/uploads/a.jpg")) == {("ST04", "/opt/x/uploads")}
    assert told(machine, wrote("/var/log/app/a.log", uid=1000)) == {("LG01", "/var/log/app")}
    mine = wrote("/home/deploy/.pm2/dump", uid=1000)
    assert told(machine, mine) == {("ST01", "/home/deploy/.pm2")}


def test_what_many_leave_in_a_folder_for_everybody_is_told_once(machine):
    """It belongs to a package, which did not write there."""
    machine.folder("/tmp", 0, "1777")
    machine.owned["/tmp"] = "base-files"
    seen = [wrote(f"/tmp/{name}/a/b/c.json") for name in ("x", "y")]
    assert told(machine, *seen, wrote("/tmp/z")) == {("ST14", "/tmp")}


def test_what_no_rule_knows_of_becomes_a_finding(machine):
    """A service that writes into /etc, in more looks than one."""
    assert told(machine, wrote("/etc/app/state", times=3)) == {("ST22", "/etc/app/state")}


def test_what_came_and_went_between_two_looks_is_told_by_its_folder(machine):
    """Only where the folder is a service's own, and nothing in it says more."""
    machine.folder("/var/spool/app", uid=1000)
    seen = wrote("/var/spool/app", uid=1000, folder=True)
    assert told(machine, seen) == {("ST08", "/var/spool/app")}


@pytest.mark.parametrize(
    "path",
    [
        "/var/log/syslog",
        "/var/log/wtmp",
        "/var/lib/systemd/timers/stamp",
        "/run/utmp",
        "/usr/share/shop/a",
        "/home/deploy/.bash_history",
        "/home/deploy/.cache/x",
        "/etc/nginx/sites-available/shop",
        "/srv/app/releases/r2/views/index.py",
        "/etc/resolv.conf",
    ],
)
def test_the_system_people_packages_and_releases_are_no_service(machine, path):
    """They write as well, and none of it is state."""
    assert told(machine, wrote(path)) == set()


def test_a_release_that_came_while_we_looked_on_is_no_state(machine):
    """Its folders changed with it."""
    seen = [
        wrote("/srv/app", uid=1000, folder=True),
        wrote("/srv/app/releases", uid=1000, folder=True),
        wrote("/srv/app/releases/r2", uid=1000, folder=True),
        wrote("/srv/app/releases/r2/app.py", uid=1000),
    ]
    assert told(machine, *seen) == set()


# --- the verb


class Time:
    """A clock that goes on only where somebody sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a survey; its hosts answer what stands in ``answer``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    for host in ("web1", "web2", "batch1"):
        Shelf(tmp_path / ".kirikae" / "bundles").put(host, bundle_text(host))
    client = tmp_path / "ssh"
    client.write_text(
        '#!/bin/sh\ncat >>"$(dirname "$0")/asked"\n'
        'for word; do case "$word" in web1) cat "$(dirname "$0")/answer"; exit 0 ;; esac; done\n'
        'echo "no route" >&2; exit 255\n'
    )
    client.chmod(client.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("KIRIKAE_SSH", str(client))
    return tmp_path


def answers(folder, clock, *written):
    """What the next look hears: the host's clock is ours."""
    lines = "".join(f"|f\t0\t10\t{at}\t{at}\t{path}\n" for path, at in written)
    text = f"@kirikae-bundle 1\n@meta\n|now\t{int(clock.now)}\n@written\n{lines}@end\n"
    (folder / "answer").write_text(text)


def watching(folder, clock, for_s, hosts=("web1",), told=None):
    here = Here()

    def sleep(seconds):
        clock.sleep(seconds)
        answers(folder, clock, ("/opt/ledger/book", int(clock.now) - 1))

    return Watching(
        here,
        load_project(here),
        [Host(f"ssh://{name}") for name in hosts],
        for_s,
        600.0,
        (lambda seen: None) if told is None else told.append,
        clock=clock,
        sleep=sleep,
    )


def test_a_watch_looks_until_its_time_is_over_and_its_finding_blocks(folder):
    """The first look only asks for the time; each one asks since the last."""
    clock = Time()
    answers(folder, clock)
    heard = []
    seen = watching(folder, clock, 1500.0, told=heard).run()
    assert clock.slept == [600, 600, 300] and len(heard) == 4
    assert seen[0].watch.watched_s == 1500 and seen[0].watch.looks == 3
    asked = [
        line for line in (folder / "asked").read_text().splitlines() if line.startswith("SINCE=")
    ]
    assert asked == ["SINCE=", "SINCE=1000", "SINCE=1600", "SINCE=2200"]
    found = findings_of_watch(Here(), load_project(Here()))
    assert [(each.code, each.where) for each in found] == [("ST01", "/opt/ledger")]
    assert found[0].blocks == ("traffic",)
    assert Ended(seen, found, 1500.0).exit is Exit.DONE
    shown = run("survey", "explain", "/opt/ledger").stdout
    assert "written while watched: in 3 looks" in shown


def test_a_watch_that_was_stopped_goes_on_where_it_was(folder):
    """What was written while nobody looked is seen by the next look."""
    clock = Time()
    answers(folder, clock)
    stopped = watching(folder, clock, 1500.0)

    def stop(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(stopped, sleep=stop).run()
    assert watch_of(Here(), load_project(Here()), "web1").looked == 1000
    clock.now += 1000
    answers(folder, clock, ("/opt/ledger/book", 1500))
    seen = watching(folder, clock, 1500.0).run()
    assert clock.slept == [500]
    assert seen[0].watch.began == 1000 and seen[0].watch.watched_s == 1500
    once_more = watching(folder, clock, 600.0).run()
    assert once_more[0].watch.began == 2500 and "/opt/ledger/book" in once_more[0].watch.written


def test_a_host_that_does_not_answer_is_asked_again_and_told_at_the_end(folder):
    """3: some were watched to the end; 1: none was."""
    clock = Time()
    answers(folder, clock)
    seen = watching(folder, clock, 600.0, hosts=("web1", "web2")).run()
    assert clock.slept == [600]
    assert "no route" in seen[1].trouble and seen[1].watch is None
    assert Ended(seen, [], 600.0).exit is Exit.UNFINISHED
    assert Ended(seen[1:], [], 600.0).exit is Exit.REFUSED


def test_as_a_command_each_look_is_one_object_and_the_outcome_is_the_last(folder):
    """A watch of no length is one look; `--dry-run` calls nobody."""
    clock = Time()
    answers(folder, clock)
    dry = run("survey", "watch", "--dry-run", "--for", "1h")
    assert dry.stdout.count("would watch ssh://") == 3 and not (folder / "asked").exists()
    ran = run("survey", "watch", "web1", "--for", "0s", "--json")
    first, last = map(json.loads, ran.stdout.splitlines())
    assert (first["host"], first["looks"], first["trouble"]) == ("web1", 0, "")
    assert last["outcome"] == "done" and last["findings"] == []
    english = run("survey", "watch", "web1", "--for", "0s")
    assert "web1: watched for" in english.stderr and english.stdout.startswith("0 findings rest")
    japanese = run("survey", "watch", "web2", "--for", "0s", "--lang", "ja")
    assert japanese.exit_code == 1 and "今回は何も確認できませんでした" in japanese.stderr
