"""A day of trouble: the service comes to itself between two faults; what was not made is said."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from kirikae.console import drill_day
from kirikae.console.drill_day import _answer, _rested
from kirikae.console.drill_load import speech_of
from kirikae.console.here import Here
from kirikae.drill.watching import Look
from kirikae.model.said import LANGUAGES, said
from tests.unit.test_drill_faults import FLEET

WHOLE = Look(0.0, 3, 3, 0, FLEET.definition, 1, FLEET.group.healthy)
SCENE = SimpleNamespace(ground=SimpleNamespace(aws=None))
MADE = SimpleNamespace(fleet=FLEET)


@dataclass
class Watch:
    """Looks as a test has them, and time that passes by itself."""

    looks: list[Look]
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def look(self, *_: object) -> Look:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


@pytest.fixture
def watch(monkeypatch):
    def made(*looks: Look) -> Watch:
        found = Watch(list(looks))
        monkeypatch.setattr(drill_day, "time", found)
        monkeypatch.setattr(drill_day, "look_at", found.look)
        return found

    return made


def running(tasks: int) -> Look:
    return Look(0.0, 3, tasks, 3 - tasks, FLEET.definition, 1, FLEET.group.healthy)


def test_a_day_waits_as_long_as_the_service_is_on_its_way(watch):
    """Five minutes with a task more each half of --rest; a standstill of that time is the end."""
    steps = [look for tasks in (0, 1, 2) for look in [running(tasks)] * 80]
    found = watch(*steps, WHOLE)
    assert _rested(SCENE, MADE, 120.0)
    assert found.now == pytest.approx(240)
    stands = watch(running(2))
    assert not _rested(SCENE, MADE, 120.0)
    assert stands.now == pytest.approx(120)


def test_a_task_that_dies_again_and_again_is_not_waited_for_for_ever(watch):
    """It moves all the time."""
    found = watch(*[running(number % 3) for number in range(10_000)])
    assert not _rested(SCENE, MADE, 60.0)
    assert found.now == pytest.approx(600)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_not_made_is_told_in_the_language_that_was_asked_for(language):
    """By its name, and after which fault the day ended."""
    refused = [("hang-task", said("drill.day.not_itself", fault="crash-task"))]
    answer = _answer([], refused, None, speech_of(Here(), language))
    assert "hang-task" in answer.lines[0] and "crash-task" in answer.lines[0]
    assert ("元に戻らなかった" in answer.lines[0]) == (language == "ja")
    assert answer.plain["refused"][0]["why"]["says"] == "drill.day.not_itself"
