"""What keeps a step from being taken, beside the judge: trouble of the old side, a share that does
not arrive, probes that fail, a ceiling of errors."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, lgamma, log
from typing import NamedTuple

from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm

WINDOW_S = 600.0
THRESHOLDS_EVERY_S = 60.0
LEAST_FOR_THRESHOLDS = 200
PROBES_IN_A_ROW = 2
INCIDENT_S = 1800.0
_INCIDENT_BATCHES = 30
_INCIDENT_LEAST = 10
_INCIDENT_TIMES = 5
_INCIDENT_PART = 0.005
_SHARE_BAND = (0.7, 1.4)
_SHARE_BAR = log(1000)
_CEILING_BATCHES = 30
_CEILING_LEAST = 20
_FLOW_BATCHES = 10


class Threshold(NamedTuple):
    """``bound``: seconds.  ``rate``: the part of the old side's answers above it."""

    bound: float
    rate: float


class Counted(NamedTuple):
    """One batch of the old side, as the window keeps it."""

    at: float
    requests: int
    within: Mapping[float, int]


class Window:
    """The old side's answers over the last ten minutes of closed batches: where thresholds come
    from."""

    def __init__(self) -> None:
        self._batches: deque[Counted] = deque()
        self._requests = 0
        self._within: dict[float, int] = {}
        self._chosen_at = -inf
        self.thresholds: dict[str, Threshold] = {}

    def choose(self, t: float) -> None:
        """Thresholds for what comes next, from what is over."""
        self._forget(t - WINDOW_S)
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
                rate = (over + 0.5) / (self._requests + 1)
                self.thresholds[metric] = Threshold(bounds[place], rate)

    def _forget(self, before: float) -> None:
        while self._batches and self._batches[0].at < before:
            gone = self._batches.popleft()
            self._requests -= gone.requests
            for bound, n in gone.within.items():
                self._within[bound] -= n

    def add(self, t: float, side: Arm) -> None:
        if not side.within:
            return
        if self._within and side.within.keys() != self._within.keys():
            self._begin_anew()
        self._batches.append(Counted(t, side.requests, side.within))
        self._requests += side.requests
        for bound, n in side.within.items():
            self._within[bound] = self._within.get(bound, 0) + n

    def _begin_anew(self) -> None:
        """Other bounds from here on."""
        self._batches.clear()
        self._requests = 0
        self._within = {}
        self.thresholds = {}


class Delivered:
    """Does the delivered share fit the commanded one?  A beta mixture against a band around it,
    since balancers round."""

    def __init__(self) -> None:
        self._new = 0
        self._old = 0
        self._share: int | None = None

    def mismatch(self, share: int | None, old: int, new: int) -> Said | None:
        if share is None or not 0 < share < WHOLE:
            return None
        if share != self._share:
            self._share = share
            self._old = 0
            self._new = 0
        self._old += old
        self._new += new
        if self._evidence(share / WHOLE) < _SHARE_BAR:
            return None
        total = self._new + self._old
        return said("traffic.mismatch", share=share, part=self._new / total, n=total)

    def _evidence(self, share: float) -> float:
        """Log evidence against the share that fits best within the band."""
        total = self._new + self._old
        arrived = self._new / total if total else share
        lowest, highest = _SHARE_BAND
        fitting = min(max(arrived, lowest * share), min(highest * share, 0.5 + share / 2))
        mixture = lgamma(1 + self._new) + lgamma(1 + self._old) - lgamma(2 + total)
        return mixture - self._new * log(fitting) - self._old * log(1 - fitting)


class Failed(NamedTuple):
    """``bad`` of ``of`` requests."""

    bad: int = 0
    of: int = 0

    def plus(self, other: Failed) -> Failed:
        return Failed(self.bad + other.bad, self.of + other.of)

    def minus(self, other: Failed) -> Failed:
        return Failed(self.bad - other.bad, self.of - other.of)


class Incident:
    """Is the old side itself in trouble, by its own past?  Then no step is taken, however alike
    both sides are.

    A part of errors five times as high as in calm times (and half a point) in the last 30 batches
    is an incident; one that lasts half an hour is how things are now.
    """

    def __init__(self) -> None:
        self._recent: deque[Failed] = deque()
        self._now = Failed()
        self._calm = Failed()
        self._since = 0.0
        self.on = False

    def told(self, t: float, old: Arm) -> Said | None:
        gone = self._push(Failed(old.errors, old.requests))
        usual = self._calm.bad / self._calm.of if self._calm.of else None
        calm = self._is_calm(usual)
        if calm:
            self._since = t
            self._calm = self._calm.plus(gone)
        lasting = not calm and t - self._since > INCIDENT_S
        if lasting or (usual is None and self._now.of >= LEAST_FOR_THRESHOLDS):
            self._calm = self._now
        self.on = not calm
        if calm:
            return None
        return said("traffic.incident", part=self._now.bad / self._now.of, n=self._now.of)

    def _push(self, batch: Failed) -> Failed:
        """Keep this batch; the one that is forgotten for it."""
        self._recent.append(batch)
        full = len(self._recent) > _INCIDENT_BATCHES
        gone = self._recent.popleft() if full else Failed()
        self._now = self._now.plus(batch).minus(gone)
        return gone

    def _is_calm(self, usual: float | None) -> bool:
        if usual is None or self._now.bad < _INCIDENT_LEAST:
            return True
        return self._now.bad <= _INCIDENT_TIMES * (usual + _INCIDENT_PART) * self._now.of


@dataclass(slots=True)
class ProbeRow:
    """Rounds of probes in a row in which the new side alone failed."""

    in_a_row: int = 0

    def observe(self, old: Arm, new: Arm, incident: bool) -> None:
        """A batch in which nobody asked leaves the row as it is."""
        if old.probe_failed is None and new.probe_failed is None:
            return
        alone = bool(new.probe_failed) and not old.probe_failed and not incident
        self.in_a_row = self.in_a_row + 1 if alone else 0

    @property
    def failed(self) -> bool:
        return self.in_a_row >= PROBES_IN_A_ROW


class Ceiling:
    """Errors of the new side over its last 30 batches, whatever the old side does.

    ``part``: the most that may fail; 1: no ceiling.
    """

    def __init__(self, part: float) -> None:
        self._part = part
        self._recent: deque[Failed] = deque(maxlen=_CEILING_BATCHES)

    def add(self, new: Arm) -> None:
        self._recent.append(Failed(new.errors, new.requests))

    def broken(self) -> Said | None:
        if self._part >= 1:
            return None
        bad = sum(each.bad for each in self._recent)
        of = sum(each.of for each in self._recent)
        if of < _CEILING_LEAST or bad <= self._part * of:
            return None
        return said("traffic.failed_ceiling", bad=bad, of=of, ceiling=self._part)


class _Flowed(NamedTuple):
    seconds: float
    old: int
    new: int


class Rates(NamedTuple):
    """Requests a second; None: not known."""

    old: float | None = None
    new: float | None = None


class Flow:
    """Requests a second over the last ten batches of a step."""

    def __init__(self) -> None:
        self._recent: deque[_Flowed] = deque(maxlen=_FLOW_BATCHES)

    def add(self, seconds: float, old: int, new: int) -> None:
        self._recent.append(_Flowed(seconds, old, new))

    def clear(self) -> None:
        self._recent.clear()

    def rates(self) -> Rates:
        seconds = sum(each.seconds for each in self._recent)
        if not seconds:
            return Rates()
        old = sum(each.old for each in self._recent)
        new = sum(each.new for each in self._recent)
        return Rates(old / seconds, new / seconds)
