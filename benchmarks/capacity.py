"""How many minutes of load are simulated a second, by the number of candidates at once.

    python benchmarks/capacity.py

The peer is the same law with one candidate at a time: what a loop over candidates would take.
"""

from __future__ import annotations

import time

import numpy as np

from kirikae.capacity.simulate import Daily, Rules, Task, simulate
from kirikae.capacity.trace import Made, Trace, made
from kirikae.model.scaling import Metric, Step, StepScaling, TargetTracking

TASK = Task(requests_per_s=25, answer_s=0.2, start_s=81, drain_s=30)
MINUTES = 1440


def speed(candidates: int) -> float:
    """Trace minutes a second: all rules at once, one day."""
    week = made(Made(peak=350))
    day = Trace(week.begins, week.rates[:MINUTES])
    spread = np.linspace(40, 80, candidates)
    rules = Rules(
        (
            TargetTracking("t", Metric.CPU, spread),
            StepScaling("s", Metric.CPU, 80.0, True, (Step(0.0, 10.0, 2.0), Step(10.0, None, 4.0))),
        ),
        3.0,
        40.0,
        (Daily(60.0, 5.0),),
    )
    began = time.process_time()
    simulate([day] * candidates, TASK, rules, 0.5, 3)
    return candidates * MINUTES / (time.process_time() - began)


def main() -> None:
    alone = speed(1)
    for candidates in (1, 64, 256, 1024):
        found = speed(candidates)
        print(
            f"{candidates:5} at once: {found:9,.0f} minutes of load a CPU-second, "
            f"{found / alone:6.0f} times one at a time"
        )


if __name__ == "__main__":
    main()
