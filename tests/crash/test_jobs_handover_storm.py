"""A hundred jobs are handed over, forth, back and forth again, while Debian's own cron, its guards,
two schedulers, two workers and the ledger live and are killed at random; counted from the effects.

Real minutes: cron goes by the machine's clock.  It runs in a mount namespace of its own, so nothing
of this machine's crontabs is touched.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.thing import JobsThing
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from tests.command import run as kirikae
from tests.crash.test_jobs_storm import Process, _port
from tests.oracle.debian_cron import CACHE
from tests.pace import eventually
from tests.queue_server import QueueServer

JOBS = 100
SEED = 16
GUARD = Path(__file__).parents[2] / "src/kirikae/jobs/guard/kirikae-guard"
SHARES = (0, 250, 500, 1000, 500, 0, 250, 1000)
"""Forth, back, and forth again."""
_SETTLE_S = 240
pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may give cron a namespace of its own"),
    pytest.mark.skipif(
        not (CACHE / "usr/sbin/cron").exists(), reason="scripts/prepare has not fetched cron"
    ),
]

_CRON = """\
mount -t tmpfs run /run && mount -t tmpfs spool /var/spool || exit 1
mkdir -p /var/spool/cron/crontabs && mount --bind {folder}/pam /etc/pam.d || exit 1
mount --bind {folder}/empty /etc/cron.d || exit 1
cp {folder}/wrapped /var/spool/cron/crontabs/root && chmod 600 /var/spool/cron/crontabs/root
exec {cron} -f
"""
_PAM = "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n"


class Cron:
    """Debian's, killed and started again within a minute: it starts with the next whole one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "empty").mkdir()
        shutil.copytree("/etc/pam.d", folder / "pam")
        (folder / "pam/cron").write_text(f"{_PAM}session sufficient pam_permit.so\n")
        script = _CRON.format(folder=folder, cron=CACHE / "usr/sbin/cron")
        (folder / "cron.sh").write_text(script)
        self.start()

    def start(self) -> None:
        with (self._folder / "cron.log").open("ab") as log:
            command = ["unshare", "-m", "sh", str(self._folder / "cron.sh")]
            self.running = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """The daemon alone: what it started goes on, as on a host."""
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()


class Place:
    """Both sides of a hundred jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.effects = folder / "effects"
        self.effects.touch()
        self.server = QueueServer(folder / "queues.db")
        self.server.queue(dead="dead.fifo")
        (folder / "tab").write_text(self._text())
        # Not in the lines: jobs that write one file would move together.
        program = folder / "effect"
        program.write_text(f'#!/bin/sh\necho "$1 ${{KIRIKAE_FIRING:-old}}" >>{self.effects}\n')
        program.chmod(0o755)
        listen = f"127.0.0.1:{_port()}"
        serve = Process(["serve", "--ledger", "jobs.db", "--listen", listen], folder, {})
        token = folder / "jobs.db.token"
        eventually(lambda: token.exists() and token.read_text().strip(), "there is a token")
        self.url = f"http://{listen}"
        self.ledger = HttpLedger(self.url, token.read_text().strip())
        eventually(self._answers, "the ledger answers")
        named = ["--queue", "jobs.fifo", "--ledger", self.url, "--token-file", str(token)]
        schedule = ["scheduler", "tab", *named, "--offset"]
        work = ["worker", *named, "--lease", "10", "--at-once", "20"]
        environment = self.server.environment
        self.processes = [
            serve,
            *(Process([*schedule, at], folder, environment) for at in ("0", "1")),
            *(Process(work, folder, environment) for _ in range(2)),
        ]
        self._wrap()
        self.cron = Cron(folder)
        settings = {"kind": "jobs", "crontab": "tab", "ledger": self.url}
        journal = Journal(SqliteStore(folder / "state.db"), "test", "shop", "me", "here")
        read = JobsMove.model_validate(settings)
        self.thing = JobsThing(read, lambda: self.ledger, journal, time.time, folder)

    def _text(self) -> str:
        """Half of them in even minutes, half in odd ones.  The guard's own side says `old`."""
        lines = [f"HOME={self.folder}"]
        for n in range(JOBS):
            minutes = "*/2" if n % 2 else "1-59/2"
            lines += [
                f"# kirikae: id=job{n} on-crash=rerun",
                f"{minutes} * * * * ./effect job{n}; sleep 1",
            ]
        return "\n".join(lines) + "\n"

    def _wrap(self) -> None:
        """As on a host: reviewed, then written; both sides go by the same lines."""
        conf = self.folder / "guard.conf"
        told = {
            "ledger": self.url,
            "token_file": str(self.folder / "jobs.db.token"),
            "lease": "20",
            "tries": "8",
        }
        conf.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        shutil.copy(self.folder / "tab", self.folder / "wrapped")
        project = ["--project", str(self.folder / "kirikae.yml")]
        wrap = ["jobs", "wrap", str(self.folder / "wrapped")]
        words = [*project, *wrap, "--zone", "UTC", "--name", "tab"]
        words += ["--guard", str(GUARD), "--conf", str(conf), "--user"]
        shown = kirikae(*words, "--json")
        kirikae(*words, "--reviewed", shown.json["digest"])
        assert (self.folder / "wrapped").read_text().count("kirikae-guard") == JOBS

    def _answers(self) -> bool:
        try:
            return self.ledger.now() > 0
        except LedgerAway:
            return False

    def shifted(self, share: int) -> bool:
        """The ledger may just have been killed."""
        try:
            self.thing.shift("batch", share, None)
        except LedgerAway:
            return False
        return True

    def rows(self, begin: int, end: int) -> list[Firing]:
        try:
            return self.ledger.history(since=begin, until=end, most=100_000)
        except LedgerAway:
            return []

    def kill_one(self, chance: random.Random) -> str:
        """Any of them, and it is started again at once; cron not over a minute's edge."""
        kind = chance.choice(("ledger", "scheduler", "worker", "worker", "cron", "guard"))
        match kind:
            case "cron":
                if 5 < time.time() % 60 < 50:
                    self.cron.kill()
                    self.cron.start()
            case "guard":
                self._kill_a_guard(chance)
            case _:
                victims = {"ledger": (0, 1), "scheduler": (1, 3), "worker": (3, 5)}[kind]
                victim = self.processes[chance.randrange(*victims)]
                victim.kill()
                victim.start()
        return kind

    def _kill_a_guard(self, chance: random.Random) -> None:
        """One whose command has begun: before that, a killed guard has run nothing, as a killed
        cron has not."""
        found = [desk.parent for desk in Path("/tmp").glob("kirikae-guard.*/child")]
        if found:
            child = chance.choice(found) / "child"
            with suppress(OSError, ValueError):
                pid = int(child.read_text())
                if f"HOME={self.folder}" in _environment(pid):
                    os.kill(_parent(_parent(pid)), signal.SIGKILL)

    def close(self) -> None:
        self.cron.kill()
        for process in self.processes:
            process.kill()
        self.server.close()


def _environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b"\n").decode("latin-1")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


def test_row_28_a_hundred_jobs_forth_and_back_and_forth_with_everything_killed_at_random(
    place: Place,
) -> None:
    """Two minutes at each share; 0 doubled, 0 missing."""
    chance = random.Random(SEED)
    begin = int(time.time() // 60) + 2
    eventually(lambda: time.time() >= begin * 60 - 1, "the first minute", 180)
    killed: Counter[str] = Counter()
    for at, share in enumerate(SHARES):
        eventually(lambda share=share: place.shifted(share), f"the share is {share}")
        until = (begin + 2 * (at + 1)) * 60
        while time.time() < until:
            time.sleep(chance.uniform(4, 12))
            killed[place.kill_one(chance)] += 1
    end = begin + 2 * len(SHARES)
    expected = {
        (f"job{n}", minute)
        for n in range(JOBS)
        for minute in range(begin, end)
        if minute % 2 == (n + 1) % 2
    }
    eventually(
        lambda: _all_over(place, begin, end, len(expected)),
        lambda: f"all end: {Counter(str(each.state) for each in place.rows(begin, end))}",
        _SETTLE_S,
        lambda: sum(each.state.over for each in place.rows(begin, end)),
    )
    rows = place.rows(begin, end)
    assert {(each.job, each.due) for each in rows} == expected
    sides = Counter(str(each.side) for each in rows)
    doubled, missing = _counted(place, rows)
    print(f"{len(rows)} firings, {dict(sides)}, killed {dict(killed)}")
    assert min(sides["old"], sides["new"]) > len(rows) // 8, sides
    assert (doubled, missing) == ([], [])


def _all_over(place: Place, begin: int, end: int, count: int) -> bool:
    rows = place.rows(begin, end)
    return len(rows) == count and all(each.state.over for each in rows)


def _counted(place: Place, rows: list[Firing]) -> tuple[list[str], list[str]]:
    """(doubled, missing): of the new side each firing has one effect for each attempt at most, and
    one at least; of the old side each job has as many effects as firings, since the guard tells its
    command nothing.  Effects before and after the counted minutes are told by the ledger, too."""
    by_new: Counter[str] = Counter()
    by_old: Counter[str] = Counter()
    for line in place.effects.read_text().splitlines():
        job, firing = line.split()
        if firing == "old":
            by_old[job] += 1
        else:
            by_new[firing] += 1
    everything = place.ledger.history(most=100_000)
    ran_old = Counter(
        each.job
        for each in everything
        if each.side is Owner.OLD and any(run.started is not None for run in each.runs)
    )
    doubled = [job for job in ran_old | by_old if by_old[job] > ran_old[job]]
    missing = [job for job in ran_old | by_old if by_old[job] < ran_old[job]]
    for each in rows:
        if each.side is Owner.NEW:
            attempts = sum(run.started is not None for run in each.runs)
            doubled += [each.id] if by_new[each.id] > attempts else []
            missing += [each.id] if not by_new[each.id] else []
        elif not any(run.started is not None for run in each.runs) or each.state is State.MISSED:
            missing.append(each.id)
    return doubled, missing
