"""What this machine can carry, measured before the story begins; and the pace that follows from it.

Nothing of the story goes by the clock alone: a machine with one core to spare tells the same story
as an idle one, with fewer users and more patience.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import hosts

MOST_PER_S = 220.0
LEAST_PER_S = 12.0
CARRIED = 0.3
"""The part of what the old side can answer at its most that is asked of it: the rest is for the
survey, builds, releases and container starts that come on top."""
CONTAINER_S = 0.5
"""How long a container takes to start where nothing else goes on."""
STILL_S = 90.0
"""How long nothing may move on an idle machine before a wait is given up."""
NEW_REQUESTS_FOR_2 = 138.0
"""Good requests on the new side that prove the step from 10% with an allowance of 2%; the number is
in inverse proportion to the allowance."""
FIRST_STEP = 0.1
FIRST_STEP_S = 8.0
_SPIN = (
    "import time; end = time.time() + 1\nwhile time.time() < end: pass\nprint(time.process_time())"
)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the old side answered when virtual users asked without a pause."""

    per_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Machine:
    """``free_cores``: what as many processes as there are cores got together, beside all others."""

    cores: int
    free_cores: float
    container_s: float

    @property
    def slowness(self) -> float:
        """How many times longer things take here than on an idle machine; at least 1."""
        starts = self.container_s / CONTAINER_S
        computes = min(self.cores, 2) / max(0.1, self.free_cores)
        return max(1.0, starts, computes)

    @property
    def still_s(self) -> float:
        """How long nothing may move until a wait is given up."""
        return STILL_S * self.slowness

    def told(self, most: Answered) -> str:
        return (
            f"this machine: {self.free_cores:.1f} of {self.cores} cores are to be had, a container "
            f"starts in {self.container_s:.1f} s, the old side answers {most.per_s:.0f} requests/s "
            f"at its most (p99 {1000 * most.p99_s:.0f} ms)"
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is asked of this machine, and what is expected of it.

    ``worse_requests``: the allowance of the verdict, as a part of all requests.
    """

    rate: float
    worse_requests: float
    fast_enough_s: float
    period_s: int
    lateness_s: int
    warm_up_s: int

    def told(self) -> str:
        return (
            f"so: {self.rate:.0f} requests/s; an answer over {self.fast_enough_s:g} s is slow, at "
            f"most {self.worse_requests:.1%} more may be slow or fail; figures of {self.period_s} "
            f"s, {self.lateness_s} s late"
        )

    def slower(self) -> Pace:
        """With fewer users."""
        return replace(self, rate=max(LEAST_PER_S, round(0.6 * self.rate)))

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


def measure(image: str, label: str) -> Machine:
    """``image``: any that is there; a container of it is started and removed a few times."""
    return Machine(os.cpu_count() or 1, free_cores(), container_s(image, label))


def free_cores() -> float:
    """Cores that are to be had beside what else runs: a second of counting on each."""
    command = [sys.executable, "-c", _SPIN]
    spinning = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    return sum(float(process.communicate()[0]) for process in spinning)


def container_s(image: str, label: str) -> float:
    """The middle one of three starts."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        hosts.run("docker", "run", "--rm", "--network", "none", "--label", label, image, "true")
        took.append(time.monotonic() - began)
    return sorted(took)[1]


def pace_of(machine: Machine, most: Answered, asked: float | None = None) -> Pace:
    """``asked``: a rate that somebody insists on."""
    carried = min(MOST_PER_S, max(LEAST_PER_S, CARRIED * most.per_s))
    rate = round(carried) if asked is None else asked
    on_the_new_side = FIRST_STEP * rate * FIRST_STEP_S
    worse = round(0.02 * NEW_REQUESTS_FOR_2 / on_the_new_side, 3)
    slowness = machine.slowness
    return Pace(
        rate=rate,
        worse_requests=min(0.03, max(0.02, worse)),
        fast_enough_s=min(4.0, max(1.0, math.ceil(20 * most.p99_s) / 2)),
        period_s=1 if rate >= 30 else 5,
        lateness_s=min(6, math.ceil(2 * slowness)),
        warm_up_s=min(12, math.ceil(4 * slowness)),
    )
