"""What keeps a step from being taken, beside the judge: trouble of the old side, a share that does
not arrive, another mix on each side, probes that fail, a side without targets, a ceiling of errors.

Windows are in seconds, whatever the period of the figures; a period longer than a window is one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, lgamma, log
from typing import NamedTuple

from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.judge import QUANTILES, Askers
from kirikae.traffic.batches import Arm, Batch

WINDOW_S = 600.0
THRESHOLDS_EVERY_S = 60.0
LEAST_FOR_THRESHOLDS = 200
PROBES_IN_A_ROW = 2
ROUNDS_WITHOUT_TARGETS = 3
INCIDENT_S = 1800.0
"""A part of errors that lasts so long is how things are now."""
_INCIDENT_WINDOW_S = 60.0
_INCIDENT_LEAST = 10
_INCIDENT_TIMES = 5
_INCIDENT_PART = 0.005
_INCIDENT_UNKNOWN = 0.1
_INCIDENT_FIRST = 50
_INCIDENT_BESIDE = 3
_UNTOLD_PART = 0.1
_SHARE_BAND = (0.7, 1.4)
_LEFT_OVER = 0.1
_SHARE_BAR = log(1000)
_SHARE_S = 600.0
_SHARE_LEAST = 2000
_CEILING_S = 30.0
_CEILING_LEAST = 20
_FLOW_S = 300.0
_MIX_S = 1800.0
_MIX_LEAST = 300
_MIX_TIMES = 1.4
_MIX_FEW = 60
_MIX_TIMES_OF_FEW = 3.0
_MIX_PART = 0.2
_NEARLY_TIMES = 2.0
_ALIKE_TIMES = 1.2
_ALIKE_PART = 0.1
_OTHER_CLIENTS = "traffic.other_clients"


class Threshold(NamedTuple):
    """``bound``: seconds.  ``rate``: the part of the old side's answers above it."""

    bound: float
    rate: float


class Counted(NamedTuple):
    """The old side over about a minute, as the window keeps it.  ``within``: by bound, in their
    order."""

    at: float
    requests: float
    within: tuple[float, ...]


class Window:
    """The old side's answers over the last ten minutes of closed batches: where thresholds come
    from."""

    def __init__(self) -> None:
        self._minutes: deque[Counted] = deque()
        self._latest: list[tuple[float, ...]] = []
        self._latest_at = 0.0
        self._latest_requests: float = 0
        self._requests: float = 0
        """Of all that is kept."""
        self._bounds: tuple[float, ...] = ()
        self._chosen_at = -inf
        self.thresholds: dict[str, Threshold] = {}

    def choose(self, t: float) -> None:
        """Thresholds for what comes next, from what is over."""
        if t - self._chosen_at < THRESHOLDS_EVERY_S:
            return
        while self._minutes and self._minutes[0].at < t - WINDOW_S:
            self._requests -= self._minutes.popleft().requests
        if self._requests < LEAST_FOR_THRESHOLDS:
            return
        self._chosen_at = t
        self._close_minute()
        requests = self._requests
        within = _columns([minute.within for minute in self._minutes])
        self.thresholds = self._among(within, requests)

    def _among(self, within: Sequence[float], requests: float) -> dict[str, Threshold]:
        """The bounds next to the quantiles."""
        reached = [n / requests for n in within]
        found = {}
        for metric, quantile in QUANTILES.items():
            place = bisect_left(reached, quantile)
            if place < len(within) and reached[place] < 1:
                rate = (requests - within[place] + 0.5) / (requests + 1)
                found[metric] = Threshold(self._bounds[place], rate)
        return found

    def _close_minute(self) -> None:
        if self._latest:
            within = tuple(_columns(self._latest))
            self._minutes.append(Counted(self._latest_at, self._latest_requests, within))
            self._latest = []
            self._latest_requests = 0

    def add(self, t: float, side: Arm) -> None:
        if not side.within:
            return
        if self._latest and t - self._latest_at >= THRESHOLDS_EVERY_S:
            self._close_minute()
        bounds = tuple(side.within)
        in_order: Collection[float] = side.within.values()
        if bounds != self._bounds:
            self._meet(tuple(sorted(bounds)))
            in_order = [side.within[bound] for bound in self._bounds]
        if not self._latest:
            self._latest_at = t
        self._latest.append(tuple(in_order))
        self._latest_requests += side.requests
        self._requests += side.requests

    def _meet(self, bounds: tuple[float, ...]) -> None:
        """Other bounds from here on?"""
        if bounds == self._bounds:
            return
        self._minutes.clear()
        self._latest = []
        self._latest_requests = 0
        self._requests = 0
        self._chosen_at = -inf
        self._bounds = bounds
        self.thresholds = {}


def _columns(rows: Sequence[tuple[float, ...]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)]


class Recent:
    """What was counted in the last ``seconds``, and of more where those hold fewer than ``least``
    requests: ``bad`` of ``of``."""

    def __init__(self, seconds: float, least: float) -> None:
        self._seconds = seconds
        self._least = least
        self._kept: deque[tuple[float, float, float]] = deque()
        self.bad: float = 0
        self.of: float = 0

    def push(
        self,
        t: float,
        bad: float,
        of: float,
    ) -> tuple[float, float]:
        """Keep this batch; what is forgotten for it."""
        kept = self._kept
        kept.append((t, bad, of))
        self.bad += bad
        self.of += of
        gone_bad: float = 0
        gone_of: float = 0
        until = t - self._seconds
        while kept[0][0] <= until and self.of - kept[0][2] >= self._least:
            _, bad, of = kept.popleft()
            self.bad -= bad
            self.of -= of
            gone_bad += bad
            gone_of += of
        return gone_bad, gone_of

    def clear(self) -> None:
        self._kept.clear()
        self.bad = 0
        self.of = 0


class Delivered:
    """Does the delivered share fit the commanded one?  A beta mixture against a band around it,
    since balancers round.

    Over the last ten minutes (and 2,000 requests) of a step: a rule that was mended is forgotten
    so soon, and at once by whoever resumes.
    """

    def __init__(self) -> None:
        self._step: int | None = None
        self._share: int | None = None
        self._band = (0.0, 1.0)
        self._recent = Recent(_SHARE_S, _SHARE_LEAST)

    def mismatch(
        self,
        step: int,
        share: int | None,
        t: float,
        old: float,
        new: float,
    ) -> Said | None:
        if share is None:
            return None
        if step != self._step:
            self._step = step
            self._recent.clear()
        if share != self._share:
            self._share = share
            self._band = _band(share / WHOLE)
        self._recent.push(t, new, old + new)
        if not self._beyond_band() or self._evidence() < _SHARE_BAR:
            return None
        total = self._recent.of
        return said(
            "traffic.mismatch",
            share=share,
            part=self._recent.bad / total,
            n=round(total),
        )

    def _beyond_band(self) -> bool:
        """Within the band there is no evidence: what arrived fits itself best."""
        low, high = self._band
        total = self._recent.of
        return bool(total) and not low <= self._recent.bad / total <= high

    def _evidence(self) -> float:
        """Log evidence against the share that fits best within the band."""
        new = self._recent.bad
        total = self._recent.of
        old = total - new
        low, high = self._band
        fitting = min(max(new / total, low), high)
        mixture = lgamma(1 + new) + lgamma(1 + old) - lgamma(2 + total)
        return mixture - new * log(fitting) - old * log(1 - fitting)


def _band(share: float) -> tuple[float, float]:
    """At 0 and at 100% some connections stay where they were."""
    if share in (0, 1):
        return (0.0, _LEFT_OVER) if not share else (1 - _LEFT_OVER, 1.0)
    lowest, highest = _SHARE_BAND
    return lowest * share, min(highest * share, 0.5 + share / 2)


class Untold:
    """Metrics that this step's figures told of, and now do not, or did not for more than a tenth of
    the last ten minutes: what is proven by the rest says nothing of what was not counted."""

    def __init__(self) -> None:
        self._gaps: deque[tuple[float, float, frozenset[str]]] = deque()
        """When, for how many seconds, and which."""

    def clear(self) -> None:
        self._gaps.clear()

    def add(self, t: float, seconds: float, metrics: frozenset[str]) -> None:
        self._gaps.append((t, seconds, metrics))

    def at(self, t: float) -> set[str]:
        """As things stand after the batch that begins then."""
        gaps = self._gaps
        while gaps and gaps[0][0] <= t - WINDOW_S:
            gaps.popleft()
        if not gaps:
            return set()
        found = set(gaps[-1][2]) if gaps[-1][0] == t else set()
        silent: dict[str, float] = {}
        for _, seconds, metrics in gaps:
            for metric in metrics:
                silent[metric] = silent.get(metric, 0.0) + seconds
        return found | {m for m, seconds in silent.items() if seconds > _UNTOLD_PART * WINDOW_S}


class Incident:
    """Is there trouble that is not the new side's, by its own past?  Then no step is taken, however
    alike both sides are.

    More than five times as many errors as in calm times, and more than half a point of all, in the
    last minute is an incident; one that lasts half an hour is how things are now.  Until 200
    requests have shown what calm times are like, more than a tenth is, and calm is the best that
    the first of them showed: trouble may be among them.
    ``key``: what it says.  ``lasts_s``: after how long it is no incident any more.
    """

    def __init__(self, key: str, lasts_s: float = INCIDENT_S) -> None:
        self._key = key
        self._lasts_s = lasts_s
        self._recent = Recent(_INCIDENT_WINDOW_S, LEAST_FOR_THRESHOLDS)
        self._calm_bad: float = 0
        self._calm_of: float = 0
        self._since: float | None = None
        self._first: float | None = None
        """The part of errors that the first requests do not exclude, at their best."""
        self.on = False

    def told(
        self,
        t: float,
        bad: float,
        of: float,
    ) -> Said | None:
        gone_bad, gone_of = self._recent.push(t, bad, of)
        now = self._recent
        known = bool(self._calm_of)
        if not known and now.of >= _INCIDENT_FIRST:
            first = (now.bad + _INCIDENT_BESIDE) / now.of
            self._first = first if self._first is None else min(first, self._first)
        calm = now.bad < _INCIDENT_LEAST or now.bad <= self._most() * now.of
        if calm or self._since is None:
            self._since = t
        if calm:
            self._calm_bad += gone_bad
            self._calm_of += gone_of
        if not calm and t - self._since > self._lasts_s:
            self._calm_bad = now.bad
            self._calm_of = now.of
        elif calm and not known and now.of >= LEAST_FOR_THRESHOLDS:
            self._calm_bad = (self._first or 0.0) * now.of
            self._calm_of = now.of
        self.on = not calm
        if calm:
            return None
        return said(self._key, part=now.bad / now.of, n=round(now.of))

    def _most(self) -> float:
        """The part of errors above which it is an incident."""
        if self._calm_of:
            return max(_INCIDENT_TIMES * self._calm_bad / self._calm_of, _INCIDENT_PART)
        first = _INCIDENT_UNKNOWN if self._first is None else _INCIDENT_TIMES * self._first
        return min(first, _INCIDENT_UNKNOWN)


def balancer_incident() -> Incident:
    """Of the balancer's own answers nobody knows which side they were for, so that they may be the
    new side's for as long as they last: a person who knows why resumes the move."""
    return Incident("traffic.unplaced", inf)


@dataclass(slots=True)
class ProbeRow:
    """Rounds of probes in a row in which the new side failed, and the old one is not known to.

    ``old_asked``: the old side was asked in all of them, so that it is the new one alone.
    """

    in_a_row: int = 0
    old_asked: bool = True

    def observe(
        self,
        old: Arm,
        new: Arm,
        incident: bool,
    ) -> None:
        """A batch in which nobody asked the new side leaves the row as it is, unless the old one
        fails in it."""
        if new.probe_failed is None and not old.probe_failed:
            return
        if not new.probe_failed or old.probe_failed or incident:
            self.in_a_row = 0
            self.old_asked = True
            return
        self.in_a_row += 1
        self.old_asked = self.old_asked and old.probe_failed is not None

    @property
    def failed(self) -> bool:
        return self.in_a_row >= PROBES_IN_A_ROW


@dataclass(slots=True)
class TargetRow:
    """Rounds in a row in which the new side had no healthy target, while the old side had one."""

    in_a_row: int = 0

    def observe(self, old: Arm, new: Arm) -> None:
        """A batch in which nobody looked leaves the row as it is."""
        if new.healthy is None:
            return
        gone = new.healthy == 0 and bool(old.healthy)
        self.in_a_row = self.in_a_row + 1 if gone else 0

    @property
    def failed(self) -> bool:
        return self.in_a_row >= ROUNDS_WITHOUT_TARGETS


class Mix:
    """Are both sides asked the same kinds of requests?  Where they are not, a comparison says
    nothing: it is a reason to hold, and no harm is told of it.

    Three things are looked at, over the last half hour of a step: how often whoever asks does so
    (bots on one side; heavy users that stick to the other), the part of requests that change
    something, and the parts of the routes.  They are shown by access logs, and by files.  What
    differed has to be alike, and not only a little less different, before it is compared again:
    one half hour of many is near the limit by chance.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[float, dict[str, _Asked]]] = deque()
        self._sums = {side: _Asked() for side in ("old", "new")}
        self._found: Said | None = None
        self._sure = False
        """Found by requests enough to tell."""
        self.askers = Askers.ALIKE
        """How far both sides are asked alike, as the judge needs to know it."""

    def clear(self) -> None:
        self._recent.clear()
        self._sums = {side: _Asked() for side in ("old", "new")}
        self._found = None
        self._sure = False
        self.askers = Askers.ALIKE

    def add(self, batch: Batch) -> None:
        tells = _tells_mix(batch)
        if len(batch.routes) < 2 and not tells:
            return
        asked = {side: _asked(batch, side, tells) for side in self._sums}
        self._recent.append((batch.start, asked))
        self._change(asked, 1)
        while self._recent[0][0] <= batch.start - _MIX_S:
            self._change(self._recent.popleft()[1], -1)
        self._look()

    def _change(self, asked: Mapping[str, _Asked], sign: int) -> None:
        for side, counted in asked.items():
            self._sums[side].change(counted, sign)

    def differs(self) -> Said | None:
        """After the last batch."""
        return self._found

    def seems_to_differ(self) -> bool:
        """Those who asked are not alike: too few to know, or by less than what holds a step."""
        times = _MIX_TIMES if self._fewer < _MIX_LEAST else _ALIKE_TIMES
        return self._other_askers(times) is not None

    @property
    def _fewer(self) -> float:
        return min(side.requests for side in self._sums.values())

    def _look(self) -> None:
        fewer = self._fewer
        if fewer < _MIX_FEW:
            self._found = self._found if self._sure else None
        elif self._sure:
            self._found = self._differs_by(_ALIKE_TIMES, _ALIKE_PART)
        elif fewer < _MIX_LEAST:
            self._found = self._other_askers(_MIX_TIMES_OF_FEW)
        else:
            self._found = self._differs_by(_MIX_TIMES, _MIX_PART)
        self._sure = self._found is not None and (self._sure or fewer >= _MIX_LEAST)
        self.askers = self._how_far()

    def _how_far(self) -> Askers:
        if self._found is None:
            return Askers.ALIKE
        by_askers = self._found.key == _OTHER_CLIENTS
        nearly = by_askers and self._other_askers(_NEARLY_TIMES) is None
        return Askers.NEARLY if nearly else Askers.OTHERS

    def _differs_by(self, times: float, part: float) -> Said | None:
        return self._other_methods(part) or self._other_routes(part) or self._other_askers(times)

    def _other_askers(self, times: float) -> Said | None:
        old, new = (side.part("per_client") for side in self._sums.values())
        if not old or not new or 1 / times <= new / old <= times:
            return None
        return said(_OTHER_CLIENTS, old=old, new=new)

    def _other_methods(self, most: float) -> Said | None:
        old, new = self._sums.values()
        parts = old.part("writes"), new.part("writes")
        told = "writes" in old.mix and "writes" in new.mix
        if not told or abs(parts[1] - parts[0]) <= most:
            return None
        return said("traffic.other_methods", old=parts[0], new=parts[1])

    def _other_routes(self, most: float) -> Said | None:
        old, new = self._sums.values()
        for route in sorted(old.routes.keys() | new.routes.keys(), reverse=True):
            parts = [side.routes.get(route, 0) / side.requests for side in (old, new)]
            if abs(parts[1] - parts[0]) > most:
                name = route or said("traffic.the_rest")
                return said(
                    "traffic.other_routes",
                    route=name,
                    old=parts[0],
                    new=parts[1],
                )
        return None


def _tells_mix(batch: Batch) -> bool:
    """Of every request: what one side alone tells cannot be compared."""
    for sides in batch.routes.values():
        for arm in sides.values():
            if arm.requests and not arm.mix:
                return False
    return True


@dataclass(slots=True)
class _Asked:
    """What one side was asked: requests in all, by route, and sums of what is told of them.

    ``told``: of so many requests.
    """

    requests: float = 0
    told: float = 0
    mix: dict[str, float] = field(default_factory=dict)
    routes: dict[str, float] = field(default_factory=dict)

    def change(self, other: _Asked, sign: int) -> None:
        self.requests += sign * other.requests
        self.told += sign * other.told
        for mine, its in (
            (self.mix, other.mix),
            (self.routes, other.routes),
        ):
            for key, value in its.items():
                mine[key] = mine.get(key, 0) + sign * value

    def part(self, key: str) -> float:
        return self.mix.get(key, 0) / self.told if self.told else 0.0


def _asked(batch: Batch, side: str, tells: bool) -> _Asked:
    """``tells``: is the mix known of both sides?"""
    found = _Asked()
    for route, sides in batch.routes.items():
        arm = sides.get(side)
        if arm is not None:
            mix = dict(arm.mix) if tells else {}
            told = arm.asked if tells else 0
            found.change(
                _Asked(
                    arm.asked,
                    told,
                    mix,
                    {route: arm.asked},
                ),
                1,
            )
    return found


class Ceiling:
    """Errors of the new side in the last half minute, whatever the old side does.

    ``part``: the most that may fail; 1: no ceiling.
    """

    def __init__(self, part: float) -> None:
        self._part = part
        self._recent = Recent(_CEILING_S, _CEILING_LEAST)

    def add(self, t: float, new: Arm) -> None:
        if self._part < 1:
            self._recent.push(t, new.errors, new.requests)

    def broken(self) -> Said | None:
        bad = self._recent.bad
        of = self._recent.of
        if of < _CEILING_LEAST or bad <= self._part * of:
            return None
        return said(
            "traffic.failed_ceiling",
            bad=round(bad),
            of=round(of),
            ceiling=self._part,
        )


class Rates(NamedTuple):
    """Requests a second; None: not known."""

    old: float | None = None
    new: float | None = None


class Flow:
    """Requests a second over the last five minutes of a step."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float, float]] = deque()
        """Seconds, and requests of the old and of the new side."""
        self._seconds = 0.0
        self._old: float = 0
        self._new: float = 0

    def add(
        self,
        seconds: float,
        old: float,
        new: float,
    ) -> None:
        recent = self._recent
        recent.append((seconds, old, new))
        self._seconds += seconds
        self._old += old
        self._new += new
        while self._seconds - recent[0][0] >= _FLOW_S:
            gone_s, gone_old, gone_new = recent.popleft()
            self._seconds -= gone_s
            self._old -= gone_old
            self._new -= gone_new

    def clear(self) -> None:
        self._recent.clear()
        self._seconds = 0.0
        self._old = 0
        self._new = 0

    def rates(self) -> Rates:
        if not self._recent:
            return Rates()
        return Rates(self._old / self._seconds, self._new / self._seconds)
