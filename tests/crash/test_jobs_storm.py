"""Schedulers, workers and the ledger's owner, real processes, killed and stopped at random.

The queue is kirikae local's own.  Jobs write what they do into a file: the effects are counted
there, not in what the processes say of themselves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.ledger import Mark
from kirikae.jobs.tables import jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from tests.pace import eventually
from tests.queue_server import QueueServer

LEASE_S = 8
SEED = 20261127


@dataclass
class Process:
    """A verb of the command line, started again whenever it was killed."""

    words: list[str]
    folder: Path
    environment: dict[str, str]
    running: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with (self.folder / f"{self.words[0]}.log").open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "kirikae", "jobs", *self.words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def kill(self) -> None:
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()


class Storm:
    """``jobs``: so many of each policy, every minute; ``minutes``: so many are to be made up."""

    def __init__(self, folder: Path, jobs: int, minutes: int, workers: int = 3) -> None:
        self.folder = folder
        self.server = QueueServer(folder / "queues.db")
        self.server.queue(dead="dead.fifo")
        self.crontab = folder / "crontab"
        self.crontab.write_text(self._text(jobs))
        serve = Process(
            ["serve", "--ledger", "jobs.db", "--listen", f"127.0.0.1:{_port()}"], folder, {}
        )
        url = f"http://{serve.words[-1]}"
        token = folder / "jobs.db.token"
        eventually(lambda: token.exists() and token.read_text().strip(), "there is a token")
        self.ledger = HttpLedger(url, token.read_text().strip())
        eventually(self._answers, "the ledger answers")
        self.first = int(time.time() // 60) - minutes
        self.known(minutes)
        named = ["--queue", "jobs.fifo", "--ledger", url, "--token-file", str(token)]
        environment = self.server.environment
        work = ["worker", *named, "--lease", str(LEASE_S), "--at-once", "6"]
        self.processes = [
            serve,
            *(Process(["scheduler", "crontab", *named], folder, environment) for _ in range(2)),
            *(Process(work, folder, environment) for _ in range(workers)),
        ]

    def _text(self, jobs: int) -> str:
        lines = [f"HOME={self.folder}"]
        for policy in ("fail", "rerun"):
            for n in range(jobs):
                lines += [
                    f"# kirikae: id={policy}-{n} on-crash={policy} catch-up=all window=24h",
                    f"* * * * * echo $KIRIKAE_FIRING $KIRIKAE_FENCE >>effects; sleep {n % 3}",
                ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        try:
            return self.ledger.now() > 0
        except LedgerAway:
            return False

    def known(self, minutes: int) -> None:
        """As if schedulers had been there before, and away for so many minutes."""
        text = self.crontab.read_text()
        table = jobs_of(read_table(text), text, "crontab", Zone("UTC"))
        self.ids = table.ids
        self.ledger.own(self.ids, Owner.NEW)
        self.ledger.since(self.ids, self.first - 1)
        self.ledger.raise_mark("crontab", Mark(0, self.first - 1))
        self.expected = {(job, self.first + n) for job in self.ids for n in range(minutes)}

    @property
    def poll_s(self) -> float:
        """Looking at ten thousand rows is work, too."""
        return max(0.2, len(self.expected) / 2000)

    def rows(self) -> list[Firing]:
        """Of the minutes that were to be made up."""
        try:
            until = self.first + len(self.expected) // len(self.ids)
            return self.ledger.history(since=self.first, until=until, most=100_000)
        except LedgerAway:
            return []

    def ended(self) -> int:
        return sum(each.state.over for each in self.rows())

    def effects(self) -> Counter[str]:
        path = self.folder / "effects"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.server.close()


def _port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rage(storm: Storm, kills: int, seed: int) -> None:
    """One after another, any of them; each time only after something has ended since."""
    chance = random.Random(seed)
    for turn in range(kills):
        before = storm.ended()
        goal = min(len(storm.expected), before + len(storm.expected) // (kills + 1))
        eventually(
            lambda goal=goal: storm.ended() >= goal,
            f"{goal} firings have ended",
            timeout_s=120,
            watch=storm.ended,
            poll_s=storm.poll_s,
        )
        victim = (
            storm.processes[turn] if turn < len(storm.processes) else chance.choice(storm.processes)
        )
        if chance.random() < 0.25 and victim is not storm.processes[0]:
            victim.running.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_S * 1.2)
            victim.running.send_signal(signal.SIGCONT)
        else:
            victim.kill()
            victim.start()


def assert_kept(storm: Storm) -> None:
    """Each admitted once, none lost, effects as the policies say."""
    eventually(
        lambda: storm.ended() >= len(storm.expected),
        lambda: f"every firing ends: {Counter(str(each.state) for each in storm.rows())}",
        timeout_s=180,
        watch=storm.ended,
        poll_s=storm.poll_s,
    )
    rows = storm.rows()
    assert {(each.job, each.due) for each in rows} == storm.expected
    assert len(rows) == len(storm.expected)
    effects = storm.effects()
    for each in rows:
        count = effects[each.id]
        fences = [run.fence for run in each.runs]
        assert fences == sorted(set(fences)), each
        assert count <= len(each.runs), each
        if each.job.startswith("rerun"):
            assert each.state is State.SUCCEEDED and count >= 1, each
        else:
            assert each.state in (State.SUCCEEDED, State.LOST), each
            assert count <= 1, each
            assert each.state is State.LOST or count == 1, each


@pytest.fixture
def storm(tmp_path, request) -> Iterator[Storm]:
    found = Storm(tmp_path, *request.param)
    yield found
    found.close()


@pytest.mark.parametrize("storm", [(3, 10)], indirect=True)
def test_rows_1_and_12_and_14_every_firing_is_admitted_once_and_none_is_lost(storm):
    """Sixty firings; each of the six processes is killed once."""
    rage(storm, 6, SEED)
    assert_kept(storm)


@pytest.mark.prove
@pytest.mark.parametrize("storm", [(50, 100)], indirect=True)
def test_ten_thousand_firings_under_random_kills(storm):
    """Two schedulers, three workers and the ledger's owner."""
    rage(storm, 40, SEED)
    assert_kept(storm)
