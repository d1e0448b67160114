"""How large a task is, from what the service used on the hosts, with the arithmetic shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.build.texts import text_of
from kirikae.model.fargate import SIZES
from kirikae.model.workload import Measured, Runs, Workload

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


def size_of(
    workload: Workload,
    tasks: int,
    more_mib: int = 0,
) -> Size:
    """The smallest Fargate pair for what was measured: cpu = sum / 0.6 / tasks; memory = 1.2 (PSS +
    sidecars).  Ours.  ``more_mib``: of sidecars besides the web server."""
    measured = of_the_task(workload)
    used = sum(each.cpus for each in measured)
    each = used / _UTILISATION / tasks
    cpu_says = (
        f"cpu: {used:.3f} vCPU used by {len(measured)} hosts / {_UTILISATION} / "
        f"{tasks} tasks = {each:.3f} vCPU"
    )
    largest = _largest_mib(measured)
    if largest is None:
        cpu, memory = _fit(max(each * 1024, _LEAST_CPU), _LEAST_MIB + more_mib)
        memory_says = (
            "memory: not measured (the survey could not read smaps_rollup); "
            f"{memory} MiB is a question, not an answer"
        )
        return Size(cpu, memory, f"{cpu_says}\n{memory_says}", False)
    beside = _SIDECAR_MIB + more_mib
    wanted = _RESERVE * (largest + beside)
    cpu, memory = _fit(each * 1024, wanted)
    memory_says = (
        f"memory: {_RESERVE} x ({largest:.0f} MiB PSS on the fullest host + "
        f"{beside} MiB sidecar) = {wanted:.0f} MiB"
    )
    return Size(cpu, memory, f"{cpu_says}\n{memory_says}", True)


def of_the_task(workload: Workload) -> tuple[Measured, ...]:
    """By host, what the service used there together with the others that run in its task."""
    every = [one for one in workload.others if one.runs is Runs.IN_THE_TASK]
    found = {each.host: each for each in workload.measured}
    for one in every:
        for each in one.measured:
            known = found.get(each.host)
            found[each.host] = each if known is None else _together(known, each)
    return tuple(found.values())


def _together(one: Measured, other: Measured) -> Measured:
    """Memory that was not read once is not known of both."""
    known = one.pss_kib is not None and other.pss_kib is not None
    return Measured(
        host=one.host,
        cpus=round(one.cpus + other.cpus, 3),
        processes=one.processes + other.processes,
        pss_kib=(one.pss_kib or 0) + (other.pss_kib or 0) if known else None,
    )


def _largest_mib(measured: Sequence[Measured]) -> float | None:
    """PSS on the fullest host; None: not read on every host."""
    read = [each.pss_kib for each in measured if each.pss_kib is not None]
    if not read or len(read) < len(measured):
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


def sizes_page(
    workload: Workload,
    size: Size,
    meanings: Mapping[str, str],
) -> str:
    """SIZES.md: for whoever asks why a task is as large as it is, and what its sidecars mean."""
    rows = [_row(each) for each in of_the_task(workload)]
    return text_of("sizes.md", size=size, rows=rows, meanings=meanings)


def _row(measured: Measured) -> dict[str, object]:
    """One host's line of the table in SIZES.md."""
    kib = measured.pss_kib
    return {
        "host": measured.host,
        "cpus": measured.cpus,
        "processes": measured.processes,
        "memory": "not measured" if kib is None else f"{math.ceil(kib / 1024)} MiB",
    }
