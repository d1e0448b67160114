"""The load engine beside wrk, hey and autocannon on one core, without and with TLS; its pacing; and
a server that stands still for a second.

    python benchmarks/load_engine.py [seconds]

HAProxy answers on core 0, the clients run on core 1.  wrk runs right before and right after ours.
Requests a second mean something on a quiet machine only; requests per second of CPU that the client
took itself are told beside them, and bear a busy one better.  hey and autocannon are left out where
they are not installed (`apt-get install hey`, `npm install -g autocannon`).
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kirikae.drill.engine import Settings, attack
from kirikae.drill.plan import read
from kirikae.drill.targets import target

PORTS = {"http": 18998, "https": 18999}
URLS = {scheme: f"{scheme}://127.0.0.1:{port}/" for scheme, port in PORTS.items()}
CONFIGURATION = """\
global
    nbthread 1
    maxconn 5000
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
frontend web
    bind 127.0.0.1:{http}
    bind 127.0.0.1:{https} ssl crt {folder}/both.pem
    http-request return status 200 content-type text/plain string ok
"""
LADDER = (2, 4, 6, 8, 10, 15, 20, 25, 30, 40, 45, 50, 55, 60, 65, 70, 75, 80)
"""Thousands of requests a second; the largest that is held is told."""
GOALS = {"http": 0.7, "https": 0.35}
RIVALS = {
    "hey": (
        ["hey", "-c", "64", "-cpus", "1", "-z", "{seconds}s", "{url}"],
        r"Requests/sec:\s+([0-9.]+)",
    ),
    "autocannon": (
        ["autocannon", "-c", "64", "-w", "1", "-d", "{seconds}", "{url}"],
        r"([0-9.]+k?) requests in",
    ),
}
"""Command, and where it says its figure."""


@dataclass(frozen=True)
class Rate:
    """Requests a second, and requests per second of the client's own CPU."""

    per_s: float
    per_cpu_s: float


@contextmanager
def server() -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        certificate(Path(folder))
        file = Path(folder) / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(**PORTS, folder=folder))
        started = subprocess.Popen(["taskset", "-c", "0", "haproxy", "-db", "-f", str(file)])
        time.sleep(1)
        try:
            yield started
        finally:
            started.send_signal(signal.SIGCONT)
            started.kill()
            started.wait()


def certificate(folder: Path) -> None:
    """P-256, as most of today's."""
    key, made = folder / "key.pem", folder / "made.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(made)]
    command = ["openssl", "req", "-x509", *curve, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text(made.read_text() + key.read_text())


def spent_by_children() -> float:
    """Seconds of CPU of those that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def peer(command: list[str], says: str, seconds: float) -> Rate:
    """Another client on core 1.  Its figure may be told in thousands (autocannon: of all)."""
    before = spent_by_children()
    environment = {**os.environ, "GOMAXPROCS": "1", "NODE_TLS_REJECT_UNAUTHORIZED": "0"}
    done = subprocess.run(
        ["taskset", "-c", "1", *command],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    found = re.search(says, done.stdout + done.stderr)
    assert found is not None, done.stdout + done.stderr
    figure = float(found[1].rstrip("k")) * (1000 if found[1].endswith("k") else 1)
    requests = figure if "requests in" in says else figure * seconds
    return Rate(requests / seconds, requests / max(0.001, spent_by_children() - before))


def wrk(url: str, seconds: float) -> Rate:
    command = ["wrk", "-t1", "-c64", f"-d{seconds:.0f}s", url]
    return peer(command, r"Requests/sec:\s+([0-9.]+)", seconds)


def held(url: str, rate: int, seconds: float) -> tuple[float, float, float]:
    """(share sent in time and answered, CPU of a core, answers per second of CPU)."""
    plan = read(f"{rate}/s for {seconds:.0f}s")
    settings = Settings(timeout_s=5, insecure=True)
    found = attack(plan, [target("GET", url, "here")], settings)
    good = found.status == 200
    lasted = (found.done.max() - found.began_ns) / 1e9
    return (
        float((good & (found.late_s < 0.05)).mean()),
        max(found.cores),
        float(good.sum()) / max(0.001, sum(found.cores) * lasted),
    )


def ours(url: str, seconds: float) -> Rate:
    """The largest rate of the ladder of which 99.5% were sent in time and answered; CPU at the
    busiest rate that was tried, for a request costs least where many go out together."""
    best = 0
    most = 0.0
    for thousands in LADDER:
        good, core, per_cpu_s = held(url, thousands * 1000, seconds)
        most = max(most, per_cpu_s)
        print(
            f"    {thousands:2},000/s: {good:7.2%} in time, {core:.0%} of a core, "
            f"{per_cpu_s:,.0f} per CPU second",
            flush=True,
        )
        if good < 0.995:
            break
        best = thousands * 1000
    return Rate(best, most)


def beside(scheme: str, seconds: float) -> Rate:
    """Ours between two runs of wrk, then the others."""
    url = URLS[scheme]
    first = wrk(url, seconds)
    mine = ours(url, seconds)
    last = wrk(url, seconds)
    per_s = (first.per_s + last.per_s) / 2
    per_cpu_s = (first.per_cpu_s + last.per_cpu_s) / 2
    print(
        f"{scheme}: wrk -t1 {per_s:,.0f} a second, {per_cpu_s:,.0f} per CPU second; ours held "
        f"{mine.per_s:,.0f} ({mine.per_s / per_s:.2f} of it), {mine.per_cpu_s:,.0f} per CPU second "
        f"({mine.per_cpu_s / per_cpu_s:.2f}; goal {GOALS[scheme]})"
    )
    for name, (words, says) in RIVALS.items():
        if shutil.which(name) is None:
            print(f"{scheme}: {name} is not installed here")
            continue
        command = [word.format(seconds=f"{seconds:.0f}", url=url) for word in words]
        found = peer(command, says, seconds)
        print(
            f"{scheme}: {name} {found.per_s:,.0f} a second, {found.per_cpu_s:,.0f} per CPU second"
        )
    return mine


def stall() -> np.ndarray:
    """1,000 requests a second for 10 s; the only worker stands still for one: 1 s of the answers
    waits from 1 s down to 0, so that p95 is 500 ms and p99 is 900 ms."""
    with server() as started:
        timer = threading.Timer(5, lambda: os.kill(started.pid, signal.SIGSTOP))
        again = threading.Timer(6, lambda: os.kill(started.pid, signal.SIGCONT))
        timer.start()
        again.start()
        found = attack(read("1000/s for 10s"), [target("GET", URLS["http"], "here")], Settings())
        return np.percentile(found.latency_s * 1000, (50, 95, 99))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    os.sched_setaffinity(0, {1})
    with server():
        mine = beside("http", seconds)
        beside("https", seconds)
        if rate := int(mine.per_s) // 2:
            plan = read(f"{rate}/s for {seconds:.0f}s")
            half = attack(plan, [target("GET", URLS["http"], "here")], Settings())
            p50, p99 = np.percentile(half.late_s * 1000, (50, 99))
            print(f"pacing at {rate:,}/s: p50 {p50:.3f} ms (goal 0.2), p99 {p99:.2f} ms")
    p50, p95, p99 = stall()
    print(f"stall: p95 {p95:.0f} ms (truth 500), p99 {p99:.0f} ms (truth 900)")


if __name__ == "__main__":
    main()
