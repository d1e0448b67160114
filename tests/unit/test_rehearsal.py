"""What the rehearsal decides: its pace, when it gives up waiting, and which verdicts are turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/bookshop"))

import rehearse
from letters import Written, written_of
from machine import LEAST_PER_S, MOST_PER_S, Answered, Machine, pace_of
from report import Row, summarise
from trouble import Trouble
from waiting import until

IDLE = Machine(cores=2, free_cores=2.0, container_s=0.3)
HOGGED = Machine(cores=2, free_cores=0.7, container_s=3.0)


def test_an_idle_machine_is_asked_as_much_as_the_story_was_written_for():
    """220 requests a second, an allowance of 2%, figures of a second."""
    pace = pace_of(IDLE, Answered(900, 0.04))
    assert (pace.rate, pace.worse_requests, pace.fast_enough_s) == (MOST_PER_S, 0.02, 1.0)
    assert (pace.period_s, pace.lateness_s, pace.warm_up_s) == (1, 2, 4)


def test_a_slow_machine_is_asked_less_and_waited_for_longer():
    """Fewer requests, wider margins, later figures; and never so wide that r2's fault would pass:
    a tenth of the requests fail, twice the allowance may."""
    pace = pace_of(HOGGED, Answered(60, 0.35))
    assert pace.rate == 18 and pace.period_s == 5 and pace.lateness_s > 2
    assert pace.fast_enough_s == 3.5 and 2 * pace.worse_requests < 0.1
    assert HOGGED.still_s > 4 * IDLE.still_s
    for _ in range(10):
        pace = pace.slower()
    assert pace.rate == LEAST_PER_S


def test_a_rate_that_somebody_insists_on_is_taken():
    assert pace_of(HOGGED, Answered(60, 0.35), 300).rate == 300


def test_a_wait_goes_on_while_something_moves_and_ends_when_nothing_does():
    seen = iter(range(100))
    assert until("it is three", lambda: next(seen), lambda n: n == 3, 0.5) == 3
    with pytest.raises(Trouble, match="nothing moved"):
        until("it moves", lambda: 1, lambda n: n == 2, 0.5)


def entry(verdict: str, **figures: float) -> dict[str, Any]:
    known = {"log_harm": 9.0, "bar_harm": 4.6, "log_harm_errors": 0.0, "log_harm_latency": 0.0}
    evidence = {"verdict": verdict, "reason": "because", "figures": known | figures}
    return {"at": 7.0, "evidence": evidence}


@pytest.mark.parametrize(
    ("figures", "metric"),
    [
        ({"log_harm_errors": 9.0}, "errors"),
        ({"log_harm_latency": 9.0}, "latency"),
        ({"log_harm": 0.1}, "probes"),
    ],
)
def test_why_kirikae_backed_out_is_read_from_its_journal(figures, metric):
    """By what the evidence was, not by a sentence."""
    assert rehearse.verdict_of(entry("fail", **figures)) == rehearse.Verdict(7.0, metric, "because")
    assert rehearse.verdict_of(entry("pass", **figures)) is None
    assert rehearse.verdict_of({"at": 7.0, "evidence": None}) is None


def test_what_failed_is_told_apart():
    """r2's fault, the requests in flight in the killed task, and everything else."""
    rows = [
        Row(10, "new", "lost", "order", "status 500", "r2", 3),
        Row(21, "none", "lost", "book", "ServerDisconnectedError", "", 2),
        Row(40, "new", "wrong", "me", "logged out", "r3", 1),
        Row(40, "old", "slow", "me", "", "r3", 5),
    ]
    plain = [
        [row.side, row.verdict, row.action, row.reason, row.release, row.count] for row in rows
    ]
    seconds = [
        {"t": row.second, "rows": [cells], "ms": {}, "sessions_lost": 0, "stalled": 0}
        for row, cells in zip(rows, plain, strict=True)
    ]
    acts = [{"name": "all", "title": "Act 0", "began": 0.0, "ended": 50.0}]
    found = summarise(seconds, acts, {"task_killed_at": 20.0})
    assert found["met_the_planted_fault"] == 3 and found["in_flight_of_the_killed_task"] == 2
    assert [row["reason"] for row in found["outside"]] == ["logged out"]
    assert found["totals"] == {"lost": 5, "wrong": 1, "slow": 5}


def test_letters_are_counted_by_what_the_workers_wrote():
    """Each row is a letter that was asked for: its number, how often it was written and by whom,
    how often it was begun.  One begun twice and written once is no doubled one."""
    rows = [
        ["1", "1", "batch1", "1"],
        ["2", "1", "0a1b2c", "2"],
        ["3", "2", "0a1b2c", "2"],
        ["4", "0", "", "1"],
    ]
    assert written_of(rows) == Written(asked=4, once=2, on_ecs=1, doubled=1, missing=1, again=2)
    assert written_of([]) == Written(0, 0, 0, 0, 0, 0)


def test_each_part_of_the_story_can_be_played_alone(monkeypatch):
    """ACTS names moves; each has an act that begins it and one that ends it, and what is not known
    is refused with what is."""
    for move, acts in (("jobs", {"crontab", "jobs"}), ("workers", {"workers", "letters"})):
        monkeypatch.setenv("ACTS", move)
        moves = rehearse.moves_asked()
        played = {scene.name for scene in rehearse.ACTS if scene.moves & moves}
        assert acts <= played and "fault" not in played
    monkeypatch.setenv("ACTS", "web|werkers")
    with pytest.raises(Trouble, match="werkers") as refused:
        rehearse.moves_asked()
    assert "workers" in refused.value.what_to_do
