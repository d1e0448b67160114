"""Tuned rules against the hand rule (CPU at 50%, figures of a minute), on a week that neither saw.

    python benchmarks/capacity_tune.py [generations [seed...]]

Both have to hold the same limit there: of the tuned ones the cheapest counts that does.  The hand
rule gets the least floor with which it holds it on the very week that judges, which nobody could
know beforehand.  Three made-up loads, and three seeds of the search.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from kirikae.capacity import cost
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.simulate import Rules, simulate
from kirikae.capacity.trace import Made, Trace, made
from kirikae.capacity.tune import GENERATIONS, split, tune
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


def by_hand(file: CapacityFile, week: Trace, hour: cost.Price) -> tuple[int, float]:
    """The least floor that holds the limit, and what a week costs with it."""
    floors = np.arange(1, MOST_TASKS + 1)
    rules = Rules((TargetTracking("cpu", Metric.CPU, 50.0),), floors.astype(float), MOST_TASKS)
    base = file.tasks.base if file.tasks.spot else 0
    run = simulate([week] * len(floors), file.one_task(), rules, file.limit_ms / 1000, base)
    bands, _ = cost.of_run(run, hour, file.tasks.spot)
    least = int(np.flatnonzero(run.bad <= file.bad_percent / 100)[0])
    return int(floors[least]), (bands[least].least + bands[least].most) / 2


def compared(seed: int, generations: int) -> float | None:
    """Cost of the tuned rules as a part of the hand rule's; None: none of them held the limit."""
    file = first()
    weeks = split(made(Made(peak=PEAK, days=WEEKS * 7, crowds=CROWDS, seed=seed)))
    hour = cost.task_hour(file.region, file.task.cpu, file.task.memory)
    limit = file.bad_percent / 100
    floor, usd = by_hand(file, weeks.unseen, hour)
    told = f"seed {seed}: the hand rule with a floor of {floor} costs {usd:.2f} USD a week"
    front = tune(file, weeks, hour, seed, generations=generations)[1:]
    best = next((each for each in front if each.bad <= limit), None)
    if best is None:
        bad = ", ".join(f"{each.bad:.3%}" for each in front)
        print(f"{told}; no tuned rules hold {limit:.1%}: {bad}", flush=True)
        return None
    print(
        f"{told}; tuned {best.usd:.2f} ({best.usd / usd:.2f} of it), {best.bad:.3%} bad", flush=True
    )
    return best.usd / usd


def main() -> None:
    generations = int(sys.argv[1]) if len(sys.argv) > 1 else GENERATIONS
    seeds = tuple(map(int, sys.argv[2:])) or SEEDS
    parts = [compared(seed, generations) for seed in seeds]
    held = all(part is not None and part < 1 for part in parts)
    print("tuned rules are cheaper in all seeds" if held else "NOT cheaper in all seeds")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
