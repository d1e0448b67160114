"""kirikae-guard in the shells that old hosts have, against a real `kirikae jobs serve`.

It claims the due minute before the job runs, extends its lease, tells the end; and the job itself
notices nothing of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, Owner, State
from tests.pace import ended, eventually

GUARD = Path(__file__).parents[2] / "src/kirikae/jobs/guard/kirikae-guard"
EVERY_MINUTE = "* * * * *"
_DAILY = time.strftime("%M %H * * *", time.gmtime(time.time() - 7200))
"""Due two hours ago: a test that goes on over a minute's end has the same firing."""
_MARK = "KIRIKAE_TEST_JOB"
_TOOLS = (
    "sh",
    "sed",
    "cat",
    "date",
    "sleep",
    "tail",
    "rm",
    "mkdir",
    "mktemp",
    "uname",
    "grep",
    "setsid",
    "env",
    "printf",
    "kill",
    "dd",
)


def _shells() -> list[list[str]]:
    known = (["dash"], ["bash"], ["busybox", "sh"], ["mksh"], ["yash"])
    return [shell for shell in known if shutil.which(shell[0])]


@dataclass(frozen=True)
class Place:
    """A ledger that answers, and a host whose guard asks it."""

    url: str
    ledger: HttpLedger
    folder: Path
    shell: Sequence[str] = ("dash",)
    variables: dict[str, str] = field(default_factory=dict)

    def conf(self, **settings: str) -> Path:
        told = {
            "ledger": self.url,
            "token_file": str(self.folder / "jobs.db.token"),
            "lease": "4",
            "tries": "1",
            **settings,
        }
        file = self.folder / f"guard-{len(list(self.folder.iterdir()))}.conf"
        file.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        return file

    def command(self, *arguments: str, conf: Path | None = None) -> list[str]:
        return [*self.shell, str(GUARD), "-f", str(conf or self.conf()), *arguments]

    def run(
        self, *arguments: str, conf: Path | None = None, stdin: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*arguments, conf=conf),
            input=stdin,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", **self.variables, **more},
            check=False,
        )

    def last(self, job: str) -> Firing:
        return max(self.ledger.history(job, since=0), key=lambda firing: firing.due)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("ledger")
    running = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "kirikae",
            "jobs",
            "serve",
            "--ledger",
            "jobs.db",
            "--listen",
            "127.0.0.1:0",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert running.stdout is not None
    try:
        url = running.stdout.readline().split("answers at ")[1].split(";")[0]
        token = (folder / "jobs.db.token").read_text().strip()
        yield Place(url, HttpLedger(url, token), folder)
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@pytest.fixture(params=_shells(), ids=" ".join)
def place(served: Place, request: pytest.FixtureRequest) -> Place:
    return Place(served.url, served.ledger, served.folder, request.param)


@pytest.fixture
def job(request: pytest.FixtureRequest) -> str:
    """A job of its own for each test and shell."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def test_the_command_notices_nothing(place: Place, job: str) -> None:
    """Standard input, both outputs, exit status, arguments, variables, PATH and umask are its own;
    the ledger knows how it ended."""
    script = 'cat; echo "$1|$zone|$PATH|$(umask)" >&2; exit 7'
    ran = place.run(
        "-w",
        EVERY_MINUTE,
        job,
        "--",
        "sh",
        "-c",
        script,
        "name",
        "two  words",
        stdin=b"bytes \x00\xff\nno end",
        zone="mine",
        PATH="/usr/bin:/bin:/opt/own",
    )
    assert ran.stdout == b"bytes \x00\xff\nno end"
    assert ran.stderr.startswith(b"two  words|mine|/usr/bin:/bin:/opt/own|00")
    assert not ran.stderr.startswith(b"two  words|mine|/usr/bin:/bin:/opt/own|0077")
    assert ran.returncode == 7
    firing = place.last(job)
    assert (firing.state, firing.exit_code, firing.side) == (State.FAILED, 7, Owner.OLD)


def test_a_line_goes_to_cron_s_shell(place: Place, job: str) -> None:
    """As cron gives it: whole, to $SHELL."""
    line = 'cd / && pwd; echo it\'s "$0" | tr a-z A-Z'
    line = line.replace("it's", "its")
    ran = place.run("-w", EVERY_MINUTE, job, "-c", line)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"/\nITS /BIN/SH\n", b"", 0)
    assert place.last(job).state is State.SUCCEEDED


def test_a_firing_runs_once(place: Place, job: str) -> None:
    """Two hosts with the same line: the second one says nothing and does nothing."""
    first = place.run("-w", _DAILY, job, "-c", "echo ran")
    second = place.run("-w", _DAILY, job, "-c", "echo ran")
    assert (first.stdout, second.stdout) == (b"ran\n", b"")
    assert (second.stderr, second.returncode) == (b"", 0)


def test_a_job_that_was_handed_over_stays_silent(place: Place, job: str) -> None:
    place.ledger.own([job], Owner.NEW)
    ran = place.run("-w", EVERY_MINUTE, job, "-c", "echo ran")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"", b"", 0)


def test_without_a_ledger_a_job_does_not_run_and_says_so(place: Place, job: str) -> None:
    """Exit status 75, and a line that cron sends by mail."""
    conf = place.conf(ledger="http://127.0.0.1:9")
    ran = place.run("-w", EVERY_MINUTE, job, "-c", "echo ran", conf=conf)
    assert (ran.stdout, ran.returncode) == (b"", 75)
    assert b"was not run: the ledger http://127.0.0.1:9 cannot be asked" in ran.stderr
    assert place.run("-w", EVERY_MINUTE, job, "-c", "true", conf=Path("/no/conf")).returncode == 75


def test_without_a_ledger_a_job_may_run_all_the_same(place: Place, job: str) -> None:
    """If it is told so, for all jobs or for this one; what it says is still its own."""
    for conf, options in (
        (place.conf(ledger="http://127.0.0.1:9", unreachable="open"), ()),
        (place.conf(ledger="http://127.0.0.1:9"), ("-u", "open")),
    ):
        ran = place.run(
            *options, "-w", EVERY_MINUTE, job, "-c", "cat; exit 3", conf=conf, stdin=b"in"
        )
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"in", b"", 3)
    closed = place.conf(ledger="http://127.0.0.1:9", unreachable="open")
    assert place.run("-u", "closed", job, "-c", "echo ran", conf=closed).stdout == b""


def test_settings_that_were_written_on_windows_say_the_same(place: Place, job: str) -> None:
    """Also a token's file; what is no number counts as not written."""
    token = place.folder / "windows.token"
    token.write_bytes((place.folder / "jobs.db.token").read_bytes().strip() + b"\r\n")
    conf = place.conf(token_file=str(token), lease="08", tries="many")
    conf.write_bytes(conf.read_bytes().replace(b"\n", b" \r\n"))
    ran = place.run("-w", _DAILY, job, "--", "echo", "ran", conf=conf)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"ran\n", b"")
    assert place.last(job).state is State.SUCCEEDED


def test_a_wrong_token_is_no_ledger(place: Place, job: str) -> None:
    wrong = place.folder / "wrong"
    wrong.write_text("wrong\n")
    conf = place.conf(token_file=str(wrong))
    assert place.run("-w", EVERY_MINUTE, job, "-c", "echo ran", conf=conf).returncode == 75


def test_a_command_that_a_signal_ended(place: Place, job: str) -> None:
    """No shell adds a word of its own."""
    ran = place.run("-w", EVERY_MINUTE, job, "-c", "kill -KILL $$")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"", b"", 137)
    assert place.last(job).exit_code == 137


def test_a_command_can_be_interrupted(place: Place, job: str) -> None:
    """A shell makes what it runs behind its back deaf to SIGINT: `timeout -s INT` would wait for
    ever."""
    ran = place.run("-w", EVERY_MINUTE, job, "-c", "timeout -s INT 0.2 sleep 1000; echo $?")
    assert ran.stdout == b"124\n"


@contextmanager
def _started(place: Place, job: str, line: str) -> Iterator[subprocess.Popen[bytes]]:
    """A guard whose command runs; whatever is left of both at the end is killed."""
    running = subprocess.Popen(
        place.command("-w", _DAILY, job, "-c", line),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", _MARK: job},
        start_new_session=True,
    )
    try:
        eventually(lambda: place.ledger.history(job, since=0), f"{job} is claimed")
        yield running
    finally:
        _signal(job, signal.SIGKILL)
        running.communicate()


def test_its_lease_is_extended_while_the_command_runs(place: Place, job: str) -> None:
    """Far beyond the four seconds of the first lease; and it is the command that ends the run."""
    go = place.folder / f"{job}.go"
    line = f"until [ -f {go} ]; do sleep 0.1; done; exit 5"
    with _started(place, job, line) as running:
        first = place.last(job).lease_until
        eventually(lambda: place.last(job).lease_until > first + 4, "the lease was extended twice")
        assert place.last(job).state is State.RUNNING
        go.touch()
        assert ended(running) == 5
    assert place.last(job).exit_code == 5


def test_a_lost_lease_ends_the_command_and_all_its_children(place: Place, job: str) -> None:
    """The guard was stopped for longer than its lease, so the firing was given up."""
    child = place.folder / f"{job}.child"
    with _started(place, job, f"sleep 1000 & echo $! >{child}; wait") as running:
        eventually(lambda: child.exists() and child.read_text().strip(), "its child runs")
        _signal(job, signal.SIGSTOP)
        eventually(lambda: _swept(place, job) is State.LOST, "the ledger gave the run up")
        _signal(job, signal.SIGCONT)
        assert ended(running) != 0
        eventually(lambda: not _alive(int(child.read_text())), "its child has ended")
    assert place.last(job).state is State.LOST


def test_whoever_kills_the_guard_ends_the_command(place: Place, job: str) -> None:
    """Even before anybody has asked for the guard's exit status: cron does so late."""
    child = place.folder / f"{job}.child"
    with _started(place, job, f"echo $$ >{child}; exec sleep 1000") as running:
        eventually(lambda: child.exists() and child.read_text().strip(), "the command runs")
        os.kill(running.pid, signal.SIGKILL)
        eventually(lambda: not _alive(int(child.read_text())), "the command has ended")
        eventually(lambda: place.last(job).state.over, "the ledger knows")
    assert place.last(job).reason == "the guard was killed"


def test_wget_does_as_well(place: Place, job: str) -> None:
    """Where there is no curl."""
    tools = place.folder / f"{job}.bin"
    tools.mkdir()
    found = {name: shutil.which(name) for name in _TOOLS}
    wget = shutil.which("wget")
    if wget is None:
        busybox = shutil.which("busybox")
        assert busybox
        (tools / "wget").symlink_to(busybox)
    else:
        (tools / "wget").symlink_to(wget)
    for name, path in found.items():
        if path is not None:
            (tools / name).symlink_to(path)
    shell = [shutil.which(place.shell[0]) or "", *place.shell[1:]]
    there = Place(place.url, place.ledger, place.folder, shell)
    ran = there.run("-w", EVERY_MINUTE, job, "-c", "echo ran; exit 4", PATH=str(tools))
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"ran\n", b"", 4)
    assert place.last(job).exit_code == 4


def _swept(place: Place, job: str) -> State:
    place.ledger.sweep()
    return place.last(job).state


def _signal(job: str, number: int) -> None:
    """To the guard, what it began and its command: they have the job in their environment."""
    mark = f"{_MARK}={job}".encode()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), number)


def _alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
