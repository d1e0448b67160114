"""Steps of what takes longer than a few seconds: a line each on the error stream of a terminal;
none in a pipe, and none with --json."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click

from kirikae.model.shown import clean


def as_json() -> bool:
    """``main`` answers --json in one object: whoever asked for that wants nothing else."""
    return "--json" in sys.argv


def _terminal() -> bool:
    return sys.stderr.isatty() and not as_json()


@dataclass(slots=True)
class Progress:
    """Many threads may tell their steps.  ``live``: somebody looks on."""

    live: bool = field(default_factory=_terminal)
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def step(self, says: str) -> None:
        """With the seconds since the verb began."""
        if not self.live:
            return
        seconds = self.clock() - self._began
        with self._guard:
            click.echo(f"{seconds:5.0f} s  {clean(says)}", err=True)
