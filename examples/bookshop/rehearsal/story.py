"""Tells what happens, keeps when each act began, and remembers what must not be forgotten."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import report


class Story:
    """``acts`` and ``marks`` are for the report."""

    def __init__(self, load_file: Path) -> None:
        self._live = sys.stdout.isatty()
        self._load_file = load_file
        self.acts: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.began = time.time()

    @contextmanager
    def act(self, name: str, title: str) -> Iterator[None]:
        print(f"\n\x1b[1m{title}\x1b[0m" if self._live else f"\n{title}", flush=True)
        act = {"name": name, "title": title, "began": time.time(), "ended": 0.0}
        self.acts.append(act)
        try:
            yield
        finally:
            act["ended"] = time.time()
            took_s = act["ended"] - act["began"]
            told = report.load_line(self._load_file, act["began"], act["ended"])
            print(f"  ({took_s:.0f} s) {told}", flush=True)

    def tell(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        print(f"{clear}  {time.time() - self.began:5.0f} s  {text}", flush=True)

    def mark(self, kind: str, text: str) -> None:
        """Something done to the system on purpose: told, and drawn in the report."""
        self.marks.append({"t": time.time(), "kind": kind, "text": text})
        self.tell(f"* {text}")

    def live(self) -> None:
        """One running line of figures, on a terminal only."""
        if self._live:
            now = time.time()
            line = report.load_line(self._load_file, now - 4, now)
            print(f"\r\x1b[K          {line}", end="\r", flush=True)
