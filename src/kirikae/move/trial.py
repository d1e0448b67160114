"""Judge an attempt of a move, batch by batch: the judge, and the guards around it.

The live move and ``kirikae move judge FILE`` feed the same ``Trial``, so a recorded shift gets the
verdict that it got. Guards: figures of one side missing (the clock stands still), a delivered share
that does not fit the commanded one, warm-up (latency is shown, not judged), probes that fail on the
new side only, a ceiling of failed requests, single routes."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, lgamma, log

from kirikae.model.evidence import Arm, Batch, Evidence, Verdict
from kirikae.model.share import WHOLE, percent
from kirikae.move.judge import QUANTILES, SAFE_BAR, Judge, Margins, Outcome, log_sum

PLAN = (10, 50, 250, 500, WHOLE)
ROUTES_WEIGHT = 0.3
"""Part of the evidence that single routes share; the i-th route that appears has 1/(i(i+1)) of
it."""
WINDOW_S = 600.0
THRESHOLDS_EVERY_S = 60.0
LEAST_FOR_THRESHOLDS = 200
PROBES_IN_A_ROW = 2
INCIDENT_S = 1800.0
_INCIDENT_BATCHES = 30
SILENT_S = 30.0
"""Without figures of one side for so long, the verdict says so; until then it only waits."""
_SHARE_BAND = (0.7, 1.4)
_SHARE_BAR = log(1000)
_SAFE_LOG = log(SAFE_BAR)
_NOBODY = Arm()


@dataclass(frozen=True, slots=True)
class Look:
    """The verdict after one batch.  ``exposed``: requests that the new side answered so far."""

    t: float
    verdict: Verdict
    reason: str
    log_e: dict[str, float]
    exposed: int
    share: int | None

    def to_plain(self) -> dict[str, object]:
        told = {key: round(value, 4) for key, value in self.log_e.items()}
        return {
            "t": self.t,
            "verdict": str(self.verdict),
            "log_e": told,
            "exposed": self.exposed,
            "reason": self.reason,
        }


class _Window:
    """The old side's answers over the last ten minutes of closed batches: where thresholds come
    from."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, int, Mapping[float, int]]] = deque()
        self._requests = 0
        self._within = dict[float, int]()
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

    def add(self, t: float, side: Arm) -> None:
        if not side.within:
            return
        if self._within and side.within.keys() != self._within.keys():
            self._batches.clear()  # other bounds from here on: begin anew
            self._requests = 0
            self._within = {}
            self.thresholds = {}
        self._batches.append((t, side.requests, side.within))
        self._requests += side.requests
        for bound, n in side.within.items():
            self._within[bound] = self._within.get(bound, 0) + n


class _Delivered:
    """Does the delivered share fit the commanded one?  A beta mixture against a band around it,
    since balancers round."""

    def __init__(self) -> None:
        self._n_new = self._n_old = 0
        self._share: int | None = None

    def mismatch(self, share: int | None, n_old: int, n_new: int) -> str:
        if share is None or not 0 < share < WHOLE:
            return ""
        if share != self._share:
            self._share = share
            self._n_new = 0
            self._n_old = 0
        self._n_new = self._n_new + n_new
        self._n_old = self._n_old + n_old
        total = self._n_new + self._n_old
        s = share / WHOLE
        fitting = min(
            max(self._n_new / total if total else s, _SHARE_BAND[0] * s),
            min(_SHARE_BAND[1] * s, 0.5 + s / 2),
        )
        a = 1.0
        c = 1.0
        mixture = (
            lgamma(a + self._n_new)
            + lgamma(c + self._n_old)
            - lgamma(a + c + total)
            - lgamma(a)
            - lgamma(c)
            + lgamma(a + c)
        )
        evidence = mixture - self._n_new * log(fitting) - self._n_old * log(1 - fitting)
        if evidence < _SHARE_BAR:
            return ""
        return (
            f"commanded {percent(share)}, delivered {self._n_new / total:.2%} of {total} "
            "requests: is another rule in the way?"
        )


class _Incident:
    """Is the old side itself in trouble, by its own past?  Then no step is taken, however alike
    both sides are.

    A part of errors five times as high as in calm times (and half a point) in the last 30 batches
    is an incident; one that lasts half an hour is how things are now."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque()
        self._bad = self._of = self._calm_bad = self._calm_of = 0
        self._since = 0.0
        self.on = False

    def told(self, t: float, old: Arm) -> str:
        self._recent.append((old.errors, old.requests))
        self._bad = self._bad + old.errors
        self._of = self._of + old.requests
        gone = self._recent.popleft() if len(self._recent) > _INCIDENT_BATCHES else (0, 0)
        self._bad = self._bad - gone[0]
        self._of = self._of - gone[1]
        usual = self._calm_bad / self._calm_of if self._calm_of else None
        calm = usual is None or self._bad < 10 or self._bad <= 5 * (usual + 0.005) * self._of
        lasting = not calm and t - self._since > INCIDENT_S
        if calm:
            self._since = t
            self._calm_bad = self._calm_bad + gone[0]
            self._calm_of = self._calm_of + gone[1]
        if lasting or (usual is None and self._of >= LEAST_FOR_THRESHOLDS):
            self._calm_bad = self._bad
            self._calm_of = self._of
        self.on = not calm
        if calm:
            return ""
        return (
            f"the old side itself is in trouble ({self._bad / self._of:.1%} of its last "
            f"{self._of} requests failed): no step is taken"
        )


class Trial:
    """Feed it the batches of one attempt, oldest first; each gives a look, and ``evidence`` reads
    it at any moment.

    ``times``: latency is to be proven even where figures do not tell of it yet. ``sticky``: clients
    stay where a cookie puts them, so the delivered share is shown and not tested."""

    def __init__(
        self,
        margins: Margins,
        plan: Sequence[int] = PLAN,
        warm_up_s: float = 0.0,
        ceiling: float = 1.0,
        sticky: bool = False,
        times: bool = False,
    ) -> None:
        self._margins = margins
        self._plan = tuple(plan)
        self._warm_up_s = warm_up_s
        self._ceiling = ceiling
        self._sticky = sticky
        self._times = times
        self._judge = Judge(margins, plan, margins.weights)
        self._routes: dict[str, tuple[float, Judge]] = {}
        self._window = _Window()
        self._delivered = _Delivered()
        self._incident = _Incident()
        self._step = -1
        self._share = 0
        self._commanded = -1
        self._step_t = -inf
        self._waiting: Batch | None = None
        self._cold = False
        self._timed: set[str] = set()
        self._exposed = 0
        self._probes = 0
        self._failed = ""
        self._held = ""
        self._recent: deque[tuple[int, int]] = deque(maxlen=30)
        self._flow: deque[tuple[float, int, int]] = deque(maxlen=10)
        self._tau: Mapping[str, float] = {}

    def next_share(self, share: int) -> int:
        return self._judge.next_share(share)

    def at(self, step: int, share: int) -> Trial:
        """Stand at this step, even before its first figures come."""
        if step != self._step:
            self._step = step
            self._step_t = inf
            self._waiting = None
            self._held = ""
            self._timed = set()
            self._flow.clear()
        self._share = share
        self._judge.at(step, share)
        return self

    def look(self, batch: Batch) -> Look:
        """One more batch.  Its share and step say where it belongs."""
        commanded = -1 if batch.share is None else batch.share
        old = _all(batch.routes, "old")
        new = _all(batch.routes, "new")
        if old.probe_failed is not None or new.probe_failed is not None:
            alone = new.probe_failed and not old.probe_failed and not self._incident.on
            self._probes = self._probes + 1 if alone else 0
        self._exposed += new.requests
        if batch.step is not None:
            step = batch.step
        elif commanded != self._commanded and (batch.share is not None or self._step < 0):
            step = self._step + 1
        else:
            step = self._step
        self._commanded = commanded
        if not old.requests and not new.requests and batch.only_probes:
            self.at(step, self._share if batch.share is None else batch.share)
            return self._told(batch.start)
        if self._waiting is not None and step == self._step:
            batch = _joined(self._waiting, batch)
            old = _all(batch.routes, "old")
            new = _all(batch.routes, "new")
        self._waiting = None
        self.at(
            step, batch.share if batch.share is not None else _permille(old.requests, new.requests)
        )
        self._step_t = min(self._step_t, batch.start)
        if not new.requests or (not old.requests and self._share != WHOLE):
            self._waiting = batch
            self._held = (
                f"no figures of the {'new' if not new.requests else 'old'} side: the clock "
                "stands still"
            )
        else:
            cold = self._cold = batch.start - self._step_t < self._warm_up_s
            untested = self._sticky or cold
            trouble = self._incident.told(batch.start, old)
            self._held = trouble or (
                ""
                if untested
                else self._delivered.mismatch(batch.share, old.requests, new.requests)
            )
            self._observe(batch, old, new, cold)
        return self._told(batch.start)

    def _observe(self, batch: Batch, old: Arm, new: Arm, cold: bool) -> None:
        self._window.choose(batch.start)
        self._flow.append((batch.seconds, old.requests, new.requests))
        self._tau = batch.tau
        outcomes = self._outcomes(batch, old, new, cold)
        self._timed |= outcomes.keys()
        self._judge.observe(batch.seconds, old.requests, new.requests, outcomes)
        for route, sides in batch.routes.items() if len(batch.routes) > 1 else ():
            mine_old = sides.get("old", _NOBODY)
            mine_new = sides.get("new", _NOBODY)
            if route not in self._routes:
                place = len(self._routes) + 1
                self._routes[route] = (
                    ROUTES_WEIGHT / (place * (place + 1)),
                    Judge(self._margins, self._plan, {"errors": 1.0}),
                )
            judge = self._routes[route][1].at(self._step, self._share)
            if mine_old.requests and mine_new.requests:
                outcome = Outcome(
                    mine_old.errors, mine_new.errors, mine_old.errors, mine_new.errors
                )
                judge.observe(
                    batch.seconds, mine_old.requests, mine_new.requests, {"errors": outcome}
                )
        self._window.add(batch.start, old)
        self._recent.append((new.errors, new.requests))

    def _outcomes(self, batch: Batch, old: Arm, new: Arm, cold: bool) -> dict[str, Outcome]:
        found = {"errors": Outcome(old.errors, new.errors, old.errors, new.errors)}
        if cold or not new.within:
            return found
        if self._margins.fast_enough_ms:
            bound = self._margins.fast_enough_ms / 1000
            if bound in new.within:
                slow_old = old.over(bound)
                slow_new = new.over(bound)
                found["latency"] = Outcome(slow_old, slow_new, slow_old, slow_new)
        elif batch.tau:
            for metric, tau in batch.tau.items():
                harm, safe = self._margins.bounds(tau, self.next_share(self._share))
                if (
                    harm in new.within
                    and safe in new.within
                    and (tau in old.within or not old.requests)
                ):
                    slow_old = old.over(tau)
                    found[metric] = Outcome(
                        slow_old, new.over(harm), slow_old, new.over(safe), scaled=True
                    )
        elif old.within:
            for metric, (bound, rate) in self._window.thresholds.items():
                slow_old = old.over(bound)
                slow_new = new.over(bound)
                found[metric] = Outcome(slow_old, slow_new, slow_old, slow_new, rate)
        return found

    # --- reading

    def _metrics(self) -> list[str]:
        """What is to be proven at this step: errors, and of latency what the figures tell of."""
        told = self._timed | self._window.thresholds.keys()
        return [
            metric
            for metric in self._margins.weights
            if self._times or metric == "errors" or metric in told
        ]

    def _log_harm(self, whole: float) -> float:
        """Evidence of the whole service, and of single routes where there are any."""
        if not self._routes:
            return whole
        parts = [log(weight) + judge.log_harm() for weight, judge in self._routes.values()]
        rest = log(
            ROUTES_WEIGHT / (len(self._routes) + 1)
        )  # routes that have not appeared count as 1
        return log_sum([log(1 - ROUTES_WEIGHT) + whole, *parts, rest])

    def _log_e(self) -> dict[str, float]:
        weights = self._margins.weights
        parts = {metric: self._judge.log_harm_of(metric) for metric in weights}
        log_e = {
            "harm": self._log_harm(
                log_sum([log(weights[metric]) + value for metric, value in parts.items()])
            )
        }
        log_e |= {f"harm_{metric}": value for metric, value in parts.items()}
        log_e |= {f"safe_{metric}": self._judge.log_safe_of(metric) for metric in weights}
        return log_e | {
            f"harm_errors {route}": judge.log_harm_of("errors")
            for route, (_, judge) in self._routes.items()
        }

    def _told(self, t: float) -> Look:
        log_e = self._log_e()
        if not self._failed:
            self._failed = self._why_failed(log_e)
        verdict, reason = self._verdict()
        return Look(t, verdict, reason, log_e, self._exposed, self._share)

    @property
    def guard(self) -> str:
        """The guard that keeps a step from being taken now, whatever is proven; empty: none."""
        if self._held and (
            self._waiting is None or self._waiting.seconds >= SILENT_S or not self._judge.baked_s
        ):
            return self._held
        return (
            "the new side did not pass its last probes; it is asked again" if self._probes else ""
        )

    def _verdict(self) -> tuple[Verdict, str]:
        if self._failed:
            return Verdict.FAIL, self._failed
        silent = self._waiting is not None
        if guard := self.guard:
            return Verdict.UNSURE, guard
        if missing := [
            metric for metric in self._metrics() if self._judge.log_safe_of(metric) < _SAFE_LOG
        ]:
            return Verdict.UNSURE, f"not shown yet: {', '.join(missing)}"
        if self._judge.baked_s < self._margins.bake_s or silent:
            left = max(0.0, self._margins.bake_s - self._judge.baked_s)
            return Verdict.UNSURE, f"no harm beyond the margins; baking for another {left:.0f} s"
        return Verdict.PASS, self._why_passed()

    def _why_passed(self) -> str:
        next_share = self._judge.next_share(self._share)
        errors = self._margins.errors_at(next_share)
        timed = [m for m in self._metrics() if m != "errors"]
        times = ", times are not known"
        if timed:
            times = (
                f" and no more than {self._margins.slower_at(next_share):.0%} slower by "
                f"{', '.join(timed)}"
            )
            if self._margins.fast_enough_ms:
                times = f" and {errors:.2%} more answers over {self._margins.fast_enough_ms:.0f} ms"
        by = (
            "absolute limits from the old side's last figures"
            if self._share == WHOLE
            else "comparison of both sides"
        )
        baked = f"baked {self._judge.baked_s:.0f} s"
        return (
            f"no harm beyond the margins: no more than {errors:.2%} more errors{times}, by "
            f"{by}; {baked}"
        )

    def _why_failed(self, log_e: dict[str, float]) -> str:
        if self._probes >= PROBES_IN_A_ROW:
            return f"probes fail on the new side only, {self._probes} times in a row"
        bad, of = (
            (sum(column) for column in zip(*self._recent, strict=True)) if self._recent else (0, 0)
        )
        if self._ceiling < 1 and of >= 20 and bad > self._ceiling * of:
            return (
                f"{bad} of the last {of} requests failed: above the ceiling of {self._ceiling:.0%}"
            )
        bar = log(1 / self._margins.false_alarms)
        if log_e["harm"] < bar:
            return ""
        strength = f"(evidence {exp(min(log_e['harm'], 700)):.3g}, bar {exp(bar):.0f})"
        worst = self._judge.worst()
        routes = [
            (judge.log_harm_of("errors"), route) for route, (_, judge) in self._routes.items()
        ]
        if routes and max(routes)[0] > self._judge.log_harm_of(worst):
            route = max(routes)[1]
            return (
                f"the new side does harm by errors at {route or 'the rest'}: "
                f"{self._routes[route][1].told_harm('errors')} {strength}"
            )
        return f"the new side does harm by {worst}: {self._judge.told_harm(worst)} {strength}"

    def rates(self) -> tuple[float, float]:
        """Requests a second on the old and on the new side over the last ten batches of this
        step."""
        seconds = sum(flow[0] for flow in self._flow)
        return (
            (sum(f[1] for f in self._flow) / seconds, sum(f[2] for f in self._flow) / seconds)
            if seconds
            else (0.0, 0.0)
        )

    def _bounds(self) -> Mapping[str, float]:
        """The old side's quantiles in seconds, as they are judged by."""
        return self._tau or {
            metric: bound for metric, (bound, _) in self._window.thresholds.items()
        }

    def evidence(self) -> Evidence:
        """The verdict now with every figure and, where it is unsure, a forecast."""
        verdict, reason = self._verdict()
        log_e = self._log_e()
        counted = self._judge.tally("errors")
        figures = {
            "log_harm": log_e["harm"],
            "bar_harm": log(1 / self._margins.false_alarms),
            "bar_safe": _SAFE_LOG,
            "old_requests": counted.n_old,
            "old_errors": counted.bad_old,
            "new_requests": counted.n_new,
            "new_errors": counted.bad_new,
            "delivered": counted.n_new / (counted.n_new + counted.n_old)
            if counted.n_new + counted.n_old
            else 0.0,
            "baked_s": self._judge.baked_s,
            "exposed": self._exposed,
            "old_rate_per_s": self.rates()[0],
            "new_rate_per_s": self.rates()[1],
            **{f"tau_{metric}_ms": 1000 * bound for metric, bound in self._bounds().items()},
        }
        figures |= {f"log_{key}": value for key, value in log_e.items() if key != "harm"}
        for metric in self._metrics():
            if metric != "errors":
                tally = self._judge.tally(metric)
                figures |= {
                    f"old_over_{metric}": tally.bad_old,
                    f"new_over_{metric}": tally.bad_new,
                    f"timed_{metric}": tally.n_new,
                }
        if verdict is Verdict.UNSURE and reason.startswith("not shown yet"):
            reason = (
                self._forecast()
                if counted.n_new
                else "no figures of both sides at this share yet; the clock stands still"
            )
        return Evidence(verdict, reason, None, figures)

    def needed(self) -> dict[str, float]:
        """Metric not yet shown -> new-side requests that it still needs; inf: will not be proven at
        these figures."""
        return {
            m: self._judge.needed(m)
            for m in self._metrics()
            if self._judge.log_safe_of(m) < _SAFE_LOG
        }

    def _forecast(self) -> str:
        parts = []
        rate_per_s = self.rates()[1]
        for metric, needed in self.needed().items():
            if not self._judge.tally(metric).n_new:
                why = "the new side warms up" if self._cold else "its times are not known yet"
                parts.append(f"{metric} is not judged: {why}")
            elif not isfinite(needed):
                parts.append(f"{metric} will not be proven at these figures")
            else:
                seconds = f", {needed / rate_per_s:.0f} s" if rate_per_s > 0 else ""
                parts.append(
                    f"{metric} need about {needed:.0f} more requests on the new side{seconds}"
                )
        return "; ".join(parts)


def _joined(before: Batch, after: Batch) -> Batch:
    """A batch that lacked one side's figures goes into the next, and begins where that one
    begins."""
    found: dict[str, dict[str, Arm]] = {}
    for routes in (before.routes, after.routes):
        for route, sides in routes.items():
            for side, counts in sides.items():
                mine = found.setdefault(route, {})
                mine[side] = mine[side].plus(counts) if side in mine else counts
    return Batch(
        after.start, before.seconds + after.seconds, after.share, found, after.step, after.tau
    )


def _all(routes: Mapping[str, Mapping[str, Arm]], side: str) -> Arm:
    found: Arm | None = None
    for sides in routes.values():
        if side in sides:
            found = sides[side] if found is None else found.plus(sides[side])
    return found or _NOBODY


def _permille(old: int, new: int) -> int:
    return (
        max(1, min(WHOLE - 1, round(WHOLE * new / (old + new))))
        if old + new and old
        else WHOLE
        if new
        else 1
    )
