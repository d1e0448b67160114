"""The old side's consumers: systemd units on hosts, asked and turned over SSH.

``systemctl stop`` sends SIGTERM and waits as long as the unit's TimeoutStopSec allows
(systemd.service(5)): a consumer that shuts down warmly ends what it has begun.  Nobody waits for
that here: a unit that is on its way down takes no new messages.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from kirikae.hosts.ssh import Host
from kirikae.model.errors import KirikaeError

RUNS = ("active", "activating", "reloading", "refreshing")
DRAINS = ("deactivating",)
_AT_ONCE = 8


class Consumer(NamedTuple):
    """One unit on one host."""

    host: str
    unit: str

    def __str__(self) -> str:
        return f"{self.unit} on {self.host}"


@dataclass(frozen=True, slots=True)
class UnitState:
    """What systemd says of a unit.  ``loaded``: the host knows it.  ``stop_s``: how long it may
    take to stop; None: for ever, or not known."""

    state: str
    loaded: bool = True
    stop_s: float | None = None

    @property
    def runs(self) -> bool:
        return self.state in RUNS

    @property
    def drains(self) -> bool:
        return self.state in DRAINS


States = dict[Consumer, UnitState]


@dataclass(frozen=True, slots=True)
class Counted:
    """Messages that one side finished in a period."""

    done: int = 0
    failed: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.done + other.done, self.failed + other.failed)

    @property
    def all(self) -> int:
        return self.done + self.failed


Count = Callable[[Iterable[str]], Counted]
T = TypeVar("T")


class Units:
    """The units on every host.  A host that does not answer raises: not asked is not stopped."""

    def __init__(self, hosts: Sequence[Host], units: Sequence[str]) -> None:
        self._hosts = tuple(hosts)
        self._units = tuple(units)

    @property
    def all(self) -> list[Consumer]:
        """In the order in which they stop: the first unit on every host, then the second."""
        return [Consumer(host.name, unit) for unit in self._units for host in self._hosts]

    def states(self) -> States:
        """Raises HostSilent, CommandFailed."""
        script = _LOOK + " ".join(map(shlex.quote, self._units)) + "\n"
        found: States = {}
        for host, told in self._each(lambda host: host.run(script).decode(errors="replace")):
            blocks = told.strip().split("\n\n")
            for unit, block in zip(self._units, blocks, strict=False):
                found[Consumer(host.name, unit)] = _state_of(block)
        for consumer in self.all:
            found.setdefault(consumer, UnitState("unknown", loaded=False))
        return found

    def keep(self, count: int) -> list[str]:
        """The last ``count`` of ``all`` go on or are started, the others are stopped; nobody is
        waited for.  What hosts could not do is the answer: the others have done it."""
        stopped = set(self.all[: len(self.all) - count])
        troubles = []

        def turn(host: Host) -> str:
            mine = [Consumer(host.name, unit) for unit in self._units]
            script = _turn("start", [each.unit for each in mine if each not in stopped])
            script += _turn("stop", [each.unit for each in mine if each in stopped])
            try:
                host.run(script)
            except KirikaeError as error:
                return str(error)
            return ""

        for _, trouble in self._each(turn):
            if trouble:
                troubles.append(trouble)
        return troubles

    def counted(self, since: int, until: int, count: Count) -> Counted:
        """What the units wrote into the journal in [since, until) (Unix seconds) as ``count``
        counts it.  Raises HostSilent, CommandFailed."""
        chosen = " ".join(f"-u {shlex.quote(unit)}" for unit in self._units)
        script = (
            f"journalctl -q --no-pager -o short-unix {chosen} --since @{since} --until @{until}\n"
        )

        def of_host(host: Host) -> Counted:
            told = host.run(script).decode(errors="replace").splitlines()
            return count(_before(told, until))

        return sum((counts for _, counts in self._each(of_host)), Counted())

    def _each(self, ask: Callable[[Host], T]) -> list[tuple[Host, T]]:
        """Every host side by side."""
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._hosts))) as pool:
            return list(zip(self._hosts, pool.map(ask, self._hosts), strict=True))


def _before(lines: Iterable[str], until: int) -> Iterator[str]:
    """Lines of events before ``until``: --until takes those of that very moment as well
    (journalctl(1)).  A line without a time belongs to the event above it."""
    wanted = True
    for line in lines:
        at = _AT.match(line)
        if at is not None:
            wanted = float(at[1]) < until
        if wanted:
            yield line


_AT = re.compile(r"([0-9]{9,11}\.[0-9]+) ")
_LOOK = "systemctl show -p ActiveState -p LoadState -p TimeoutStopUSec "


def _turn(verb: str, units: Sequence[str]) -> str:
    """Units that stand so already are left alone by systemd itself."""
    if not units:
        return ""
    return f"systemctl {verb} --no-block {' '.join(map(shlex.quote, units))}\n"


def _state_of(block: str) -> UnitState:
    """One unit's properties, as ``systemctl show`` prints them."""
    found = dict(line.partition("=")[::2] for line in block.splitlines())
    return UnitState(
        found.get("ActiveState", "unknown"),
        found.get("LoadState") == "loaded",
        _seconds(found.get("TimeoutStopUSec", "")),
    )


_PARTS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"([0-9.]+)(us|ms|s|min|h|d|w)\b")


def _seconds(told: str) -> float | None:
    """``1min 30s`` as seconds; None for ``infinity`` and what cannot be read."""
    parts = _PART.findall(told)
    return sum(float(number) * _PARTS[unit] for number, unit in parts) if parts else None
