"""Rows 12 to 14 of the fault matrix with real processes and real signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.jobs.job import Firing, State
from tests.crash.test_jobs_storm import LEASE_S, Process, Storm
from tests.pace import ended, eventually
from tests.unit.test_jobs_runner import alive

COMMAND = "[ -e pid ] || { echo $$ >pid; exec sleep 600; }; echo $KIRIKAE_ATTEMPT >>effects"
"""Only the first firing lasts: the next minute's may overtake it while it is given back."""


class Place(Storm):
    """One job whose first attempt lasts, one worker; more as a test wants them."""

    def __init__(self, folder: Path, settings: str, command: str = COMMAND) -> None:
        self._line = f"# kirikae: id=a catch-up=all window=24h {settings}\n* * * * * {command}\n"
        super().__init__(folder, 1, 1, workers=1)
        self.pid_file = folder / "pid"

    def _text(self, jobs: int) -> str:
        return f"HOME={self.folder}\n{self._line}"

    @property
    def worker(self) -> Process:
        return self.processes[3]

    def another(self) -> Process:
        made = Process(self.worker.words, self.folder, self.server.environment)
        self.processes.append(made)
        return made

    def pid(self) -> int:
        eventually(lambda: self.pid_file.exists() and self.pid_file.read_text().strip(), "it runs")
        self._due = next(each.due for each in self.ledger.history() if each.runs)
        return int(self.pid_file.read_text())

    def until(self, state: State) -> Firing:
        """The firing that ``pid`` saw."""
        found = eventually(
            lambda: [
                each
                for each in self.ledger.history()
                if each.state is state and each.due == self._due
            ],
            lambda: f"{state}: {self.ledger.history()}",
            timeout_s=120,
        )
        return found[0]  # type: ignore[no-any-return]


@pytest.fixture
def place(tmp_path, request) -> Iterator[Place]:
    found = Place(tmp_path, *request.param)
    yield found
    found.close()


@pytest.mark.parametrize("place", [("on-crash=rerun overlap=skip",)], indirect=True)
def test_row_14_a_worker_that_was_stopped_longer_than_its_lease_ends_its_command(place):
    """Another one runs it again; the first one's command is killed when it resumes; both are
    shown."""
    command = place.pid()
    place.worker.running.send_signal(signal.SIGSTOP)
    place.another()
    done = place.until(State.SUCCEEDED)
    assert alive(command)
    place.worker.running.send_signal(signal.SIGCONT)
    eventually(lambda: not alive(command), "the command of the stopped worker is ended")
    assert [run.attempt for run in done.runs] == [1, 2]
    assert place.until(State.SUCCEEDED).runs == done.runs and LEASE_S < 60


@pytest.mark.parametrize("place", [("on-crash=fail overlap=skip",)], indirect=True)
def test_row_12_a_worker_that_is_killed_takes_the_command_with_it_and_nothing_runs_again(place):
    """At most once: it is lost, and told to be."""
    command = place.pid()
    place.worker.kill()
    eventually(lambda: not alive(command), "no command goes on that nobody watches")
    place.worker.start()
    lost = place.until(State.LOST)
    effects = place.folder / "effects"
    assert len(lost.runs) == 1 and (not effects.exists() or "2" not in effects.read_text())


@pytest.mark.parametrize("place", [("on-crash=rerun overlap=skip",)], indirect=True)
def test_row_13_sigterm_ends_the_run_and_the_next_worker_has_it(place):
    """The worker itself ends well."""
    place.pid()
    place.worker.running.send_signal(signal.SIGTERM)
    assert ended(place.worker.running) == 0
    place.worker.start()
    done = place.until(State.SUCCEEDED)
    assert done.runs[0].reason == "the worker was told to stop" and len(done.runs) == 2
