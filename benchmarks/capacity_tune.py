"""Tuned rules against the hand rule (CPU at 50%, figures of a minute), on a week that neither saw.

    python benchmarks/capacity_tune.py [generations [seed...]]

Both know the same: the weeks before, one of them with 1.3 times its load, and one with a flash
crowd a day.  The hand rule gets
the least floor with which it holds the limit on all of these, the tuned ones are searched on them;
then both stand before the unseen week, and of the tuned ones the cheapest counts that holds the
limit there.  Beside it stands what nobody could know beforehand: the least floor for the unseen
week itself.  Three made-up loads, and three seeds of the search.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kirikae.capacity import cost
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.simulate import Rules, Run, simulate
from kirikae.capacity.trace import Made, Trace, made
from kirikae.capacity.tune import GENERATIONS, searched, split, tune
from kirikae.capacity.writing import FIRST
from kirikae.model.scaling import Metric, TargetTracking

SEEDS = (1, 2, 3)
PEAK = 200
MOST_TASKS = 40
WEEKS = 2
CROWDS = 7.0
"""Flash crowds a week: in a week without any, no floor is needed."""


def first() -> CapacityFile:
    """What `kirikae capacity init` writes, with room for the peak."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capacity.yml"
        path.write_text(FIRST.replace("max: 20", f"max: {MOST_TASKS}"))
        return read_rules(path)


class ByHand(NamedTuple):
    """``usd``: of the week that judges.  ``bad``: the part of its requests over the limit."""

    floor: int
    usd: float
    bad: float


def by_hand(file: CapacityFile, known: Sequence[Trace], week: Trace, hour: cost.Price) -> ByHand:
    """With the least floor that holds the limit on every known week; the highest where none
    does."""
    limit = file.bad_percent / 100
    holds = np.all([_run(file, each).bad <= limit for each in known], axis=0)
    at = int(np.flatnonzero(holds)[0]) if holds.any() else MOST_TASKS - 1
    run = _run(file, week)
    bands, _ = cost.of_run(run, hour, file.tasks.spot)
    usd = (bands[at].least + bands[at].most) / 2
    return ByHand(at + 1, usd, float(run.bad[at]))


def _run(file: CapacityFile, week: Trace) -> Run:
    """With every floor."""
    floors = np.arange(1, MOST_TASKS + 1)
    rules = Rules((TargetTracking("cpu", Metric.CPU, 50.0),), floors.astype(float), MOST_TASKS)
    base = file.tasks.base if file.tasks.spot else 0
    return simulate([week] * len(floors), file.one_task(), rules, file.limit_ms / 1000, base)


def compared(seed: int, generations: int) -> float | None:
    """Cost of the tuned rules as a part of the hand rule's; None: none of them held the limit."""
    file = first()
    weeks = split(made(Made(peak=PEAK, days=WEEKS * 7, crowds=CROWDS, seed=seed)))
    hour = cost.task_hour(file.region, file.task.cpu, file.task.memory)
    limit = file.bad_percent / 100
    known = searched(weeks, np.random.default_rng(seed))
    hand = by_hand(file, known, weeks.unseen, hour)
    oracle = by_hand(file, (weeks.unseen,), weeks.unseen, hour)
    front = tune(file, weeks, hour, seed, generations=generations)[1:]
    best = next((each for each in front if each.bad <= limit), None)
    told = (
        f"seed {seed}: the hand rule with a floor of {hand.floor} costs {hand.usd:.2f} USD a week "
        f"({hand.bad:.3%} bad); with {oracle.floor}, which only the unseen week tells, "
        f"{oracle.usd:.2f}"
    )
    if best is None:
        bad = ", ".join(f"{each.bad:.3%}" for each in front)
        print(f"{told}; no tuned rules hold {limit:.1%}: {bad}", flush=True)
        return None
    part = best.usd / hand.usd
    print(f"{told}; tuned {best.usd:.2f} ({part:.2f} of it), {best.bad:.3%} bad", flush=True)
    return part


def main() -> None:
    generations = int(sys.argv[1]) if len(sys.argv) > 1 else GENERATIONS
    seeds = tuple(map(int, sys.argv[2:])) or SEEDS
    parts = [compared(seed, generations) for seed in seeds]
    held = all(part is not None and part < 1 for part in parts)
    print("tuned rules are cheaper in all seeds" if held else "NOT cheaper in all seeds")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
