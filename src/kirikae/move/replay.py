"""Judge a recorded shift again: JSON lines of both sides' counts -> the verdict at every look.

A line is ``{"t": start, "side": "old"|"new", "requests": n, "errors": n, "le": {"0.05": n, ...}}``: cumulative counts of answers
within so many seconds, errors included.  Optional: ``share`` (permille), ``route``, ``dt`` (seconds, 1), ``probe_failed``.
Lines of the same ``t`` are one batch.  Everything here is a pure function of the lines.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from math import inf, isfinite, lgamma, log
from typing import Any, NamedTuple

from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Batch, Verdict
from kirikae.model.share import WHOLE, percent
from kirikae.move.judge import QUANTILES, SAFE_BAR, Judge, Margins, Outcome, log_sum

PLAN = (10, 50, 250, 500, WHOLE)
WEIGHTS = {"errors": 0.4, "p50": 0.15, "p95": 0.2, "p99": 0.25}
ROUTES_WEIGHT = 0.3
"""Part of the evidence that single routes share; the i-th route that appears has 1/(i(i+1)) of it."""
WINDOW_S, THRESHOLDS_EVERY_S, LEAST_FOR_THRESHOLDS = 600.0, 60.0, 200
PROBES_IN_A_ROW = 2
_SHARE_BAND = (0.7, 1.4)
_SHARE_BAR = log(1000)


@dataclass(slots=True)
class Side:
    """One side's counts in one batch."""

    requests: int = 0
    errors: int = 0
    probe_failed: int = 0
    within: dict[float, int] = field(default_factory=dict)
    """Bound in seconds -> answers within it; empty if a line of the batch had no ``le``."""

    def over(self, bound: float) -> int:
        return max(0, self.requests - self.within.get(bound, self.requests))


@dataclass(frozen=True, slots=True)
class Look:
    """The verdict after one batch."""

    t: float
    verdict: Verdict
    reason: str
    log_e: dict[str, float]
    exposed: int
    share: int | None

    def to_plain(self) -> dict[str, Any]:
        told = {key: round(value, 4) for key, value in self.log_e.items()}
        return {"t": self.t, "verdict": str(self.verdict), "log_e": told, "exposed": self.exposed, "reason": self.reason}


def lines_of(batch: Batch, bound_ms: float) -> Iterator[str]:
    """The two lines of a batch that a move has recorded; ``bound_ms``: the one bound of latency that both sides share, or 0."""
    for side, arm in (("old", batch.old), ("new", batch.new)):
        line: dict[str, Any] = {
            "t": batch.start, "dt": batch.seconds, "side": side, "requests": arm.requests, "errors": arm.errors, "share": batch.share,
        }  # fmt: skip
        if bound_ms:
            line["le"] = {f"{bound_ms / 1000:g}": arm.requests - arm.slow}
        yield json.dumps(line)


class _Line(NamedTuple):
    number: int
    t: float
    dt: float
    side: str
    share: int | None
    route: str
    requests: int
    errors: int
    probe_failed: int
    within: dict[float, int]


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
            raise UsageProblem(f"{where}: t {line.t:g} is before the line above ({last:g}); sort the file by t")
        last = line.t
        yield line


def _line(raw: dict[str, Any], number: int, where: str) -> _Line:
    def count(key: str, value: Any) -> int:
        if type(value) is int and value >= 0:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
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
            raise UsageProblem(f'{where}: {key} is missing; a line is {{"t": .., "side": "old"|"new", "requests": .., "errors": ..}}')
    if raw["side"] not in ("old", "new"):
        raise UsageProblem(f"{where}: side {raw['side']!r}: old or new")
    requests, errors = count("requests", raw["requests"]), count("errors", raw.get("errors", 0))
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
    if share is not None and (isinstance(share, bool) or share != int(share) or not 0 <= share <= WHOLE):
        raise UsageProblem(f"{where}: share {share!r}: permille, 0 to {WHOLE}")
    dt = seconds("dt", raw.get("dt", 1))
    if dt <= 0:
        raise UsageProblem(f"{where}: dt {dt:g}: more than 0 seconds are needed")
    return _Line(
        number, seconds("t", raw["t"]), dt, raw["side"], None if share is None else int(share), str(raw.get("route", "")), requests, errors,
        count("probe_failed", raw.get("probe_failed", 0)), within,
    )  # fmt: skip


_BOUNDS: dict[str, float] = {}
"""Bounds as they were written -> seconds: the same few in every line."""


class _Window:
    """The old side's answers over the last ten minutes of closed batches: where thresholds come from."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, int, dict[float, int]]] = deque()
        self._requests, self._within = 0, dict[float, int]()
        self._chosen_at = -inf
        self.thresholds: dict[str, tuple[float, float]] = {}
        """Metric -> (bound in seconds, the old side's rate above it)."""

    def choose(self, t: float) -> None:
        """Thresholds for what comes next, from what is over."""
        while self._batches and self._batches[0][0] < t - WINDOW_S:
            _, requests, within = self._batches.popleft()
            self._requests -= requests
            for bound, n in within.items():
                self._within[bound] -= n
        if t - self._chosen_at < THRESHOLDS_EVERY_S and self.thresholds:
            return
        if self._requests < LEAST_FOR_THRESHOLDS:
            return
        self._chosen_at = t
        bounds = sorted(self._within)
        reached = [self._within[bound] / self._requests for bound in bounds]
        self.thresholds = {}
        for metric, quantile in QUANTILES.items():
            place = bisect_left(reached, quantile)
            if place < len(bounds) and reached[place] < 1:
                over = self._requests - self._within[bounds[place]]
                self.thresholds[metric] = (bounds[place], (over + 0.5) / (self._requests + 1))

    def add(self, t: float, side: Side) -> None:
        if not side.within:
            return
        if self._within and set(side.within) != set(self._within):
            self._batches.clear()  # other bounds from here on: begin anew
            self._requests, self._within, self.thresholds = 0, {}, {}
        self._batches.append((t, side.requests, side.within))
        self._requests += side.requests
        for bound, n in side.within.items():
            self._within[bound] = self._within.get(bound, 0) + n


class _Delivered:
    """Does the delivered share fit the commanded one?  A beta mixture against a band around it, since balancers round."""

    def __init__(self) -> None:
        self._n_new = self._n_old = 0
        self._share: int | None = None

    def mismatch(self, share: int | None, n_old: int, n_new: int) -> str:
        if share is None or not 0 < share < WHOLE:
            return ""
        if share != self._share:
            self._share, self._n_new, self._n_old = share, 0, 0
        self._n_new, self._n_old = self._n_new + n_new, self._n_old + n_old
        total, s = self._n_new + self._n_old, share / WHOLE
        fitting = min(max(self._n_new / total if total else s, _SHARE_BAND[0] * s), min(_SHARE_BAND[1] * s, 0.5 + s / 2))
        a, c = 1.0, 1.0
        mixture = lgamma(a + self._n_new) + lgamma(c + self._n_old) - lgamma(a + c + total) - lgamma(a) - lgamma(c) + lgamma(a + c)
        evidence = mixture - self._n_new * log(fitting) - self._n_old * log(1 - fitting)
        if evidence < _SHARE_BAR:
            return ""
        return f"commanded {percent(share)}, delivered {self._n_new / total:.2%} of {total} requests: is another rule in the way?"


class Replay:
    """Feed it batches; each gives a look."""

    def __init__(self, margins: Margins, warm_up_s: float = 0.0, ceiling: float = 1.0) -> None:
        self._margins, self._warm_up_s, self._ceiling = margins, warm_up_s, ceiling
        self._judge = Judge(margins, PLAN, WEIGHTS)
        self._routes: dict[str, tuple[float, Judge]] = {}
        self._window, self._delivered = _Window(), _Delivered()
        self._step, self._share, self._step_t = -1, -1, 0.0
        self._waiting: tuple[float, dict[str, dict[str, Side]]] | None = None
        self._exposed, self._probes, self._failed = 0, 0, ""
        self._recent: deque[tuple[int, int]] = deque(maxlen=30)

    def look(self, t: float, dt: float, share: int | None, routes: dict[str, dict[str, Side]]) -> Look:
        """``routes``: route -> side -> counts; "" where there are none."""
        if self._waiting is not None:
            dt, routes = dt + self._waiting[0], _merged(self._waiting[1], routes)
            self._waiting = None
        old, new = _all(routes, "old"), _all(routes, "new")
        self._exposed += new.requests
        now = share if share is not None else _permille(old.requests, new.requests)
        if share != self._share and (share is not None or self._step < 0):
            self._step, self._share, self._step_t = self._step + 1, share if share is not None else -1, t
        self._judge.at(self._step, now)
        self._count_probes(old, new)
        held = ""
        if not new.requests or (not old.requests and now != WHOLE):
            self._exposed -= new.requests  # counted when the batch is judged
            self._waiting = (dt, routes)
            held = f"no figures of the {'new' if not new.requests else 'old'} side: the clock stands still"
        else:
            held = self._delivered.mismatch(share, old.requests, new.requests)
            self._observe(t, dt, now, old, new, routes)
        return self._told(t, now, held)

    def _observe(self, t: float, dt: float, share: int, old: Side, new: Side, routes: dict[str, dict[str, Side]]) -> None:
        self._window.choose(t)
        cold = t - self._step_t < self._warm_up_s
        self._judge.observe(dt, old.requests, new.requests, self._outcomes(old, new, cold))
        for route, sides in routes.items() if len(routes) > 1 else ():
            mine_old, mine_new = sides.get("old", Side()), sides.get("new", Side())
            if route not in self._routes:
                place = len(self._routes) + 1
                self._routes[route] = (ROUTES_WEIGHT / (place * (place + 1)), Judge(self._margins, PLAN, {"errors": 1.0}))
            judge = self._routes[route][1].at(self._step, share)
            if mine_old.requests and mine_new.requests:
                outcome = Outcome(mine_old.errors, mine_new.errors, mine_old.errors, mine_new.errors)
                judge.observe(dt, mine_old.requests, mine_new.requests, {"errors": outcome})
        self._window.add(t, old)
        self._recent.append((new.errors, new.requests))

    def _outcomes(self, old: Side, new: Side, cold: bool) -> dict[str, Outcome]:
        found = {"errors": Outcome(old.errors, new.errors, old.errors, new.errors)}
        for metric, (bound, rate) in self._window.thresholds.items() if not cold and old.within and new.within else ():
            slow_old, slow_new = old.over(bound), new.over(bound)
            found[metric] = Outcome(slow_old, slow_new, slow_old, slow_new, rate)
        return found

    def _count_probes(self, old: Side, new: Side) -> None:
        """Failed probes of the new side only, in batches in a row."""
        self._probes = self._probes + 1 if new.probe_failed and not old.probe_failed else 0

    def _log_harm(self, whole: float) -> float:
        """Evidence of the whole service, and of single routes where there are any."""
        if not self._routes:
            return whole
        parts = [log(weight) + judge.log_harm() for weight, judge in self._routes.values()]
        rest = log(ROUTES_WEIGHT / (len(self._routes) + 1))  # routes that have not appeared count as 1
        return log_sum([log(1 - ROUTES_WEIGHT) + whole, *parts, rest])

    def _told(self, t: float, share: int, held: str) -> Look:
        parts = {metric: self._judge.log_harm_of(metric) for metric in WEIGHTS}
        log_e = {"harm": self._log_harm(log_sum([log(WEIGHTS[metric]) + value for metric, value in parts.items()]))}
        log_e |= {f"harm_{metric}": value for metric, value in parts.items()}
        log_e |= {f"safe_{metric}": self._judge.log_safe_of(metric) for metric in WEIGHTS}
        log_e |= {f"harm_errors {route}": judge.log_harm_of("errors") for route, (_, judge) in self._routes.items()}
        if not self._failed:
            self._failed = self._why_failed(log_e)
        if self._failed:
            return Look(t, Verdict.FAIL, self._failed, log_e, self._exposed, share)
        if held:
            return Look(t, Verdict.UNSURE, held, log_e, self._exposed, share)
        judged = [metric for metric in WEIGHTS if metric == "errors" or metric in self._window.thresholds]
        missing = [metric for metric in judged if self._judge.log_safe_of(metric) < log(SAFE_BAR)]
        if missing or not self._judge.baked():
            why = f"not shown yet: {', '.join(missing)}" if missing else "no harm beyond the margins; baking"
            return Look(t, Verdict.UNSURE, why, log_e, self._exposed, share)
        return Look(t, Verdict.PASS, f"no harm beyond the margins, by {', '.join(judged)}", log_e, self._exposed, share)

    def _why_failed(self, log_e: dict[str, float]) -> str:
        if self._probes >= PROBES_IN_A_ROW:
            return f"probes fail on the new side only, {self._probes} batches in a row"
        bad, of = (sum(column) for column in zip(*self._recent, strict=True)) if self._recent else (0, 0)
        if self._ceiling < 1 and of >= 20 and bad > self._ceiling * of:
            return f"{bad} of the last {of} requests failed: above the ceiling of {self._ceiling:.0%}"
        if log_e["harm"] >= log(1 / self._margins.false_alarms):
            worst = max((k for k in log_e if k.startswith("harm_")), key=lambda k: log_e[k]).removeprefix("harm_")
            return f"the new side does harm: {worst} (log evidence {log_e['harm']:.1f}, bar {log(1 / self._margins.false_alarms):.1f})"
        return ""


def _merged(before: dict[str, dict[str, Side]], after: dict[str, dict[str, Side]]) -> dict[str, dict[str, Side]]:
    """A batch that lacked one side's figures goes into the next."""
    found: dict[str, dict[str, Side]] = {}
    for routes in (before, after):
        for route, sides in routes.items():
            for side, counts in sides.items():
                mine = found.setdefault(route, {})
                mine[side] = _plus(mine[side], counts) if side in mine else counts
    return found


def _all(routes: dict[str, dict[str, Side]], side: str) -> Side:
    found: Side | None = None
    for sides in routes.values():
        if side in sides:
            found = sides[side] if found is None else _plus(found, sides[side])
    return found or Side()


def _plus(a: Side, b: Side) -> Side:
    if not a.requests and not a.within:
        within = b.within
    elif not b.requests and not b.within:
        within = a.within
    else:
        within = {k: a.within[k] + b.within[k] for k in a.within if k in b.within} if set(a.within) == set(b.within) else {}
    return Side(a.requests + b.requests, a.errors + b.errors, a.probe_failed + b.probe_failed, within)


def _permille(old: int, new: int) -> int:
    return max(1, min(WHOLE - 1, round(WHOLE * new / (old + new)))) if old + new and old else WHOLE if new else 1


def looks(lines: Iterable[str], name: str, margins: Margins, warm_up_s: float = 0.0, ceiling: float = 1.0) -> Iterator[Look]:
    """One look per batch.  Raises UsageProblem."""
    replay = Replay(margins, warm_up_s, ceiling)
    for t, group in groupby(read(lines, name), key=lambda line: line.t):
        routes: dict[str, dict[str, Side]] = {}
        dt, share = 1.0, None
        for line in group:
            dt, share = line.dt, line.share if line.share is not None else share
            counts = Side(line.requests, line.errors, line.probe_failed, line.within)
            mine = routes.setdefault(line.route, {})
            mine[line.side] = _plus(mine[line.side], counts) if line.side in mine else counts
        yield replay.look(t, dt, share, routes)
