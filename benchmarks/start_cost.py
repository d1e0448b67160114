"""CPU seconds of what users and workers wait for most often, beside Python itself and boto3.

``python benchmarks/start_cost.py`` prints the best of five; the goals are those of the house: at
most 0.15 s for a finding (a job's worker in a user's container pays for it), at most 0.2 s for
``kirikae --help``.
"""

from __future__ import annotations

import os
import subprocess
import sys

_RUNS = 5
_ROWS = {
    "python -c pass": ["-c", "pass"],
    "import kirikae.model.finding": ["-c", "import kirikae.model.finding"],
    "kirikae --help": ["-m", "kirikae", "--help"],
    "import boto3": ["-c", "import boto3"],
}


def cpu_s(arguments: list[str]) -> float:
    """User and system time of the quickest of several runs."""
    found = []
    for _ in range(_RUNS):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        user = after.children_user - before.children_user
        system = after.children_system - before.children_system
        found.append(user + system)
    return min(found)


def main() -> None:
    rows = {name: cpu_s(arguments) for name, arguments in _ROWS.items()}
    peer = rows["import boto3"]
    for name, seconds in rows.items():
        print(f"{seconds:6.3f} s of CPU  {seconds / peer:5.2f} of importing boto3  {name}")


if __name__ == "__main__":
    main()
