"""What a plan will ask for, and both sides' figures in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from kirikae.jobs.workers.ladder import Ladder
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.judge import Margins, requests_to_prove
from kirikae.move.kind import Fact, Prospect, Prospects, Told


@dataclass(frozen=True, slots=True)
class Today:
    """What the old side finished lately: messages a second, and the part that failed."""

    per_s: float
    failed: float


def prospects_of(margins: Margins, ladder: Ladder, today: Today | None) -> Prospects:
    """``today``: None where nothing was finished, or it is not known."""
    plan = ladder.plan()
    steps = [
        _prospect(margins, ladder, share, after, today)
        for share, after in zip(plan, (*plan[1:], WHOLE), strict=True)
    ]
    return Prospects(tuple(steps), (_rate(today),))


def _prospect(
    margins: Margins, ladder: Ladder, share: int, after: int, today: Today | None
) -> Prospect:
    needed = _needed(margins, share, after, today)
    per_s = today.per_s * share / WHOLE if today is not None else 0.0
    seconds = max(margins.bake_s, needed / per_s) if needed is not None and per_s else None
    tasks = ladder.tasks_at(share)
    units = ladder.units_at(share)
    blanks = {"tasks": tasks, "units": units, "bake": margins.bake_s}
    says = said("workers.prospect.step_unknown", **blanks)
    if needed is not None:
        says = said("workers.prospect.step", needed=round(needed), **blanks)
    plain = {"tasks": tasks, "units": units, "messages": needed and round(needed)}
    return Prospect(share, seconds, (says,), plain)


def _needed(margins: Margins, share: int, after: int, today: Today | None) -> float | None:
    """Messages of the new side; None: not known, or never."""
    if today is None:
        return None
    needed = requests_to_prove(margins, share, after, max(today.failed, 0.0001))
    return needed if isfinite(needed) else None


def _rate(today: Today | None) -> Fact:
    if today is None:
        return Fact("messages_per_s", None, said("workers.fact.no_rate"))
    says = said("workers.fact.rate", per_s=today.per_s, failed=today.failed)
    return Fact("messages_per_s", round(today.per_s, 3), says)


def told(figures: Mapping[str, float]) -> Told | None:
    """None where nothing was counted."""
    if "new_done" not in figures:
        return None
    counts = {
        name: round(figures[name]) for name in ("new_done", "new_failed", "old_done", "old_failed")
    }
    line = said("workers.line.sides", oldest=_oldest(figures), **counts)
    sentence = said(
        "workers.line.sentence",
        new_failed=counts["new_failed"],
        new_all=counts["new_done"] + counts["new_failed"],
        old_failed=counts["old_failed"],
        old_all=counts["old_done"] + counts["old_failed"],
    )
    return Told(line, sentence)


def _oldest(figures: Mapping[str, float]) -> Said:
    if "oldest_s" not in figures:
        return said("workers.line.no_oldest")
    return said("workers.line.oldest", seconds=figures["oldest_s"])
