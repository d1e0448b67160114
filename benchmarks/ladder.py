"""A whole plan, 1% - 5% - 25% - 50% - 100%: what kirikae's judge, Flagger's and Argo's rules make
of healthy and of broken new sides.

kirikae: the judge of a live move with its default tolerances and margins (worse_requests_at_most
0.05%), bake 60 s, at most four hours a step; completed means that the step at 50% passed.  The
peers take the same steps, one a minute, after each passed check (Flagger with its p99 below 500 ms
as well), and are promoted after the check at 50%."""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import HARMS, SAME, TAU, Second, Truth, count

from benchmarks.exposure import BAR
from benchmarks.peers import Checked
from kirikae.move.judge import SAFE_BAR, Judge, Margins, Outcome

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
PLAN = (10, 50, 250, 500, 1000)
STEP_S = 4 * 3600
MARGINS = Margins(0.01, 0.0005, 60)
TRUTHS = {
    "identical": (SAME, SAME),
    "errors 0.3%": (Truth(0.003),) * 2,
    "errors 0.5%": (Truth(0.005),) * 2,
    "errors 1%": (HARMS["errors 0.1 -> 1%"],) * 2,
    "errors 5%": (HARMS["errors 0.1 -> 5%"],) * 2,
    "p99 +50%": (HARMS["p99 +50%"],) * 2,
    "p50 +20%": (HARMS["p50 +20%"],) * 2,
    "errors 2% from 25% on": (SAME, Truth(0.02)),
}
"""Name -> the new side below a share of 25%, and from there on."""


def ours(rng: random.Random, rps: int, truths: tuple[Truth, Truth]) -> tuple[str, float, int]:
    """(end, seconds, requests on the new side)."""
    judge = Judge(MARGINS, PLAN)
    took = 0
    exposed = 0
    for step, share in enumerate(PLAN[:-1]):
        judge.at(step, share)
        new = truths[share >= 250]
        bounds = {m: MARGINS.bounds(tau, judge.next_share(share)) for m, tau in TAU.items()}
        asked = tuple(sorted({b for pair in bounds.values() for b in pair}))
        safe: set[str] = set()
        for second in range(STEP_S):
            took += 1
            old = count(rng, rps * (1000 - share) / 1000, SAME, tuple(TAU.values()))
            seen = count(rng, rps * share / 1000, new, asked)
            exposed += seen.n
            if not old.n or not seen.n:
                continue
            outcomes = {"errors": Outcome(old.errors, seen.errors, old.errors, seen.errors)}
            for metric, tau in TAU.items():
                harm, wide = bounds[metric]
                outcomes[metric] = Outcome(
                    old.over[tau], seen.over[harm], old.over[tau], seen.over[wide], None, True
                )
            judge.observe(1.0, old.n, seen.n, outcomes)
            if judge.log_harm() >= BAR:
                return "backed out", took, exposed
            safe |= {m for m in outcomes if m not in safe and judge.log_safe_of(m) >= 2.995732}
            if len(safe) == len(outcomes) and second >= 60:
                break
        else:
            return "unsure", took, exposed
    return "completed", took, exposed


def peer(
    rng: random.Random, rps: int, truths: tuple[Truth, Truth], limit: int, p99: bool
) -> tuple[str, float, int]:
    took = exposed = step = 0
    rules = {
        new: Checked(limit, limit > 0, new if p99 else None, rng if p99 else None)
        for new in set(truths)
    }
    rule = rules[truths[0]]
    while step < len(PLAN) - 1:
        share = PLAN[step]
        failed = rule._failed
        rule = rules[truths[share >= 250]]
        rule._failed = failed  # one count for the whole plan
        for _ in range(60):
            took += 1
            new = count(rng, rps * share / 1000, truths[share >= 250], ())
            exposed += new.n
            if rule.out(Second(new, new)):
                return "backed out", took, exposed
        step += rule._failed == failed
        if took > 4 * STEP_S:
            return "unsure", took, exposed
    return "completed", took, exposed


def _run(arguments: tuple[str, int, tuple[Truth, Truth]]) -> dict[str, tuple[str, float, int]]:
    seed, rps, truths = arguments
    return {
        "kirikae": ours(random.Random(seed), rps, truths),
        "Flagger": peer(random.Random(seed), rps, truths, 5, True),
        "Argo": peer(random.Random(seed), rps, truths, 0, False),
    }


def main() -> None:
    assert SAFE_BAR == 20
    print(
        f"{RUNS} runs a row, {os.cpu_count()} cores: completed / backed out / unsure, "
        "median minutes, median requests on the new side"
    )
    with ProcessPoolExecutor() as pool:
        for rps in (100, 1000):
            for name, truths in TRUTHS.items():
                results = list(
                    pool.map(_run, [(f"{name}/{rps}/{n}", rps, truths) for n in range(RUNS)])
                )
                told = []
                for tool in results[0]:
                    ends = Counter(r[tool][0] for r in results)
                    parts = "/".join(
                        f"{ends[end] / RUNS:.2f}" for end in ("completed", "backed out", "unsure")
                    )
                    minutes, exposed = (
                        statistics.median(r[tool][k] for r in results) for k in (1, 2)
                    )
                    told.append(f"{tool} {parts} {minutes / 60:.0f} min {exposed:.0f}")
                print(f"{rps:>5} requests/s  {name:<21} " + " · ".join(told), flush=True)


if __name__ == "__main__":
    main()
