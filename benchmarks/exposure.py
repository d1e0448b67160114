"""New-side requests exposed until back-out: kirikae's judge against Flagger's rule and Argo Rollouts' analysis on the same traces.

Set-up: Poisson arrivals; old side 0.1% errors; lognormal answers (sigma 0.6, p50 100 ms).  Outcomes above the old side's p50, p95
and p99 are drawn from the probabilities that follow, and its own rates above them count as known.  The peers are written after
their documentation:

- Flagger: every 60 s, success rate of the last minute at least 99%; a failed check adds one, a later check rolls back once five have
  failed, and success never takes one away.
- Argo Rollouts: every 60 s, the same condition, failureLimit 0 (the default): the first failed measurement ends it.

A peer counts in a cell only where it backs out of identical sides in at most 1% of runs within 10,000 s (2,000 s at 1,000 requests/s).
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
from collections.abc import Iterator

from tests.unit.test_replay import poisson

from kirikae.move.judge import Judge, Margins, Outcome

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
HORIZON_S, IDENTICAL_S = 4 * 3600, 10_000
WEIGHTS = {"errors": 0.4, "p50": 0.15, "p95": 0.2, "p99": 0.25}
SAME = {"errors": 0.001, "p50": 0.5, "p95": 0.05, "p99": 0.01}
HARMS = {
    "errors 0.1 -> 1%": SAME | {"errors": 0.01},
    "errors 0.1 -> 5%": SAME | {"errors": 0.05},
    "p99 +50%": SAME | {"p50": 0.515, "p95": 0.072, "p99": 0.026},
    "p50 +20%": SAME | {"p50": 0.619, "p95": 0.090, "p99": 0.0216},
}
Second = tuple[int, int, dict[str, int], dict[str, int]]


def _binomial(rng: random.Random, n: int, p: float) -> int:
    if n * p > 40 and n * (1 - p) > 40:
        return min(n, max(0, round(rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if n * p < 3 and n > 30:
        return min(n, poisson(rng, n * p))
    return sum(rng.random() < p for _ in range(n))


def seconds(rng: random.Random, rps: int, share: int, new: dict[str, float]) -> Iterator[Second]:
    while True:
        n_new, n_old = poisson(rng, rps * share / 1000), poisson(rng, rps * (1000 - share) / 1000)
        yield (
            n_old, n_new, {m: _binomial(rng, n_old, p) for m, p in SAME.items()}, {m: _binomial(rng, n_new, p) for m, p in new.items()}
        )  # fmt: skip


class Ours:
    def __init__(self, share: int) -> None:
        self._judge = Judge(Margins(0.01, 0.0005, 60), (10, 50, 250, 500, 1000), WEIGHTS).at(0, share)
        self._bar = math.log(100)

    def out(self, second: Second) -> bool:
        n_old, n_new, old, new = second
        if not n_old or not n_new:
            return False
        outcomes = {m: Outcome(old[m], new[m], old[m], new[m], None if m == "errors" else SAME[m]) for m in WEIGHTS}
        self._judge.observe(1.0, n_old, n_new, outcomes)
        return self._judge.log_harm() >= self._bar


class Checked:
    """A condition on the last minute of the new side, every 60 s; ``limit`` failed checks are borne."""

    def __init__(self, limit: int, one_more_tick: bool) -> None:
        self._limit, self._late, self._failed = limit, one_more_tick, 0
        self._t = self._n = self._bad = 0

    def out(self, second: Second) -> bool:
        self._t, self._n, self._bad = self._t + 1, self._n + second[1], self._bad + second[3]["errors"]
        if self._t % 60:
            return False
        if self._late and self._failed >= self._limit:
            return True  # looked at when the next check begins
        if not self._n or self._bad > 0.01 * self._n:
            self._failed += 1
        self._n = self._bad = 0
        return not self._late and self._failed > self._limit


def makers(share: int) -> dict[str, object]:
    return {"kirikae": Ours(share), "Flagger": Checked(5, True), "Argo": Checked(0, False)}


def run(seed: str, rps: int, share: int, new: dict[str, float], horizon: int) -> dict[str, int | None]:
    """Tool -> requests exposed when it backed out; None: it never did."""
    rng, tools, exposed, found = random.Random(seed), makers(share), 0, dict[str, int | None]()
    for t, second in enumerate(seconds(rng, rps, share, new)):
        exposed += second[1]
        for name, tool in list(tools.items()):
            if tool.out(second):  # type: ignore[attr-defined]
                found[name] = exposed
                del tools[name]
        if not tools or t >= horizon:
            return found | dict.fromkeys(tools)
    return found


def main() -> None:
    print(f"{RUNS} runs a cell, {os.cpu_count()} cores; medians of exposed requests, in brackets the part that was detected")
    won = cells = 0
    for rps, share in ((100, 10), (100, 50), (100, 250), (1000, 10), (1000, 50)):
        runs = max(10, RUNS // 3)
        same = [run(f"same/{rps}/{share}/{n}", rps, share, SAME, IDENTICAL_S if rps < 1000 else 2000) for n in range(runs)]
        false = {name: sum(r[name] is not None for r in same) / runs for name in makers(share)}
        print(f"\n{rps} requests/s, share {share / 10}%: false back-outs " + ", ".join(f"{n} {f:.0%}" for n, f in false.items()))
        for harm, rates in HARMS.items():
            results = [run(f"{harm}/{rps}/{share}/{n}", rps, share, rates, HORIZON_S if rps < 1000 else 3600) for n in range(RUNS)]
            told, medians = [], {}
            for name in makers(share):
                seen = [r[name] for r in results if r[name] is not None]
                if seen and len(seen) * 2 >= RUNS:
                    medians[name] = statistics.median(seen)  # type: ignore[type-var]
                told.append(
                    f"{name} {medians[name]:.0f} ({len(seen) / RUNS:.0%})"
                    if name in medians
                    else f"{name} never"
                    if not seen
                    else f"{name} {len(seen) / RUNS:.0%} detected"
                )
            rivals = [medians[n] for n in ("Flagger", "Argo") if n in medians and false[n] <= 0.01]
            if rivals:
                cells += 1
                won += "kirikae" in medians and medians["kirikae"] < min(rivals)
            print(f"  {harm:<18} " + " · ".join(told))
    print(f"\nfewer requests exposed than every comparable peer in {won} of {cells} cells that have one")


if __name__ == "__main__":
    main()
