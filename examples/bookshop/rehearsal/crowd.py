"""The people of the bookshop: virtual users in a process of their own, whose number can change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import report
from machine import Answered, Pace
from tool import MARKER
from trouble import Trouble

USERS = Path(__file__).resolve().parent / "users.py"
REGULARS = 20
EAGER = 16
MOST_S = 4.0


class Crowd:
    """``load``: the file in which every second is told."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.load = folder / "load.jsonl"

    def _begin(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, USERS, "--url", self._url, *arguments],
            stdin=subprocess.DEVNULL,
            env={**os.environ, MARKER: str(self._folder)},
        )

    def _to_its_end(self, *arguments: str | Path) -> None:
        if self._begin(*arguments).wait():
            raise Trouble("the virtual users could not be used; what they say stands above")

    def log_in_regulars(self) -> None:
        """Users who logged in before anything was moved."""
        self._to_its_end("--out", self._regulars, "--log-in-regulars", str(REGULARS))

    @property
    def _regulars(self) -> Path:
        return self._folder / "regulars.json"

    def most(self) -> Answered:
        """What the shop answers at its most."""
        out = self._folder / "most.json"
        self._to_its_end("--out", out, "--most", str(MOST_S), "--users", str(EAGER))
        return Answered(**json.loads(out.read_text()))

    def come(self, pace: Pace) -> None:
        """They come and never leave, until ``go``."""
        self.at(pace.rate)
        self._process = self._begin(
            "--out",
            self.load,
            "--regulars",
            self._regulars,
            "--rate-file",
            self._rate_file,
            "--slow",
            str(pace.fast_enough_s),
        )

    @property
    def _rate_file(self) -> Path:
        return self._folder / "rate"

    def at(self, rate: float) -> None:
        """From now on so many requests a second."""
        whole = self._rate_file.with_name("rate.new")
        whole.write_text(str(rate))
        whole.replace(self._rate_file)

    def seconds_told(self) -> int:
        """How many seconds have been written down so far.  Raises Trouble if they are gone."""
        if self._process is not None and self._process.poll() is not None:
            raise Trouble(f"the virtual users ended by themselves ({self._process.returncode})")
        return len(report.read_load(self.load))

    def slow_part(self, since: float) -> float:
        """Which part of the answers since then was slow."""
        return report.slow_part(self.load, since)

    def go(self) -> None:
        """The last answers are waited for."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
