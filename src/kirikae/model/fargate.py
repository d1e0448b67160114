"""Task sizes that Fargate accepts (ECS API reference, RegisterTaskDefinition, November 2026)."""

from __future__ import annotations

_GB = 1024
SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1 * _GB, 5 * _GB, _GB)),
    1024: tuple(range(2 * _GB, 9 * _GB, _GB)),
    2048: tuple(range(4 * _GB, 17 * _GB, _GB)),
    4096: tuple(range(8 * _GB, 31 * _GB, _GB)),
    8192: tuple(range(16 * _GB, 61 * _GB, 4 * _GB)),
    16384: tuple(range(32 * _GB, 121 * _GB, 8 * _GB)),
}
"""CPU units -> memory in MiB."""


def size_problem(cpu: int, memory: int) -> str:
    """Why this pair cannot run on Fargate; empty if it can."""
    if cpu not in SIZES:
        return f"cpu {cpu} is not a Fargate size; choose one of {', '.join(map(str, SIZES))}"
    if memory not in SIZES[cpu]:
        return (
            f"memory {memory} does not go with cpu {cpu}; choose one of "
            f"{', '.join(map(str, SIZES[cpu]))} MiB"
        )
    return ""


PRICES = {"ap-northeast-1": (0.05056, 0.00553), "us-east-1": (0.04048, 0.004445)}
"""Region -> US dollars an hour for one vCPU and for one GB, Linux on x86, list price (AWS Fargate
pricing page, read 2026-11)."""


def dollars_a_day(region: str, cpu: int, memory: int, tasks: int) -> float | None:
    """What so many tasks cost in a day; None for a region whose price is not kept here."""
    if region not in PRICES:
        return None
    per_vcpu, per_gb = PRICES[region]
    return 24 * tasks * (cpu / 1024 * per_vcpu + memory / _GB * per_gb)
