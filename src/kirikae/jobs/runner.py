"""Run one command as cron would: exact environment, standard input, process group; bounded output.

The command ends when its first process does: what it left running is given a grace and ended with
its group.  A guardian (a shell that waits for the end of a pipe) ends the group if the worker
itself is killed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import pwd
import re
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kirikae.jobs.errors import NotStarted
from kirikae.jobs.job import Job
from kirikae.jobs.reaping import CHILDREN

LONGEST_LINE = 64 * 1024
KEPT_LINES = 20
KEPT_OF_LINE = 1000
TERM_GRACE_S = 10.0
EXIT_GRACE_S = 2.0
_LOOK_S = 0.2
CUT = "[cut by kirikae: a line longer than 64 KiB]"
PASSED = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONTAINER_*",
    "AWS_ENDPOINT_URL*",
    "AWS_EXECUTION_ENV",
    "ECS_CONTAINER_METADATA_URI*",
)
"""What a virtual machine's role and metadata need no variables for, and a container's do."""
_OURS = ("KIRIKAE_JOBS_TOKEN", "KIRIKAE_SLACK_WEBHOOK")
"""Secrets of the worker itself: no command gets them, whatever else it inherits."""
_CRONS_PATH = "/usr/bin:/bin"
_GUARDIAN = 'read -r x; kill -s KILL -- "-$1" 2>/dev/null'


@dataclass(frozen=True, slots=True)
class Ended:
    """``exit_code``: negative where a signal ended it.  ``reason``: empty for an end of its own.
    ``matched``: lines that its pattern found, and how many."""

    exit_code: int
    reason: str
    tail: str
    matched: tuple[str, ...] = ()
    matches: int = 0
    crashed: bool = False
    """Not by its own doing: its task vanished, or its capacity was taken away."""
    let_go: bool = False
    """It goes on, and the next worker finds it."""


@dataclass(slots=True)
class Output:
    """One stream, line by line; never more than a line of it is held."""

    name: str
    hear: Callable[[str, str], None]
    held: bytes = b""
    cutting: bool = False

    def feed(self, chunk: bytes) -> None:
        """Whole lines are told."""
        *lines, self.held = (self.held + chunk).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self.held) > LONGEST_LINE:
            if not self.cutting:
                self.hear(self.name, _text(self.held[:LONGEST_LINE]) + CUT)
            self.cutting = True
            self.held = b""

    def _tell(self, line: bytes) -> None:
        if not self.cutting:
            self.hear(self.name, _text(line))
        self.cutting = False

    def end(self) -> None:
        """What has no line break at its end is a line, too."""
        if self.held:
            self._tell(self.held)
            self.held = b""


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")


@dataclass(slots=True)
class Listener:
    """Keeps the last lines, and those that the job's pattern finds on the error stream."""

    pattern: re.Pattern[str] | None
    log: Callable[[str, str], None]
    both: bool = False
    last: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    matched: list[str] = field(default_factory=list)
    matches: int = 0

    def hear(self, stream: str, line: str) -> None:
        """One line."""
        self.log(stream, line)
        self.last.append(line[:KEPT_OF_LINE])
        asked = self.pattern is not None and (self.both or stream == "stderr")
        if asked and self.pattern is not None and self.pattern.search(line):
            self.matches += 1
            if len(self.matched) < KEPT_LINES:
                self.matched.append(line[:KEPT_OF_LINE])


def environment_of(
    job: Job,
    own: Mapping[str, str],
    passed: Sequence[str] = PASSED,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Exactly what cron gives, and what a container's role needs.

    ``passed``: patterns of names that the worker's own environment hands on.  Raises NotStarted for
    a user that there is not."""
    user = _user(job)
    found = {
        name: value
        for name, value in own.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in passed)
    }
    found |= {
        "HOME": user.pw_dir,
        "PATH": _CRONS_PATH,
        "SHELL": "/bin/sh",
    }
    if job.dialect in ("cronie", "message"):
        found["USER"] = user.pw_name
    if job.dialect == "message":
        found = {
            **{name: value for name, value in own.items() if name not in _OURS},
            **found,
            "PATH": own.get("PATH", _CRONS_PATH),
        }
    found |= job.environment
    found["LOGNAME"] = user.pw_name
    if job.dialect == "cronie":
        found["USER"] = user.pw_name
    return {
        **found,
        **(extra or {}),
    }


def _user(job: Job) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(job.user) if job.user else pwd.getpwuid(os.getuid())
    except KeyError as error:
        if not job.user:
            return _nobody()
        raise NotStarted(f"there is no user {job.user} in this container") from error


def _nobody() -> pwd.struct_passwd:
    """A container may run as a number that has no name."""
    number = os.getuid()
    return pwd.struct_passwd((str(number), "x", number, os.getgid(), "", "/", "/bin/sh"))


class Running:
    """One command, from its start to its end.  ``stop`` may be called by any thread."""

    def __init__(
        self,
        job: Job,
        environment: Mapping[str, str],
        log: Callable[[str, str], None] = lambda stream, line: None,
    ) -> None:
        """Raises NotStarted."""
        self._job = job
        pattern = re.compile(job.match) if job.match else None
        self._listener = Listener(pattern, log, job.match_stdout)
        self._guard = threading.Lock()
        self._stopping: _Stop | None = None
        self._over = False
        self._began = time.monotonic()
        self._process = _start(job, environment)
        self._guardian = _guardian(self._process.pid)
        threading.Thread(target=self._feed, daemon=True).start()

    def matched(self) -> tuple[tuple[str, ...], int]:
        """Lines that its pattern has found so far, and how many there were."""
        return tuple(self._listener.matched), self._listener.matches

    @property
    def pid(self) -> int:
        """Of the first process, and of its group."""
        return self._process.pid

    def _feed(self) -> None:
        """A command that does not read its standard input must not hold us up."""
        stdin: IO[bytes] | None = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write((self._job.stdin or "").encode("utf-8", "surrogateescape"))
        with contextlib.suppress(OSError):
            stdin.close()

    def stop(self, reason: str, grace_s: float = TERM_GRACE_S) -> None:
        """SIGTERM to the whole group, SIGKILL after the grace.  The first reason counts."""
        with self._guard:
            if self._over:
                return
            if self._stopping is None:
                self._stopping = _Stop(reason, time.monotonic() + grace_s)
                _kill(self._process.pid, signal.SIGTERM)
            self._stopping.kill_at = min(self._stopping.kill_at, time.monotonic() + grace_s)

    def wait(self) -> Ended:
        """Until the end; time-out and stops are obeyed."""
        streams = (self._process.stdout, self._process.stderr)
        outputs = [Output(name, self._listener.hear) for name in ("stdout", "stderr")]
        try:
            with selectors.DefaultSelector() as selector:
                for stream, output in zip(
                    streams,
                    outputs,
                    strict=True,
                ):
                    assert stream is not None
                    os.set_blocking(stream.fileno(), False)
                    selector.register(
                        stream,
                        selectors.EVENT_READ,
                        output,
                    )
                self._watch(selector)
            for output in outputs:
                output.end()
        finally:
            self._clean()
        return self._ended(CHILDREN.wait(self._process))

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """Until the process has ended and its output has, or the grace after its exit is over."""
        exited: float | None = None
        while True:
            for key, _ in selector.select(_LOOK_S):
                _read(selector, key)
            now = time.monotonic()
            self._obey(now)
            if exited is None and _has_ended(self._process.pid):
                exited = now
            if exited is not None and (not selector.get_map() or now > exited + EXIT_GRACE_S):
                return
            if exited is None and not selector.get_map():
                time.sleep(_LOOK_S / 4)

    def _obey(self, now: float) -> None:
        timeout_s = self._job.timeout_s
        if timeout_s is not None and now > self._began + timeout_s:
            self.stop(f"timed out after {timeout_s:g} s")
        with self._guard:
            if self._stopping is not None and now > self._stopping.kill_at:
                _kill(self._process.pid, signal.SIGKILL)

    def _clean(self) -> None:
        """Nobody of the group survives; pipes are closed."""
        with self._guard:
            # Before its first process is waited for: until then the number is no other group's.
            self._over = True
            _kill(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._guardian.kill()
        CHILDREN.wait(self._guardian)
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()

    def _ended(self, code: int) -> Ended:
        reason = "" if self._stopping is None else self._stopping.reason
        if not reason and code < 0:
            reason = f"ended by signal {-code}"
        elif not reason and code:
            reason = f"exit status {code}"
        listener = self._listener
        tail = "\n".join(listener.last)
        return Ended(
            code,
            reason,
            tail,
            tuple(listener.matched),
            listener.matches,
        )


@dataclass(slots=True)
class _Stop:
    reason: str
    kill_at: float


def _has_ended(pid: int) -> bool:
    """Without waiting for it: its number stays its own."""
    found = os.waitid(
        os.P_PID,
        pid,
        os.WEXITED | os.WNOHANG | os.WNOWAIT,
    )
    return found is not None


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    output: Output = key.data
    stream: Any = key.fileobj
    try:
        chunk = os.read(stream.fileno(), 65536)
    except BlockingIOError:
        return
    if chunk:
        output.feed(chunk)
    else:
        selector.unregister(stream)


def _start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    shell = environment["SHELL"]
    try:
        return CHILDREN.start(
            lambda: subprocess.Popen(
                [shell, "-c", job.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=_folder(environment["HOME"]),
                env=dict(environment),
                start_new_session=True,
                **_as_user(job),
            )
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise NotStarted(f"{shell} could not be started: {error}") from error


def _folder(home: str) -> str:
    """cron goes on in its own folder where the home is missing."""
    return home if Path(home).is_dir() else "/"


def _as_user(job: Job) -> dict[str, Any]:
    """Only root may become somebody else; anybody else runs everything as itself."""
    if os.geteuid() != 0 or not job.user or job.user == "root":
        return {}
    user = _user(job)
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": groups,
    }


def _guardian(group: int) -> subprocess.Popen[bytes]:
    """Its pipe ends with the worker, however that ends."""
    return CHILDREN.start(
        lambda: subprocess.Popen(
            ["/bin/sh", "-c", _GUARDIAN, "sh", str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _kill(group: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sign)
