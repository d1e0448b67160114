"""Findings of a drill, not only curves: what figures, log lines and tasks say went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from kirikae.drill.columns import Record
from kirikae.drill.trend import Trend, in_flight, medians, steps_of, trend_of
from kirikae.model.catalogue import load
from kirikae.model.finding import Confidence, Finding, Trace

_BUSY = 95.0
_FULL = 90.0
_LATENCY_RISES = 0.3
_CONNECTIONS_RISE = 0.5
_MEMORY_RISES = 0.05
_SHOWN = 200
LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("DR03", re.compile(r"EMFILE|too many open files|No file descriptors available", re.I)),
    ("DR04", re.compile(r"deadlock (?:detected|found)|ER_LOCK_DEADLOCK|\b40P01\b", re.I)),
    (
        "DR05",
        re.compile(
            r"too many (?:clients already|connections)|remaining connection slots|"
            r"QueuePool limit .* reached|ER_CON_COUNT_ERROR|could not obtain a connection|"
            r"connection pool (?:is )?(?:exhausted|timeout)",
            re.I,
        ),
    ),
)
"""Of PostgreSQL, MySQL, Node.js, Python and Java, as they write it."""
PATTERN = (
    '?EMFILE ?"oo many open files" ?"file descriptors" ?eadlock ?DEADLOCK ?40P01 '
    '?"oo many c" ?"connection slots" ?QueuePool ?ER_CON_COUNT ?"obtain a connection" '
    '?"onnection pool"'
)
"""For FilterLogEvents: what can be one of them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that ended during the drill, and why ECS says it did."""

    task: str
    reason: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What was seen beside the requests; None: not told.  In per cent of what is reserved."""

    service: str = ""
    cpu: Sequence[float] | None = None
    memory: Sequence[float] | None = None
    lines: Sequence[str] = ()
    ended: Sequence[Ended] = field(default_factory=tuple)


def of_service(around: Around) -> Iterator[Finding]:
    """From CloudWatch, the log and ECS."""
    if around.cpu and max(around.cpu) >= _BUSY:
        yield _found(
            "DR01",
            around.service,
            f"CPU of {around.service} was at {max(around.cpu):.0f}% of what is reserved",
        )
    yield from _memory(around)
    yield from _of_lines(around.service, around.lines)
    for each in around.ended:
        yield _found(
            "DR09",
            around.service,
            f"task {each.task.rpartition('/')[2]} ended during the drill",
            f"{each.reason} (exit code {each.exit_code})",
        )


def _memory(around: Around) -> Iterator[Finding]:
    if not around.memory:
        return
    rises = trend_of(np.array(around.memory, np.float64), _MEMORY_RISES)
    if rises is not None:
        yield _found(
            "DR02",
            around.service,
            f"memory of {around.service} rises: {_from_to(rises, '%')}, without a plateau",
        )
    elif max(around.memory) >= _FULL:
        yield _found(
            "DR02",
            around.service,
            f"memory of {around.service} was at {max(around.memory):.0f}% of its limit",
        )


def _of_lines(service: str, lines: Iterable[str]) -> Iterator[Finding]:
    """One finding a kind, with the first line as its evidence and how many there were."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for line in lines:
        for code, pattern in LINES:
            if pattern.search(line):
                first.setdefault(code, line)
                counts[code] = counts.get(code, 0) + 1
    for code, line in first.items():
        entry = load("kirikae.drill")[code]
        yield _found(
            code,
            service,
            f"{entry.title} ({counts[code]} lines of its log)",
            line[:_SHOWN],
        )


def of_requests(record: Record, since_s: float, even: bool) -> Iterator[Finding]:
    """``even``: the load did not change, so that nothing else should."""
    if not even:
        return
    edges = steps_of(record, since_s)
    slower = trend_of(medians(record, edges), _LATENCY_RISES)
    if slower is not None:
        yield _found(
            "DR06",
            "",
            f"answers take longer and longer: {_from_to(slower, ' ms', 1000)}",
        )
    open_ones = trend_of(in_flight(record, edges), _CONNECTIONS_RISE)
    if open_ones is not None:
        yield _found(
            "DR07",
            "",
            f"requests in flight rise without a plateau: {_from_to(open_ones, '')}",
        )


def not_back(recovery_s: float | None, bad_after: int) -> Iterator[Finding]:
    """After an overload."""
    if recovery_s is None:
        yield _found(
            "DR08",
            "",
            f"the load fell, and {bad_after} bad requests followed to the end",
        )


def _from_to(trend: Trend, unit: str, scale: float = 1.0) -> str:
    return f"from {trend.begins * scale:.1f}{unit} to {trend.ends * scale:.1f}{unit}"


def _found(
    code: str,
    where: str,
    says: str,
    evidence: str = "",
) -> Finding:
    traces = [Trace("", where, evidence)] if evidence else []
    return load("kirikae.drill")[code].found(
        where,
        says,
        traces,
        Confidence.OBSERVED,
    )
