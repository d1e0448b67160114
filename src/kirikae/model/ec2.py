"""EC2 instances that carry tasks, with list prices (dated data), and the cheapest for a service.

Prices are those on demand, Linux, of "Amazon EC2 On-Demand Pricing", as known in 2025; what a team
really pays (reserved, savings plans, spot) is not known here.  Network interfaces are those of the
EC2 user guide ("IP addresses per network interface per instance type"): a task in awsvpc mode takes
one of its own, and the instance keeps the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

READ = "2025"
"""When the prices were looked at."""
_LARGE = {
    "ap-northeast-1": {"c6i": 0.107, "m6i": 0.124, "r6i": 0.152},
    "us-east-1": {"c6i": 0.085, "m6i": 0.096, "r6i": 0.126},
}
"""Region -> family -> US dollars an hour for its ``large``; larger ones cost in proportion."""
_GIB_OF_A_VCPU = {"c6i": 2, "m6i": 4, "r6i": 8}
_SIZES = (("large", 2, 3), ("xlarge", 4, 4), ("2xlarge", 8, 4), ("4xlarge", 16, 8))
"""Name, vCPU, network interfaces."""
_KEPT_MIB = 512
"""Of the operating system and the ECS agent (ours)."""
_ZONES = 2
"""Two tasks or more lie in two zones at least."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One type in one region; ``hour`` is its list price in US dollars."""

    name: str
    cpu: int
    memory: int
    interfaces: int
    hour: float

    def holds(self, cpu: int, memory: int) -> int:
        """How many tasks of this size (CPU units, MiB)."""
        room = self.memory - _KEPT_MIB
        return min(self.cpu // cpu, room // memory, self.interfaces - 1)


@dataclass(frozen=True, slots=True)
class Capacity:
    """So many instances of one type."""

    instance: Instance
    many: int

    @property
    def day(self) -> float:
        """US dollars."""
        return 24 * self.many * self.instance.hour


def capacity(
    region: str,
    cpu: int,
    memory: int,
    tasks: int,
) -> Capacity | None:
    """The cheapest instances that hold so many tasks, and one more while a release is rolled out;
    None for a region whose prices are not kept here, or a task that fits on none."""
    found = []
    for instance in _instances(region):
        each = instance.holds(cpu, memory)
        if each > 0:
            least = _ZONES if tasks > 1 else 1
            found.append(Capacity(instance, max(least, ceil((tasks + 1) / each))))
    return min(found, key=lambda one: (one.day, one.instance.name), default=None)


def _instances(region: str) -> Iterator[Instance]:
    """All that are kept of a region."""
    for family, price in _LARGE.get(region, {}).items():
        for size, vcpu, interfaces in _SIZES:
            yield Instance(
                name=f"{family}.{size}",
                cpu=vcpu * 1024,
                memory=vcpu * _GIB_OF_A_VCPU[family] * 1024,
                interfaces=interfaces,
                hour=price * vcpu / 2,
            )
