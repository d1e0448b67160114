"""Recorded shifts: JSON lines of both sides' counts, read for the same trial that judges a live
move, and written by one.

A line is ``{"t": start, "side": "old"|"new", "requests": n, "errors": n, "le": {"0.05": n, ...}}``:
cumulative counts of answers within so many seconds, errors included.  Optional: ``share``
(permille), ``route``, ``dt`` (seconds, 1), ``probe_failed``, and what a move records besides:
``step``, ``tau`` (the old side's quantiles in seconds, as they stood before the batch).  Lines of
the same ``t`` are one batch.  Everything here is a pure function of the lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from math import inf, isfinite
from typing import Any, NamedTuple, NoReturn

from kirikae.model.errors import UsageProblem
from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.trial import Look, Trial

_ALWAYS = ("t", "dt", "side", "requests", "errors", "probe_failed")


def lines_of(batch: Batch) -> Iterator[str]:
    """The lines of a batch that a move has recorded."""
    for route, sides in batch.routes.items():
        for side, arm in sides.items():
            line: dict[str, Any] = {
                "t": batch.start,
                "dt": batch.seconds,
                "side": side,
                "requests": arm.requests,
                "errors": arm.errors,
                "share": batch.share,
                "step": batch.step,
                "route": route,
                "probe_failed": arm.probe_failed,
                "le": {f"{bound:g}": n for bound, n in arm.within.items()},
                "tau": dict(batch.tau),
            }
            yield json.dumps({key: value for key, value in line.items() if value or key in _ALWAYS})


class Line(NamedTuple):
    """One side of one batch, as it was written."""

    t: float
    dt: float
    side: str
    share: int | None
    route: str
    counts: Arm
    step: int | None
    tau: Mapping[str, float]


def read(lines: Iterable[str], name: str) -> Iterator[Line]:
    """Every line, checked.  Raises UsageProblem naming the file, the line and the value."""
    last = -inf
    bounds: dict[str, float] = {}
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        reader = _Reader(f"{name}:{number}", _object(text, f"{name}:{number}"), bounds)
        line = reader.line()
        if line.t < last:
            reader.refuse(f"t {line.t:g} is before the line above ({last:g}); sort the file by t")
        last = line.t
        yield line


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"{where}: not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise UsageProblem(f"{where}: an object is needed, not {text.strip()[:60]}")
    return raw


@dataclass(frozen=True, slots=True)
class _Reader:
    """One line and the checks of its values.

    ``bounds``: as they were written -> seconds; the same few stand in every line.
    """

    where: str
    raw: dict[str, Any]
    bounds: dict[str, float]

    def refuse(self, why: str) -> NoReturn:
        raise UsageProblem(f"{self.where}: {why}")

    def line(self) -> Line:
        for key in ("t", "side", "requests"):
            if key not in self.raw:
                self.refuse(
                    f"{key} is missing; a line is "
                    '{"t": .., "side": "old"|"new", "requests": .., "errors": ..}'
                )
        if self.raw["side"] not in ("old", "new"):
            self.refuse(f"side {self.raw['side']!r}: old or new")
        return Line(
            self.seconds("t", self.raw["t"]),
            self.length(),
            self.raw["side"],
            self.share(),
            str(self.raw.get("route", "")),
            self.arm(),
            self.step(),
            self.tau(),
        )

    def count(self, key: str, value: Any) -> int:
        if not _is_whole(value) or value < 0:
            self.refuse(f"{key} {value!r}: a whole number of at least 0 is needed")
        return int(value)

    def seconds(self, key: str, value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = inf
        if isinstance(value, bool) or not isfinite(found):
            self.refuse(f"{key} {value!r}: a number of seconds is needed")
        return found

    def length(self) -> float:
        dt = self.seconds("dt", self.raw.get("dt", 1))
        if dt <= 0:
            self.refuse(f"dt {dt:g}: more than 0 seconds are needed")
        return dt

    def share(self) -> int | None:
        share = self.raw.get("share")
        if share is None:
            return None
        if not _is_whole(share) or not 0 <= share <= WHOLE:
            self.refuse(f"share {share!r}: permille, 0 to {WHOLE}")
        return int(share)

    def step(self) -> int | None:
        step = self.raw.get("step")
        return None if step is None else self.count("step", step)

    def arm(self) -> Arm:
        requests = self.count("requests", self.raw["requests"])
        errors = self.count("errors", self.raw.get("errors", 0))
        if errors > requests:
            self.refuse(f"{errors} errors of {requests} requests")
        asked = self.raw.get("probe_failed", 0 if requests else None)
        probe_failed = None if asked is None else self.count("probe_failed", asked)
        return Arm(requests, errors, probe_failed, self.within(requests))

    def within(self, requests: int) -> dict[float, int]:
        """Counts by bound.  A day has millions: what is plainly right is not looked at twice."""
        known = self.bounds
        found = {}
        for bound, n in (self.raw.get("le") or {}).items():
            at = known.get(bound)
            if at is None:
                if bound == "+Inf":
                    continue
                at = known[bound] = self.seconds("le", bound)
            found[at] = n if type(n) is int and n >= 0 else self.count(f"le {bound}", n)
        if found and max(found.values()) > requests:
            self.refuse(f"le counts more answers than requests ({requests})")
        return found

    def tau(self) -> dict[str, float]:
        tau = self.raw.get("tau") or {}
        if not isinstance(tau, dict) or not tau.keys() <= QUANTILES.keys():
            self.refuse(f"tau {tau!r}: seconds by {', '.join(QUANTILES)}")
        return {metric: self.seconds("tau", value) for metric, value in tau.items()}


def _is_whole(value: Any) -> bool:
    if type(value) is int:
        return True
    return isinstance(value, float) and isfinite(value) and value == int(value)


def batches(lines: Iterable[str], name: str) -> Iterator[Batch]:
    """Lines of the same ``t`` as one batch.  Raises UsageProblem."""
    for t, group in groupby(read(lines, name), key=lambda line: line.t):
        yield _batch(t, list(group))


def _batch(t: float, lines: list[Line]) -> Batch:
    routes: dict[str, dict[str, Arm]] = {}
    share: int | None = None
    step: int | None = None
    for line in lines:
        share = share if line.share is None else line.share
        step = step if line.step is None else line.step
        mine = routes.setdefault(line.route, {})
        counts = line.counts
        mine[line.side] = mine[line.side].plus(counts) if line.side in mine else counts
    return Batch(t, lines[-1].dt, share, routes, step, lines[-1].tau)


def looks(lines: Iterable[str], name: str, trial: Trial) -> Iterator[Look]:
    """One look per batch.  Raises UsageProblem."""
    for batch in batches(lines, name):
        yield trial.look(batch)
