"""A day of trouble for the bookshop that a rehearsal has left: one fault after the other, and one
page that says what broke, what it cost and what to change.

``make rehearse KEEP=1`` first, then ``make drill``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".kirikae" / "rehearsal"
PAGE = ROOT / "rehearsal" / "drill.html"
PORT = int(os.environ.get("REHEARSAL_PORT", "18080"))
LEAST_PER_S = 5.0
FAULTS = (
    "kill-task",
    "crash-task",
    "hang-task",
    "drain-target",
    "scale-in",
    "cpu-hog",
    "net-latency",
    "bad-release",
    "db-failover",
    "az-loss",
)
WINDOWS = ("--before", "8s", "--lasts", "15s", "--after", "30s", "--timeout", "10s", "--slow", "2s")
HYPOTHESIS = ("--slo", "errors@after<1%", "--slo", "recovery<20s", "--slo", "whole<60s")


def rate() -> str:
    """Requests a second: as asked, else half of what the rehearsal found this machine to carry
    beside its virtual users, who are still there."""
    if asked_for := os.environ.get("DRILL_RATE"):
        return asked_for
    carried = float((FOLDER / "rate").read_text())
    return f"{max(LEAST_PER_S, carried / 2):g}"


def main() -> int:
    """The exit code of ``kirikae drill day``."""
    status = asked("local", "--dir", str(FOLDER / "local"), "status")
    if not status.get("running"):
        print("no rehearsal is kept here; run `make rehearse KEEP=1` first", file=sys.stderr)
        return 1
    os.environ.update(asked("local", "--dir", str(FOLDER / "local"), "env")["environment"])
    PAGE.parent.mkdir(exist_ok=True)
    words = [word for name in FAULTS for word in ("--fault", name)]
    database = f"container:{status['instance']}-vm-db1"
    done = kirikae(
        *("drill", "day", "--base", f"http://127.0.0.1:{PORT}", "--rate", rate()),
        *("--database", database, "--i-mean-an-outage", "--html", str(PAGE)),
        *(*words, *WINDOWS, *HYPOTHESIS),
    )
    return done.returncode


def kirikae(*words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """As anybody uses it."""
    project = str(FOLDER / "project" / "kirikae.yml")
    return subprocess.run(
        [sys.executable, "-m", "kirikae", "--project", project, *words],
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )


def asked(*words: str) -> dict[str, Any]:
    """What it answers as JSON; nothing where it cannot."""
    try:
        found: dict[str, Any] = json.loads(kirikae(*words, "--json", quiet=True).stdout)
    except ValueError:
        return {}
    return found


if __name__ == "__main__":
    sys.exit(main())
