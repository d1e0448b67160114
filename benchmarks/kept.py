"""Climbs kept in a file, one a line: a table of hours is measured in pieces, and goes on where it
stopped.

A file belongs to one state of the judge and of the scenarios: begin another one after a change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.climbers import Climb, End


class Kept:
    """What was measured before, by name.

    ``until``: no climb begins after this time of the monotonic clock; None: all do.
    """

    def __init__(self, file: Path | None = None, until: float | None = None) -> None:
        self._file = file
        self._until = until
        self._known: dict[str, Climb] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                name, end, *more = json.loads(line)
                self._known[name] = Climb(End(end), *more)

    def climb(self, name: str, run: Callable[[], Climb]) -> Climb | None:
        """As it was measured before, or now; None: there is no more time for it."""
        known = self._known.get(name)
        if known is not None or self._over():
            return known
        found = self._known[name] = run()
        if self._file is not None:
            with self._file.open("a") as out:
                out.write(json.dumps([name, *found]) + "\n")
        return found

    def _over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until
