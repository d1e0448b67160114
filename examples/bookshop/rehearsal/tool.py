"""kirikae as anybody uses it: through its command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from story import Story
from trouble import Trouble

MARKER = "KIRIKAE_REHEARSAL"
"""Every process that a rehearsal starts has this in its environment, with the rehearsal's folder:
so it is found again, whoever its parent is by then."""
_SILENT_S = 600.0


class Running:
    """A command that runs; its lines are told as they come."""

    def __init__(self, process: subprocess.Popen[str], story: Story, show: bool) -> None:
        self.process = process
        self.lines: list[str] = []
        self._heard = time.monotonic()
        self._story = story
        self._show = show
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._heard = time.monotonic()
            self.lines.append(line)
            if self._show:
                self._story.tell(f"| {line.rstrip()}")

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, silent_s: float) -> int:
        """Its exit code.  Raises Trouble when it says nothing for so long."""
        while True:
            try:
                self.process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if time.monotonic() - self._heard <= silent_s:
                    continue
                self.kill()
                raise Trouble(
                    f"a command said nothing for {silent_s:.0f} s and was ended: "
                    f"{self.process.args}: {self.text[-1000:]}"
                ) from None
            self._reader.join(timeout=10)
            return self.process.returncode


class Kirikae:
    """``environment``: what the shell of a user has beside this process's own.  ``slowness``: how
    many times longer a command may be silent than on an idle machine."""

    def __init__(self, folder: Path, story: Story) -> None:
        self._folder = folder
        self._story = story
        self.environment: dict[str, str] = {MARKER: str(folder)}
        self.slowness = 1.0

    def begin(self, *arguments: str, show: bool = True) -> Running:
        project = str(self._folder / "project" / "kirikae.yml")
        process = subprocess.Popen(
            [sys.executable, "-m", "kirikae", "--project", project, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment},
        )
        return Running(process, self._story, show)

    def __call__(self, *arguments: str, expect: Iterable[int] = (0,), show: bool = True) -> Running:
        """Run to the end; any other exit code is trouble."""
        running = self.begin(*arguments, show=show)
        code = running.end(_SILENT_S * self.slowness)
        if code not in expect:
            raise Trouble(
                f"`kirikae {' '.join(arguments)}` ended with exit code {code}, expected "
                f"{', '.join(map(str, expect))}: {running.text[-1500:]}"
            )
        return running

    def json(self, *arguments: str) -> Any:
        """What it answers as JSON."""
        return json.loads(self(*arguments, "--json", show=False).text)

    def history(self, move: str = "web") -> list[dict[str, Any]]:
        """The journal of the move, oldest entry first."""
        said = self("move", "history", move, "--json", show=False).text
        plain = [json.loads(line) for line in said.splitlines() if line.strip()]
        return [entry for entry in plain if "seq" in entry]

    def local(self, *arguments: str) -> str:
        directory = str(self._folder / "local")
        return self("local", "--dir", directory, *arguments, show=False).text


def processes_of(folder: Path) -> list[int]:
    """Living processes that a rehearsal in this folder started, but for this one."""
    wanted = f"{MARKER}={folder}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and wanted in _environment_of(pid)]


def end_processes(folder: Path) -> None:
    """SIGTERM, and SIGKILL for what is still there after ten seconds."""
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        for pid in processes_of(folder):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        until = time.monotonic() + patience_s
        while processes_of(folder) and time.monotonic() < until:
            time.sleep(0.1)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment_of(pid: int) -> list[bytes]:
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return []
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
