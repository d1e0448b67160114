"""Figures of both sides -> verdict: an e-value for the line ``p_new <= r*p_old + d``, which may be read at any moment.

*fail*: harm is shown (evidence of at least 1/false_alarms).  *pass*: harm beyond the margin is excluded at this step
(evidence of at least 20 for every metric) and the bake time is over.  *unsure*: neither, with a forecast.
The product of the factors over batches is a test martingale under the null line, so Ville's inequality bounds
false alarms whatever the number of looks (after Turner, Ly and Grünwald, arXiv 2106.02693).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, inf, isfinite, log, log1p
from typing import NamedTuple

from kirikae.model.evidence import Arm, Batch, Evidence, Verdict
from kirikae.model.share import WHOLE, percent

ALTERNATIVES = 12
SAFE_BAR = 20.0
_SAFE_LOG = log(SAFE_BAR)
TOLERANCE_R, TOLERANCE_D, TOLERANCE_SLOWER = 1.25, 0.0005, 0.05
TOLERANCE_QUANTILE_R = 1.05
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
RESTART_S = 600.0
_STRONGEST, _FULL = 600.0, 1e290
WEIGHTS = {"errors": 0.6, "latency": 0.4}
_PRIOR = 50
_FIRST_GUESS = {"errors": 0.001, "latency": 0.05}


@dataclass(frozen=True, slots=True)
class Margins:
    """What the user allows.

    Latency is judged in one of two ways.  ``fast_enough_ms`` > 0: an answer above it is a worse request, under the same
    allowance as an error.  Otherwise: against the old side's 95th percentile, the new side at most ``slower`` slower
    (None: tighter as the share grows).
    """

    false_alarms: float = 0.01
    worse_requests: float = 0.0005
    bake_s: float = 600.0
    slower: float | None = None
    fast_enough_ms: float = 0.0

    def errors_at(self, next_share: int) -> float:
        """The rise of the error rate that the step to ``next_share`` may bring: the allowance over that share."""
        return min(0.5, self.worse_requests * WHOLE / next_share)

    def slower_at(self, next_share: int) -> float:
        if self.slower is not None:
            return self.slower
        return next(m for limit, m in ((50, 0.5), (250, 0.25), (500, 0.15), (WHOLE, 0.1)) if next_share <= limit)

    def lines(self, metric: str, next_share: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """(r, d) of the harm line and of the safe line of this metric.

        ``p50``, ``p95``, ``p99`` are answers above the old side's quantile, counted at the same bound on both sides: the new side may
        have up to ``slower_at`` more of them.
        """
        kind = metric.partition(" ")[0]
        if kind in QUANTILES:
            return (TOLERANCE_QUANTILE_R, TOLERANCE_D), (1.0 + self.slower_at(next_share), 0.0)
        if kind == "errors" or self.fast_enough_ms:
            return (TOLERANCE_R, TOLERANCE_D), (1.0, self.errors_at(next_share))
        return (1.0, 0.0), (1.0, 0.0)

    def thresholds_ms(self, tau_ms: float, next_share: int) -> tuple[float, float]:
        """Above which an answer of the new side counts as slow, for harm and for safety (the old side: above tau)."""
        if self.fast_enough_ms:
            return self.fast_enough_ms, self.fast_enough_ms
        harm = TOLERANCE_SLOWER if self.slower is None else self.slower
        return tau_ms * (1 + harm), tau_ms * (1 + self.slower_at(next_share))


def log_factor(x_old: int, n_old: int, x_new: int, n_new: int, guess: float, q: float, r: float = 1.0, d: float = 0.0) -> float:
    """One batch's log e-value against ``p_new <= r*p_old + d`` (q above the line) or its reverse (q below).

    ``guess`` (the old side's rate) and ``q`` (the new side's) come from the past and touch power only, never validity.
    """
    if not n_old or not n_new:
        return 0.0
    good_new, good_old, bad_new, bad_old = _slopes(n_old, n_new, guess, q, r, d)
    return (n_new - x_new) * good_new + (n_old - x_old) * good_old + x_new * bad_new + x_old * bad_old


_NOTHING = (0.0, 0.0, 0.0, 0.0)


def _slopes(n_old: int, n_new: int, guess: float, q: float, r: float, d: float) -> tuple[float, float, float, float]:
    """What one good answer of the new and of the old side, and one bad answer of each, add to the log e-value."""
    u = (n_old * guess + n_new * min(max((q - d) / r, 1e-9), 1 - 1e-9)) / (n_old + n_new)
    v = r * u + d
    if not 0 < u < 1 or not 0 < v < 1:
        return _NOTHING  # never clip v: v = r*u + d is what makes it valid
    b = (q - v) / (v * (1 - v))
    cap = 0.95 * n_old / (r * n_new) / ((1 - u) if b > 0 else u)
    b = max(-cap, min(b, cap))
    a = r * b * n_new / n_old
    return log1p(-b * v), log1p(a * u), log1p(b * (1 - v)), log1p(-a * (1 - u))


@lru_cache(maxsize=4096)
def _all_slopes(n_old: int, n_new: int, guess: float, harm: bool, r: float, d: float) -> list[tuple[float, float, float, float]]:
    """``_slopes`` for every alternative.  Kept: at one rate of traffic the same few batches come again and again."""
    line = r * guess + d
    alternatives = harm_alternatives(line) if harm else safe_alternatives(min(line, 1 - 1e-9))
    return [_slopes(n_old, n_new, guess, q, r, d) for q in alternatives]


def increments(x_old: int, n_old: int, x_new: int, n_new: int, guess: float, harm: bool, r: float, d: float) -> list[float]:
    """``log_factor`` of one batch for every alternative, of harm or of safety."""
    good_new, good_old = n_new - x_new, n_old - x_old
    slopes = _all_slopes(n_old, n_new, guess, harm, r, d)
    return [good_new * gn + good_old * go + x_new * bn + x_old * bo for gn, go, bn, bo in slopes]


def coarse(rate: float) -> float:
    """A guess to two digits: any guess is valid, and equal ones can be kept."""
    return float(f"{rate:.1e}")


def log_factor_absolute(x: int, n: int, limit: float, q: float) -> float:
    """The same with a fixed limit instead of an old side (at share 100% there is none left to compare with)."""
    if not n or not 0 < limit < 1:
        return 0.0
    b = (q - limit) / (limit * (1 - limit))
    return x * log1p(b * (1 - limit)) + (n - x) * log1p(-b * limit)


def harm_alternatives(line: float) -> list[float]:
    """Rates above the line, log-spaced from a little more to nearly all."""
    low = min(max(1.25 * line, 1e-5), (line + 1) / 2)
    high = max(0.9, 1.05 * low)
    return [min(low * (high / low) ** (k / (ALTERNATIVES - 1)), 1 - 1e-9) for k in range(ALTERNATIVES)]


def safe_alternatives(line: float) -> list[float]:
    """Rates below the line, from almost none to almost on it."""
    return [line * (0.02 + 0.93 * k / (ALTERNATIVES - 1)) for k in range(ALTERNATIVES)]


def log_mean(logs: Sequence[float]) -> float:
    return log_sum(logs) - log(len(logs))


def log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top if not isfinite(top) else top + log(sum([exp(value - top) for value in logs]))


@dataclass(slots=True)
class _Rate:
    """The old side's rate as known before the next batch."""

    bad: int = 0
    of: int = 0

    def guess(self, first: float) -> float:
        return (self.bad + 0.5) / (self.of + 1) if self.of else first


@dataclass(slots=True)
class _Harm:
    """Evidence of harm for one metric, with fresh copies for harm that begins late; the total mass is 1.

    Copy j has mass 1/(j(j+1)) and begins at 1.  A batch multiplies every copy alike, so per alternative one number holds the
    masses of all copies times their products: a look costs the same after a day as at the start.
    """

    mass: list[float] = field(default_factory=lambda: [0.0] * ALTERNATIVES)
    started: int = 0

    def restart(self) -> None:
        self.started += 1
        fresh = 1 / (self.started * (self.started + 1))
        self.mass = [mass + fresh for mass in self.mass]

    def add(self, increments: Sequence[float]) -> None:
        pairs = zip(self.mass, increments, strict=True)
        self.mass = [mass * exp(increment) if increment < _STRONGEST else _FULL for mass, increment in pairs]
        if max(self.mass) > _FULL:  # proven beyond any doubt, and no number for it
            self.mass = [min(mass, _FULL) for mass in self.mass]

    def log_evidence(self) -> float:
        return log(1 / (self.started + 1) + sum(self.mass) / ALTERNATIVES)  # copies that have not begun count as 1


@dataclass(slots=True)
class _Safe:
    """Evidence of safety for one metric at this step; what was proven once stays proven."""

    sums: list[float] = field(default_factory=lambda: [0.0] * ALTERNATIVES)
    best: float = 0.0

    def add(self, increments: Sequence[float]) -> None:
        self.sums = [s + i for s, i in zip(self.sums, increments, strict=True)]
        self.best = max(self.best, log_mean(self.sums))


class Outcome(NamedTuple):
    """Bad outcomes of one metric in one batch: on each side, counted for the harm line and for the safe line.

    ``guess``: the old side's rate as the past tells it; None: the rate over all batches so far.
    """

    old_harm: int
    new_harm: int
    old_safe: int
    new_safe: int
    guess: float | None = None


class Judge:
    """Feed it every batch of one attempt, oldest first; the verdict depends on nothing else.

    ``weights``: the metrics and their parts of the evidence (sum 1).  Harm is their weighted mean, safety needs every one.
    """

    def __init__(self, margins: Margins, plan: Sequence[int], weights: Mapping[str, float] = WEIGHTS) -> None:
        self._margins, self._plan, self._weights = margins, tuple(plan), dict(weights)
        self._old = {metric: _Rate() for metric in weights}
        self._harm = {metric: _Harm() for metric in weights}
        self._step = -1
        self._share = 0
        self._begun_s = 0.0
        self._waiting: Batch | None = None
        self._fresh_step()

    def _fresh_step(self) -> None:
        self._safe = {metric: _Safe() for metric in self._weights}
        self._totals = {"old": Arm(), "new": Arm()}
        self._baked_s = 0.0
        for harm in self._harm.values():
            harm.restart()
        self._begun_s = 0.0

    def next_share(self, share: int) -> int:
        return next((s for s in self._plan if s > share), WHOLE)

    def at(self, step: int, share: int) -> Judge:
        """Stand at this step: what earlier steps proved says nothing about it, even before its first figures come."""
        if step != self._step:
            if self._step >= 0:
                self._fresh_step()
            self._step, self._share, self._waiting = step, share, None
        return self

    def add(self, batch: Batch) -> None:
        self.at(batch.step, batch.share)
        batch = _joined(self._waiting, batch)
        self._waiting = None
        old, new = batch.old, batch.new
        if new.requests == 0 or (old.requests == 0 and batch.share != WHOLE):
            self._waiting = batch  # no figures of one side: the clock stands still
            return
        self._totals = {"old": _sum(self._totals["old"], old), "new": _sum(self._totals["new"], new)}
        self.observe(
            batch.seconds, old.requests, new.requests,
            {
                "errors": Outcome(old.errors, new.errors, old.errors, new.errors),
                "latency": Outcome(old.slow, new.slow, old.slow_safe, new.slow_safe),
            },
        )  # fmt: skip

    def observe(self, seconds: float, n_old: int, n_new: int, outcomes: Mapping[str, Outcome]) -> None:
        """One batch of requests on both sides, with the outcomes of the metrics that it tells of."""
        self._baked_s += seconds
        self._begun_s += seconds
        if self._begun_s >= RESTART_S:
            self._begun_s = 0.0
            for harm in self._harm.values():
                harm.restart()
        for metric, outcome in outcomes.items():
            if self._share == WHOLE and not n_old:
                self._add_absolute(metric, outcome, n_new)
            else:
                self._add_compared(metric, outcome, n_old, n_new)

    def _add_compared(self, metric: str, outcome: Outcome, n_old: int, n_new: int) -> None:
        guess = coarse(self._old[metric].guess(_FIRST_GUESS.get(metric, 0.05)) if outcome.guess is None else outcome.guess)
        (harm_r, harm_d), (safe_r, safe_d) = self._margins.lines(metric, self.next_share(self._share))
        self._harm[metric].add(increments(outcome.old_harm, n_old, outcome.new_harm, n_new, guess, True, harm_r, harm_d))
        if self._safe[metric].best < _SAFE_LOG:  # what was proven once stays proven for this step
            self._safe[metric].add(increments(outcome.old_safe, n_old, outcome.new_safe, n_new, guess, False, safe_r, safe_d))
        rate = self._old[metric]
        rate.bad, rate.of = rate.bad + outcome.old_harm, rate.of + n_old

    def _limit(self, metric: str) -> float:
        rate = self._old[metric].guess(_FIRST_GUESS[metric])
        if metric == "errors" or self._margins.fast_enough_ms:
            return min(0.9, rate + self._margins.errors_at(WHOLE))
        return min(0.9, max(rate, 1e-4) * 1.5)

    def _add_absolute(self, metric: str, outcome: Outcome, n: int) -> None:
        limit = self._limit(metric)
        self._harm[metric].add([log_factor_absolute(outcome.new_safe, n, limit, q) for q in harm_alternatives(limit)])
        self._safe[metric].add([log_factor_absolute(outcome.new_safe, n, limit, q) for q in safe_alternatives(limit)])

    # --- reading ----------------------------------------------------------------------------------------------------

    def log_harm_of(self, metric: str) -> float:
        """Log evidence of harm by this metric alone."""
        return self._harm[metric].log_evidence()

    def log_safe_of(self, metric: str) -> float:
        """The best log evidence of safety by this metric at this step."""
        return self._safe[metric].best

    def baked(self) -> bool:
        """Have figures been judged for the bake time at this step?"""
        return self._baked_s >= self._margins.bake_s

    def log_harm(self) -> float:
        return log_sum([log(self._weights[m]) + self._harm[m].log_evidence() for m in self._weights])

    def evidence(self, rate_per_s: float = 0.0) -> Evidence:
        """The verdict now.  ``rate_per_s``: new-side requests per second, for the forecast's seconds."""
        old, new = self._totals["old"], self._totals["new"]
        figures = {
            "log_harm": self.log_harm(), "bar_harm": log(1 / self._margins.false_alarms),
            **{f"log_safe_{m}": self._safe[m].best for m in self._weights}, "bar_safe": log(SAFE_BAR),
            "old_requests": old.requests, "old_errors": old.errors, "old_slow": old.slow,
            "new_requests": new.requests, "new_errors": new.errors, "new_slow": new.slow, "new_slow_safe": new.slow_safe,
            "delivered": new.requests / (new.requests + old.requests) if new.requests + old.requests else 0.0,
            "baked_s": self._baked_s,
        }  # fmt: skip
        if figures["log_harm"] >= figures["bar_harm"]:
            return Evidence(Verdict.FAIL, self._harm_reason(), None, figures)
        if not new.requests:
            return Evidence(Verdict.UNSURE, "no figures of both sides at this share yet; the clock stands still", None, figures)
        missing = {m: self._needed(m) for m in self._weights if self._safe[m].best < _SAFE_LOG}
        if missing:
            return Evidence(Verdict.UNSURE, self._forecast(missing, rate_per_s), None, figures)
        if self._baked_s < self._margins.bake_s:
            left = self._margins.bake_s - self._baked_s
            return Evidence(Verdict.UNSURE, f"no harm beyond the margins; baking for another {left:.0f} s", None, figures)
        return Evidence(Verdict.PASS, self._pass_reason(), None, figures)

    def _harm_reason(self) -> str:
        old, new = self._totals["old"], self._totals["new"]
        worst = max(self._weights, key=lambda m: log(self._weights[m]) + self._harm[m].log_evidence())
        bad_new, bad_old = (new.errors, old.errors) if worst == "errors" else (new.slow, old.slow)
        word = "failed" if worst == "errors" else "slow"
        against = f"{bad_old} of {old.requests} on the old side" if old.requests else f"a limit of {self._limit(worst):.2%}"
        strength, bar = exp(min(self.log_harm(), 700)), 1 / self._margins.false_alarms
        counted = f"{bad_new} of {new.requests} requests {word}, against {against}"
        return f"the new side does harm: {counted} (evidence {strength:.3g}, bar {bar:.0f})"

    def _pass_reason(self) -> str:
        next_share = self.next_share(self._share)
        errors, slower = self._margins.errors_at(next_share), f"{self._margins.slower_at(next_share):.0%} slower"
        if self._margins.fast_enough_ms:
            slower = f"{errors:.2%} more answers over {self._margins.fast_enough_ms:.0f} ms"
        by = "absolute limits from the old side's last figures" if self._share == WHOLE else "comparison of both sides"
        return f"shown at {percent(self._share)}: no more than {errors:.2%} more errors and {slower}, by {by}; baked {self._baked_s:.0f} s"

    def _needed(self, metric: str) -> float:
        """New-side requests still needed to prove this metric safe at today's figures; inf: will not be proven."""
        old, new = self._totals["old"], self._totals["new"]
        rate = self._old[metric].guess(_FIRST_GUESS[metric])
        bad = new.errors if metric == "errors" else new.slow_safe
        p_new = (bad + _PRIOR * rate) / (new.requests + _PRIOR)  # few requests say little: begin at the old side's rate
        missing = log(SAFE_BAR) - log_mean(self._safe[metric].sums)
        if self._share == WHOLE:
            limit = self._limit(metric)
            gains = [
                p_new * log_factor_absolute(1, 1, limit, q) + (1 - p_new) * log_factor_absolute(0, 1, limit, q)
                for q in safe_alternatives(limit)
            ]
        else:
            _, (_, d) = self._margins.lines(metric, self.next_share(self._share))
            gains = [_gain(p_new, rate, new.requests, old.requests, q, d) for q in safe_alternatives(rate + d)]
        best = max(gains)
        return inf if best <= 0 else (missing + log(ALTERNATIVES)) / best

    def _forecast(self, missing: dict[str, float], rate_per_s: float) -> str:
        parts = []
        for metric, needed in missing.items():
            if not isfinite(needed):
                parts.append(f"{metric} will not be proven at these figures")
            else:
                seconds = f", {needed / rate_per_s:.0f} s" if rate_per_s > 0 else ""
                parts.append(f"{metric} need about {needed:.0f} more requests on the new side{seconds}")
        return "; ".join(parts)


def _gain(p_new: float, p_old: float, n_new: int, n_old: int, q: float, d: float) -> float:
    """Expected log evidence per new-side request at these rates (the factor is linear in its counts)."""
    if not n_new or not n_old:
        return 0.0
    none = log_factor(0, n_old, 0, n_new, p_old, q, 1.0, d)
    new_bad = log_factor(0, n_old, 1, n_new, p_old, q, 1.0, d) - none
    old_bad = log_factor(1, n_old, 0, n_new, p_old, q, 1.0, d) - none
    return (none + p_new * n_new * new_bad + p_old * n_old * old_bad) / n_new


def judge(margins: Margins, plan: Sequence[int], batches: Iterable[Batch]) -> Judge:
    """Replay: the same batches give the same verdict, bit for bit."""
    judged = Judge(margins, plan)
    for batch in batches:
        judged.add(batch)
    return judged


def _sum(a: Arm, b: Arm) -> Arm:
    return Arm(a.requests + b.requests, a.errors + b.errors, a.slow + b.slow, a.slow_safe + b.slow_safe)


def _joined(before: Batch | None, batch: Batch) -> Batch:
    """A batch that lacked one side's figures is merged into the next."""
    if before is None:
        return batch
    return Batch(
        before.start, batch.seconds, batch.share, batch.step, batch.tau_ms, _sum(before.old, batch.old), _sum(before.new, batch.new)
    )


def requests_to_prove(margins: Margins, share: int, next_share: int, p_old: float = 0.001) -> float:
    """About how many faultless requests the new side must answer at this share before the step can pass on errors."""
    d = margins.errors_at(next_share)
    if share >= WHOLE:
        limit = p_old + d
        gain = max(log_factor_absolute(0, 1, limit, q) for q in safe_alternatives(limit))
    else:
        n_new, n_old = share, WHOLE - share
        gain = max(_gain(p_old, p_old, n_new, n_old, q, d) for q in safe_alternatives(p_old + d))
    return inf if gain <= 0 else (log(SAFE_BAR) + log(ALTERNATIVES)) / gain
