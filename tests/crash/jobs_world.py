"""Real schedulers, workers and a ledger in a time of their own: a test puts the clock of all of
them forward, so that hours of an outage, or the night of a change of the clocks, take seconds.

Only the wall clock is put, but where a test lets the time pass for a process as a whole."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, State
from tests.crash.test_jobs_storm import Process, _port
from tests.pace import ended, eventually
from tests.queue_server import QueueServer

LEASE_S = 8
ONCE = "echo $KIRIKAE_FIRING >>effects"
NAME = "tab"


def skewing_library(folder: Path) -> Path:
    """The library that makes a clock wrong."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    made = folder / "skew.so"
    source = Path(__file__).with_name("skew.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


class Sleeper(Process):
    """A process that may be stopped, and goes on as soon as it is to be ended."""

    def stop(self) -> None:
        self.running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.running.send_signal(signal.SIGCONT)

    def end(self) -> dict[str, int]:
        """SIGTERM; what it counted."""
        self.running.send_signal(signal.SIGTERM)
        assert ended(self.running) == 0
        told = [each for each in _lines(self.folder / f"{self.words[0]}.log") if "counts" in each]
        found: dict[str, int] = told[-1]["counts"]
        return found


def _lines(log: Path) -> list[dict[str, Any]]:
    """What was killed may have left half of a line."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            plain = json.loads(line)
            if isinstance(plain, dict):
                found.append(plain)
    return found


def _put(clock: Path, seconds: int) -> None:
    """Readers see the former text or the new one."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)


class World:
    """One queue and one ledger; schedulers and workers as a test wants them.

    ``begin``: the time that it is, in UTC.  ``queue_ahead_s``: of the queue alone."""

    def __init__(self, folder: Path, library: Path, begin: str) -> None:
        self.folder = folder
        self._clock = folder / "clock"
        self._steady = folder / "steady"
        self._passed_s = 0
        _put(self._steady, 0)
        self._ahead_s = 0
        self.queue_ahead_s = 0
        self.goes_to(datetime.fromisoformat(f"{begin}+00:00").timestamp())
        self.server = QueueServer(folder / "queues.db", lambda: self.now() + self.queue_ahead_s)
        self.queue = self.server.queue(dead="dead.fifo")
        self.dead = self.server.queue("dead.fifo")
        skewed = {
            "LD_PRELOAD": str(library),
            "SKEW": str(self._clock),
            "STEADY": str(self._steady),
        }
        self._environment = {**self.server.environment, **skewed}
        self.port = _port()
        words = ["serve", "--ledger", "jobs.db", "--listen", f"127.0.0.1:{self.port}"]
        self.serve = Sleeper(words, folder, self._environment)
        self._processes: list[Process] = [self.serve]
        self.token = folder / "jobs.db.token"
        eventually(lambda: self.token.exists() and self.token.read_text().strip(), "a token")
        self.ledger = HttpLedger(f"http://127.0.0.1:{self.port}", self.token.read_text().strip())
        eventually(self.answers, "the ledger answers")

    # --- the time

    def now(self) -> float:
        return time.time() + self._ahead_s

    def minute(self) -> int:
        return int(self.now() // 60)

    def goes_to(self, when: float) -> None:
        """Never back: it may be later already, and no world begins before today."""
        self._ahead_s = max(self._ahead_s, round(when - time.time()) + 1)
        _put(self._clock, self._ahead_s)

    def passes(self, seconds: int) -> None:
        """For every process, in all of its clocks; who waits for less is woken."""
        self.goes_to(self.now() + seconds - 1)
        self._passed_s += seconds
        _put(self._steady, self._passed_s)

    def lives(self, minutes: int) -> None:
        """One minute after the other: each is admitted, and all that it admits has ended."""
        for _ in range(minutes):
            minute = self.minute() + 1
            self.goes_to(minute * 60)
            self.until_admitted(minute)
            self.until_over()

    def rests(self) -> None:
        """No scheduler goes on, and all that was admitted has ended: minutes are real ones, too."""
        for process in self._processes:
            if process.words[0] == "scheduler" and process.running.poll() is None:
                process.running.send_signal(signal.SIGTERM)
                ended(process.running)
        self.until_over()

    # --- who lives in it

    def crontab(self, text: str, name: str = "crontab") -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"HOME={self.folder}\n{text}")
        return name

    def words(self, port: int) -> list[str]:
        ledger = f"http://127.0.0.1:{port}"
        return ["--queue", "jobs.fifo", "--ledger", ledger, "--token-file", str(self.token)]

    def scheduler(self, crontab: str = "crontab", *more: str, port: int = 0) -> Sleeper:
        named = ["--name", NAME, "--take-unowned", "--json", *self.words(port or self.port)]
        return self.adopt(["scheduler", crontab, *named, *more])

    def worker(self, *more: str) -> Sleeper:
        named = ["--json", *self.words(self.port)]
        return self.adopt(["worker", *named, "--lease", str(LEASE_S), *more])

    def adopt(self, words: list[str], kind: type[Sleeper] = Sleeper) -> Sleeper:
        made = kind(words, self.folder, self._environment)
        self._processes.append(made)
        return made

    def close(self) -> None:
        self.server.away = False
        for process in self._processes:
            process.kill()
        self.server.close()

    # --- what is seen of it

    def answers(self) -> bool:
        try:
            return self.ledger.now() > 0
        except LedgerAway:
            return False

    def rows(self, job: str | None = None) -> list[Firing]:
        try:
            return self.ledger.history(job, most=10_000)
        except LedgerAway:
            return []

    def states(self, job: str) -> dict[int, State]:
        return {each.due: each.state for each in self.rows(job)}

    def at(self, job: str, until: int) -> list[str]:
        """Hour and minute, in UTC, of what has run until then, oldest first."""
        ran = [each.due for each in self.rows(job) if each.state is State.SUCCEEDED]
        dues = sorted(due for due in ran if due <= until)
        return [f"{due // 60 % 24:02}:{due % 60:02}" for due in dues]

    def effects(self, name: str = "effects") -> Counter[str]:
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines)

    def told(self, log: str, event: str) -> list[str]:
        """Firings of which a process said so."""
        told = [each for each in _lines(self.folder / f"{log}.log") if each.get("event") == event]
        return [each["firing"] for each in told]

    def left(self) -> int:
        """Messages in the queue, in flight or not."""
        told = self.queue.attributes()
        keys = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(told[key]) for key in keys)

    # --- waiting

    def _admitted(self, minute: int) -> bool:
        try:
            mark = self.ledger.mark(NAME)
        except LedgerAway:
            return False
        return mark is not None and mark.minute >= minute

    def until_admitted(self, minute: int) -> None:
        eventually(lambda: self._admitted(minute), f"minute {minute} is admitted", 60)

    def until_over(self) -> list[Firing]:
        """All firings that there are have ended."""
        found: list[Firing] = []

        def over() -> bool:
            found[:] = self.rows()
            return self.answers() and all(each.state.over for each in found)

        def count() -> int:
            return sum(each.state.over for each in found)

        eventually(over, lambda: f"all end: {found[:20]}", 120, count, 0.3)
        return found

    def until_state(self, state: State, job: str, due: int | None = None) -> Firing:
        def found() -> list[Firing]:
            rows = [each for each in self.rows(job) if due in (None, each.due)]
            return [each for each in rows if each.state is state]

        return eventually(found, lambda: f"{job} {state}: {self.rows(job)}", 120)[0]  # type: ignore[no-any-return]

    def until_empty(self) -> None:
        eventually(lambda: self.left() == 0, "the queue is empty", 60)

    def assert_once(self, job: str) -> None:
        """Every firing of this job ran, and each of them once."""
        effects = self.effects()
        for firing in self.rows(job):
            assert firing.state is State.SUCCEEDED and effects[firing.id] == 1, firing


class Gate:
    """Lies between one process and the ledger; holds back what it admits until it is opened."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held = threading.Event()
        self._open = threading.Event()
        self.passed: list[bytes] = []
        """What was asked since it was opened."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                asking, _ = self._listener.accept()
                answering = socket.create_connection(("127.0.0.1", self._port))
                ways = ((asking, answering, self._ask), (answering, asking, lambda data: None))
                for source, sink, look in ways:
                    threading.Thread(target=_pipe, args=(source, sink, look), daemon=True).start()

    def _ask(self, data: bytes) -> None:
        if b"/v1/admit" in data:
            self._held.set()
            self._open.wait()
        if self._open.is_set():
            self.passed.append(data.partition(b"\r\n")[0])

    def until_held(self) -> None:
        eventually(self._held.is_set, "it wants to admit something", 60)

    def open(self) -> None:
        self._open.set()

    def until_done(self) -> None:
        """It has admitted, and asked what waits for the queue."""
        eventually(lambda: any(b"/v1/unsent" in line for line in self.passed), "it is done", 60)

    def close(self) -> None:
        self._open.set()
        self._listener.close()


def _pipe(source: socket.socket, sink: socket.socket, look: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            look(data)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
