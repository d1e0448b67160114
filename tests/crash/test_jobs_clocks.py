"""Rows 1, 3, 6, 7 and 8 of the fault matrix with real schedulers: clocks that are wrong, and put
right while they run; SIGSTOP over the edge of a minute; SIGKILL of all schedulers for minutes.

Minutes are real ones, so these tests take some; the same rows are tables of values in
``tests/unit/test_jobs_scheduler.py``."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.jobs.job import Firing, State
from tests.crash.jobs_world import skewing_library
from tests.crash.test_jobs_storm import Process, Storm
from tests.pace import ended, eventually

pytestmark = pytest.mark.prove
ONCE = "echo $KIRIKAE_FIRING >>effects"


@pytest.fixture(scope="module")
def skewing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes a clock wrong."""
    return skewing_library(tmp_path_factory.mktemp("skew"))


class Place(Storm):
    """One worker and a ledger whose clocks are right; schedulers as a test wants them."""

    def __init__(self, folder: Path, text: str, skewing: Path) -> None:
        self._crontab = text
        self._skewing = skewing
        super().__init__(folder, 0, 0, workers=1)
        self._serve, first, second, self._worker = self.processes
        first.kill()
        second.kill()
        self._words = first.words
        self.processes = [self._serve, self._worker]

    def _text(self, jobs: int) -> str:
        return f"HOME={self.folder}\n{self._crontab}"

    def scheduler(self, skew_s: int = 0) -> tuple[Process, Path]:
        """One whose clock is ahead by so many seconds, and the file that says so."""
        skew = self.folder / f"skew-{len(self.processes)}"
        skew.write_text(str(skew_s))
        wrong = {"LD_PRELOAD": str(self._skewing), "SKEW": str(skew)}
        environment = {**self.server.environment, **wrong}
        made = Process([*self._words, "--json"], self.folder, environment)
        self.processes.append(made)
        return made, skew

    def minutes(self, job: str) -> dict[int, Firing]:
        return {each.due - self.first: each for each in self.ledger.history(job, most=1000)}

    def until_minute(self, minute: int, job: str = "a") -> dict[int, Firing]:
        """All firings of this job, once the one of this minute has ended."""
        eventually(
            lambda: minute in (found := self.minutes(job)) and found[minute].state.over,
            lambda: f"minute {minute} has ended: {self.minutes(job)}",
            timeout_s=60 * (minute + 3),
            watch=lambda: len(self.minutes(job)),
            poll_s=0.5,
        )
        return self.minutes(job)

    def now(self) -> int:
        """The minute that it is, from the first."""
        return int(time.time() // 60) - self.first

    def assert_once(self, found: dict[int, Firing]) -> None:
        """Every minute between the first and the last that was admitted ran, and ran once."""
        assert sorted(found) == list(range(min(found), max(found) + 1))
        effects = self.effects()
        for firing in found.values():
            if firing.state.over:
                assert firing.state is State.SUCCEEDED and effects[firing.id] == 1, firing


def counts_of(scheduler: Process) -> dict[str, int]:
    """What it says when it is told to end."""
    scheduler.running.send_signal(signal.SIGTERM)
    assert ended(scheduler.running) == 0
    lines = (scheduler.folder / "scheduler.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found: dict[str, int] = [each["counts"] for each in told if "counts" in each][-1]
    return found


@pytest.fixture
def places(tmp_path: Path, skewing: Path) -> Iterator[list[Place]]:
    found: list[Place] = []
    yield found
    for each in found:
        each.close()


def test_rows_1_7_and_8_clocks_that_are_wrong_and_are_put_right(places, tmp_path, skewing):
    """Four clocks: right, half a minute behind, 50 s ahead and then put back (the minute is lived
    through again), ten minutes ahead.  Each minute runs once; the last one admits nothing until its
    clock is set right."""
    place = Place(tmp_path, f"# kirikae: id=a\n* * * * * {ONCE}\n", skewing)
    places.append(place)
    right, _ = place.scheduler()
    behind, _ = place.scheduler(-30)
    _, put_back = place.scheduler(50)
    wrong, far = place.scheduler(600)
    begin = place.now()
    place.until_minute(begin + 1)
    put_back.write_text("0")
    found = place.until_minute(begin + 3)
    place.assert_once(found)
    assert max(found) <= place.now() + 1, "nobody admits ten minutes ahead"
    stood_down = counts_of(wrong)
    assert stood_down["stood_down"] >= 2
    assert stood_down["admitted"] == stood_down["deduped"] == 0
    both = [counts_of(each) for each in (right, behind)]
    assert all(each["admitted"] + each["deduped"] >= 3 for each in both)
    far.write_text("0")
    wrong.start()
    place.assert_once(place.until_minute(place.now() + 1))
    assert counts_of(wrong)["stood_down"] == 0


def test_rows_3_and_6_a_scheduler_that_is_stopped_and_one_that_is_dead(places, tmp_path, skewing):
    """SIGSTOP over two edges of a minute: what it slept through is admitted when it wakes.  SIGKILL
    for three minutes: entries of fixed times are made up, of others the last one, the rest is
    missed; each says how late it is."""
    text = f"# kirikae: id=a\n* * * * * {ONCE}\n# kirikae: id=fixed\n0-59 0-23 * * * {ONCE}\n"
    place = Place(tmp_path, text, skewing)
    places.append(place)
    scheduler, _ = place.scheduler()
    begin = place.now()
    place.until_minute(begin + 1)
    scheduler.running.send_signal(signal.SIGSTOP)
    eventually(lambda: place.now() >= begin + 4, "two edges have passed", 240, place.now, 1.0)
    assert max(place.minutes("a")) == begin + 1
    scheduler.running.send_signal(signal.SIGCONT)
    place.assert_once(place.until_minute(begin + 4))
    scheduler.kill()
    dead = max(place.minutes("a"))
    eventually(lambda: place.now() >= dead + 4, "three minutes have passed", 300, place.now, 1.0)
    scheduler.start()
    again = place.now()
    place.until_minute(again + 1, "fixed")
    made_up = range(dead + 1, again)
    fixed, wild = place.minutes("fixed"), place.minutes("a")
    assert [fixed[each].state for each in made_up] == [State.SUCCEEDED] * len(made_up)
    states = [wild[each].state for each in made_up]
    assert states == [State.MISSED] * (len(made_up) - 1) + [State.SUCCEEDED]
    assert fixed[dead + 1].late_by_s >= 120
    effects = place.effects()
    assert all(effects[fixed[each].id] == 1 for each in made_up)
