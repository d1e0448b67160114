"""Processes that outlive their parent, known by their command line, and free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kirikae.hosts.files import write_durably

OURS_ALONE = 0o600
"""The mode of every file in the state directory."""


def alive(pid: int | str, argument: str) -> int | None:
    """The process ID if a process of this ID runs with this argument; IDs are used again, arguments
    tell them apart."""
    try:
        line = Path(f"/proc/{int(pid)}/cmdline").read_bytes().decode(errors="replace").split("\0")
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return int(pid) if argument in line and state != "Z" else None


class Daemon:
    """One process that outlives us, found again by its file and by an argument of its own."""

    def __init__(self, file: Path, argument: str) -> None:
        """``argument`` stands alone in the command line and tells this process from any other of
        the same ID."""
        self._file = file
        self._argument = argument

    def pid(self) -> int | None:
        """None where it does not run."""
        if not self._file.exists():
            return None
        return alive(self._file.read_text(), self._argument)

    def start(
        self,
        command: Sequence[str],
        out: IO[bytes] | int,
        errors: IO[bytes] | int,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that neither Ctrl-C nor our end reaches it, and
        write its ID down.  Whether one runs already is for the caller to ask."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
            env=environment,
        )
        write_durably(self._file, str(process.pid), OURS_ALONE)
        return process

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """Ask it to end; nothing is waited for.  One that does not run is fine."""
        if (pid := self.pid()) is not None:
            os.kill(pid, with_signal)


def free_port() -> int:
    """Free at this moment; somebody else may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Could a server listen there now?  A port in TIME_WAIT counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
