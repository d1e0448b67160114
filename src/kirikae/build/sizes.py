"""How large a task is, from what the service used on the hosts, with the arithmetic shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kirikae.build.note import NOTE
from kirikae.model.fargate import SIZES
from kirikae.model.workload import Measured, Workload

_UTILISATION = 0.6
"""Target utilisation of a task's CPU (ours)."""
_RESERVE = 1.2
_SIDECAR_MIB = 64
_LEAST_CPU = 512
_LEAST_MIB = 1024
"""What a task gets where the memory was not measured."""


@dataclass(frozen=True, slots=True)
class Size:
    """Task size in CPU units and MiB, and the arithmetic behind it."""

    cpu: int
    memory: int
    why: str
    measured: bool

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "why": self.why,
            "measured": self.measured,
        }


def size_of(workload: Workload, tasks: int) -> Size:
    """The smallest Fargate pair for what was measured: cpu = sum / 0.6 / tasks; memory = 1.2 (PSS +
    sidecar).  Ours."""
    used = sum(measured.cpus for measured in workload.measured)
    each = used / _UTILISATION / tasks
    cpu_says = (
        f"cpu: {used:.3f} vCPU used by {len(workload.measured)} hosts / {_UTILISATION} / "
        f"{tasks} tasks = {each:.3f} vCPU"
    )
    largest = _largest_mib(workload)
    if largest is None:
        cpu, memory = _fit(max(each * 1024, _LEAST_CPU), _LEAST_MIB)
        memory_says = (
            "memory: not measured (the survey could not read smaps_rollup); "
            f"{memory} MiB is a question, not an answer"
        )
        return Size(cpu, memory, f"{cpu_says}\n{memory_says}", False)
    wanted = _RESERVE * (largest + _SIDECAR_MIB)
    cpu, memory = _fit(each * 1024, wanted)
    memory_says = (
        f"memory: {_RESERVE} x ({largest:.0f} MiB PSS on the fullest host + "
        f"{_SIDECAR_MIB} MiB sidecar) = {wanted:.0f} MiB"
    )
    return Size(cpu, memory, f"{cpu_says}\n{memory_says}", True)


def _largest_mib(workload: Workload) -> float | None:
    """PSS on the fullest host; None: not read on every host."""
    read = [each.pss_kib for each in workload.measured if each.pss_kib is not None]
    if not read or len(read) < len(workload.measured):
        return None
    return max(read) / 1024


def _fit(cpu: float, memory: float) -> tuple[int, int]:
    """The smallest pair of CPU units and MiB that has both; the largest where none does."""
    for units, sizes in SIZES.items():
        fitting = [size for size in sizes if size >= memory]
        if units >= cpu and fitting:
            return units, fitting[0]
    largest = max(SIZES)
    return largest, SIZES[largest][-1]


def sizes_page(workload: Workload, size: Size) -> str:
    """SIZES.md: for whoever asks why a task is as large as it is."""
    rows = "".join(_row(measured) for measured in workload.measured)
    guess = "" if size.measured else "Memory was not measured: prove this size with a load drill."
    return f"""# How large a task is, and why

<!-- {NOTE} -->

**{size.cpu} CPU units, {size.memory} MiB.** {guess}

```
{size.why}
```

| host | CPU (average since the service began) | processes | memory (PSS) |
|---|---|---|---|
{rows}"""


def _row(measured: Measured) -> str:
    """One host's line of the table in SIZES.md."""
    kib = measured.pss_kib
    memory = "not measured" if kib is None else f"{math.ceil(kib / 1024)} MiB"
    return f"| {measured.host} | {measured.cpus:.3f} | {measured.processes} | {memory} |\n"
