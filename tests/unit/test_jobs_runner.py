"""Commands as cron runs them: environment, standard input, groups, limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kirikae.jobs.errors import NotStarted
from kirikae.jobs.job import Job
from kirikae.jobs.reaping import Children
from kirikae.jobs.runner import CUT, KEPT_LINES, LONGEST_LINE, Ended, Running, environment_of
from tests.pace import ended, eventually


def job(command: str, **more: object) -> Job:
    return Job("a", "crontab:1", "debian", "* * * * *", "UTC", command, **more)  # type: ignore[arg-type]


def run(command: str, **more: object) -> Ended:
    this = job(command, **more)
    return Running(this, environment_of(this, {})).wait()


def alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_environment_is_crons_and_nothing_else(monkeypatch):
    """Not even what this process has, unless it is named."""
    monkeypatch.setenv("SECRET", "x")
    found = run("env", environment={"MAILTO": "", "A": "b c"}).tail.splitlines()
    names = {line.partition("=")[0] for line in found} - {"PWD", "_", "OLDPWD", "SHLVL"}
    assert names == {"HOME", "LOGNAME", "PATH", "SHELL", "MAILTO", "A"}
    assert "PATH=/usr/bin:/bin" in found and "A=b c" in found


def test_a_message_of_sqsjkr_inherits_all_but_the_worker_s_own_secrets():
    """As sqsjkr's commands do; the ledger's token is nobody else's."""
    own = {"APP": "1", "KIRIKAE_JOBS_TOKEN": "t", "KIRIKAE_SLACK_WEBHOOK": "https://x"}
    found = environment_of(replace(job("true"), dialect="message"), own)
    assert found["APP"] == "1" and not {name for name in found if name.startswith("KIRIKAE_")}


def test_what_is_named_is_handed_on_and_the_crontab_wins():
    """A task's role needs its variables; LOGNAME cannot be set."""
    this = job("true", environment={"PATH": "/opt", "LOGNAME": "me", "AWS_REGION": "own"})
    own = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x", "AWS_REGION": "theirs", "OTHER": "1"}
    found = environment_of(this, own, extra={"KIRIKAE_FENCE": "3"})
    assert found["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] == "/x" and "OTHER" not in found
    assert (found["PATH"], found["AWS_REGION"], found["KIRIKAE_FENCE"]) == ("/opt", "own", "3")
    assert found["LOGNAME"] != "me"


def test_cronie_adds_the_user():
    """And nobody sets it."""
    this = Job("a", "c:1", "cronie", "* * * * *", "UTC", "true", environment={"USER": "me"})
    found = environment_of(this, {})
    assert found["USER"] == found["LOGNAME"] != "me"


def test_standard_input_is_what_follows_the_percent_sign():
    """Without one it is empty, and a command that does not read it is not held up."""
    assert run("cat", stdin="one\ntwo\n").tail == "one\ntwo"
    assert run("cat").tail == ""
    assert run("true", stdin="x" * 1_000_000).exit_code == 0


def test_the_exit_status_is_told():
    """Also an end by a signal."""
    assert run("exit 3").exit_code == 3 and run("exit 3").reason == "exit status 3"
    killed = run("kill -KILL $$")
    assert killed.exit_code == -9 and killed.reason == "ended by signal 9"


def test_a_shell_or_a_user_that_is_not_there_starts_nothing():
    """As cron: the job does not run."""
    with pytest.raises(NotStarted, match="no/such/shell"):
        run("true", environment={"SHELL": "/no/such/shell"})
    with pytest.raises(NotStarted, match="nobody-here"):
        run("true", user="nobody-here")


def test_a_missing_home_is_no_reason_not_to_run():
    """cron goes on in its own folder."""
    assert run("pwd", environment={"HOME": "/no/such/home"}).tail == "/"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_becomes_the_user_of_the_line():
    """With the user's groups and home."""
    found = run("id -un; echo $LOGNAME", user="nobody")
    assert found.tail.splitlines() == ["nobody", "nobody"]


def test_a_time_out_ends_the_whole_group(tmp_path):
    """SIGTERM first; what ignores it is killed."""
    pids = tmp_path / "pids"
    command = f"trap '' TERM; (trap '' TERM; sleep 600) & echo $$ $! >{pids}; wait; sleep 600"
    this = job(command, timeout_s=0.5)
    running = Running(this, environment_of(this, {}))
    stopper = threading.Thread(target=lambda: _stop_soon(running, pids))
    stopper.start()
    found = running.wait()
    stopper.join()
    assert found.exit_code == -9 and found.reason
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def _stop_soon(running: Running, pids: Path) -> None:
    """The grace of the time-out is ten seconds; the shorter one counts."""
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, "it runs")
    running.stop("stopped", 0.3)


def test_a_command_may_clean_up_when_it_is_told_to_end():
    """And its own end is its exit status."""
    this = job("trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    lines: list[str] = []
    running = Running(this, environment_of(this, {}), lambda stream, line: lines.append(line))
    thread = threading.Thread(
        target=lambda: (eventually(lambda: lines, "it is ready"), running.stop("stop", 60))
    )
    thread.start()
    found = running.wait()
    thread.join()
    assert (found.exit_code, found.reason) == (7, "stop") and "cleaned" in found.tail


def test_row_25_output_without_an_end_is_cut_and_memory_is_bounded():
    """A hundred megabytes without a line break, and bytes that are no text."""
    lines: list[str] = []
    this = job("head -c 30000000 /dev/zero | tr '\\0' x; printf '\\n\\377\\376 end'")
    running = Running(this, environment_of(this, {}), lambda stream, line: lines.append(line))
    found = running.wait()
    assert found.exit_code == 0 and len(lines) == 2
    assert lines[0].endswith(CUT) and len(lines[0]) <= LONGEST_LINE + len(CUT)
    assert lines[1].endswith(" end") and len(found.tail) < 100_000


def test_row_25_only_the_last_lines_are_kept_and_all_are_told():
    """The log has the rest."""
    lines: list[str] = []
    this = job("seq 1 5000")
    running = Running(this, environment_of(this, {}), lambda stream, line: lines.append(line))
    found = running.wait()
    assert len(lines) == 5000 and found.tail.splitlines()[-1] == "5000"
    assert len(found.tail.splitlines()) == KEPT_LINES


def test_row_25_a_child_that_keeps_the_pipe_open_does_not_hold_the_run(tmp_path):
    """It ends with its first process and a grace; what was left is ended with it."""
    pid = tmp_path / "pid"
    found = run(f"sleep 600 & echo $! >{pid}; echo done")
    assert found.exit_code == 0 and found.tail == "done"
    eventually(lambda: not alive(int(pid.read_text())), "what was left running is ended")


def test_lines_that_the_pattern_finds_on_the_error_stream_are_told():
    """Standard output does not count."""
    command = "echo error; for n in 1 2 3; do echo FATAL $n >&2; done; echo fine >&2"
    found = run(command, match="(?i)error|fatal")
    assert (found.matches, found.matched[0]) == (3, "FATAL 1")


def test_row_26_orphans_are_reaped_and_own_children_are_not_stolen(tmp_path):
    """What a container's first process has to do; the exit status of a run is never lost."""
    script = """
import subprocess, sys, time
from kirikae.jobs.reaping import Children, adopt
assert adopt()
children = Children()
own = children.start(lambda: subprocess.Popen(["sh", "-c", "(sleep 0.1 & ) ; exit 5"]))
orphans = 0
deadline = time.monotonic() + 120
while orphans < 1 and time.monotonic() < deadline:
    orphans += children.reap()
    if own.poll() is not None:
        children.wait(own)
    time.sleep(0.02)
print(orphans, children.wait(own))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["1", "5"]
    assert Children().reap() >= 0


def test_a_worker_that_is_killed_takes_its_commands_with_it(tmp_path):
    """The guardian: no run goes on that nobody watches."""
    pids = tmp_path / "pids"
    script = f"""
from kirikae.jobs.job import Job
from kirikae.jobs.runner import Running, environment_of
job = Job("a", "c:1", "debian", "* * * * *", "UTC", "sleep 600 & echo $$ $! >{pids}; wait")
Running(job, environment_of(job, {{}})).wait()
"""
    worker = subprocess.Popen([sys.executable, "-c", script])
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, "it runs")
    found = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in found)
    worker.send_signal(signal.SIGKILL)
    assert ended(worker) == -9
    eventually(lambda: not any(alive(pid) for pid in found), "its commands are ended")
