"""``kirikae move judge`` on 24 hours of one-second figures of both sides with 16 latency bounds,
and one look of the live judge.

Goals: under 10 s and 100 MB for the day; one look under 1 ms; at most ten times what the peer of
the same run takes, which is reading the same lines with ``json`` alone.  All of it is CPU time, the
start of the command included: what else the machine does is not measured."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 86_400
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "day.jsonl"
        write_day(file)
        began = time.process_time()
        with file.open() as lines:
            for line in lines:
                json.loads(line)
        peer = time.process_time() - began
        subprocess.run(
            [sys.executable, "-m", "kirikae", "move", "judge", str(file), "--json"],
            stdout=subprocess.DEVNULL,
            check=False,
            env=_as_installed(),
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = used.ru_utime + used.ru_stime
    memory = used.ru_maxrss / 1024
    each = 1000 * took / SECONDS
    goals = f"{memory:.0f} MB (goal 100), {each:.2f} ms a look (goal 1)"
    told = f"{took:.1f} s of CPU (goal 10), {goals}"
    print(
        f"a day of one-second figures judged again: {told}; json alone {peer:.1f} s, "
        f"ratio {took / peer:.1f} ({os.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main()
