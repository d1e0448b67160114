"""What a driver reads of the old side, and when: as it stood before the step, whoever looks."""

from __future__ import annotations

from typing import Any

import pytest

from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Phase
from kirikae.move.journal import Journal
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.batches import Arm, Batch, record, recorded
from kirikae.traffic.comparison import Comparison
from kirikae.traffic.figures import NOTHING_UNREAD, Asked
from kirikae.traffic.settings import TrafficMove

BEGAN = 1_000_000.0
SETTINGS = TrafficMove.model_validate(
    {"kind": "traffic", "router": {"listener_rule": "shop/main"}, "plan": ["50%", "100%"]}
)


class Source:
    """Knows the old side's times until nobody asks it; remembers what it was asked."""

    unread = NOTHING_UNREAD

    def __init__(self, known_until: float) -> None:
        self.known_until = known_until
        self.asked_at: list[float] = []
        self.asked: list[Asked] = []

    def quantiles(self, until: float) -> dict[str, float]:
        self.asked_at.append(until)
        return {"p50": 0.1} if until <= self.known_until else {}

    def past(self, until: float, bounds: Any) -> dict[str, float]:
        return {"errors": 0.25}

    def batches(self, asked: Asked) -> list[Batch]:
        self.asked.append(asked)
        return []


class Group:
    """Targets of one side."""

    def __init__(self, healthy: int) -> None:
        self.healthy = [("10.0.0.1", 80)] * healthy


class World:
    """A router whose share is exact, and two sides without checks."""

    exact = True
    delay_s = 0.0

    class project:
        checks = ()

    def __init__(self, old: int = 2, new: int = 2) -> None:
        self.groups = {"old": Group(old), "new": Group(new)}

    def members(self, side: str) -> Group:
        return self.groups[side]


@pytest.fixture
def journal(tmp_path: Any) -> Journal:
    """Every entry of it is written when the step began."""
    store = SqliteStore(tmp_path / "s.db")
    return Journal(store, "test", "shop", "me", "here", lambda: BEGAN)


def running(journal: Journal, share: int) -> Move:
    """A move that stands at this share since BEGAN."""
    move = Move("web", (500, 1000), Phase.RUNNING, share, seq=1, stepped=1, attempt=1)
    return journal.write(move)


def look(journal: Journal, move: Move, source: Source, now: float, world: World) -> Any:
    comparison = Comparison(SETTINGS, journal, world, source, world, lambda: now)
    return comparison.evidence(move)


def test_a_driver_that_comes_late_judges_by_the_times_from_before_the_step(journal):
    """An hour after it began: what came since is the step's own traffic."""
    move = running(journal, 500)
    source = Source(known_until=BEGAN)
    look(journal, move, source, BEGAN + 3600, World())
    assert source.asked_at == [BEGAN]
    assert source.asked[0].tau == {"p50": 0.1} and source.asked[0].dispersion == {"errors": 0.25}


def test_a_side_with_fewer_targets_is_judged_by_larger_bursts(journal):
    """Four healthy targets on the old side when the step began, one on the new one."""
    move = running(journal, 500)
    source = Source(known_until=BEGAN)
    look(journal, move, source, BEGAN + 1, World(old=4, new=1))
    assert source.asked[0].dispersion == {"errors": 0.25 * 4}


def test_a_driver_that_is_there_asks_what_is_known_by_now(journal):
    """Figures are two minutes late: all of them are from before the step."""
    move = running(journal, 500)
    source = Source(known_until=BEGAN)
    look(journal, move, source, BEGAN + 1, World())
    assert source.asked_at == [BEGAN + 1 - SETTINGS.figures.lateness]


def test_who_resumes_at_the_whole_judges_by_the_last_times_of_the_old_side(journal):
    """Nobody asks the old side any more: its times are those of the step before."""
    move = running(journal, 1000)
    before = Batch(BEGAN - 600, 60.0, 500, {"": {"old": Arm(9), "new": Arm(9)}}, 0, {"p50": 0.2})
    record(journal, move, before)
    source = Source(known_until=0)
    look(journal, move, source, BEGAN + 600, World())
    assert source.asked[0].tau == {"p50": 0.2}


def test_a_new_side_without_targets_is_found_without_any_check(journal):
    """Rounds are written down while something is wrong, and judged alike from the record."""
    move = running(journal, 500)
    source = Source(known_until=BEGAN)
    world = World(new=0)
    now = [BEGAN]
    comparison = Comparison(SETTINGS, journal, world, source, world, lambda: now[0])
    verdicts = []
    for _ in range(3):
        verdicts.append(comparison.evidence(move).verdict)
        now[0] += 5
    assert verdicts == [Verdict.UNSURE, Verdict.UNSURE, Verdict.FAIL]
    rounds = recorded(journal, move)
    assert [batch.side("new").healthy for batch in rounds] == [0, 0, 0]
    assert look(journal, move, source, BEGAN + 12, world).verdict is Verdict.FAIL


def test_rounds_without_trouble_are_not_written_down(journal):
    """A day has seventeen thousand."""
    move = running(journal, 500)
    look(journal, move, Source(known_until=BEGAN), BEGAN + 1, World())
    assert recorded(journal, move) == []
