"""Children that nobody waits for: as PID 1 of a container, or as a subreaper, they become ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""


def adopt() -> bool:
    """Orphans of our commands become our children, so that none of them stays a zombie.

    False: this kernel or C library cannot; PID 1 needs none of it."""
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        return bool(
            libc.prctl(
                _PR_SET_CHILD_SUBREAPER,
                1,
                0,
                0,
                0,
            )
            == 0
        )
    except (ImportError, OSError, AttributeError):
        return False


class Children:
    """Those that are waited for where they were started; every other one is reaped here."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._own: set[int] = set()

    def start(self, begin: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Nothing is reaped between its start and its being known."""
        with self._guard:
            process = begin()
            self._own.add(process.pid)
            return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code."""
        code = process.wait()
        with self._guard:
            self._own.discard(process.pid)
        return code

    def reap(self) -> int:
        """How many strangers had ended."""
        count = 0
        with self._guard, contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(
                    os.P_ALL,
                    0,
                    os.WEXITED | os.WNOHANG | os.WNOWAIT,
                )
                if found is None or found.si_pid in self._own:
                    return count
                os.waitpid(found.si_pid, os.WNOHANG)
                count += 1
        return count


CHILDREN = Children()
"""One for the whole process, as its children are."""
