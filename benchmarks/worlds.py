"""Traffic as services have it, minute by minute: requests that fail together, sides that wobble,
users who are not alike.

A ``World`` is drawn by its seed alone.  It is asked for one minute at a time and told where the
ladder stands, so that every tool meets the same sessions, outages, nights and wobbles, and its own
share decides who meets them on which side.  Times are lognormal around a median.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple, Protocol

from tests.simulation import SIGMA, poisson

from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES

MINUTE_S = 60
DAY = 1440
_NORMAL = NormalDist()
_SMALL = 25.0
_LARGE = 400.0


def binomial(rng: random.Random, n: int, p: float) -> int:
    """Exact below a variance of 400: counted by the gaps between successes, or split at a middle
    order statistic until few are left (Devroye, Non-Uniform Random Variate Generation, X.4)."""
    if n <= 0 or p <= 0:
        return 0
    if p > 0.5:
        return n - binomial(rng, n, 1 - p) if p < 1 else n
    if n * p * (1 - p) > _LARGE:
        return min(n, max(0, round(rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if n * p < _SMALL:
        return _by_gaps(rng, n, p)
    middle = 1 + n // 2
    at = rng.betavariate(middle, n + 1 - middle)
    if at >= p:
        return binomial(rng, middle - 1, p / at)
    return middle + binomial(rng, n - middle, (p - at) / (1 - at))


def _by_gaps(rng: random.Random, n: int, p: float) -> int:
    scale = math.log1p(-p)
    found = 0
    at = 0
    while True:
        at += int(math.log(1 - rng.random()) / scale) + 1
        if at > n:
            return found
        found += 1


class Stand(NamedTuple):
    """Where the ladder stands: the share (permille), and for how many minutes."""

    share: int
    minutes: int


class Change(NamedTuple):
    """What is different from usual: errors and times by a factor or by something more, and the
    part of the requests that hang until the balancer gives up (504, no time of an answer)."""

    errors: float = 1.0
    more_errors: float = 0.0
    times: float = 1.0
    more_s: float = 0.0
    hung: float = 0.0

    def failing(self, usual: float) -> float:
        return min(1.0, usual * self.errors + self.more_errors)


USUAL = Change()


class Times(NamedTuple):
    """``n`` answers around a median, all later by ``more_s``."""

    n: int
    median_s: float
    more_s: float = 0.0

    def within(self, bound: float) -> float:
        beyond = bound - self.more_s
        if beyond <= 0:
            return 0.0
        return _NORMAL.cdf(math.log(beyond / self.median_s) / SIGMA)


@dataclass
class Answers:
    """One side in one minute.

    ``errors``: as figures count them, hung requests among them.  ``hung``: those have no time.
    ``mix``: of what kind the requests were, as an access log shows it.
    """

    requests: int
    errors: int
    hung: int
    kinds: tuple[Times, ...]
    seed: str
    mix: Mapping[str, float] = field(default_factory=dict)

    @property
    def timed(self) -> int:
        return self.requests - self.hung

    def _part(self, bound: float) -> float:
        """The part of the answers that comes within a bound, as the truth is."""
        of = sum(kind.n for kind in self.kinds)
        return sum(kind.n * kind.within(bound) for kind in self.kinds) / of if of else 0.0

    @cached_property
    def _quantile_ranks(self) -> dict[str, tuple[int, float]]:
        """Metric -> its answer's rank, and where it lies between 0 and 1: drawn as order
        statistics."""
        rng = random.Random(self.seed)
        found = {}
        below = 0
        at = 0.0
        for metric, quantile in QUANTILES.items():
            rank = max(below + 1, math.ceil(quantile * self.timed))
            if rank > self.timed:
                break
            at += (1 - at) * rng.betavariate(rank - below, self.timed + 1 - rank)
            found[metric] = (rank, at)
            below = rank
        return found

    def quantiles(self) -> dict[str, float]:
        """p50, p95 and p99 of this minute's answers, in seconds."""
        return {metric: self._time_at(at) for metric, (_, at) in self._quantile_ranks.items()}

    def _time_at(self, part: float) -> float:
        if len(self.kinds) == 1:
            kind = self.kinds[0]
            return kind.more_s + kind.median_s * math.exp(SIGMA * _NORMAL.inv_cdf(part))
        low = 1e-5
        high = 1e3
        for _ in range(40):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._part(middle) < part else (low, middle)
        return high

    def within(self, bounds: Iterable[float]) -> dict[float, int]:
        """Answers within each bound, in accord with ``quantiles``."""
        rng = random.Random(f"{self.seed}/within")
        anchors = [*self._quantile_ranks.values(), (self.timed + 1, 1.0)]
        below = 0
        at = 0.0
        found = {}
        for bound in sorted(bounds):
            part = self._part(bound)
            while anchors[0][1] <= part < 1:
                below, at = anchors.pop(0)
            rank, up_to = anchors[0]
            inside = (part - at) / (up_to - at) if up_to > at else 1.0
            below += binomial(rng, rank - 1 - below, min(1.0, inside))
            at = max(at, part)
            found[bound] = below
        return found


class Minute(NamedTuple):
    old: Answers
    new: Answers


# --- who asks, and who goes where

Goes = Callable[[int], float]
"""The share (permille) -> the part of these users' requests that the new side answers."""


def by_weight(share: int) -> float:
    return share / WHOLE


def stays_on_old(share: int) -> float:
    """Sticky until nobody is left there."""
    return 1.0 if share == WHOLE else 0.0


def old_only(_: int) -> float:
    return 0.0


def new_only(share: int) -> float:
    return 1.0 if share else 0.0


class Users(NamedTuple):
    """Requests of one kind, each routed by itself.

    ``each``: how many a minute one client sends.
    """

    per_s: float = 100.0
    failing: float = 0.001
    times: float = 1.0
    goes: Goes = by_weight
    each: float = 6.0


class Sent(NamedTuple):
    """Requests of one kind on one side, and how many of them failed together."""

    n: int
    failing: float = 0.0
    failed: int = 0
    times: float = 1.0
    each: float = 6.0


class Rates(NamedTuple):
    """What the two sides change this minute."""

    old: Change
    new: Change


class Asking(Protocol):
    """How requests come, and which side answers them."""

    def sent(self, seed: str, t: int, share: int, rates: Rates) -> tuple[list[Sent], list[Sent]]:
        """Requests on the old side, and on the new one."""


@dataclass(frozen=True)
class Alone:
    """Each request fails or not by itself."""

    users: tuple[Users, ...] = (Users(),)

    def sent(self, seed: str, t: int, share: int, rates: Rates) -> tuple[list[Sent], list[Sent]]:
        rng = random.Random(f"{seed}/{t}/{share}/alone")
        old = []
        new = []
        for users in self.users:
            part = users.goes(share)
            mean = users.per_s * MINUTE_S
            n_old = poisson(rng, mean * (1 - part))
            n_new = poisson(rng, mean * part)
            usual = Sent(0, times=users.times, each=users.each)
            p_old = rates.old.failing(users.failing)
            p_new = rates.new.failing(users.failing)
            old.append(usual._replace(n=n_old, failing=p_old))
            new.append(usual._replace(n=n_new, failing=p_new))
        return old, new


_MARKED = 0.05


class Session(NamedTuple):
    """A session with something about it: it goes to the new side below ``place``, and fails as a
    whole where more than ``luck`` of the sessions do."""

    place: float
    luck: float


class Sessions:
    """Fifty requests within five minutes, all or none of which fail.

    ``sticky``: a cookie keeps a session on one side; otherwise every request is routed by itself.
    """

    minutes = 5
    each_minute = 10

    def __init__(self, per_s: float = 100.0, failing: float = 0.001, sticky: bool = True) -> None:
        self.per_s = per_s
        self.failing = failing
        self.sticky = sticky

    def sent(self, seed: str, t: int, share: int, rates: Rates) -> tuple[list[Sent], list[Sent]]:
        p_old = rates.old.failing(self.failing)
        p_new = rates.new.failing(self.failing)
        rng = random.Random(f"{seed}/{t}/{share}/sessions")
        n = [0, 0]
        failed = [0, 0]
        for began in range(t - self.minutes + 1, t + 1):
            plain, marked = self._begun(seed, began)
            placed = self._new_of(rng, random.Random(f"{seed}/{began}/{share}"), plain, share)
            n[0] += self.each_minute * plain - placed
            n[1] += placed
            for session in marked:
                of_new = self._marked_new(rng, session, share)
                n[0] += self.each_minute - of_new
                n[1] += of_new
                failed[0] += (self.each_minute - of_new) * (session.luck < p_old)
                failed[1] += of_new * (session.luck < p_new)
        return [Sent(n[0], 0.0, failed[0])], [Sent(n[1], 0.0, failed[1])]

    def _begun(self, seed: str, began: int) -> tuple[int, list[Session]]:
        """Sessions that begin in a minute: those that can never fail, and the others."""
        rng = random.Random(f"{seed}/{began}/begun")
        n = poisson(rng, self.per_s * MINUTE_S / (self.minutes * self.each_minute))
        marked = binomial(rng, n, _MARKED)
        each = [Session(rng.random(), _MARKED * rng.random()) for _ in range(marked)]
        return n - marked, each

    def _new_of(self, rng: random.Random, kept: random.Random, n: int, share: int) -> int:
        """How many requests of so many sessions the new side answers in a minute."""
        if self.sticky:
            return self.each_minute * binomial(kept, n, share / WHOLE)
        return binomial(rng, self.each_minute * n, share / WHOLE)

    def _marked_new(self, rng: random.Random, session: Session, share: int) -> int:
        if self.sticky:
            return self.each_minute * (session.place < share / WHOLE)
        return binomial(rng, self.each_minute, share / WHOLE)


class Retries:
    """What fails is asked again up to three times, each time routed by weight; it fails again
    wherever such requests fail."""

    def __init__(self, per_s: float = 100.0, failing: float = 0.001, again: int = 3) -> None:
        self.per_s = per_s
        self.failing = failing
        self.again = again

    def sent(self, seed: str, t: int, share: int, rates: Rates) -> tuple[list[Sent], list[Sent]]:
        rng = random.Random(f"{seed}/{t}/{share}/retries")
        parts = (rates.old.failing(self.failing), rates.new.failing(self.failing))
        worst = max(parts)
        asked = poisson(rng, self.per_s * MINUTE_S)
        marked = binomial(rng, asked, worst)
        n = [0, 0]
        failed = [0, 0]
        n[1] = binomial(rng, asked - marked, share / WHOLE)
        n[0] = asked - marked - n[1]
        for _ in range(marked):
            luck = worst * rng.random()
            for _ in range(1 + self.again):
                side = int(rng.random() < share / WHOLE)
                n[side] += 1
                if luck >= parts[side]:
                    break
                failed[side] += 1
        return [Sent(n[0], 0.0, failed[0])], [Sent(n[1], 0.0, failed[1])]


# --- what happens to the sides


class Outages(NamedTuple):
    """So many targets on each side; each fails as a whole for ten seconds, once in so many
    seconds."""

    old: int
    new: int
    old_every_s: float = 7200.0
    new_every_s: float = 7200.0
    lasts_s: float = 10.0


class _Down:
    """How many target-seconds of a side are lost in each minute."""

    def __init__(self, seed: str, targets: int, every_s: float, lasts_s: float) -> None:
        self._rng = random.Random(seed)
        self._targets = targets
        self._gap = every_s / targets
        self._lasts_s = lasts_s
        self._next = self._rng.expovariate(1 / self._gap)
        self._lost: dict[int, float] = {}

    def part(self, t: int) -> float:
        """The part of the side's requests that a broken target gets in minute ``t``."""
        while self._next < (t + 1) * MINUTE_S:
            self._lose(self._next, self._next + self._lasts_s)
            self._next += self._rng.expovariate(1 / self._gap)
        return min(1.0, self._lost.get(t, 0.0) / MINUTE_S / self._targets)

    def _lose(self, start: float, end: float) -> None:
        while start < end:
            minute = int(start // MINUTE_S)
            until = min(end, (minute + 1) * MINUTE_S)
            self._lost[minute] = self._lost.get(minute, 0.0) + until - start
            start = until


class _Wobble:
    """A factor on a side's times that wanders by itself: AR(1), 0.8 a minute."""

    keeps = 0.8

    def __init__(self, seed: str, spread: float) -> None:
        self._rng = random.Random(seed)
        self._spread = spread
        self._now = self._rng.gauss(0, spread)
        self._known: list[float] = []

    def at(self, t: int) -> float:
        fresh = self._spread * math.sqrt(1 - self.keeps**2)
        while len(self._known) <= t:
            self._now = self.keeps * self._now + self._rng.gauss(0, fresh)
            self._known.append(math.exp(self._now))
        return self._known[t]


Changing = Callable[[int, Stand], Change]
"""Minute of the day, and where the ladder stands -> what is different."""


def usual(_: int, __: Stand) -> Change:
    return USUAL


def always(change: Change) -> Changing:
    return lambda _, __: change


def from_share(share: int, change: Change) -> Changing:
    return lambda _, stand: change if stand.share >= share else USUAL


def first_minutes(minutes: int, change: Change) -> Changing:
    """After each step."""
    return lambda _, stand: change if stand.minutes < minutes else USUAL


def by_night(change: Change, hours: int = 8) -> Changing:
    return lambda t, _: change if t % DAY < hours * 60 else USUAL


def one_minute_at_whole(change: Change, minute: int = 5) -> Changing:
    return lambda _, stand: change if stand == Stand(WHOLE, minute) else USUAL


def each_minutes(every: int, change: Change) -> Changing:
    return lambda t, _: change if t % every == 0 else USUAL


@dataclass(frozen=True)
class Traffic:
    """What there is to know about a service.

    ``new``: what the new side changes.  ``both``: what happens to both sides alike.
    ``wobble``: by how much each side's median wanders by itself.
    """

    asking: Asking = field(default_factory=Alone)
    new: Changing = usual
    both: Changing = usual
    wobble: float = 0.0
    outages: Outages | None = None
    median_s: float = 0.1


class World:
    """Minutes of one traffic, by seed."""

    def __init__(self, seed: str, traffic: Traffic) -> None:
        self._seed = seed
        self._traffic = traffic
        self._begins = random.Random(f"{seed}/begins").randrange(DAY)
        wobbling = {side: _Wobble(f"{seed}/{side}", traffic.wobble) for side in ("old", "new")}
        self._wobble: Mapping[str, _Wobble] = wobbling if traffic.wobble else {}
        self._down: dict[str, _Down] = {}
        out = traffic.outages
        if out is not None:
            old = _Down(f"{seed}/down/old", out.old, out.old_every_s, out.lasts_s)
            new = _Down(f"{seed}/down/new", out.new, out.new_every_s, out.lasts_s)
            self._down = {"old": old, "new": new}

    def minute(self, t: int, stand: Stand) -> Minute:
        of_day = self._begins + t
        both = self._traffic.both(of_day, stand)
        new = self._traffic.new(of_day, stand)
        rates = Rates(both, _and(both, new))
        sent_old, sent_new = self._traffic.asking.sent(self._seed, t, stand.share, rates)
        return Minute(
            self._answers("old", t, stand, sent_old, rates.old),
            self._answers("new", t, stand, sent_new, rates.new),
        )

    def _answers(
        self, side: str, t: int, stand: Stand, sent: list[Sent], change: Change
    ) -> Answers:
        seed = f"{self._seed}/{t}/{stand.share}/{side}"
        rng = random.Random(seed)
        down = self._down[side].part(t) if side in self._down else 0.0
        wobble = self._wobble[side].at(t) if side in self._wobble else 1.0
        requests = sum(each.n for each in sent)
        failed = sum(_failed(rng, each, down) for each in sent)
        hung = binomial(rng, requests - failed, change.hung)
        median_s = self._traffic.median_s * change.times * wobble
        kinds = [Times(each.n, median_s * each.times, change.more_s) for each in sent if each.n]
        mix = {"per_client": sum(each.n * each.each for each in sent), "writes": 0.0}
        return Answers(requests, failed + hung, hung, tuple(kinds), seed, mix)


def _failed(rng: random.Random, sent: Sent, down: float) -> int:
    alone = 1 - (1 - sent.failing) * (1 - down)
    return sent.failed + binomial(rng, sent.n - sent.failed, alone)


def _and(one: Change, other: Change) -> Change:
    return Change(
        one.errors * other.errors,
        one.more_errors + other.more_errors,
        one.times * other.times,
        one.more_s + other.more_s,
        max(one.hung, other.hung),
    )


def minutes(world: World, share: int) -> Iterator[Minute]:
    """For ever, at one share."""
    t = 0
    while True:
        yield world.minute(t, Stand(share, t))
        t += 1
