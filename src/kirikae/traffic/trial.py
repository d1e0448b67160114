"""Judge an attempt of a move, batch by batch: the judge, and the guards around it.

The live move and ``kirikae move judge FILE`` feed the same ``Trial``, so a recorded shift gets the
verdict that it got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import exp, inf, isfinite, log
from typing import NamedTuple

from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.said import Said, duration, said
from kirikae.model.share import WHOLE
from kirikae.move.judge import (
    QUANTILES,
    SAFE_BAR,
    Judge,
    Margins,
    Outcome,
    log_sum,
)
from kirikae.traffic.batches import NOBODY, Arm, Batch
from kirikae.traffic.guards import (
    Ceiling,
    Delivered,
    Flow,
    Incident,
    Mix,
    ProbeRow,
    Rates,
    TargetRow,
    Threshold,
    Untold,
    Window,
    balancer_incident,
)

PLAN = (10, 50, 250, 500, WHOLE)
ROUTES_WEIGHT = 0.3
"""Part of the evidence that single routes share; the i-th route that appears has 1/(i(i+1)) of
it."""
SILENT_S = 30.0
"""Without figures of one side for so long, the verdict says so; until then it only waits."""
_SAFE_LOG = log(SAFE_BAR)
_NO_TIMES = ("errors", "rejected")
_TOLD_ALWAYS = ("rejected", "latency")
"""By a source that tells of them at all."""
_STRONGEST = 700.0
_PLAIN_TIMES = 2
"""Evidence of the square of the bar is plain, whoever asks."""


class Look(NamedTuple):
    """The verdict after one batch.

    ``exposed``: requests that the new side answered so far.
    """

    t: float
    verdict: Verdict
    reason: Said
    log_e: dict[str, float]
    exposed: int
    share: int | None

    def log_e_to_plain(self) -> dict[str, float]:
        """Rounded, as it is shown."""
        return {key: round(value, 4) for key, value in self.log_e.items()}

    def to_plain(self) -> dict[str, object]:
        return {
            "t": self.t,
            "verdict": str(self.verdict),
            "log_e": self.log_e_to_plain(),
            "exposed": self.exposed,
            "says": self.reason.to_plain(),
        }


class Guards(NamedTuple):
    """What the project file asks for beside the margins.

    ``warm_up_s``: after a step, latency is shown and not judged for so long, and a small rise of
    errors is no harm.
    ``ceiling``: the part of failed requests above which it fails at once; 1: none.
    ``sticky``: clients stay where a cookie puts them, so the delivered share is shown, not tested.
    ``times``: latency is to be proven even where figures do not tell of it yet.
    """

    warm_up_s: float = 0.0
    ceiling: float = 1.0
    sticky: bool = False
    times: bool = False


NO_GUARDS = Guards()


class _Route(NamedTuple):
    """One route judged by itself, and its part of the evidence."""

    weight: float
    judge: Judge


class _Standing(NamedTuple):
    """What evidence shows since something was judged last.

    ``timed``, ``thresholds``: of which metrics figures told.  ``missing``: those that are not
    proven safe; ``not_shown`` says so.
    """

    log_e: dict[str, float]
    timed: int
    thresholds: Mapping[str, Threshold]
    metrics: list[str]
    missing: list[str]
    not_shown: Said


class _Passed(NamedTuple):
    """What a pass says at every look alike, and what it was made of."""

    of: tuple[object, ...]
    errors: float
    times: Said


class Trial:
    """Feed it the batches of one attempt, oldest first; each gives a look, and ``evidence`` reads
    it at any moment."""

    def __init__(
        self,
        margins: Margins,
        plan: Sequence[int] = PLAN,
        guards: Guards = NO_GUARDS,
    ) -> None:
        self._margins = margins
        self._plan = tuple(plan)
        self._guards = guards
        self._bar = log(1 / margins.false_alarms)
        self._judge = Judge(margins, plan, margins.weights)
        self._log_weights = {metric: log(part) for metric, part in margins.weights.items()}
        self._routes: dict[str, _Route] = {}
        self._window = Window()
        self._delivered = Delivered()
        self._incident = Incident("traffic.incident")
        self._balancer = balancer_incident()
        self._mix = Mix()
        self._probes = ProbeRow()
        self._targets = TargetRow()
        self._ceiling = Ceiling(guards.ceiling)
        self._flow = Flow()
        self._step: int | None = None
        self._share = 0
        self._commanded: int | None = None
        self._step_began = -inf
        self._waiting: Batch | None = None
        self._cold = False
        self._timed: set[str] = set()
        self._untold = Untold()
        self._exposed = 0
        self._failed: Said | None = None
        self._held: Said | None = None
        self._tau: Mapping[str, float] = {}
        self._log_e_of: tuple[int, int | None] = (-1, None)
        self._kept_log_e: dict[str, float] = {}
        self._standing: _Standing | None = None
        self._passed: _Passed | None = None
        self._told_judge: tuple[Mapping[str, float], bool] = ({}, False)

    def next_share(self, share: int) -> int:
        return self._judge.next_share(share)

    def measured_by(self, share: int) -> int:
        """The share whose margins judge the step from this one on."""
        return self._judge.measured_by(share)

    def at(self, step: int, share: int) -> Trial:
        """Stand at this step, even before its first figures come."""
        if step != self._step:
            if share == self._share:  # a person has looked, and goes on
                self._balancer = balancer_incident()
            self._step = step
            self._step_began = inf
            self._waiting = None
            self._held = None
            self._timed = set()
            self._untold.clear()
            self._flow.clear()
            self._mix.clear()
        self._share = share
        self._judge.at(step, share)
        return self

    # --- feeding

    def look(self, batch: Batch) -> Look:
        """One more batch.  Its share and step say where it belongs."""
        old = batch.side("old")
        new = batch.side("new")
        self._probes.observe(old, new, self._incident.on)
        self._targets.observe(old, new)
        self._exposed += int(new.asked)
        step = self._step_of(batch)
        self._commanded = batch.share
        nobody = not old.requests and not new.requests
        if nobody and batch.only_probes:
            self.at(
                step,
                self._share if batch.share is None else batch.share,
            )
        elif self._waiting is not None and step == self._step:
            self._take_with_waiting(batch, step)
        else:
            self._take(
                batch,
                step,
                old,
                new,
            )
        return self._told(batch.start)

    def _step_of(self, batch: Batch) -> int:
        if batch.step is not None:
            return batch.step
        if self._step is None:
            return 0
        changed = batch.share is not None and batch.share != self._commanded
        return self._step + 1 if changed else self._step

    def _take_with_waiting(self, batch: Batch, step: int) -> None:
        """Together with what waits for these figures."""
        if self._waiting is not None:
            batch = self._waiting.then(batch)
        self._take(
            batch,
            step,
            batch.side("old"),
            batch.side("new"),
        )

    def _take(
        self,
        batch: Batch,
        step: int,
        old: Arm,
        new: Arm,
    ) -> None:
        """Figures: judged if they tell of both sides, and kept for the next ones otherwise."""
        self._waiting = None
        share = _permille(old.requests, new.requests) if batch.share is None else batch.share
        if step != self._step or share != self._share:
            self.at(step, share)
        self._step_began = min(self._step_began, batch.start)
        if not new.requests:
            self._wait(batch, said("traffic.silent_new"))
        elif not old.requests and batch.share != WHOLE:
            self._wait(batch, said("traffic.silent_old"))
        else:
            self._weigh(batch, old, new)

    def _wait(self, batch: Batch, why: Said) -> None:
        """The clock stands still."""
        self._waiting = batch
        self._held = why

    def _weigh(
        self,
        batch: Batch,
        old: Arm,
        new: Arm,
    ) -> None:
        self._cold = batch.start - self._step_began < self._guards.warm_up_s
        sticky = self._guards.sticky or not batch.exact
        self._held = self._kept_back(
            batch,
            old,
            new,
            sticky,
        )
        if self._told_judge != (batch.dispersion, sticky):
            self._told_judge = (batch.dispersion, sticky)
            self._judge.tell(batch.dispersion, sticky)
        self._observe(batch, old, new)

    def _kept_back(
        self,
        batch: Batch,
        old: Arm,
        new: Arm,
        sticky: bool,
    ) -> Said | None:
        """Every guard sees every batch; the first that says something is told."""
        t = batch.start
        found = self._incident.told(t, old.errors, old.requests)
        if batch.unplaced is not None:
            unplaced = self._balancer.told(t, batch.unplaced, old.asked + new.asked)
            found = found or unplaced
        if not sticky and not self._cold:
            step = self._step or 0
            mismatch = self._delivered.mismatch(
                step,
                batch.share,
                t,
                old.asked,
                new.asked,
            )
            found = found or mismatch
        if new.mix or old.mix or len(batch.routes) > 1:
            self._mix.add(batch)
        return found

    def _observe(
        self,
        batch: Batch,
        old: Arm,
        new: Arm,
    ) -> None:
        self._window.choose(batch.start)
        self._flow.add(batch.seconds, old.requests, new.requests)
        self._tau = batch.tau
        outcomes = self._outcomes(batch, old, new)
        if outcomes.keys() != self._timed:
            self._note_untold(batch, outcomes)
            self._timed.update(outcomes)
        self._held = self._held or self._why_untold(batch.start)
        self._judge.observe(
            batch.seconds,
            old.requests,
            new.requests,
            outcomes,
            self._cold,
            self._mix.askers,
        )
        if len(batch.routes) > 1:
            self._observe_routes(batch)
        self._window.add(batch.start, old)
        self._ceiling.add(batch.start, new)

    def _note_untold(self, batch: Batch, outcomes: Mapping[str, Outcome]) -> None:
        """Metrics that this step's figures told of, and these do not.  A source that counts at its
        own bounds has no say about a quantile beyond them; that it counts none is a gap."""
        counted = all(batch.side(side).within for side in ("old", "new"))
        of_times = batch.tau if batch.tau or counted else QUANTILES
        told = (metric for metric in (*_TOLD_ALWAYS, *of_times) if metric in self._timed)
        gone = frozenset(metric for metric in told if metric not in outcomes)
        if gone:
            self._untold.add(batch.start, batch.seconds, gone)

    def _why_untold(self, t: float) -> Said | None:
        gone = self._untold.at(t)
        if not gone:
            return None
        metrics = [_metric(metric) for metric in self._log_weights if metric in gone]
        return said("traffic.no_longer_told", metrics=metrics)

    def _observe_routes(self, batch: Batch) -> None:
        for route, sides in batch.routes.items():
            old = sides.get("old", NOBODY)
            new = sides.get("new", NOBODY)
            judge = self._route(route).judge
            judge.at(self._step or 0, self._share)
            if old.requests and new.requests:
                errors = {"errors": _alike(old.errors, new.errors)}
                judge.observe(
                    batch.seconds,
                    old.requests,
                    new.requests,
                    errors,
                    self._cold,
                    self._mix.askers,
                )

    def _route(self, route: str) -> _Route:
        if route not in self._routes:
            place = len(self._routes) + 1
            weight = ROUTES_WEIGHT / (place * (place + 1))
            self._routes[route] = _Route(
                weight,
                Judge(self._margins, self._plan, {"errors": 1.0}),
            )
        return self._routes[route]

    def _outcomes(
        self,
        batch: Batch,
        old: Arm,
        new: Arm,
    ) -> dict[str, Outcome]:
        """Bad answers by metric, of the metrics that this batch tells of."""
        found = {"errors": _alike(old.errors, new.errors)}
        if new.rejected is not None and (old.rejected is not None or not old.requests):
            found["rejected"] = _alike(old.rejected or 0, new.rejected)
        if self._cold or not new.within:
            return found
        if self._margins.fast_enough_ms:
            return found | self._by_one_bound(old, new)
        if batch.tau:
            return found | self._by_quantiles(batch.tau, old, new)
        if old.within:
            return found | self._by_thresholds(old, new)
        return found

    def _by_one_bound(self, old: Arm, new: Arm) -> dict[str, Outcome]:
        bound = self._margins.fast_enough_ms / 1000
        if bound not in new.within or (old.requests and bound not in old.within):
            return {}
        return {"latency": _alike(old.over(bound), new.over(bound))}

    def _by_quantiles(
        self,
        tau: Mapping[str, float],
        old: Arm,
        new: Arm,
    ) -> dict[str, Outcome]:
        """The source was asked at the old side's quantiles."""
        found = {}
        for metric, quantile in tau.items():
            bounds = self._bounds_asked(quantile, new)
            asked_old = quantile in old.within or not old.requests
            if asked_old and bounds is not None:
                harm, safe = bounds
                slow = old.over(quantile) if old.requests else 0
                found[metric] = Outcome(
                    slow,
                    new.over(harm),
                    slow,
                    new.over(safe),
                    scaled=True,
                )
        return found

    def _bounds_asked(self, tau: float, new: Arm) -> tuple[float, float] | None:
        """Above which times the new side's answers count; None: it was asked at others.

        Figures from before the absolute tolerance of time have narrower ones.
        """
        after = self._judge.measured_by(self._share)
        former = replace(self._margins, least_slower_ms=0.0)
        for margins in (self._margins, former):
            harm, safe = margins.bounds(tau, after)
            if harm in new.within and safe in new.within:
                return harm, safe
        return None

    def _by_thresholds(self, old: Arm, new: Arm) -> dict[str, Outcome]:
        """The source counts at bounds of its own: the ones next to the quantiles are taken."""
        found = {}
        for metric, (bound, rate) in self._window.thresholds.items():
            fast_old = old.within.get(bound)
            fast_new = new.within.get(bound)
            if fast_old is not None and fast_new is not None:
                slow_old = max(0, old.requests - fast_old)
                slow_new = max(0, new.requests - fast_new)
                found[metric] = Outcome(
                    slow_old,
                    slow_new,
                    slow_old,
                    slow_new,
                    rate,
                )
        return found

    # --- reading

    def _metrics(self) -> list[str]:
        """What is to be proven at this step: errors, and of latency what the figures tell of."""
        told = self._timed | self._window.thresholds.keys() | {"errors"}
        always = self._guards.times
        return [m for m in self._margins.weights if m in told or (always and m != "rejected")]

    def _stands(self) -> _Standing:
        """Made anew where something was judged since, or another metric is told of."""
        log_e = self._log_e()
        thresholds = self._window.thresholds
        known = self._standing
        if (
            known is None
            or known.log_e is not log_e
            or known.timed != len(self._timed)
            or known.thresholds is not thresholds
        ):
            metrics = self._metrics()
            missing = [m for m in metrics if self._judge.log_safe_of(m) < _SAFE_LOG]
            same = known is not None and known.missing == missing
            known = self._standing = _Standing(
                log_e,
                len(self._timed),
                thresholds,
                metrics,
                missing,
                known.not_shown if known is not None and same else _not_shown(missing),
            )
        return known

    def _log_harm(self, whole: float) -> float:
        """Evidence of the whole service, and of single routes where there are any."""
        if not self._routes:
            return whole
        parts = [log(route.weight) + route.judge.log_harm() for route in self._routes.values()]
        # Routes that have not appeared count as 1.
        rest = log(ROUTES_WEIGHT / (len(self._routes) + 1))
        return log_sum([log(1 - ROUTES_WEIGHT) + whole, *parts, rest])

    def _log_e(self) -> dict[str, float]:
        """Made anew only where something was judged since."""
        judged = self._judge.judged
        if self._routes:
            judged += sum(each.judge.judged for each in self._routes.values())
        now = (judged, self._step)
        if now != self._log_e_of:
            self._log_e_of = now
            self._kept_log_e = self._fresh_log_e()
        return self._kept_log_e

    def _fresh_log_e(self) -> dict[str, float]:
        judge = self._judge
        log_e = {"harm": 0.0}
        weighed = []
        for metric, log_weight in self._log_weights.items():
            value = log_e[f"harm_{metric}"] = judge.log_harm_of(metric)
            weighed.append(log_weight + value)
        for metric in self._log_weights:
            log_e[f"safe_{metric}"] = judge.log_safe_of(metric)
        log_e["harm"] = self._log_harm(log_sum(weighed))
        for name, route in self._routes.items():
            log_e[f"harm_errors {name}"] = route.judge.log_harm_of("errors")
        return log_e

    def _told(self, t: float) -> Look:
        stands = self._stands()
        if self._failed is None:
            self._failed = self._why_failed(stands.log_e["harm"])
        verdict, reason = self._verdict(stands)
        return Look(
            t,
            verdict,
            reason,
            stands.log_e,
            self._exposed,
            self._share,
        )

    @property
    def guard(self) -> Said | None:
        """The guard that keeps a step from being taken now, whatever is proven; None: none."""
        waiting = self._waiting
        short = waiting is not None and waiting.seconds < SILENT_S and self._judge.baked_s
        if self._held is not None and not short:
            return self._held
        if self._probes.in_a_row:
            return said("traffic.probes_again")
        if self._targets.in_a_row:
            return said("traffic.targets_again")
        return self._mix.differs()

    def _verdict(self, stands: _Standing) -> tuple[Verdict, Said]:
        if self._failed is not None:
            return Verdict.FAIL, self._failed
        guard = self.guard
        if guard is not None:
            return Verdict.UNSURE, guard
        if stands.missing:
            return Verdict.UNSURE, stands.not_shown
        left = max(
            0.0,
            self._margins.bake_at(self._share) - self._judge.baked_s,
        )
        if left or self._waiting is not None:
            return Verdict.UNSURE, said("traffic.baking", seconds=left)
        return Verdict.PASS, self._why_passed(stands.metrics)

    def _why_passed(self, metrics: list[str]) -> Said:
        next_share = self._judge.measured_by(self._share)
        of = (
            next_share,
            metrics,
            self._tau,
            self._window.thresholds,
        )
        known = self._passed
        if known is None or known.of != of:
            errors = self._margins.errors_at(next_share)
            known = self._passed = _Passed(of, errors, self._times_passed(next_share))
        return said(
            "traffic.passed" if "rejected" in metrics else "traffic.passed_4xx_unknown",
            errors=known.errors,
            times=known.times,
            by=self._by(),
            baked=self._judge.baked_s,
        )

    def _by(self) -> Said:
        """What the new side was held to."""
        judge = self._judge
        if self._share != WHOLE or not judge.by_limits(judge.tally("errors")):
            return _by("comparison")
        if judge.knows_old:
            return _by("limits")
        return said("traffic.by_limits_assumed", limit=judge.limit("errors"))

    def _times_passed(self, next_share: int) -> Said:
        timed = [metric for metric in self._metrics() if metric not in _NO_TIMES]
        margins = self._margins
        if not timed:
            return said("traffic.times_unknown")
        if margins.fast_enough_ms:
            errors = margins.errors_at(next_share)
            return said(
                "traffic.times_bound",
                errors=errors,
                ms=margins.fast_enough_ms,
            )
        slower = margins.slower_at(next_share)
        if self._tau:
            return said(
                "traffic.times_slower",
                slower=slower,
                metrics=[_metric(m) for m in timed],
            )
        bounds = [self._above(m) for m in timed]
        return said("traffic.times_above", slower=slower, bounds=bounds)

    def _above(self, metric: str) -> Said:
        """The source's own bound that stands for this quantile."""
        bound = self._window.thresholds.get(metric)
        return said(
            "traffic.above",
            metric=_metric(metric),
            bound=bound and bound.bound,
        )

    def _why_failed(self, log_harm: float) -> Said | None:
        if self._probes.failed:
            key = "failed_probes" if self._probes.old_asked else "failed_probes_old_unasked"
            return said(f"traffic.{key}", times=self._probes.in_a_row)
        if self._targets.failed:
            return said("traffic.failed_targets", times=self._targets.in_a_row)
        broken = self._ceiling.broken()
        if broken is not None:
            return broken
        bar = self._bar
        plain = _PLAIN_TIMES * bar
        if self._mix.differs() is not None:
            return self._harm_whoever(plain)
        if log_harm < bar:
            return None
        if log_harm < plain and self._mix.seems_to_differ():
            return None  # harm, or other clients: soon there are requests enough to tell
        return self._harm(log_harm, bar)

    def _harm_whoever(self, bar: float) -> Said | None:
        """More than who asks may explain."""
        evidence, metric = self._judge.log_harm_whoever()
        return None if evidence < bar else self._harm_by("harm_whoever", metric, evidence, bar)

    def _harm(self, evidence: float, bar: float) -> Said:
        """By what it does harm most: a metric of the whole, or errors of one route."""
        worst = self._judge.worst()
        routes = [(each.judge.log_harm_of("errors"), name) for name, each in self._routes.items()]
        if not routes or max(routes)[0] <= self._judge.log_harm_of(worst):
            return self._harm_by("harm", worst, evidence, bar)
        name = max(routes)[1]
        return said(
            "traffic.harm_at_route",
            route=name or said("traffic.the_rest"),
            counted=self._counted(self._routes[name].judge, "errors"),
            **_proof(evidence, bar),
        )

    def _harm_by(self, key: str, metric: str, evidence: float, bar: float) -> Said:
        return said(
            f"traffic.{key}",
            metric=_metric(metric),
            counted=self._counted(self._judge, metric),
            **_proof(evidence, bar),
        )

    def _counted(self, judge: Judge, metric: str) -> Said:
        """What was counted of this metric on both sides, while the evidence grew."""
        tally = judge.tally_of_harm(metric)
        against = said("traffic.against_limit", limit=judge.limit_of_harm(metric))
        if not judge.by_limits(tally):
            against = said(
                "traffic.against_old",
                bad=_shown(tally.bad_old),
                of=_shown(tally.n_old),
            )
        blanks = {
            "bad": _shown(tally.bad_new),
            "of": _shown(tally.n_new),
            "what": self._what(metric),
            "against": against,
        }
        if tally.seconds >= judge.tally(metric).seconds:
            return Said("traffic.counted_bad", blanks)
        return Said(
            "traffic.counted_bad_lately",
            {**blanks, "seconds": tally.seconds},
        )

    def _what(self, metric: str) -> Said:
        match metric:
            case "errors":
                return said("traffic.failed")
            case "rejected":
                return said("traffic.rejected")
            case "latency":
                return said(
                    "traffic.slower_than_ms",
                    ms=self._margins.fast_enough_ms,
                )
        bound = self._window.thresholds.get(metric)
        if self._tau or bound is None:
            return said("traffic.slower_than_old", metric=metric)
        return said("traffic.slower_than_ms", ms=1000 * bound.bound)

    def rates(self) -> Rates:
        """Requests a second on the old and on the new side over the last ten batches of this
        step."""
        return self._flow.rates()

    def _bounds(self) -> Mapping[str, float]:
        """The old side's quantiles in seconds, as they are judged by."""
        thresholds = self._window.thresholds.items()
        return self._tau or {metric: bound for metric, (bound, _) in thresholds}

    def evidence(self) -> Evidence:
        """The verdict now with every figure and, where it is unsure, a forecast."""
        verdict, reason = self._verdict(self._stands())
        if reason.key == _NOT_SHOWN:
            asked = self._judge.tally("errors").n_new
            reason = self._forecast() if asked else said("traffic.no_figures")
        plainly = self._plainly(verdict)
        return Evidence(
            verdict,
            reason,
            None,
            self._figures(),
            plainly,
        )

    def _figures(self) -> dict[str, float]:
        counted = self._judge.tally("errors")
        both = counted.n_new + counted.n_old
        log_e = self._log_e()
        figures: dict[str, float] = {
            "log_harm": log_e["harm"],
            "bar_harm": self._bar,
            "bar_safe": _SAFE_LOG,
            "old_requests": counted.n_old,
            "old_errors": counted.bad_old,
            "new_requests": counted.n_new,
            "new_errors": counted.bad_new,
            "baked_s": self._judge.baked_s,
            "exposed": self._exposed,
        }
        if both:
            figures["delivered"] = counted.n_new / both
        figures |= {f"dispersion_{m}": self._judge.dispersion(m) for m in self._metrics()}
        rates = self.rates()
        if rates.old is not None and rates.new is not None:
            figures["old_rate_per_s"] = rates.old
            figures["new_rate_per_s"] = rates.new
        figures |= {f"tau_{metric}_ms": 1000 * bound for metric, bound in self._bounds().items()}
        figures |= {f"log_{key}": value for key, value in log_e.items() if key != "harm"}
        return figures | self._slow_figures()

    def _slow_figures(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        for metric in self._metrics():
            if metric != "errors":
                tally = self._judge.tally(metric)
                figures[f"old_over_{metric}"] = tally.bad_old
                figures[f"new_over_{metric}"] = tally.bad_new
                figures[f"timed_{metric}"] = tally.n_new
        return figures

    def needed(self) -> dict[str, float]:
        """Metric not yet shown -> new-side requests that it still needs; inf: will not be proven at
        these figures."""
        return {metric: self._judge.needed(metric) for metric in self._stands().missing}

    def _forecast(self) -> Said:
        parts = [self._forecast_of(metric, n) for metric, n in self.needed().items()]
        return said("traffic.forecast", parts=parts)

    def _forecast_of(self, metric: str, needed: float) -> Said:
        name = _metric(metric)
        if not self._judge.tally(metric).n_new:
            why = said("traffic.warms_up" if self._cold else "traffic.times_not_known")
            return said("traffic.not_judged", metric=name, why=why)
        if not isfinite(needed):
            return said("traffic.never_proven", metric=name)
        per_s = self.rates().new
        if not per_s:
            return said("traffic.needs", metric=name, needed=needed)
        return said(
            "traffic.needs_for",
            metric=name,
            needed=needed,
            seconds=needed / per_s,
        )

    # --- for somebody who reads no figures

    def _plainly(self, verdict: Verdict) -> Said:
        counted = self._judge.tally("errors")
        if not counted.n_new:
            return said("traffic.plainly.silent", share=self._share)
        numbers = {
            "bad_new": counted.bad_new,
            "n_new": counted.n_new,
            "bad_old": counted.bad_old,
            "n_old": counted.n_old,
        }
        if verdict is Verdict.FAIL:
            return Said("traffic.plainly.harm", numbers)
        blanks = numbers | {"share": self._share, "then": self._then()}
        return Said("traffic.plainly.good", blanks)

    def _then(self) -> Said:
        """What it waits for, or about how long."""
        after = self.next_share(self._share)
        guard = self.guard
        if guard is not None:
            return said("traffic.plainly.guard", reason=guard)
        needed = max(self.needed().values(), default=0.0)
        if not needed:
            return said("traffic.plainly.proven", next=after)
        if not isfinite(needed):
            return said("traffic.plainly.never", next=after)
        per_s = self.rates().new
        time = duration(needed / per_s) if per_s else said("traffic.plainly.rate_unknown")
        return said(
            "traffic.plainly.eta",
            next=after,
            needed=round(needed),
            time=time,
        )


def _proof(evidence: float, bar: float) -> dict[str, float]:
    """Logarithms, as they are said."""
    return {"evidence": exp(min(evidence, _STRONGEST)), "bar": exp(bar)}


_NOT_SHOWN = "traffic.not_shown"


def _not_shown(missing: Sequence[str]) -> Said:
    return said(_NOT_SHOWN, metrics=[_metric(metric) for metric in missing])


@cache
def _by(what: str) -> Said:
    """How a step was judged."""
    return said(f"traffic.by_{what}")


@cache
def _metric(name: str) -> Said:
    """The few names of metrics in words: said at every look, made once."""
    return said(f"traffic.metric.{name}")


def _shown(count: float) -> float:
    """Votes have parts."""
    return int(count) if count == int(count) else round(count, 1)


def _alike(old: float, new: float) -> Outcome:
    """Counted alike on both sides."""
    return Outcome(
        old,
        new,
        old,
        new,
    )


def _permille(old: float, new: float) -> int:
    """The share that these counts show, where none was recorded."""
    if not old:
        return WHOLE if new else 1
    return max(1, min(WHOLE - 1, round(WHOLE * new / (old + new))))
