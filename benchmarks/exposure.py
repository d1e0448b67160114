"""New-side requests exposed until back-out: kirikae's judge against Flagger's, Argo Rollouts' and
Kayenta's rules on the same traces.

Set-up as in tests/simulation.py: Poisson arrivals, old side 0.1% errors, lognormal answers; one
look per second.  The old side's rates above its own quantiles count as known (it has been looked at
before).  The peers are in benchmarks/peers.py.  A peer counts in a cell only where it backs out of
identical sides in at most 1% of the runs within 10,000 s (2,000 s at 1,000 requests/s)."""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import HARMS, SAME, TAU, Second, Truth, seconds

from benchmarks.peers import Kayenta, argo, flagger
from kirikae.move.judge import QUANTILES, WEIGHTS, Judge, Margins, Outcome

RUNS = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 40
CELLS = ((100, 10), (100, 50), (100, 250), (1000, 10), (1000, 50))
NAMES = ("kirikae", "Flagger", "Flagger + p99", "Argo", "Kayenta fleet", "Kayenta equal")
BAR = math.log(100)


class Ours:
    def __init__(self, share: int) -> None:
        self._judge = Judge(Margins(0.01, 0.0005, 60), (10, 50, 250, 500, 1000), WEIGHTS).at(
            0, share
        )

    def out(self, second: Second) -> bool:
        old, new = second
        if not old.n or not new.n:
            return False
        outcomes = {"errors": Outcome(old.errors, new.errors, old.errors, new.errors)}
        for metric, q in QUANTILES.items():
            bound = TAU[metric]
            outcomes[metric] = Outcome(
                old.over[bound], new.over[bound], old.over[bound], new.over[bound], 1 - q
            )
        self._judge.observe(1.0, old.n, new.n, outcomes)
        return self._judge.log_harm() >= BAR


def run(seed: str, rps: int, share: int, new: Truth, horizon: int) -> dict[str, int | None]:
    """Tool -> requests exposed when it backed out; None: it never did."""
    rng = random.Random(seed)
    aside = random.Random(f"{seed}/aside")
    tools = {
        "kirikae": Ours(share),
        "Flagger": flagger(),
        "Flagger + p99": flagger(new, aside),
        "Argo": argo(),
        "Kayenta fleet": Kayenta(aside, new, rps, share, False),
        "Kayenta equal": Kayenta(aside, new, rps, share, True),
    }
    exposed = 0
    found = dict[str, int | None]()
    for t, second in enumerate(seconds(rng, rps, share, new)):
        exposed += second.new.n
        for name, tool in list(tools.items()):
            if tool.out(second):  # type: ignore[attr-defined]
                found[name] = exposed
                del tools[name]
            elif isinstance(tool, Kayenta) and tool.passed:
                del tools[name]
        if not tools or t >= horizon:
            break
    return dict.fromkeys(NAMES) | found


def _run(arguments: tuple[str, int, int, Truth, int]) -> dict[str, int | None]:
    return run(*arguments)


def main() -> None:
    print(
        f"{RUNS} runs a cell, {os.cpu_count()} cores; medians of exposed requests, in "
        "brackets the part that was detected"
    )
    won = cells = 0
    with ProcessPoolExecutor() as pool:
        for rps, share in CELLS:
            runs = max(10, RUNS // 2)
            horizon = 10_000 if rps < 1000 else 2000
            same = list(
                pool.map(
                    _run,
                    [(f"same/{rps}/{share}/{n}", rps, share, SAME, horizon) for n in range(runs)],
                )
            )
            false = {name: sum(r[name] is not None for r in same) / runs for name in NAMES}
            print(
                f"\n{rps} requests/s, share {share / 10}%: false back-outs in {runs}: "
                + ", ".join(f"{n} {f:.0%}" for n, f in false.items())
            )
            for harm, truth in HARMS.items():
                asked = [
                    (f"{harm}/{rps}/{share}/{n}", rps, share, truth, 7200 if rps < 1000 else 3600)
                    for n in range(RUNS)
                ]
                results = list(pool.map(_run, asked))
                told = []
                medians = {}
                for name in NAMES:
                    seen = [r[name] for r in results if r[name] is not None]
                    if len(seen) * 2 >= RUNS:
                        medians[name] = statistics.median(seen)  # type: ignore[type-var]
                    told.append(
                        f"{name} {medians[name]:.0f} ({len(seen) / RUNS:.0%})"
                        if name in medians
                        else f"{name} {len(seen) / RUNS:.0%}"
                    )
                rivals = [medians[n] for n in NAMES[1:] if n in medians and false[n] <= 0.01]
                if rivals:
                    cells += 1
                    won += "kirikae" in medians and medians["kirikae"] < min(rivals)
                print(f"  {harm:<18} " + " · ".join(told), flush=True)
    print(
        f"\nfewer requests exposed than every comparable peer in {won} of {cells} cells "
        "that have one"
    )


if __name__ == "__main__":
    main()
