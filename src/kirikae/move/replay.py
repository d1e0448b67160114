"""Recorded shifts: JSON lines of both sides' counts, read for the same trial that judges a live
move, and written by one.

A line is ``{"t": start, "side": "old"|"new", "requests": n, "errors": n, "le": {"0.05": n, ...}}``:
cumulative counts of answers within so many seconds, errors included.  Optional: ``share``
(permille), ``route``, ``dt`` (seconds, 1), ``probe_failed``, and what a move records besides:
``step``, ``tau`` (the old side's quantiles in seconds, as they stood before the batch). Lines of
the same ``t`` are one batch.  Everything here is a pure function of the lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import inf, isfinite
from typing import Any, NamedTuple

from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Arm, Batch
from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES
from kirikae.move.trial import Look, Trial

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


class _Line(NamedTuple):
    number: int
    t: float
    dt: float
    side: str
    share: int | None
    route: str
    counts: Arm
    step: int | None
    tau: Mapping[str, float]


def read(lines: Iterable[str], name: str) -> Iterator[_Line]:
    """Every line, checked.  Raises UsageProblem naming the file, the line and the value."""
    last = -inf
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        where = f"{name}:{number}"
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise UsageProblem(f"{where}: not JSON: {error}") from error
        if not isinstance(raw, dict):
            raise UsageProblem(f"{where}: an object is needed, not {text.strip()[:60]}")
        line = _line(raw, number, where)
        if line.t < last:
            raise UsageProblem(
                f"{where}: t {line.t:g} is before the line above ({last:g}); sort the file by t"
            )
        last = line.t
        yield line


def _line(raw: dict[str, Any], number: int, where: str) -> _Line:  # noqa: C901
    def count(key: str, value: Any) -> int:
        if type(value) is int and value >= 0:
            return value
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != int(value)
            or value < 0
        ):
            raise UsageProblem(f"{where}: {key} {value!r}: a whole number of at least 0 is needed")
        return int(value)

    def seconds(key: str, value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = inf
        if isinstance(value, bool) or not isfinite(found):
            raise UsageProblem(f"{where}: {key} {value!r}: a number of seconds is needed")
        return found

    for key in ("t", "side", "requests"):
        if key not in raw:
            raise UsageProblem(
                f'{where}: {key} is missing; a line is {{"t": .., "side": "old"|"new", '
                f'"requests": .., "errors": ..}}'
            )
    if raw["side"] not in ("old", "new"):
        raise UsageProblem(f"{where}: side {raw['side']!r}: old or new")
    requests = count("requests", raw["requests"])
    errors = count("errors", raw.get("errors", 0))
    if errors > requests:
        raise UsageProblem(f"{where}: {errors} errors of {requests} requests")
    within: dict[float, int] = {}
    for bound, n in (raw.get("le") or {}).items():
        if bound != "+Inf":
            if bound not in _BOUNDS:
                _BOUNDS[bound] = seconds("le", bound)
            within[_BOUNDS[bound]] = n if type(n) is int and n >= 0 else count(f"le {bound}", n)
    if within and max(within.values()) > requests:
        raise UsageProblem(f"{where}: le counts more answers than requests ({requests})")
    share = raw.get("share")
    if share is not None and (
        isinstance(share, bool) or share != int(share) or not 0 <= share <= WHOLE
    ):
        raise UsageProblem(f"{where}: share {share!r}: permille, 0 to {WHOLE}")
    dt = seconds("dt", raw.get("dt", 1))
    if dt <= 0:
        raise UsageProblem(f"{where}: dt {dt:g}: more than 0 seconds are needed")
    step = raw.get("step")
    tau = raw.get("tau") or {}
    asked = raw.get("probe_failed", 0 if requests else None)
    if not isinstance(tau, dict) or not tau.keys() <= QUANTILES.keys():
        raise UsageProblem(f"{where}: tau {tau!r}: seconds by {', '.join(QUANTILES)}")
    return _Line(
        number,
        seconds("t", raw["t"]),
        dt,
        raw["side"],
        None if share is None else int(share),
        str(raw.get("route", "")),
        Arm(requests, errors, None if asked is None else count("probe_failed", asked), within),
        None if step is None else count("step", step),
        {metric: seconds("tau", value) for metric, value in tau.items()},
    )


_BOUNDS: dict[str, float] = {}
"""Bounds as they were written -> seconds: the same few in every line."""


def batches(lines: Iterable[str], name: str) -> Iterator[Batch]:
    """Lines of the same ``t`` as one batch.  Raises UsageProblem."""
    for t, group in groupby(read(lines, name), key=lambda line: line.t):
        routes: dict[str, dict[str, Arm]] = {}
        share = step = None
        for line in group:
            share = share if line.share is None else line.share
            step = step if line.step is None else line.step
            mine = routes.setdefault(line.route, {})
            mine[line.side] = (
                mine[line.side].plus(line.counts) if line.side in mine else line.counts
            )
        yield Batch(t, line.dt, share, routes, step, line.tau)


def looks(lines: Iterable[str], name: str, trial: Trial) -> Iterator[Look]:
    """One look per batch.  Raises UsageProblem."""
    for batch in batches(lines, name):
        yield trial.look(batch)
