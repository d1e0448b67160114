"""``kirikae move judge`` on 24 hours of one-second figures of both sides with 16 latency bounds,
and one look of the live judge.

Goals: under 10 s and 100 MB for the day; one look under 1 ms; at most ten times what the peer of
the same run takes, which is reading the same lines with ``json`` alone.  All of it is CPU time, the
start of both included: what else the machine does is not measured.  Both run in turn, three times,
and the median of their ratios counts: a busy machine makes CPU time itself longer."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SECONDS = 86_400
RUNS = 3
READ_ALONE = """
import json, sys
with open(sys.argv[1]) as lines:
    for line in lines:
        json.loads(line)
"""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10)


def write_day(file: Path) -> None:
    """20 requests a second, 5% of them on the new side, 0.2% errors, lognormal answers around 100
    ms."""
    rng = random.Random(5)
    with file.open("w") as out:
        for t in range(SECONDS):
            for side, n in (("old", 19), ("new", 1)):
                times = [0.1 * math.exp(rng.gauss(0, 0.6)) for _ in range(n)]
                within = {str(bound): sum(x <= bound for x in times) for bound in BOUNDS}
                errors = sum(rng.random() < 0.002 for _ in range(n))
                out.write(
                    json.dumps(
                        {
                            "t": t,
                            "side": side,
                            "requests": n,
                            "errors": errors,
                            "le": within,
                            "share": 50,
                        }
                    )
                    + "\n"
                )


def _as_installed() -> dict[str, str]:
    """Installed packages are compiled once; some test environments forbid to keep that."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def _cpu_s(*arguments: str) -> float:
    """The CPU time of one process, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        check=False,
        env=_as_installed(),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    peers = []
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "day.jsonl"
        write_day(file)
        for _ in range(RUNS):
            peers.append(_cpu_s("-c", READ_ALONE, str(file)))
            judged.append(_cpu_s("-m", "kirikae", "move", "judge", str(file), "--json"))
    took = median(judged)
    ratios = [mine / peer for mine, peer in zip(judged, peers, strict=True)]
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    each = 1000 * took / SECONDS
    goals = f"{memory:.0f} MB (goal 100), {each:.2f} ms a look (goal 1)"
    told = f"{took:.1f} s of CPU (goal 10), {goals}"
    print(
        f"a day of one-second figures judged again: {told}; json alone {median(peers):.1f} s, "
        f"ratio {median(ratios):.1f} ({', '.join(f'{each:.1f}' for each in sorted(ratios))}; "
        f"{os.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main()
