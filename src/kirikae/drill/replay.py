"""An access log asked again: its requests, at its own pace, at one side or at both at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.asking import Host
from kirikae.drill.columns import Record
from kirikae.drill.errors import PlanProblem
from kirikae.drill.plan import MOST_REQUESTS, Plan, replayed
from kirikae.drill.targets import Target


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of a log.  ``at``: Unix seconds, where the line tells them."""

    at: int | None
    target: Target


def paced(lines: Sequence[Logged], speed: float) -> tuple[Plan, list[Target]]:
    """In the order of their times, ``speed`` times as fast.  Lines without a time are left out.

    Raises PlanProblem.
    """
    timed = sorted(
        ((each.at, each.target) for each in lines if each.at is not None),
        key=lambda each: each[0],
    )
    stamps = spread(np.array([at for at, _ in timed], np.float64))
    return replayed(stamps, speed), [target for _, target in timed]


def spread(stamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logs tell whole seconds: what one second had is spread evenly over it, for all of it at its
    beginning would be a burst that never was.  ``stamps`` are in order."""
    _, first, many = np.unique(stamps, return_index=True, return_counts=True)
    within = np.arange(len(stamps)) - np.repeat(first, many)
    found: NDArray[np.float64] = stamps + within / np.repeat(many, many)
    return found


def at_all(
    plan: Plan,
    targets: Sequence[Target],
    hosts: Sequence[Host],
) -> tuple[Plan, list[Target]]:
    """One run in which every host is asked everything at the same moments.  Raises PlanProblem."""
    if plan.requests * len(hosts) > MOST_REQUESTS:
        raise PlanProblem(f"more than {MOST_REQUESTS:,} requests in all; replay a part of the log")
    due = np.repeat(plan.due, len(hosts))
    return Plan(due, plan.seconds), [sent_to(target, host) for target in targets for host in hosts]


def sent_to(target: Target, host: Host) -> Target:
    """To another address; it still names the service's own host, as users do."""
    own = target.url.netloc.rpartition("@")[2]
    named = any(name.lower() == "host" for name, _ in target.headers)
    address = f"[{host.name}]" if ":" in host.name else host.name
    return replace(
        target,
        url=target.url._replace(
            scheme="https" if host.tls else "http",
            netloc=f"{address}:{host.port}",
        ),
        headers=target.headers if named else (("Host", own), *target.headers),
    )


def part(
    record: Record,
    number: int,
    hosts: int,
) -> Record:
    """What one of the hosts answered in a run of ``at_all``."""
    return replace(
        record,
        due=record.due[number::hosts],
        sent=record.sent[number::hosts],
        first=record.first[number::hosts],
        done=record.done[number::hosts],
        status=record.status[number::hosts],
        error=record.error[number::hosts],
        octets=record.octets[number::hosts],
        target=record.target[number::hosts] // hosts,
        told=None if record.told is None else record.told[number::hosts],
        lacks=None if record.lacks is None else record.lacks[number::hosts],
    )
