"""When each request is due, fixed before the first one is sent: an open model.

A plan is written as stages: ``100/s for 30s``, ``10/s..200/s for 1m`` (a ramp),
``100/s+-50/s every 20s for 2m`` (a wave), with commas between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.errors import PlanProblem
from kirikae.model.texts import shortened
from kirikae.model.values import seconds_from

Times: TypeAlias = NDArray[np.float64]
"""Seconds since the plan's begin, rising."""
MOST_REQUESTS = 50_000_000
_MOST_RATE = 1_000_000
_RATE = r"([0-9]+(?:\.[0-9]+)?)/s"
_STAGE = re.compile(
    rf"{_RATE}(?:\.\.{_RATE}|\+-{_RATE} every ([0-9a-z.]+))? for ([0-9a-z.]+)",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """From ``begins`` to ``ends`` requests a second, evenly; or ``begins`` with a wave of
    ``swing`` about it that repeats every ``wave_s``."""

    begins: float
    ends: float
    seconds: float
    swing: float = 0.0
    wave_s: float = 1.0

    def rate(self, at: Times) -> Times:
        """Requests a second at these seconds of the stage."""
        even = self.begins + (self.ends - self.begins) * at / self.seconds
        return even + self.swing * np.sin(2 * np.pi * at / self.wave_s)

    def sent(self, at: Times) -> Times:
        """Requests that are due before these seconds of the stage: the integral of the rate."""
        even = self.begins * at + (self.ends - self.begins) * at**2 / (2 * self.seconds)
        turn = 2 * np.pi / self.wave_s
        return even + self.swing / turn * (1 - np.cos(turn * at))


@dataclass(frozen=True, slots=True)
class Plan:
    """``due``: of every request.  ``seconds``: until the plan ends."""

    due: Times
    seconds: float

    @property
    def requests(self) -> int:
        return len(self.due)

    @property
    def rate(self) -> float:
        """Requests a second, in the mean."""
        return self.requests / self.seconds


def read(text: str) -> Plan:
    """Raises PlanProblem."""
    return of_stages([_stage(part.strip()) for part in text.split(",")])


def _stage(text: str) -> Stage:
    found = _STAGE.fullmatch(text)
    if found is None:
        raise PlanProblem(
            f"{shortened(text)} is no stage of load; write for example `100/s for 30s`, "
            "`10/s..200/s for 1m` or `100/s+-50/s every 20s for 2m`, with commas between stages"
        )
    begins, ends, swing, every, lasts = found.groups()
    rates = [float(rate) for rate in (begins, ends, swing) if rate is not None]
    if max(rates) > _MOST_RATE:
        raise PlanProblem(f"{shortened(text)}: at most {_MOST_RATE:,} requests a second are sent")
    if swing is not None and float(swing) > float(begins):
        raise PlanProblem(f"{shortened(text)}: the wave goes below 0 requests a second")
    return Stage(
        begins=float(begins),
        ends=float(ends if ends is not None else begins),
        seconds=_seconds(lasts, text),
        swing=float(swing or 0),
        wave_s=_seconds(every, text) if every is not None else 1.0,
    )


def _seconds(text: str, whole: str) -> float:
    try:
        found = seconds_from(text)
    except ValueError as error:
        raise PlanProblem(f"{shortened(whole)}: {error}") from error
    if found <= 0:
        raise PlanProblem(f"{shortened(whole)}: {text} is no time")
    return found


def of_stages(stages: list[Stage]) -> Plan:
    """One stage after the other; a request is due as soon as the integral of the rate reaches its
    number.  Raises PlanProblem."""
    parts: list[Times] = []
    begins = 0.0
    sent = 0.0
    for stage in stages:
        all_of_it = float(stage.sent(np.array([stage.seconds]))[0])
        if sent + all_of_it > MOST_REQUESTS:
            raise PlanProblem(
                f"the plan has more than {MOST_REQUESTS:,} requests; make it shorter, and repeat it"
            )
        first = ceil(sent - 1e-9)
        numbers = (
            np.arange(
                first,
                ceil(sent + all_of_it - 1e-9),
                dtype=np.float64,
            )
            - sent
        )
        parts.append(begins + _when(stage, numbers))
        sent += all_of_it
        begins += stage.seconds
    due = np.concatenate(parts)
    if not len(due):
        raise PlanProblem("the plan has no request; raise its rate or its time")
    return Plan(due, begins)


def _when(stage: Stage, numbers: Times) -> Times:
    """Seconds of the stage at which its integral reaches these numbers."""
    if stage.swing == 0:
        return _of_ramp(stage, numbers)
    return _bisected(
        stage.sent,
        numbers,
        stage.seconds,
    )


def _of_ramp(stage: Stage, numbers: Times) -> Times:
    slope = (stage.ends - stage.begins) / stage.seconds
    if slope == 0:
        return numbers / stage.begins if stage.begins > 0 else numbers
    root = np.sqrt(np.maximum(stage.begins**2 + 2 * slope * numbers, 0))
    found: Times = np.clip(
        (root - stage.begins) / slope,
        0,
        stage.seconds,
    )
    return found


def _bisected(
    sent: Callable[[Times], Times],
    numbers: Times,
    most: float,
) -> Times:
    low = np.zeros_like(numbers)
    high = np.full_like(numbers, most)
    for _ in range(50):
        middle = (low + high) / 2
        below = sent(middle) < numbers
        low = np.where(
            below,
            middle,
            low,
        )
        high = np.where(
            below,
            high,
            middle,
        )
    return high


def replayed(stamps: Times, speed: float) -> Plan:
    """The times between the lines of a log, ``speed`` times as fast.  Raises PlanProblem."""
    if not len(stamps):
        raise PlanProblem("the log has no request to replay")
    due = np.sort(stamps - stamps.min()) / speed
    return Plan(due, float(due[-1]) + 1 / speed)
