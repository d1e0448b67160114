"""Tuned rules against the hand rule (CPU at 50%, figures of a minute), on a week that neither saw.

    python benchmarks/capacity_tune.py [generations]

Both have to hold the same limit there: of the tuned ones the cheapest counts that does.  The hand
rule gets the least floor with which it holds it on the very week that judges, which nobody could
know beforehand.  Three made-up loads, and three seeds of the search.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from kirikae.capacity import cost
from kirikae.capacity.settings import CapacityFile
from kirikae.capacity.settings import read as read_rules
from kirikae.capacity.trace import Made, Trace, made
from kirikae.capacity.tune import GENERATIONS, Tried, judged, split, tune
from kirikae.capacity.writing import FIRST

SEEDS = (1, 2, 3)
PEAK = 350
MOST_TASKS = 40


def first() -> CapacityFile:
    """What `kirikae capacity init` writes, with room for the peak."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capacity.yml"
        path.write_text(FIRST.replace("max: 20", f"max: {MOST_TASKS}"))
        return read_rules(path)


def by_hand(file: CapacityFile, week: Trace, hour: cost.Price) -> Tried:
    """The least floor that holds the limit, by halving: more tasks are never worse."""
    low, high = 1, MOST_TASKS
    while low < high:
        middle = (low + high) // 2
        if judged(_hand(file, middle), week, hour).bad <= file.bad_percent / 100:
            high = middle
        else:
            low = middle + 1
    return judged(_hand(file, low), week, hour)


def _hand(file: CapacityFile, floor: int) -> CapacityFile:
    tracking = next(each for each in file.policies if each.target is not None)
    plain = file.model_dump(by_alias=True)
    plain["tasks"]["min"] = floor
    plain["policies"] = [{"name": tracking.name, "metric": "cpu", "target": 50}]
    plain["daily"] = []
    return CapacityFile.model_validate(plain)


def compared(seed: int, generations: int) -> float | None:
    """Cost of the tuned rules as a part of the hand rule's; None: none of them held the limit."""
    file = first()
    weeks = split(made(Made(peak=PEAK, days=28, seed=seed)))
    weeks = replace(weeks, seen=weeks.seen[-1:]) if generations < GENERATIONS else weeks
    hour = cost.task_hour(file.region, file.task.cpu, file.task.memory)
    limit = file.bad_percent / 100
    hand = by_hand(file, weeks.unseen, hour)
    front = tune(file, weeks, hour, seed, generations=generations)[1:]
    holding = [each for each in front if each.bad <= limit]
    told = f"seed {seed}: hand rule with a floor of {hand.rules.tasks.min}: {hand.usd:.2f} USD"
    if not holding:
        print(f"{told} a week; no tuned rules hold {limit:.1%}: {[e.bad for e in front]}")
        return None
    best = min(holding, key=lambda each: each.usd)
    print(
        f"{told} a week, {hand.bad:.3%} bad; tuned: {best.usd:.2f} USD, {best.bad:.3%} bad, "
        f"{best.usd / hand.usd:.2f} of it",
        flush=True,
    )
    return best.usd / hand.usd


def main() -> None:
    generations = int(sys.argv[1]) if len(sys.argv) > 1 else GENERATIONS
    parts = [compared(seed, generations) for seed in SEEDS]
    held = all(part is not None and part < 1 for part in parts)
    print("tuned rules are cheaper in all seeds" if held else "NOT cheaper in all seeds")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
