"""How often kirikae's judge backs a healthy side out, kind by kind, and what so many runs exclude.

``python benchmarks/bound.py --keep FILE --for 600 --part 1/2``, and ``--part 2/2`` beside it, add
to the same file; every kind gets its next run before any gets two, so that whenever it is stopped
all have as many.  ``--for 0`` shows what was measured.  Worlds and seeds as in
``benchmarks/realistic.py``; no peers, and a horizon of its own: a false back-out that came later
than ``--hours`` is not counted, and the table says how long the runs were.

Beside what was backed out stands how near the others came: the largest evidence of harm of any run,
and how many reached a tenth of what backs out.  A judge that keeps its promise lets at most one of
ten get there, so that a kind that strays is seen long before it has been run 300 times.  Where
another mix holds it, evidence is large and nothing is backed out: such a kind rests on that guard.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.climbers import Climb, End
from benchmarks.kept import Kept
from benchmarks.realistic import OURS, baked_for, run
from benchmarks.scenarios import Scenario, everything

CONFIDENCE = 0.95
HALVINGS = 60
NEAR = math.log(10)
"""A tenth of the evidence that backs out, as a logarithm."""


def at_most(out: int, runs: int) -> float:
    """The largest rate that so few back-outs do not exclude: the exact one-sided bound of Clopper
    and Pearson (1934), by bisection."""
    if out >= runs:
        return 1.0
    low, high = out / runs, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _seldom(out, runs, middle) else (middle, high)
    return high


def _seldom(out: int, runs: int, rate: float) -> bool:
    """So few, at this rate, would come in less than one of twenty."""
    term = (1 - rate) ** runs
    found = term
    for k in range(out):
        term *= (runs - k) / (k + 1) * rate / (1 - rate)
        found += term
    return found < 1 - CONFIDENCE


def healthy(only: str, long_bake: str) -> list[Scenario]:
    found = (baked_for(scenario, long_bake) for scenario in everything())
    return [scenario for scenario in found if not scenario.harmful and only in scenario.name]


def line_of(name: str, climbs: Sequence[Climb]) -> str:
    ends = Counter(each.end for each in climbs)
    out = ends[End.OUT]
    near = sum(each.peak >= NEAR for each in climbs)
    largest = math.exp(max(each.peak for each in climbs))
    told = (
        f"{name:<46} {out} of {len(climbs)} out, at most {at_most(out, len(climbs)):.2%}; "
        f"{near} reached 10, the largest {largest:.3g}"
    )
    reasons = Counter(each.reason for each in climbs if each.end is End.OPEN)
    waits = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common(3))
    took = median(each.minutes for each in climbs)
    return f"{told}; done {ends[End.DONE]}, {took:.0f} min" + (f"; waits: {waits}" if waits else "")


def measure(
    scenarios: Sequence[Scenario], numbers: Iterable[int], seed: str, hours: int, kept: Kept
) -> dict[str, list[Climb]]:
    """By kind, in turn."""
    found: dict[str, list[Climb]] = {scenario.name: [] for scenario in scenarios}
    for number, scenario in product(numbers, scenarios):
        each = f"{seed}/{number}"
        climb = kept.climb(
            f"{OURS}/{scenario.name}/{each}/{hours}h", partial(run, OURS, scenario, each, hours)
        )
        if climb is not None:
            found[scenario.name].append(climb)
    return found


def _part(told: str) -> tuple[int, int]:
    at, _, of = told.partition("/")
    return int(at) - 1, int(of)


def main(asked: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", default="b")
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    parser.add_argument("--hours", type=int, default=12, help="the most of one run")
    parser.add_argument("--long-bake", default="2h")
    parser.add_argument("--part", type=_part, default=(0, 1), help="such as 1/2: every other run")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--for", dest="seconds", type=float, help="begin no run after so long")
    given = parser.parse_args(asked)
    until = None if given.seconds is None else monotonic() + given.seconds
    at, of = given.part
    found = measure(
        healthy(given.only, given.long_bake),
        range(at, given.runs, of),
        given.seed,
        given.hours,
        Kept(given.keep, until),
    )
    measured = {name: climbs for name, climbs in found.items() if climbs}
    print(f"{os.cpu_count()} cores; runs of at most {given.hours} h; bounds of {CONFIDENCE:.0%}")
    for name, climbs in measured.items():
        print(line_of(name, climbs))
    together = [climb for climbs in measured.values() for climb in climbs]
    if together:
        print(line_of("all kinds together", together))
    return 0


if __name__ == "__main__":
    sys.exit(main())
