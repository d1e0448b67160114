"""Figures of both sides -> verdict: an e-value for the line ``p_new <= r*p_old + d``, which may be
read at any moment.

*fail*: harm is shown (evidence of at least 1/false_alarms).  *pass*: harm beyond the margin is
excluded at this step (evidence of at least 20 for every metric), by what came last as well, and the
bake time is over.  *unsure*: neither, with a forecast.  The product of the factors over batches is
a test martingale under the null line, so Ville's inequality bounds false alarms whatever the number
of looks (after Turner, Ly and Grünwald, arXiv 2106.02693).  It is one where a side's requests fail
independently of each other; where they do not, evidence is divided by what the past shows of it
(``dispersion``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from math import exp, inf, isfinite, log, log1p
from operator import mul
from typing import NamedTuple

from kirikae.model.share import WHOLE
from kirikae.move.dispersion import Dispersion

ALTERNATIVES = 12
SAFE_BAR = 20.0
_SAFE_LOG = log(SAFE_BAR)
TOLERANCE_R = 1.25
TOLERANCE_D = 0.0005
TOLERANCE_SLOWER = 0.05
TOLERANCE_QUANTILE_R = 1.05
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
RESTART_S = 600.0
LONG_FROM = 900
"""From this share on the long bake stands before 100%."""
_WATCHED_AS = 250
"""While most are on the new side few are left to compare with: what was proven at the step before
is watched by the margins of this share."""
COLD_D = 0.02
"""While a side warms up, a rise of errors below two points is no harm yet."""
REJECTED_R = 1.5
WHOEVER_R = 5.0
"""Where the sides are only nearly asked alike, who asks may explain four times as many errors, and
a quarter is tolerated; more than that is harm whoever asks."""
_WHOEVER = {"errors": 0.8, "rejected": 0.2}
"""What is held to it, and its parts of that evidence.  Of times nothing is said: another mix may
well be slower for all of its requests."""
_STRONGEST = 600.0
_NOT_STAKED = 0.3
_NOT_STAKED_S = 20.0
_NOT_STAKED_SAFE = 0.02
_MOST_OF_A_MINUTE = 2.0
"""At 100% nothing tells whose a minute of trouble was: its log evidence of harm counts so far, and
only trouble that lasts for some minutes backs out."""
_FULL = 1e290
_STILL_LOG = _SAFE_LOG / 2
"""What a proof must keep of its evidence."""
_TOP_LOG = _SAFE_LOG + 3
"""More than that is not kept: a proof must not outlive what it was made of."""
_TOGETHER_S = 5.0
"""Shorter batches are judged together."""
_RARE = frozenset({"errors", "rejected", "latency"})
"""Outcomes that few answers have: of these every batch counts as it comes, where it is told that
harm may be plain before batches enough for one are there."""
_WANDER = frozenset({"latency", *QUANTILES})
_PLAIN_LEAST = 3
_PLAIN_TIMES = 2
_HOUR_S = 3600.0
_LEAST_OF_HOUR = 100
_NOT_EXCLUDED = 2.33
"""Standard deviations that one of a hundred exceeds: the old side's rate is known from so many
requests only, and a small service has few of them."""
_WANDERS_S = 600.0
_LEAST_OF_WANDERING = 2000
_LEAST_TRICKLE = 20
_WINDOWS = 48
_MOST = 1e9
WEIGHTS = {
    "errors": 0.36,
    "rejected": 0.1,
    "p50": 0.135,
    "p95": 0.18,
    "p99": 0.225,
}
"""Metrics and their parts of the evidence, where latency is compared with the old side's
quantiles."""
ABSOLUTE_WEIGHTS = {"errors": 0.54, "rejected": 0.1, "latency": 0.36}
"""The same where an answer above one fixed bound is a worse request."""
_PRIOR = 50
_FIRST_GUESS = {
    "errors": 0.001,
    "rejected": 0.01,
    "latency": 0.05,
    **{metric: 1 - quantile for metric, quantile in QUANTILES.items()},
}


class Askers(Enum):
    """How far both sides are asked alike.

    ``ALIKE``: what differs between them is the new side's.  ``NEARLY``: only so much more than who
    asks may explain is harm (``WHOEVER_R``).  ``OTHERS``: a comparison says nothing.
    """

    ALIKE = "alike"
    NEARLY = "nearly"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Margins:
    """What the user allows.

    Latency is judged in one of two ways.  ``fast_enough_ms`` > 0: an answer above it is a worse
    request, under the same allowance as an error.  Otherwise: against the old side's p50, p95 and
    p99, the new side at most ``slower`` slower (None: tighter as the share grows).

    ``long_bake_s``: the bake time of a share from 90% on, below 100%; None: that of every share.
    ``least_slower_ms``: by how much a time must differ to be another one."""

    false_alarms: float = 0.01
    worse_requests: float = 0.0005
    bake_s: float = 600.0
    slower: float | None = None
    fast_enough_ms: float = 0.0
    long_bake_s: float | None = None
    least_slower_ms: float = 5.0

    def bake_at(self, share: int) -> float:
        """The least time at this share."""
        if self.long_bake_s is None or not LONG_FROM <= share < WHOLE:
            return self.bake_s
        return self.long_bake_s

    @staticmethod
    def measured_by(share: int, next_share: int) -> int:
        """The share whose margins judge the step from ``share`` on."""
        return _WATCHED_AS if LONG_FROM <= share < WHOLE else next_share

    def errors_at(self, next_share: int) -> float:
        """The rise of the error rate that the step to ``next_share`` may bring: the allowance over
        that share."""
        return min(0.5, self.worse_requests * WHOLE / next_share)

    def slower_at(self, next_share: int) -> float:
        if self.slower is not None:
            return self.slower
        return next(
            m
            for limit, m in ((50, 0.5), (250, 0.25), (500, 0.15), (WHOLE, 0.1))
            if next_share <= limit
        )

    @property
    def weights(self) -> dict[str, float]:
        """Metrics -> their parts of the evidence (sum 1)."""
        return ABSOLUTE_WEIGHTS if self.fast_enough_ms else WEIGHTS

    def lines(
        self, metric: str, next_share: int, scaled: bool = False
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """(r, d) of the harm line and of the safe line of this metric.

        ``p50``, ``p95``, ``p99`` are answers above the old side's quantile.  ``scaled``: those of
        the new side were counted above bounds that hold the margin already (``bounds``); otherwise
        at the same bound, and it may have up to ``slower_at`` more."""
        if metric in QUANTILES:
            return (
                ((1.0, 0.0), (1.0, 0.0))
                if scaled
                else ((TOLERANCE_QUANTILE_R, TOLERANCE_D), (1.0 + self.slower_at(next_share), 0.0))
            )
        safe_r = REJECTED_R if metric == "rejected" else 1.0
        return (TOLERANCE_R, TOLERANCE_D), (safe_r, self.errors_at(next_share))

    def bounds(self, tau: float, next_share: int) -> tuple[float, float]:
        """Above which time (s) an answer of the new side counts as slow, for harm and for safety,
        where the old side's is ``tau``."""
        harm = TOLERANCE_SLOWER if self.slower is None else self.slower
        least = tau + self.least_slower_ms / 1000
        return (
            round(max(tau * (1 + harm), least), 4),
            round(max(tau * (1 + self.slower_at(next_share)), least), 4),
        )


def log_factor(
    x_old: float,
    n_old: float,
    x_new: float,
    n_new: float,
    guess: float,
    q: float,
    r: float = 1.0,
    d: float = 0.0,
) -> float:
    """One batch's log e-value against ``p_new <= r*p_old + d`` (q above the line) or its reverse (q
    below).

    ``guess`` (the old side's rate) and ``q`` (the new side's) come from the past and touch power
    only, never validity."""
    if not n_old or not n_new:
        return 0.0
    return _along(
        _slopes(
            n_old,
            n_new,
            guess,
            q,
            r,
            d,
        ),
        x_old,
        n_old,
        x_new,
        n_new,
    )


_NOTHING = (0.0, 0.0, 0.0, 0.0)


def _slopes(
    n_old: float,
    n_new: float,
    guess: float,
    q: float,
    r: float,
    d: float,
) -> tuple[float, float, float, float]:
    """What one good answer of the new and of the old side, and one bad answer of each, add to the
    log e-value."""
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
def _all_slopes(
    n_old: float,
    n_new: float,
    guess: float,
    harm: bool,
    r: float,
    d: float,
) -> list[tuple[float, float, float, float]]:
    """``_slopes`` for every alternative.  Kept: at one rate of traffic the same few batches come
    again and again."""
    line = r * guess + d
    alternatives = harm_alternatives(line) if harm else safe_alternatives(_below(line), guess)
    return [
        _slopes(
            n_old,
            n_new,
            guess,
            q,
            r,
            d,
        )
        for q in alternatives
    ]


def _below(line: float) -> float:
    return min(line, 1 - 1e-9)


def increments(
    x_old: float,
    n_old: float,
    x_new: float,
    n_new: float,
    guess: float,
    harm: bool,
    r: float,
    d: float,
) -> list[float]:
    """``log_factor`` of one batch for every alternative, of harm or of safety."""
    good_new = n_new - x_new
    good_old = n_old - x_old
    slopes = _all_slopes(
        n_old,
        n_new,
        guess,
        harm,
        r,
        d,
    )
    return [good_new * gn + good_old * go + x_new * bn + x_old * bo for gn, go, bn, bo in slopes]


def _along(
    slopes: tuple[float, float, float, float],
    x_old: float,
    n_old: float,
    x_new: float,
    n_new: float,
) -> float:
    good_new, good_old, bad_new, bad_old = slopes
    return (
        (n_new - x_new) * good_new + (n_old - x_old) * good_old + x_new * bad_new + x_old * bad_old
    )


@lru_cache(maxsize=16384)
def _factors(
    x_old: float,
    n_old: float,
    x_new: float,
    n_new: float,
    guess: float,
    r: float,
    d: float,
    phi: float,
    kept: float,
) -> list[float]:
    """What one batch multiplies evidence of harm by, for every alternative."""
    return _bounded(
        increments(
            x_old,
            n_old,
            x_new,
            n_new,
            guess,
            True,
            r,
            d,
        ),
        phi,
        kept,
    )


def _bounded(logs: Sequence[float], phi: float, kept: float) -> list[float]:
    """``kept``: the part of what is held that is not staked on the batch."""
    staked = 1 - kept
    if max(logs) < _STRONGEST:  # phi is at least 1
        return [kept + staked * exp(value / phi) for value in logs]
    return [kept + staked * exp(min(value / phi, _STRONGEST)) for value in logs]


def _kept(phi: float, seconds: float) -> float:
    """Whatever is kept back, a batch's expectation stays below 1; and trouble that both sides share
    for a minute does not take away what many calm ones have shown.

    Short batches, and evidence that is divided by much, need less of it.
    """
    return _NOT_STAKED * min(1.0, seconds / _NOT_STAKED_S, 5 / phi)


def _softened(logs: Sequence[float], phi: float) -> list[float]:
    """The same for evidence of safety at 100%: a minute of trouble can be outweighed."""
    kept = _NOT_STAKED_SAFE
    return [log(kept + (1 - kept) * exp(min(value / phi, _STRONGEST))) for value in logs]


@lru_cache(maxsize=4096)
def coarse(rate: float) -> float:
    """A guess to two digits: any guess is valid, and equal ones can be kept."""
    return float(f"{rate:.1e}")


def log_factor_absolute(x: float, n: float, limit: float, q: float) -> float:
    """The same with a fixed limit instead of an old side (at share 100% there is none left to
    compare with)."""
    if not n or not 0 < limit < 1:
        return 0.0
    b = (q - limit) / (limit * (1 - limit))
    return x * log1p(b * (1 - limit)) + (n - x) * log1p(-b * limit)


def harm_alternatives(line: float) -> list[float]:
    """Rates above the line, log-spaced from a little more to nearly all."""
    low = min(max(1.25 * line, 1e-5), (line + 1) / 2)
    high = max(0.9, 1.05 * low)
    return [
        min(low * (high / low) ** (k / (ALTERNATIVES - 1)), 1 - 1e-9) for k in range(ALTERNATIVES)
    ]


def safe_alternatives(line: float, rate: float | None = None) -> list[float]:
    """Rates below the line, from almost none to almost on it.

    Where the allowance is small beside the old side's ``rate``, this rate and one half-way to the
    line take the place of two others: without them nothing could ever be proven.
    """
    found = [line * (0.02 + 0.93 * k / (ALTERNATIVES - 1)) for k in range(ALTERNATIVES)]
    if rate is None or not found[-2] < rate < line:
        return found
    return [*found[1:-1], rate, (rate + line) / 2]


@lru_cache(maxsize=1024)
def _alike(line: float, rate: float) -> int:
    """Which of the safe alternatives is next to this rate."""
    found = safe_alternatives(line, rate)
    return min(range(ALTERNATIVES), key=lambda k: abs(found[k] - rate))


def log_mean(logs: Sequence[float]) -> float:
    return log_sum(logs) - log(len(logs))


def log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top if not isfinite(top) else top + log(sum([exp(value - top) for value in logs]))


@dataclass(slots=True)
class _Rate:
    """The old side's rate as known before the next batch, over all and in its worst hour.

    ``stretch_s``, ``least``: how long an hour is, and with how many requests at the least.
    """

    stretch_s: float = _HOUR_S
    least: float = _LEAST_OF_HOUR
    bad: float = 0
    of: float = 0
    worst: float = 0.0
    _hour_s: float = 0.0
    _hour_bad: float = 0
    _hour_of: float = 0

    def guess(self, first: float) -> float:
        return (self.bad + 0.5) / (self.of + 1) if self.of else first

    def highest(self, first: float) -> float:
        """What so few requests do not exclude."""
        rate = self.guess(first)
        if not self.of:
            return rate
        return float(rate + _NOT_EXCLUDED * (rate * (1 - rate) / self.of) ** 0.5)

    def add(self, seconds: float, bad: float, of: float) -> None:
        self.bad += bad
        self.of += of
        self._hour_s += seconds
        self._hour_bad += bad
        self._hour_of += of
        if self._hour_s >= self.stretch_s and self._hour_of >= self.least:
            self.worst = max(self.worst, (self._hour_bad + 0.5) / (self._hour_of + 1))
            self._hour_s = 0.0
            self._hour_bad = 0
            self._hour_of = 0


def _rate_of(metric: str) -> _Rate:
    """Times wander by themselves for some minutes, which an hour would hide."""
    return _Rate(_WANDERS_S, _LEAST_OF_WANDERING) if metric in _WANDER else _Rate()


@dataclass(slots=True)
class _Harm:
    """Evidence of harm for one metric, with fresh copies for harm that begins late; the total mass
    is 1.

    Copy j has mass 1/(j(j+1)) and begins at 1.  A batch multiplies every copy alike, so per
    alternative one number holds the masses of all copies times their products: a look costs the
    same after a day as at the start."""

    mass: list[float] = field(default_factory=lambda: [0.0] * ALTERNATIVES)
    started: int = 0

    def restart(self) -> None:
        self.started += 1
        fresh = 1 / (self.started * (self.started + 1))
        self.mass = [mass + fresh for mass in self.mass]

    def forget(self) -> None:
        """What was staked so far is gone; its mass is not given back."""
        self.mass = [0.0] * ALTERNATIVES

    def multiply(self, factors: Sequence[float]) -> None:
        self.mass = list(map(mul, self.mass, factors))
        if max(self.mass) > _FULL:  # proven beyond any doubt, and no number for it
            self.mass = [min(mass, _FULL) for mass in self.mass]

    def log_evidence(self) -> float:
        return self._log_of(self.mass)

    def log_evidence_with(self, factors: Sequence[float]) -> float:
        """As it would be after one more multiplication."""
        return self._log_of(list(map(mul, self.mass, factors)))

    def _log_of(self, masses: Sequence[float]) -> float:
        # copies that have not begun count as 1
        return log(1 / (self.started + 1) + min(sum(masses), _FULL) / ALTERNATIVES)


@dataclass(slots=True)
class _Safe:
    """Evidence of safety for one metric at this step.

    Proven is what reached the bar and did not lose it since.  From then on one alternative is
    watched, that the new side is as good as the old one, and its evidence grows no further than a
    little above the bar: what comes now counts, however long the step lasts.
    """

    sums: list[float] = field(default_factory=lambda: [0.0] * ALTERNATIVES)
    now: float = 0.0
    best: float = 0.0
    watched: int | None = None

    def add(self, logs: Sequence[float], phi: float, alike: int) -> None:
        """Until it is proven.  ``alike``: the alternative next to the old side's rate."""
        self.sums = [s + value / phi for s, value in zip(self.sums, logs, strict=True)]
        self.now = log_mean(self.sums)
        self.best = max(self.best, self.now)
        if self.now >= _SAFE_LOG:
            self.watched = alike
            self.now = _TOP_LOG

    def watch(self, log_of_watched: float, phi: float) -> None:
        """From then on.  What is lost must be proven anew."""
        self.now = min(self.now + log_of_watched / phi, _TOP_LOG)
        if self.now < _STILL_LOG:
            self.sums = [0.0] * ALTERNATIVES
            self.now = 0.0
            self.best = 0.0
            self.watched = None


class Outcome(NamedTuple):
    """Bad outcomes of one metric in one batch: on each side, counted for the harm line and for the
    safe line.

    ``guess``: the old side's rate as the past tells it; None: the rate over all batches so far.
    ``scaled``: the new side's were counted above wider bounds than the old side's
    (``Margins.bounds``)."""

    old_harm: float
    new_harm: float
    old_safe: float
    new_safe: float
    guess: float | None = None
    scaled: bool = False


@dataclass(slots=True)
class _Pending:
    """Batches that are judged as one: seconds one by one would cost more and show no more.  How
    many are taken together depends on their length alone."""

    cold: bool
    askers: Askers
    parts: list[_Part] = field(default_factory=list)
    rare: list[str] = field(default_factory=list)
    seconds: float = 0.0
    n_old: float = 0
    n_new: float = 0

    def fits(self, outcomes: Mapping[str, Outcome], cold: bool) -> bool:
        """Of the same metrics, and counted alike."""
        first = self.parts[0].outcomes
        if cold != self.cold or outcomes.keys() != first.keys():
            return False
        for metric, outcome in outcomes.items():
            counted = first[metric]
            if outcome.guess != counted.guess or outcome.scaled != counted.scaled:
                return False
        return True

    def add(
        self,
        seconds: float,
        n_old: float,
        n_new: float,
        outcomes: Mapping[str, Outcome],
    ) -> None:
        self.seconds += seconds
        self.n_old += n_old
        self.n_new += n_new
        if not self.parts:
            self.rare = [metric for metric in outcomes if metric in _RARE]
        self.parts.append(_Part(n_old, n_new, outcomes))

    def has_rare(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Anything bad on the new side that few answers are."""
        bad: float = 0
        for metric in self.rare:
            bad += outcomes[metric].new_harm
        return bad > 0

    @property
    def metrics(self) -> Collection[str]:
        return self.parts[0].outcomes.keys()

    def outcomes(self) -> dict[str, Outcome]:
        """All parts as one."""
        return {metric: self.outcome(metric) for metric in self.metrics}

    def by_size(self, metric: str) -> list[_OfSize]:
        """What an answer weighs depends on how many there were on each side: batches that are alike
        in this are counted as one."""
        found: dict[tuple[float, float], _OfSize] = {}
        for n_old, n_new, outcomes in self.parts:
            outcome = outcomes[metric]
            alike = found.setdefault((n_old, n_new), _OfSize())
            alike.n_old += n_old
            alike.n_new += n_new
            alike.old += outcome.old_harm
            alike.new += outcome.new_harm
        return list(found.values())

    def outcome(self, metric: str) -> Outcome:
        old: float = 0
        new: float = 0
        old_safe: float = 0
        new_safe: float = 0
        for part in self.parts:
            one = part.outcomes[metric]
            old += one[0]
            new += one[1]
            old_safe += one[2]
            new_safe += one[3]
        return Outcome(
            old,
            new,
            old_safe,
            new_safe,
            *one[4:],
        )


@dataclass(slots=True)
class _OfSize:
    """Requests of both sides, and bad ones, of batches that are as large."""

    n_old: float = 0
    n_new: float = 0
    old: float = 0
    new: float = 0


class _Part(NamedTuple):
    """One batch of those that are judged as one."""

    n_old: float
    n_new: float
    outcomes: Mapping[str, Outcome]


@dataclass(slots=True)
class Tally:
    """Counts of one metric at this step, or in a part of it."""

    n_old: float = 0
    n_new: float = 0
    bad_old: float = 0
    bad_new: float = 0
    safe_new: float = 0
    scaled: bool = False
    seconds: float = 0.0

    def add(
        self,
        seconds: float,
        n_old: float,
        n_new: float,
        outcome: Outcome,
    ) -> None:
        self.seconds += seconds
        self.n_old += n_old
        self.n_new += n_new
        self.bad_old += outcome.old_harm
        self.bad_new += outcome.new_harm
        self.safe_new += outcome.new_safe
        self.scaled = outcome.scaled

    def since(self, before: Tally) -> Tally:
        return Tally(
            self.n_old - before.n_old,
            self.n_new - before.n_new,
            self.bad_old - before.bad_old,
            self.bad_new - before.bad_new,
            self.safe_new - before.safe_new,
            self.scaled,
            self.seconds - before.seconds,
        )

    def surprise(self, rate: float) -> float:
        """How far the new side is above the old side's rate, in standard deviations."""
        n_new = self.n_new or 1
        usual = (self.bad_old + rate) / (self.n_old + 1) if self.n_old else rate
        spread = max(usual * (1 - usual), 1e-12) * (1 / n_new + 1 / (self.n_old or inf))
        return (self.bad_new / n_new - usual) / float(spread**0.5)


class Judge:
    """Feed it every batch of one attempt, oldest first; the verdict depends on nothing else.

    ``weights``: the metrics and their parts of the evidence (sum 1).  Harm is their weighted mean,
    safety needs every one."""

    def __init__(
        self, margins: Margins, plan: Sequence[int], weights: Mapping[str, float] = WEIGHTS
    ) -> None:
        self._margins = margins
        self._plan = tuple(plan)
        self._weights = dict(weights)
        self._old = {metric: _rate_of(metric) for metric in weights}
        self._harm = {metric: _Harm() for metric in weights}
        self._whoever = {metric: _Harm() for metric in _WHOEVER if metric in weights}
        self._askers = Askers.ALIKE
        self._dispersion = {metric: Dispersion(metric in _WANDER) for metric in weights}
        self._step: int | None = None
        self._share = 0
        self._begun_s = 0.0
        self.judged = 0
        """How often something was judged: unchanged, evidence is the same."""
        self._ahead: dict[str, float] = {}
        """Metric -> its log evidence of harm with what waits to be judged, where that is plain."""
        self._lines: dict[tuple[str, bool], tuple[tuple[float, float], tuple[float, float]]] = {}
        self._fresh_step()

    def _fresh_step(self) -> None:
        self._safe = {metric: _Safe() for metric in self._weights}
        self._tallies = {metric: Tally() for metric in self._weights}
        self._windows: dict[str, list[Tally]] = {metric: [] for metric in self._weights}
        self._baked_s = 0.0
        self._pending: _Pending | None = None
        for dispersion in self._dispersion.values():
            dispersion.begin_step()
        self._restart()

    def _restart(self) -> None:
        """Fresh copies, for harm that begins now."""
        self._begun_s = 0.0
        for metric, harm in self._harm.items():
            harm.restart()
            windows = self._windows[metric]
            windows.append(replace(self._tallies[metric]))
            if len(windows) > _WINDOWS:
                del windows[1]
        for harm in self._whoever.values():
            harm.restart()

    def _forget(self) -> None:
        """The sides were not asked alike until now: what was seen so far compares nothing."""
        for harm in (*self._harm.values(), *self._whoever.values()):
            harm.forget()
        self._fresh_step()

    def next_share(self, share: int) -> int:
        return next((s for s in self._plan if s > share), WHOLE)

    def measured_by(self, share: int) -> int:
        """The share whose margins hold at this one."""
        return self._margins.measured_by(share, self.next_share(share))

    def at(self, step: int, share: int) -> Judge:
        """Stand at this step: what earlier steps proved says nothing about it, even before its
        first figures come."""
        if step != self._step:
            if self._step is not None:
                self._flush()
                self._fresh_step()
            self._step = step
            self._share = share
            self._lines.clear()
        return self

    def tell(self, past: Mapping[str, float], sticky: bool) -> None:
        """What the old side's past shows of over-dispersion (``dispersion.per_request``)."""
        for metric, dispersion in self._dispersion.items():
            dispersion.tell(past.get(metric), sticky)

    def observe(
        self,
        seconds: float,
        n_old: float,
        n_new: float,
        outcomes: Mapping[str, Outcome],
        cold: bool = False,
        askers: Askers = Askers.ALIKE,
    ) -> None:
        """One batch of requests on both sides, with the outcomes of the metrics that it tells of.

        ``cold``: the new side warms up.  ``askers``: are both sides asked alike?"""
        if askers is not self._askers:
            self._askers = askers
            self._flush()
            if askers is Askers.ALIKE:
                self._forget()
        pending = self._pending
        if pending is not None and not pending.fits(outcomes, cold):
            self._flush()
            pending = None
        if pending is None:
            pending = self._pending = _Pending(cold, askers)
        pending.add(
            seconds,
            n_old,
            n_new,
            outcomes,
        )
        if pending.seconds >= _TOGETHER_S:
            self._flush()
        elif askers is Askers.ALIKE and (self._ahead or pending.has_rare(outcomes)):
            self._look_ahead(pending)

    def _look_ahead(self, pending: _Pending) -> None:
        """Plain harm does not wait until batches enough for one are there.

        It is the evidence that these batches will have then, if nothing else comes: each of them
        is counted by itself then as well, so that evidence may be read at any of them.
        """
        for metric in pending.rare:
            if metric in self._ahead or self._plain(metric, pending):
                self._dispersion[metric].expect(pending.seconds, pending.n_old, pending.n_new)
                factors = self._factors_by_part(metric, pending)
                self._ahead[metric] = self._harm[metric].log_evidence_with(factors)
                self.judged += 1

    def _plain(self, metric: str, pending: _Pending) -> bool:
        """Are so many bad that it is worth a look?"""
        if self._share == WHOLE:
            return False
        r, d = self._harm_line(metric, pending)
        bad = sum(part.outcomes[metric].new_harm for part in pending.parts)
        most = _PLAIN_TIMES * (r * self._guess(metric, pending) + d) * pending.n_new
        return bad >= _PLAIN_LEAST and bad > most

    def _guess(self, metric: str, pending: _Pending) -> float:
        """The old side's rate, as it was known before these batches."""
        told = pending.parts[0].outcomes[metric].guess
        if told is not None:
            return coarse(told)
        return coarse(self._old[metric].guess(_FIRST_GUESS.get(metric, 0.05)))

    def _harm_line(self, metric: str, pending: _Pending) -> tuple[float, float]:
        (r, d), _ = self._lines_of(metric, pending.parts[0].outcomes[metric].scaled)
        return r, max(d, COLD_D) if pending.cold else d

    def _factors_by_part(self, metric: str, pending: _Pending) -> list[float]:
        """What these batches, each counted by itself, multiply evidence of harm by."""
        guess = self._guess(metric, pending)
        r, d = self._harm_line(metric, pending)
        found = [0.0] * ALTERNATIVES
        for alike in pending.by_size(metric):
            logs = increments(
                alike.old,
                alike.n_old,
                alike.new,
                alike.n_new,
                guess,
                True,
                r,
                d,
            )
            found = [so_far + value for so_far, value in zip(found, logs, strict=True)]
        phi = self._dispersion[metric].phi
        return _bounded(found, phi, _kept(phi, max(pending.seconds, _TOGETHER_S)))

    def _flush(self) -> None:
        pending = self._pending
        self._pending = None
        if pending is None:
            return
        self.judged += 1
        looked_at = frozenset(self._ahead)
        self._ahead.clear()
        seconds = pending.seconds
        n_old = pending.n_old
        n_new = pending.n_new
        self._begun_s += seconds
        if pending.askers is Askers.ALIKE:
            self._baked_s += seconds
        if self._begun_s >= RESTART_S:
            self._restart()
        trickle = self._share == WHOLE and n_old * _LEAST_TRICKLE < n_new
        for metric, outcome in pending.outcomes().items():
            self._tallies[metric].add(
                seconds,
                n_old,
                n_new,
                outcome,
            )
            self._dispersion[metric].expect(seconds, n_old, n_new)
            if pending.askers is not Askers.ALIKE:
                self._add_whoever(metric, outcome, pending)
            elif trickle:
                self._add_alone(metric, outcome, pending)
            else:
                self._add_both(
                    metric,
                    outcome,
                    pending,
                    metric in looked_at,
                )

    def _add_whoever(self, metric: str, outcome: Outcome, pending: _Pending) -> None:
        """Evidence of harm that no other mix explains."""
        phi = self._dispersion[metric].phi
        if metric in self._whoever and pending.askers is Askers.NEARLY:
            factors = _factors(
                outcome.old_harm,
                pending.n_old,
                outcome.new_harm,
                pending.n_new,
                self._guess(metric, pending),
                WHOEVER_R,
                self._harm_line(metric, pending)[1],
                phi,
                _kept(phi, pending.seconds),
            )
            self._whoever[metric].multiply(factors)
        self._learn(metric, outcome, pending)

    def _add_alone(self, metric: str, outcome: Outcome, pending: _Pending) -> None:
        """What the new side answers where there is nothing left to compare with."""
        dispersion = self._dispersion[metric]
        seconds = pending.seconds
        self._add_absolute(
            metric,
            outcome,
            pending.n_new,
            dispersion.phi,
            seconds,
        )
        dispersion.add(
            seconds,
            0,
            0,
            pending.n_new,
            outcome.new_safe,
        )

    def _add_both(
        self,
        metric: str,
        outcome: Outcome,
        pending: _Pending,
        looked_at: bool,
    ) -> None:
        self._add_compared(
            metric,
            outcome,
            self._dispersion[metric].phi,
            pending,
            looked_at,
        )
        self._learn(metric, outcome, pending)

    def _learn(self, metric: str, outcome: Outcome, pending: _Pending) -> None:
        """What comes next is judged by this too."""
        self._dispersion[metric].add(
            pending.seconds,
            pending.n_old,
            outcome.old_harm,
            pending.n_new,
            outcome.new_harm,
        )
        self._old[metric].add(pending.seconds, outcome.old_harm, pending.n_old)

    def _add_compared(
        self,
        metric: str,
        outcome: Outcome,
        phi: float,
        pending: _Pending,
        looked_at: bool,
    ) -> None:
        n_old = pending.n_old
        n_new = pending.n_new
        guess = self._guess(metric, pending)
        old, new, old_safe, new_safe, _, scaled = outcome
        _, (safe_r, safe_d) = self._lines_of(metric, scaled)
        if looked_at:
            factors = self._factors_by_part(metric, pending)
        else:
            harm_r, harm_d = self._harm_line(metric, pending)
            factors = _factors(
                old,
                n_old,
                new,
                n_new,
                guess,
                harm_r,
                harm_d,
                phi,
                _kept(phi, pending.seconds),
            )
        self._harm[metric].multiply(factors)
        safe = self._safe[metric]
        if safe.watched is None:
            logs = increments(
                old_safe,
                n_old,
                new_safe,
                n_new,
                guess,
                False,
                safe_r,
                safe_d,
            )
            safe.add(logs, phi, _alike(_below(safe_r * guess + safe_d), guess))
        else:
            slopes = _all_slopes(
                n_old,
                n_new,
                guess,
                False,
                safe_r,
                safe_d,
            )[safe.watched]
            safe.watch(
                _along(
                    slopes,
                    old_safe,
                    n_old,
                    new_safe,
                    n_new,
                ),
                phi,
            )

    def _lines_of(
        self, metric: str, scaled: bool
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        lines = self._lines.get((metric, scaled))
        if lines is None:
            lines = self._margins.lines(metric, self.measured_by(self._share), scaled)
            self._lines[metric, scaled] = lines
        return lines

    def by_limits(self, tally: Tally) -> bool:
        """Is there too little of the old side to compare with?"""
        return self._share == WHOLE and tally.n_old * _LEAST_TRICKLE < tally.n_new

    @property
    def knows_old(self) -> bool:
        """Has the old side answered anything in this attempt?"""
        return self._old["errors"].of > 0

    def limit(self, metric: str) -> float:
        """What the new side is held to where there is no old side left to compare with: the old
        side's worst hour, and what is allowed beside it."""
        known = self._old[metric]
        return self._beside(metric, max(known.guess(_FIRST_GUESS[metric]), known.worst))

    def limit_of_harm(self, metric: str) -> float:
        """Above it the new side is harmful: the same, where the old side's rate may be as high as
        what was seen of it does not exclude."""
        known = self._old[metric]
        return self._beside(metric, max(known.highest(_FIRST_GUESS[metric]), known.worst))

    def _beside(self, metric: str, rate: float) -> float:
        """The old side's rate, and what is allowed beside it."""
        if metric in QUANTILES:
            return min(0.9, max(rate, 1e-4) * 1.5)
        if metric == "rejected":
            return min(0.9, REJECTED_R * rate + self._margins.errors_at(WHOLE))
        return min(0.9, rate + self._margins.errors_at(WHOLE))

    def _add_absolute(
        self,
        metric: str,
        outcome: Outcome,
        n: float,
        phi: float,
        seconds: float,
    ) -> None:
        limit = self.limit(metric)
        harmful = self.limit_of_harm(metric)
        bad = outcome.new_safe
        harm = [
            log_factor_absolute(
                bad,
                n,
                harmful,
                q,
            )
            for q in harm_alternatives(harmful)
        ]
        most = exp(_MOST_OF_A_MINUTE * seconds / 60)
        self._harm[metric].multiply(
            [min(factor, most) for factor in _bounded(harm, phi, _kept(phi, seconds))]
        )
        rate = self._old[metric].guess(_FIRST_GUESS[metric])
        logs = [
            log_factor_absolute(
                bad,
                n,
                limit,
                q,
            )
            for q in safe_alternatives(limit, rate)
        ]
        logs = _softened(logs, phi)
        safe = self._safe[metric]
        if safe.watched is None:
            safe.add(logs, 1.0, _alike(limit, rate))
        else:
            safe.watch(logs[safe.watched], 1.0)

    # --- reading

    def log_harm_of(self, metric: str) -> float:
        """Log evidence of harm by this metric alone."""
        ahead = self._ahead.get(metric)
        return self._harm[metric].log_evidence() if ahead is None else ahead

    def log_harm_whoever(self) -> tuple[float, str]:
        """Log evidence of errors, or 4xx, beyond what another mix of requests explains, and by
        which of them most."""
        parts = {
            metric: log(_WHOEVER[metric]) + harm.log_evidence()
            for metric, harm in self._whoever.items()
        }
        return log_sum([*parts.values()]), max(parts, key=lambda metric: parts[metric])

    def log_safe_of(self, metric: str) -> float:
        """The best log evidence of safety by this metric at this step that still holds."""
        return self._safe[metric].best

    def tally(self, metric: str) -> Tally:
        """What was counted of this metric at this step."""
        pending = self._pending
        if pending is None or metric not in pending.metrics:
            return self._tallies[metric]
        found = replace(self._tallies[metric])
        found.add(
            pending.seconds,
            pending.n_old,
            pending.n_new,
            pending.outcome(metric),
        )
        return found

    def tally_of_harm(self, metric: str) -> Tally:
        """The part of this step, up to now, in which the new side differs most: what evidence of
        harm rests on, where harm began late."""
        whole = self.tally(metric) if metric in self._ahead else self._tallies[metric]
        rate = self._old[metric].guess(_FIRST_GUESS[metric])
        parts = [whole.since(before) for before in self._windows[metric]]
        told = [part for part in parts if part.n_new] or [whole]
        return max(told, key=lambda part: part.surprise(rate))

    def dispersion(self, metric: str) -> float:
        """By how much evidence of this metric is divided now; 1: requests fail independently."""
        return self._dispersion[metric].phi

    @property
    def baked_s(self) -> float:
        """How long figures have been judged at this step."""
        return self._baked_s + (self._pending.seconds if self._pending else 0.0)

    def log_harm(self) -> float:
        return log_sum([log(self._weights[m]) + self.log_harm_of(m) for m in self._weights])

    def worst(self) -> str:
        """The metric that shows most harm."""
        return max(self._weights, key=lambda m: log(self._weights[m]) + self.log_harm_of(m))

    def needed(self, metric: str) -> float:
        """New-side requests still needed to prove this metric safe at today's figures; inf: will
        not be proven."""
        tally = self.tally(metric)
        rate = self._old[metric].guess(_FIRST_GUESS[metric])
        p_new = (tally.safe_new + _PRIOR * rate) / (
            tally.n_new + _PRIOR
        )  # few requests say little: begin at the old side's rate
        missing = _SAFE_LOG - self._safe[metric].now
        if self._share == WHOLE:
            limit = self.limit(metric)
            gains = [
                p_new
                * log_factor_absolute(
                    1,
                    1,
                    limit,
                    q,
                )
                + (1 - p_new)
                * log_factor_absolute(
                    0,
                    1,
                    limit,
                    q,
                )
                for q in safe_alternatives(limit, rate)
            ]
        else:
            _, (r, d) = self._lines_of(metric, tally.scaled)
            n_new, n_old = (
                (tally.n_new, tally.n_old)
                if tally.n_new and tally.n_old
                else (self._share, WHOLE - self._share)
            )
            gains = [
                gain(
                    p_new,
                    rate,
                    n_new,
                    n_old,
                    q,
                    r,
                    d,
                )
                for q in safe_alternatives(_below(r * rate + d), rate)
            ]
        best = max(gains) / self.dispersion(metric)
        return _within_reach((missing + log(ALTERNATIVES)) / best if best > 0 else inf)


def _within_reach(requests: float) -> float:
    """More than ever come are never."""
    return requests if requests <= _MOST else inf


def gain(
    p_new: float,
    p_old: float,
    n_new: float,
    n_old: float,
    q: float,
    r: float,
    d: float,
) -> float:
    """Expected log evidence per new-side request at these rates (the factor is linear in its
    counts)."""
    if not n_new or not n_old:
        return 0.0
    good_new, good_old, bad_new, bad_old = _slopes(
        n_old,
        n_new,
        p_old,
        q,
        r,
        d,
    )
    return (
        p_new * bad_new
        + (1 - p_new) * good_new
        + (p_old * bad_old + (1 - p_old) * good_old) * n_old / n_new
    )


def requests_to_prove(
    margins: Margins,
    share: int,
    next_share: int,
    p_old: float = 0.001,
    metric: str = "errors",
    p_new: float | None = None,
) -> float:
    """About how many requests the new side must answer at this share before the step can pass on
    this metric.

    ``p_new``: the part of its answers that counts against it, counted above the wider bound where
    the metric is a quantile; None: that of the old side."""
    p_new = p_old if p_new is None else p_new
    _, (r, d) = margins.lines(metric, margins.measured_by(share, next_share), scaled=True)
    if share >= WHOLE:
        limit = min(0.9, p_old * 1.5 if metric in QUANTILES else p_old + d)
        best = max(
            p_new
            * log_factor_absolute(
                1,
                1,
                limit,
                q,
            )
            + (1 - p_new)
            * log_factor_absolute(
                0,
                1,
                limit,
                q,
            )
            for q in safe_alternatives(limit, p_old)
        )
    else:
        line = _below(r * p_old + d)
        best = max(
            gain(
                p_new,
                p_old,
                share,
                WHOLE - share,
                q,
                r,
                d,
            )
            for q in safe_alternatives(line, p_old)
        )
    return _within_reach((_SAFE_LOG + log(ALTERNATIVES)) / best if best > 0 else inf)


def requests_to_find(margins: Margins, share: int, p_old: float, p_new: float) -> float:
    """About how many requests the new side answers until this rate of errors is shown to be harm,
    if it has it from the start.

    inf: within what is tolerated.
    """
    r, d = margins.lines("errors", WHOLE)[0]
    best = (
        max(
            gain(
                p_new,
                p_old,
                share,
                WHOLE - share,
                q,
                r,
                d,
            )
            for q in harm_alternatives(r * p_old + d)
        )
        if share < WHOLE
        else 0.0
    )
    bar = (
        log(1 / margins.false_alarms) + log(ALTERNATIVES) - log(margins.weights["errors"]) + log(2)
    )  # the first copy's mass is 1/2
    return inf if best <= 0 else bar / best
