"""The load engine beside wrk on one core, its pacing, and a server that stands still for a second.

    python benchmarks/load_engine.py [seconds]

HAProxy answers on core 0, the clients run on core 1.  The peer is `wrk -t1`, run right before and
right after ours; the ratio is of requests a second.  It means something on a quiet machine only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kirikae.drill.engine import Settings, attack
from kirikae.drill.plan import read
from kirikae.drill.targets import target

PORT = 18998
URL = f"http://127.0.0.1:{PORT}/"
CONFIGURATION = f"""\
global
    nbthread 1
    maxconn 5000
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
frontend web
    bind 127.0.0.1:{PORT}
    http-request return status 200 content-type text/plain string ok
"""
LADDER = (10, 20, 30, 40, 45, 50, 55, 60, 65, 70, 75, 80)
"""Thousands of requests a second; the largest that is held is told."""


@contextmanager
def server() -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(CONFIGURATION)
        started = subprocess.Popen(["taskset", "-c", "0", "haproxy", "-db", "-f", str(file)])
        time.sleep(1)
        try:
            yield started
        finally:
            started.send_signal(signal.SIGCONT)
            started.kill()
            started.wait()


def wrk(seconds: float) -> float:
    said = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds:.0f}s", URL],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found is not None
    return float(found[1])


def held(rate: int, seconds: float) -> tuple[float, float]:
    """(share sent in time and answered, CPU of a core)."""
    plan = read(f"{rate}/s for {seconds:.0f}s")
    found = attack(plan, [target("GET", URL, "here")], Settings(timeout_s=5))
    good = (found.status == 200) & (found.late_s < 0.05)
    return float(good.mean()), max(found.cores)


def ours(seconds: float) -> int:
    """The largest rate of the ladder of which 99.5% were sent in time and answered."""
    best = 0
    for thousands in LADDER:
        good, core = held(thousands * 1000, seconds)
        print(f"    {thousands:2},000/s: {good:7.2%} in time, {core:.0%} of a core", flush=True)
        if good < 0.995:
            break
        best = thousands * 1000
    return best


def stall() -> np.ndarray:
    """1,000 requests a second for 10 s; the only worker stands still for one: 1 s of the answers
    waits from 1 s down to 0, so that p95 is 500 ms and p99 is 900 ms."""
    with server() as started:
        timer = threading.Timer(5, lambda: os.kill(started.pid, signal.SIGSTOP))
        again = threading.Timer(6, lambda: os.kill(started.pid, signal.SIGCONT))
        timer.start()
        again.start()
        found = attack(read("1000/s for 10s"), [target("GET", URL, "here")], Settings())
        return np.percentile(found.latency_s * 1000, (50, 95, 99))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4
    os.sched_setaffinity(0, {1})
    with server():
        first = wrk(seconds)
        mine = ours(seconds)
        peer = (first + wrk(seconds)) / 2
        print(
            f"wrk -t1: {peer:,.0f} a second; ours held {mine:,}: {mine / peer:.2f} of it (goal 0.7)"
        )
        half = attack(
            read(f"{mine // 2}/s for {seconds:.0f}s"), [target("GET", URL, "here")], Settings()
        )
        p50, p99 = np.percentile(half.late_s * 1000, (50, 99))
        print(f"pacing at {mine // 2:,}/s: p50 {p50:.3f} ms (goal 0.2), p99 {p99:.2f} ms")
    p50, p95, p99 = stall()
    print(f"stall: p95 {p95:.0f} ms (truth 500), p99 {p99:.0f} ms (truth 900)")


if __name__ == "__main__":
    main()
