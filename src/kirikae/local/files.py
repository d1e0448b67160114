"""Small durable files, processes known by their command line, and free ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def write_durably(path: Path, text: str) -> None:
    """Write to a temporary file, sync, rename: a reader sees the old text or the new, never half of
    one."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def alive(pid: int | str, argument: str) -> int | None:
    """The process ID if a process of this ID runs with this argument; IDs are used again, arguments
    tell them apart."""
    try:
        line = Path(f"/proc/{int(pid)}/cmdline").read_bytes().decode(errors="replace").split("\0")
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return int(pid) if argument in line and state != "Z" else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
