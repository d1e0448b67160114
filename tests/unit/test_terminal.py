"""What a person at a terminal meets: one line that fits, steps of long work, names that the shell
completes, help that is whole, and who is left where when they press Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.main import cli
from kirikae.console.progress import Progress
from kirikae.console.telling import Teller, cut
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Confidence, Finding, Severity, Trace
from kirikae.model.move import Hold, Move, Phase, Why
from kirikae.model.said import text
from kirikae.move.driver import Driver
from kirikae.move.engine import Look, Wait, Waits
from kirikae.move.journal import Journal
from kirikae.move.kind import Told
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.kind import TRAFFIC
from tests.command import run
from tests.unit.test_survey import DATA as BUNDLES
from tests.world import PLAN, WORLD, known

ARN = "arn:aws:iam::123456789012:user/sre"
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1", "ssh://web2"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  earth: {kind: world, file: world, advance: auto}
  moon: {kind: world, file: moon}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    monkeypatch.setattr(Aws, "identity", lambda self, account: ARN)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kirikae.yml").write_text(PROJECT)
    (tmp_path / "world").write_text("100\n")
    return tmp_path


def journal(folder) -> Journal:
    return Journal(SqliteStore(folder / ".kirikae" / "state.db"), "test", "shop", "me", "here")


# --- the line of `move start`


def look(share: int, waits: str) -> Look:
    move = Move("earth", PLAN, Phase.RUNNING, share, seq=1, attempt=1, stepped=1)
    return Look(move, Evidence(Verdict.UNSURE, text("?")), Wait(Waits.EVIDENCE, text(waits)))


def test_one_line_is_rewritten_and_share_and_figures_come_first(monkeypatch, capsys):
    """What does not fit is the end of what is waited for; nothing wraps."""
    monkeypatch.setenv("COLUMNS", "40")
    figures = text("new 5/s | old 20/s")
    teller = Teller(False, lambda _: Told(figures, figures), live=True)
    for seconds in (40, 39):
        teller(look(100, f"latency needs about 107 more requests, {seconds} s"))
    teller.close()
    err = capsys.readouterr().err
    # click takes the erasing away where no terminal is; the way back to the line's beginning stays.
    lines = [each for each in err.split("\r") if each]
    assert lines and all(len(each) < 40 and "\n" not in each for each in lines)
    assert all(each.startswith("  10% | new 5/s | old 20/s | latency") for each in lines)
    assert err.endswith("\r")


@pytest.mark.parametrize(
    ("given", "columns", "fits"),
    [("abc", 2, "ab"), ("旧環境", 5, "旧環"), ("a旧", 2, "a"), ("", 3, "")],
)
def test_a_letter_of_japanese_takes_two_columns(given, columns, fits):
    """A line that is too wide by one wraps, and the next one does not overwrite it."""
    assert cut(given, columns) == fits


# --- Ctrl-C


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (100, "10% of your users stay on the new side, and nobody judges or backs them out"),
        (0, "none of your users is on the new side"),
    ],
)
def test_ctrl_c_says_who_stays_where_and_that_nobody_looks_after_them(
    folder, monkeypatch, share, words
):
    """And the two commands: to go on, to send them back."""
    journal(folder).write(Move("earth", PLAN, Phase.RUNNING, share, seq=1, attempt=1, stepped=1))
    monkeypatch.setattr("kirikae.console.driving._assert_may_begin", lambda *_: None)

    def pressed(self, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr(Driver, "drive", pressed)
    ran = run("move", "start", "earth")
    assert ran.exit_code == 3 and words in ran.stderr
    assert "kirikae move start earth" in ran.stderr
    assert ("kirikae back-out earth" in ran.stderr) == (share > 0)
    assert words in run("move", "start", "earth", "--json").json["message"]


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_or_a_kill_ends_a_drive_as_ctrl_c_does(folder, monkeypatch, sign):
    """The lease is given back, who stays where is told, and the former handlers are back."""
    journal(folder).write(Move("earth", PLAN, Phase.RUNNING, 100, seq=1, attempt=1, stepped=1))
    monkeypatch.setattr("kirikae.console.driving._assert_may_begin", lambda *_: None)
    former = signal.getsignal(sign)

    def driven(self, tell):
        with self.lease.held():
            os.kill(os.getpid(), sign)
            signal.pause()

    monkeypatch.setattr(Driver, "drive", driven)
    ran = run("move", "start", "earth")
    assert ran.exit_code == 3 and "10% of your users stay on the new side" in ran.stderr
    assert signal.getsignal(sign) == former

    def found_free(self, tell):
        with self.lease.held():
            raise KeyboardInterrupt

    monkeypatch.setattr(Driver, "drive", found_free)
    assert run("move", "start", "earth").stderr == ran.stderr


@pytest.mark.parametrize(
    ("move", "colour"),
    [
        (Move("earth", PLAN, Phase.RUNNING, 0, held=Hold(Why.BACKED_OUT, text("harm"))), "31"),
        (Move("earth", PLAN, Phase.SETTLED, 1000), "32"),
        (Move("earth", PLAN, Phase.RUNNING, 100), None),
    ],
)
@pytest.mark.parametrize("no_color", ["", "1"])
def test_what_needs_somebody_is_red_and_what_is_done_is_green(
    monkeypatch, capsys, move, colour, no_color
):
    """Unless NO_COLOR says otherwise; what AWS or a host said brings no colours of its own."""
    monkeypatch.setenv("NO_COLOR", no_color)
    context = click.Context(cli, obj=None)
    context.color = True
    with context.scope():
        context.invoke(cli.callback, project_file="kirikae.yml", read_only=False)
        Teller(False, lambda _: None, live=False)(Look(move, None, None))
    out = capsys.readouterr().out
    painted = colour is not None and not no_color
    assert ("\x1b[" in out) == painted
    assert not painted or out.startswith(f"\x1b[{colour}m")


@pytest.mark.parametrize(
    ("phase", "share", "says"),
    [
        (
            Phase.RUNNING,
            100,
            "nobody judges or backs it out; `kirikae move start earth` takes over",
        ),
        (Phase.SETTLED, 1000, "needs no driver"),
        (Phase.RETIRED, 1000, "it is over"),
    ],
)
def test_status_says_what_goes_on_from_here(folder, phase, share, says):
    """A settled or retired move needs nobody to take over."""
    (folder / "world").write_text(f"{share}\n")
    journal(folder).write(Move("earth", PLAN, phase, share, seq=1, attempt=1, stepped=1))
    assert says in run("move", "status", "earth").stdout


def _undecided(settings, bench):
    thing = WORLD.open(settings, bench)
    thing.judge = lambda move: Verdict.UNSURE
    return thing


@pytest.mark.parametrize(("hold", "waits"), [(None, True), (Hold(Why.BY_HAND), False)])
def test_status_says_what_a_move_that_runs_waits_for(folder, monkeypatch, hold, waits):
    """By the judge, as `move explain` has it; one that is held waits for who holds it."""
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, replace(WORLD, open=_undecided)))
    (folder / "world").write_text("100\n")
    move = Move("earth", PLAN, Phase.RUNNING, 100, seq=1, attempt=1, stepped=1)
    journal(folder).write(replace(move, held=hold))
    assert ("waits for judged unsure" in run("move", "status", "earth").stdout) is waits
    told = run("move", "status", "earth", "--json").json["waits_for"]
    assert told == ("judged unsure" if waits else "")


def test_without_hosts_the_line_that_accepts_it_is_printed(folder):
    """The `where` that works stands nowhere else."""
    (folder / "kirikae.yml").write_text(
        PROJECT.replace(', hosts: ["ssh://web1", "ssh://web2"]', "")
    )
    ran = run("survey", "ask")
    assert "SV01" in ran.stdout and "the old fleet" in ran.stdout


# --- retire


def test_the_removal_list_names_what_lives_on_the_hosts(folder, monkeypatch):
    """Jobs, backups and state, a box each; who retires hears what is left of the red button."""
    seen = [
        Finding(
            "JB13",
            "/etc/cron.d/backup",
            "pg_dump at 02:30",
            "move it",
            Severity.WORK,
            Confidence.OBSERVED,
            (),
            (Trace("web1", "/etc/cron.d/backup", "30 2 * * *"),),
        ),
        Finding("ST04", "/srv/shop/uploads", "174 files", "move them"),
        Finding("ML02", "postfix", "12 mails wait", "send them"),
        Finding("PR13", "-", "Python 3.11 ends", "raise it"),
        Finding("JB01", "/etc/cron.d/x\n- [x] done", "<img src=x>\x1b[2J\u202e* * *", "move it"),
    ]
    monkeypatch.setattr("kirikae.console.leavings.survey_findings", lambda *_: seen)
    (folder / "world").write_text("1000\n")
    journal(folder).write(Move("earth", PLAN, Phase.SETTLED, 1000, seq=1, attempt=1, stepped=1))
    ran = run("move", "retire", "earth")
    assert ran.exit_code == 0 and "`kirikae back-out earth` sends everybody back" in ran.stdout
    page = (folder / "removal-earth.md").read_text()
    assert "- [ ] JB13 /etc/cron.d/backup (web1): pg_dump at 02:30" in page
    assert "- [ ] ST04 /srv/shop/uploads (-): 174 files" in page and "PR13" not in page
    assert r"- [ ] JB01 /etc/cron.d/x - \[x\] done (-): \<img src=x\>" in page
    assert "\x1b" not in page and "\u202e" not in page and r"\* \* \*" in page
    assert "- [ ] ML02 postfix (-): 12 mails wait" in page


def test_the_removal_list_has_a_box_for_every_job_of_every_host(folder):
    """Each line of a crontab by itself, whatever kind of move has ended."""
    project = (folder / "kirikae.yml").read_text()
    (folder / "kirikae.yml").write_text(project.replace("ssh://web2", "ssh://batch1"))
    kept = folder / ".kirikae/bundles/batch1"
    kept.mkdir(parents=True)
    shutil.copy(BUNDLES / "batch1.gz", kept / "20261121T000000Z.gz")
    (folder / "world").write_text("1000\n")
    journal(folder).write(Move("earth", PLAN, Phase.SETTLED, 1000, seq=1, attempt=1, stepped=1))
    assert run("move", "retire", "earth").exit_code == 0
    page = (folder / "removal-earth.md").read_text()
    lines = [line for line in page.splitlines() if "batch1 /etc/cron.d/bookshop:" in line]
    assert len(lines) == 7 and all(line.startswith("- [ ] ") for line in lines)


# --- progress


def test_steps_are_told_to_a_terminal_and_to_nobody_else(capsys):
    """With the seconds since the verb began."""
    now = iter([0.0, 7.0])
    Progress(live=True, clock=lambda: next(now)).step("web1: 40 KiB in 6.9 s")
    Progress(live=False).step("nobody looks on")
    Progress().step("a pipe")
    assert capsys.readouterr().err == "    7 s  web1: 40 KiB in 6.9 s\n"


def test_what_a_host_says_gives_a_terminal_no_orders(capsys):
    """Control characters in the name of a file or host."""
    Progress(live=True).step("web1\x1b[2J")
    assert "\x1b" not in capsys.readouterr().err


# --- completion and help


def completed(*words: str) -> list[str]:
    shell = ShellComplete(cli, {}, "kirikae", "_KIRIKAE_COMPLETE")
    *before, begun = words
    return [item.value for item in shell.get_completions(list(before), begun)]


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (("move", "status", ""), ["earth", "moon"]),
        (("move", "start", "m"), ["moon"]),
        (("back-out", "e"), ["earth"]),
        (("survey", "collect", "web"), ["web1", "web2"]),
        (("survey", "diff", "web1", ""), ["web1", "web2"]),
        (("release", "deploy", ""), ["r1", "r2"]),
        (("release", "deploy", "r1", "--to", "o"), ["old", "old,new"]),
        (("build", "image", "r2"), ["r2"]),
    ],
)
def test_names_of_this_project_are_completed(folder, words, proposed):
    """No host and no AWS is asked while somebody presses Tab."""
    releases = folder / ".kirikae" / "releases"
    releases.mkdir(parents=True)
    for name in ("r1", "r2"):
        (releases / f"{name}.tar.gz").touch()
    assert completed(*words) == proposed


def test_codes_are_completed_and_another_project_file_is_read(folder):
    """And where the file cannot be read, nothing is proposed."""
    assert "ST03" in completed("explain", "ST")
    (folder / "other.yml").write_text(PROJECT.replace("earth", "mars"))
    assert completed("--project", "other.yml", "move", "plan", "m") == ["mars", "moon"]
    (folder / "kirikae.yml").write_text("no: [project")
    assert completed("move", "plan", "") == []


@pytest.mark.parametrize(
    "group", ["move", "survey", "build", "release", "local", "project", "jobs"]
)
def test_the_help_of_a_group_cuts_no_sentence(group):
    """Each verb's whole first paragraph."""
    command = cli.get_command(click.Context(cli), group)
    assert isinstance(command, click.Group)
    # Words are broken at hyphens, too: blanks are no matter.
    shown = "".join(command.get_help(click.Context(command)).partition("Commands:")[2].split())
    assert "..." not in shown
    for verb in command.commands.values():
        assert "".join((verb.help or "").split("\n\n")[0].split()) in shown


@pytest.mark.parametrize("verb", ["status", "explain"])
def test_of_a_move_that_never_began_the_reader_s_language_says_so(folder, verb):
    """With the way on; exit code 2, as nothing stands in the journal."""
    told = run("move", verb, "earth", "--lang", "ja")
    assert told.exit_code == 2 and "移行 earth はまだ始まっていません" in told.stderr
    assert "`kirikae move plan earth` shows what it would take" in run("move", verb, "earth").stderr


def called(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """By a shell, which can close and redirect what a program is given."""
    program = f"{sys.executable} -m kirikae"
    return subprocess.run(
        ["sh", "-c", command.replace("kirikae", program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("kirikae jobs lint tab >/dev/full", 3, "the answer cannot be written: No space left"),
        ("kirikae jobs lint - <&-", 2, "the standard input is closed"),
        ("mkdir a; cd a; rmdir ../a; kirikae jobs lint tab", 2, "called in is gone"),
    ],
)
def test_what_a_shell_may_do_to_a_program_is_told(tmp_path, command, code, told):
    """Never a traceback, and no fault of kirikae's own."""
    (tmp_path / "tab").write_text("* * * * * true\n")
    ran = called(command, tmp_path)
    assert ran.returncode == code and told in ran.stderr and ran.stderr.count("\n") == 1
