"""Load over time: requests of each minute, read from a file, or made up with a seed."""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kirikae.capacity.errors import TraceProblem
from kirikae.model.texts import shortened, text_from

MINUTE = 60
MOST_MINUTES = 10 * 366 * 24 * 60
_MOST_BYTES = 300_000_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""Python reads more as a number: 1_000, and digits of other scripts."""
_LONGEST_PERIOD = 60 * MINUTE
"""Rules act within minutes: of a day's sum they see no peak."""
_MOST_HOLES = 5
"""Minutes in a row without a figure that are filled by a straight line; more are a hole."""


_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Trace:
    """``rates``: requests per second in each minute from ``begins`` (seconds since 1970, a whole
    minute).  ``filled``: minutes without a figure that were filled from their neighbours."""

    begins: int
    rates: NDArray[np.float64]
    filled: int = 0

    @property
    def minutes(self) -> int:
        return len(self.rates)

    def scaled(self, factor: float) -> Trace:
        """The same days with so many times the load."""
        return Trace(
            self.begins,
            self.rates * factor,
            self.filled,
        )

    def crowded(self, draw: np.random.Generator) -> Trace:
        """The same days with a flash crowd in each, at a minute of its own."""
        rates = self.rates.copy()
        for day in range(0, self.minutes, _DAY):
            _crowd(rates, day + int(draw.integers(0, min(_DAY, self.minutes - day))))
        return Trace(self.begins, rates, self.filled)

    def weeks(self) -> Iterator[Trace]:
        """Its whole weeks, one after the other."""
        week = 7 * 24 * 60
        for begin in range(
            0,
            self.minutes - week + 1,
            week,
        ):
            yield Trace(self.begins + begin * MINUTE, self.rates[begin : begin + week])


def read(path: Path) -> Trace:
    """A CSV file with a head line: ``time`` (ISO 8601 with an offset, or seconds since 1970) and
    ``requests`` of the period that begins there; periods of a minute or of whole minutes.

    Raises TraceProblem with the line.
    """
    rows = csv.DictReader(io.StringIO(_text(path)))
    try:
        return _of(_points(rows, path), path)
    except csv.Error as error:
        raise TraceProblem(f"{path}:{rows.line_num}: no line of a CSV file ({error})") from error


def _text(path: Path) -> str:
    """Raises TraceProblem; also for what never ends, such as a device."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TraceProblem(f"{path}: cannot be read: {error}") from error
    if len(raw) > _MOST_BYTES:
        raise TraceProblem(
            f"{path}: more than {_MOST_BYTES // 10**6} MB, which ten years of minutes do not have; "
            "is another file meant?"
        )
    return text_from(raw, str(path))


def _points(rows: csv.DictReader[str], path: Path) -> list[tuple[int, float]]:
    """Raises TraceProblem, csv.Error."""
    missing = {"time", "requests"} - set(rows.fieldnames or ())
    if missing:
        raise TraceProblem(
            f"{path}:1: the head line lacks {' and '.join(sorted(missing))}; write for example\n"
            "time,requests\n2026-11-01T00:00:00Z,1200"
        )
    points = []
    for number, row in enumerate(rows, 2):
        if None in row:
            raise TraceProblem(
                f"{path}:{number}: more cells than the head line names; write 1200.5 for requests, "
                "without commas"
            )
        at = _time(
            row["time"],
            path,
            number,
        )
        requests = _requests(
            row["requests"],
            path,
            number,
        )
        points.append((at, requests))
    return points


def _time(text: str | None, path: Path, line: int) -> int:
    value = (text or "").strip()
    try:
        if value.isascii() and value.isdigit():
            seconds = int(value)
        else:
            at = datetime.datetime.fromisoformat(value)
            if at.tzinfo is None:
                raise ValueError("no offset from UTC")
            seconds = int(at.timestamp())
        if not 0 <= seconds < 2**33:
            raise ValueError("out of range")
    except (ValueError, OverflowError) as error:
        raise TraceProblem(
            f"{path}:{line}: time {shortened(value)} is none ({error}); "
            "write 2026-11-01T00:00:00+09:00, or seconds since 1970"
        ) from error
    if seconds % MINUTE:
        raise TraceProblem(f"{path}:{line}: time {value} does not begin a minute")
    return seconds


def _requests(text: str | None, path: Path, line: int) -> float:
    """Empty: no figure, which is not zero."""
    value = (text or "").strip()
    if not value:
        return math.nan
    number = float(value) if _NUMBER.fullmatch(value) else math.inf
    if not 0 <= number < 1e12:
        raise TraceProblem(f"{path}:{line}: requests {shortened(value)} are no number from 0 on")
    return number


def _of(points: list[tuple[int, float]], path: Path) -> Trace:
    if len(points) < 2:
        raise TraceProblem(f"{path}: {len(points)} lines of figures; a trace has two at least")
    times = np.array([time for time, _ in points], np.int64)
    gaps = np.diff(times)
    if (gaps <= 0).any():
        line = int(np.argmax(gaps <= 0)) + 3
        raise TraceProblem(f"{path}:{line}: its time is not after the line's before; sort the file")
    period = int(gaps.min())
    if period > _LONGEST_PERIOD:
        raise TraceProblem(
            f"{path}:3: its periods are {period // MINUTE} minutes long, and hide every peak; take "
            f"periods of {_LONGEST_PERIOD // MINUTE} minutes at most, better of one"
        )
    if (gaps % period).any():
        line = int(np.argmax(gaps % period != 0)) + 3
        raise TraceProblem(f"{path}:{line}: lies between the periods of {period} s of this file")
    count = int((times[-1] - times[0]) // period) + 1
    if count * period // MINUTE > MOST_MINUTES:
        raise TraceProblem(f"{path}: is longer than ten years; cut out the weeks that matter")
    rates = np.full(count, np.nan)
    rates[(times - times[0]) // period] = [requests / period for _, requests in points]
    if not np.nansum(rates):
        raise TraceProblem(f"{path}: no request stands in it: whether rules hold, it does not say")
    filled = _fill(
        rates,
        int(times[0]),
        period,
        path,
    )
    return Trace(
        int(times[0]),
        np.repeat(rates, period // MINUTE),
        filled * period // MINUTE,
    )


def _fill(
    rates: NDArray[np.float64],
    begins: int,
    period: int,
    path: Path,
) -> int:
    """Straight lines through short holes; answers the number of filled periods."""
    missing = np.isnan(rates)
    if missing[0] or missing[-1]:
        raise TraceProblem(f"{path}: the first and the last period need a figure; cut them off")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(np.int8), [0]))))
    for begin, end in edges.reshape(-1, 2):
        if (end - begin) * period > _MOST_HOLES * MINUTE and end - begin > 1:
            at = datetime.datetime.fromtimestamp(begins + int(begin) * period, datetime.UTC)
            raise TraceProblem(
                f"{path}: no figures from {at:%Y-%m-%dT%H:%M}Z for {(end - begin) * period // 60} "
                "minutes; cut the file there, or fill them by what you know"
            )
    known = np.flatnonzero(~missing)
    rates[missing] = np.interp(
        np.flatnonzero(missing),
        known,
        rates[known],
    )
    return int(missing.sum())


@dataclass(frozen=True, slots=True)
class Made:
    """A made-up load: ``peak`` requests/s, ``times`` its trough at night, ``weekend`` its share on
    Saturday and Sunday, ``crowds`` flash crowds a week."""

    peak: float
    times: float = 5.0
    weekend: float = 0.8
    crowds: float = 2.0
    days: int = 7
    seed: int = 1


def made(of: Made, begins: int = 1_790_553_600) -> Trace:
    """Two waves a day (noon and evening), noise that drifts (AR(1), 0.95, 3% a minute), flash
    crowds of 2.2 times that rise within a minute and halve in seven.  ``begins`` should be a
    Monday 00:00 of the service's own time."""
    draw = np.random.default_rng(of.seed)
    minute = np.arange(of.days * 24 * 60)
    day = 2 * np.pi * (minute % 1440) / 1440
    wave = -np.cos(day - 2 * np.pi * 4 / 24) - 0.35 * np.cos(2 * (day - 2 * np.pi * 8 / 24))
    wave = (wave - wave.min()) / (wave.max() - wave.min())
    trough = of.peak / of.times
    rates = trough + (of.peak - trough) * wave
    rates[(minute // 1440) % 7 >= 5] *= of.weekend
    noise = np.zeros(len(minute))
    shocks = draw.normal(
        0,
        0.03 * math.sqrt(1 - 0.95**2),
        len(minute),
    )
    for index in range(1, len(minute)):
        noise[index] = 0.95 * noise[index - 1] + shocks[index]
    rates *= np.exp(noise)
    for begin in draw.integers(
        0,
        len(minute),
        draw.poisson(of.crowds * of.days / 7),
    ):
        _crowd(rates, begin)
    return Trace(begins, rates)


def _crowd(rates: NDArray[np.float64], begin: int) -> None:
    """2.2 times the load within a minute; what is more than usual halves in seven."""
    after = np.arange(len(rates) - begin)
    rates[begin:] *= 1 + 1.2 * np.exp(-after / 10)
