"""New-side requests exposed until back-out: kirikae's judge against Flagger's, Argo Rollouts' and
Kayenta's rules on the same traces.

Set-up as in tests/simulation.py: Poisson arrivals, old side 0.1% errors, lognormal answers; one
look per second.  The old side's rates above its own quantiles count as known (it has been looked at
before).  ``python benchmarks/exposure.py planted`` measures only what the rehearsal's planted fault
costs, with the trial of a live move.

The peers are in benchmarks/peers.py.  A peer counts in a cell only where it backs out of
identical sides in at most 1% of the runs within 10,000 s (2,000 s at 1,000 requests/s)."""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from tests.simulation import HARMS, SAME, TAU, Second, Truth, binomial, poisson, seconds

from benchmarks.peers import Kayenta, argo, flagger
from kirikae.model.evidence import Verdict
from kirikae.move.judge import QUANTILES, WEIGHTS, Judge, Margins, Outcome
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.trial import Guards, Trial

ASKED = sys.argv[1:] if __name__ == "__main__" else []
RUNS = int(ASKED[0]) if ASKED and ASKED[0] != "planted" else 40
PLANTED = (
    (220, 100, 0.1, 4),
    (220, 100, 0.1, 60),
    (220, 100, 0.5, 60),
    (1000, 50, 0.05, 60),
    (100, 10, 0.1, 60),
)
"""Requests a second, share, part of errors, seconds of warm-up."""
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


def planted(seed: int, rps: int, share: int, errors: float, warm_up_s: float) -> tuple[int, int]:
    """Seconds and requests on the new side from the step to the fail."""
    rng = random.Random(seed)
    margins = Margins(0.01, 0.02, 8.0, fast_enough_ms=1000)
    trial = Trial(margins, (share, 500, 1000), Guards(warm_up_s))
    exposed = 0
    for t in count():
        n_new = poisson(rng, rps * share / 1000)
        n_old = poisson(rng, rps * (1 - share / 1000))
        sides = {
            "old": Arm(n_old, binomial(rng, n_old, 0.0005), None, {1.0: n_old}),
            "new": Arm(n_new, binomial(rng, n_new, errors), None, {1.0: n_new}),
        }
        exposed += n_new
        if trial.look(Batch(float(t), 1.0, share, {"": sides}, 1)).verdict is Verdict.FAIL:
            return t + 1, exposed
    raise AssertionError


def tell_planted() -> None:
    for rps, share, errors, warm_up_s in PLANTED:
        found = [planted(seed, rps, share, errors, warm_up_s) for seed in range(20)]
        seconds_s, requests = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"{rps} requests/s, share {share / 10:g}%, {errors:.0%} errors from the step on, "
            f"warm-up {warm_up_s} s: fail after {seconds_s:g} s and {requests:g} requests "
            "(medians of 20)"
        )


def main() -> None:
    if ASKED == ["planted"]:
        tell_planted()
        return
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
