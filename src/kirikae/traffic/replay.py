"""Recorded shifts: JSON lines of both sides' counts, read for the same trial that judges a live
move, and written by one.

A line is ``{"t": start, "side": "old"|"new", "requests": n, "errors": n, "share": permille, "le":
{"0.05": n, ...}}``: ``le`` has cumulative counts of answers within so many seconds, errors
included.  Optional: ``le``, ``route``, ``dt`` (seconds, 1), ``probe_failed``, and what a move
records besides: ``step``, ``tau`` (the old side's quantiles in seconds, as they stood before the
batch), and what ``Arm.more`` and ``Batch.more`` tell.  Lines of the same ``t`` are one batch.  What
is missing, misspelt or no figure is refused: a count that is not there is not 0.  So is what would
be counted twice: a second line of the same side, route and ``t``, and periods that overlap.
"""

from __future__ import annotations

import json
import re
from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import count
from math import inf, isfinite
from operator import le
from types import MappingProxyType
from typing import IO, Any, NamedTuple, NoReturn

from kirikae.model.errors import UsageProblem
from kirikae.model.share import WHOLE
from kirikae.model.texts import shortened, text_from
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch
from kirikae.traffic.trial import Look, Trial

_KEYS = (
    "t",
    "side",
    "requests",
    "errors",
    "share",
    "le",
    "route",
    "dt",
    "probe_failed",
    "step",
    "tau",
    "rejected",
    "served",
    "healthy",
    "mix",
    "unplaced",
    "exact",
    "dispersion",
)
_NEEDED = _KEYS[:5]
_METRICS = ("errors", "rejected", "latency", *QUANTILES)
_MIX = ("per_client", "writes")
_ALWAYS = (*_NEEDED, "dt", "probe_failed")
_EXAMPLE = '{"t": .., "side": "old"|"new", "requests": .., "errors": .., "share": ..}'
_LATEST = 253402300799.0
"""The end of the year 9999: what is later is no Unix time in seconds."""
_LONGEST_S = 366 * 86400.0
_MOST = 2**53
"""Counts beyond it are no longer whole in the arithmetic of the judge."""
_ROUNDED = 0.1
"""Of a period: times and lengths are rounded by whoever writes them."""
_ROUNDING = 1 + 1e-6
_MOST_BOUNDS = 1000
_MOST_ROWS = 16
_WHOLE_ONLY = {int}
_LONGEST_LINE = 1 << 20
_NO_NUMBERS: Mapping[str, float] = MappingProxyType({})
_BOUND = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]{1,3})?")


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
            line = {key: value for key, value in line.items() if value or key in _ALWAYS}
            yield json.dumps(line | arm.more() | _of_batch(batch))


def _of_batch(batch: Batch) -> dict[str, Any]:
    """A correction stands in its place as a batch of its own."""
    return {key: value for key, value in batch.more().items() if key != "corrects"}


class More(NamedTuple):
    """What a plain line does not tell: the step, its quantiles, and what the balancer, the router
    and the past say."""

    step: int | None = None
    tau: Mapping[str, float] = _NO_NUMBERS
    unplaced: int | None = None
    exact: bool = True
    dispersion: Mapping[str, float] = _NO_NUMBERS


_NOTHING_MORE = More()


class Line(NamedTuple):
    """One side of one batch, as it was written."""

    t: float
    dt: float
    side: str
    share: int
    route: str
    counts: Arm
    more: More


def lines_in(file: IO[bytes], name: str) -> Iterator[str]:
    """The lines of an open file.  Raises UsageProblem for what is no text, or no line."""
    for number in count(1):
        raw = file.readline(_LONGEST_LINE + 1)
        if not raw:
            return
        if len(raw) > _LONGEST_LINE:
            raise UsageProblem(f"{name}:{number}: longer than a line of figures can be (1 MiB)")
        yield (raw.decode() if number > 1 and raw.isascii() else text_from(raw, name, number))


def read(lines: Iterable[str], name: str) -> Iterator[Line]:
    """Every line, checked.  Raises UsageProblem naming the file, the line and the value."""
    above = _Above()
    reader = _Reader(name)
    for number, text in enumerate(lines, 1):
        if text.isspace() or not text:
            continue
        line = reader.line_of(number, text)
        if not above.goes_on(line):
            why = above.against(line)
            if why:
                reader.refuse(why)
            above.keep(line)
        yield line


@dataclass(slots=True)
class _Above:
    """The lines that were read before, as far as the next one must fit them."""

    line: Line | None = None
    bounds: tuple[float, ...] | None = None
    """None: no line has said yet at which times it counts, if at any."""
    rejected: bool | None = None
    """Do the lines tell of 4xx?  None: no line has said."""
    latest: dict[str, Line] = field(default_factory=dict)
    """By side and route, those with requests."""

    def goes_on(self, line: Line) -> bool:
        """A plain line that is like the plain one above it, as most are: it fits, and is kept."""
        last = self.line
        if last is None or last.more is not _NOTHING_MORE or line.more is not _NOTHING_MORE:
            return False
        if line.share != last.share or line.dt != last.dt or line.t < last.t:
            return False
        if tuple(line.counts.within) != self.bounds:
            return False
        before = self.latest.get(line.side)
        if before is not None and line.t < before.t + before.dt:
            return False
        self.latest[line.side] = self.line = line
        return True

    def against(self, line: Line) -> str:
        """Why this line does not fit them; empty: it does."""
        last = self.line
        if last is not None and line.t <= last.t:
            why = self._same_time(line, last)
            if why:
                return why
        return self._told_before(line) or self._other_bounds(line) or self._other_rejected(line)

    def _told_before(self, line: Line) -> str:
        """Requests of one side and route must not be counted twice.

        Periods that a move records are those of its source, which may change.
        """
        before = self.latest.get(_of(line))
        if before is None or not before.counts.requests or not line.counts.requests:
            return ""
        if line.t == before.t:
            told = f"{line.side}, route {line.route}," if line.route else line.side
            return f"a second line of {told} at t {line.t:g}; add their counts up in one line"
        if line.more.step is not None or line.t >= before.t + before.dt * (1 - _ROUNDED):
            return ""
        return (
            f"t {line.t:g} is within the period of this side that begins at {before.t:g} and lasts "
            f"{before.dt:g} s; requests must not be counted twice"
        )

    def _other_rejected(self, line: Line) -> str:
        """4xx that one side is not asked for, or no longer, are none of it.  A move records what
        its source tells."""
        if self.rejected is None or line.more.step is not None or not line.counts.requests:
            return ""
        if (line.counts.rejected is not None) == self.rejected:
            return ""
        told = "tells of none" if self.rejected else "tells of 4xx"
        return f"rejected: this line {told}, unlike those above; give it in every line, or in none"

    @staticmethod
    def _same_time(line: Line, last: Line) -> str:
        if line.t < last.t:
            return f"t {line.t:g} is before the line above ({last.t:g}); sort the file by t"
        for key, mine, other in (
            ("share", line.share, last.share),
            ("dt", line.dt, last.dt),
            *zip(
                More._fields,
                line.more,
                last.more,
                strict=True,
            ),
        ):
            if mine != other:
                return f"{key} {mine}: the line above is of the same t and says {other}"
        return ""

    def _other_bounds(self, line: Line) -> str:
        """An answer slower than a bound that was not counted would be none.

        Where the old side's quantiles are given, the sides are asked at bounds of their own.
        """
        if self.bounds is None or line.more.tau or not line.counts.requests:
            return ""
        mine = tuple(line.counts.within)
        if mine == self.bounds or set(mine) == set(self.bounds) or self._goes_on_otherwise(line):
            return ""
        above = f"the lines above count {_told(self.bounds)}"
        return f"le counts {_told(mine)}, and {above}; give every line the same bounds"

    def _goes_on_otherwise(self, line: Line) -> bool:
        """A move that goes on with other settings counts at others: both sides, from one time
        on."""
        if line.more.step is None:
            return False
        return self.line is None or line.t > self.line.t or not line.counts.within

    def keep(self, line: Line) -> None:
        if line.counts.requests:
            self.latest[_of(line)] = line
        if line.more is not _NOTHING_MORE:
            self._keep_more(line)
        self.line = line
        if line.counts.requests and not line.more.tau:
            self.bounds = tuple(line.counts.within)
        if line.counts.requests and line.more.step is None:
            self.rejected = line.counts.rejected is not None

    def _keep_more(self, line: Line) -> None:
        begins = self.line is None or line.t > self.line.t
        if line.more.tau or (begins and line.more.step is not None):
            self.bounds = None


def _of(line: Line) -> str:
    """What a line tells of, within its time."""
    return f"{line.side} {line.route}" if line.route else line.side


def _told(bounds: Sequence[float]) -> str:
    return "at " + ", ".join(f"{bound:g}" for bound in bounds) if bounds else "no times"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number; leave a count that is not known out of the file")


_DECODE = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number).decode


_QUICKLY = json.JSONDecoder(parse_constant=_no_number).raw_decode
_NUMBERS = (int, float)
_NO_BOUNDS: dict[str, int] = {}
_LINE_ENDS = ("\n", "\r\n", "")


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        raw = _DECODE(text)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{where}: not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise UsageProblem(f"{where}: an object is needed, not {text.strip()[:60]}")
    return raw


@dataclass(slots=True)
class _Bounds:
    """Bounds as they were written -> seconds: the same few stand in every line.

    ``rows``: all of a line that was read and found right, where they rise.
    """

    known: dict[str, float] = field(default_factory=dict)
    rows: dict[tuple[str, ...], tuple[float, ...]] = field(default_factory=dict)


class _Reader:
    """Reads one line after another, and checks its values."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._bounds = _Bounds()
        self._plain: set[tuple[str, ...]] = set()
        """The keys of plain lines that were right, in their order."""
        self.raw: dict[str, Any] = {}

    @property
    def _where(self) -> str:
        return f"{self._name}:{self._number}"

    def refuse(self, why: str) -> NoReturn:
        raise UsageProblem(f"{self._where}: {why}")

    def line_of(self, number: int, text: str) -> Line:
        self._number = number
        return self._at_a_glance(text) or self._looked_at(text)

    def _looked_at(self, text: str) -> Line:
        self.raw = _object(text, self._where)
        line = self._checked()
        if self.raw.keys() <= _PLAIN and len(self._plain) < _MOST_ROWS:
            self._plain.add(tuple(self.raw))
        return line

    def _at_a_glance(self, text: str) -> Line | None:
        """A line with the keys of a plain one that was right, of which each one and the side's name
        have two quotes, so that none stands twice, and every value is right; None: look at each.  A
        day has 172,800 lines."""
        try:
            raw, end = _QUICKLY(text)
        except (ValueError, RecursionError):
            return None  # what is wrong with it is said by the careful reader
        if type(raw) is not dict or text[end:] not in _LINE_ENDS or tuple(raw) not in self._plain:
            return None
        within = raw.get("le", _NO_BOUNDS)
        if type(within) is not dict or text.count('"') != 2 * (len(raw) + len(within) + 1):
            return None
        self.raw = raw
        counts = self._plain_counts(raw["requests"], raw["errors"], within)
        return None if counts is None else self._plain_line(raw, counts)

    @staticmethod
    def _plain_line(raw: Mapping[str, Any], counts: Arm) -> Line | None:
        t = raw["t"]
        dt = raw.get("dt", 1.0)
        share = raw["share"]
        side = raw["side"]
        if type(t) not in _NUMBERS or type(dt) not in _NUMBERS or type(share) is not int:
            return None
        if side not in _SIDES or not -_LATEST <= t <= _LATEST or not 0 < dt <= _LONGEST_S:
            return None
        if not 0 <= share <= WHOLE:
            return None
        return Line(
            float(t),
            float(dt),
            side,
            share,
            "",
            counts,
            _NOTHING_MORE,
        )

    def _plain_counts(
        self,
        requests: Any,
        errors: Any,
        within: dict[str, Any],
    ) -> Arm | None:
        if type(requests) is not int or type(errors) is not int:
            return None
        if not 0 <= errors <= requests <= _MOST:
            return None
        known = self._as_before(within, requests)
        return (
            None
            if known is None
            else Arm(
                requests,
                errors,
                None,
                known,
            )
        )

    def _checked(self) -> Line:
        """Value by value: right, or refused with what is wrong."""
        raw = self.raw
        plain = raw.keys() <= _PLAIN
        if not plain and not raw.keys() <= _KNOWN:
            self._unknown()
        for key in _NEEDED:
            if key not in raw:
                self.refuse(f"{key} is missing; a line is {_EXAMPLE}")
        if raw["side"] not in _SIDES:
            self.refuse(f"side {shortened(raw['side'])}: old or new")
        return Line(
            self.time(),
            self.length(),
            raw["side"],
            self.share(),
            self.route(),
            self.arm(),
            _NOTHING_MORE if plain else self.more(),
        )

    def more(self) -> More:
        return More(
            self.step(),
            self.tau(),
            self.optional("unplaced"),
            self.exact(),
            self.numbers("dispersion", _METRICS),
        )

    def _unknown(self) -> NoReturn:
        key = next(key for key in self.raw if key not in _KNOWN)
        near = get_close_matches(key, _KEYS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(_KEYS)}"
        self.refuse(f"unknown key {shortened(key)}; {meant}")

    def count(self, key: str, value: Any) -> int:
        if type(value) is int and 0 <= value <= _MOST:
            return value
        if not _is_whole(value) or not 0 <= value <= _MOST:
            self.refuse(f"{key} {shortened(value)}: a whole number of at least 0 is needed")
        return int(value)

    def seconds(self, key: str, value: Any) -> float:
        if type(value) not in (int, float) or not abs(value) <= _LATEST:
            hint = "; is it in milliseconds?" if type(value) in (int, float) else ""
            self.refuse(f"{key} {shortened(value)}: a number of seconds is needed{hint}")
        return float(value)

    def time(self) -> float:
        return self.seconds("t", self.raw["t"])

    def length(self) -> float:
        dt = self.seconds("dt", self.raw.get("dt", 1))
        if not 0 < dt <= _LONGEST_S:
            self.refuse(f"dt {dt:g}: more than 0 seconds are needed, and at most a year's")
        return dt

    def share(self) -> int:
        share = self.raw["share"]
        if not _is_whole(share) or not 0 <= share <= WHOLE:
            self.refuse(f"share {shortened(share)}: permille, 0 to {WHOLE} (50% is 500)")
        return int(share)

    def route(self) -> str:
        route = self.raw.get("route", "")
        if not isinstance(route, str):
            self.refuse(f"route {shortened(route)}: text is needed")
        return route

    def step(self) -> int | None:
        step = self.raw.get("step")
        return None if step is None else self.count("step", step)

    def optional(self, key: str) -> int | None:
        value = self.raw.get(key)
        return None if value is None else self.count(key, value)

    def exact(self) -> bool:
        exact = self.raw.get("exact", True)
        if not isinstance(exact, bool):
            self.refuse(f"exact {shortened(exact)}: true or false")
        return exact

    def numbers(self, key: str, names: Collection[str]) -> dict[str, float]:
        raw = self.raw.get(key)
        if raw is None:
            return {}
        if not isinstance(raw, dict) or not raw.keys() <= set(names):
            self.refuse(f"{key} {shortened(raw)}: numbers by {', '.join(names)} are needed")
        return {name: self.number(f"{key} {name}", value) for name, value in raw.items()}

    def number(self, key: str, value: Any) -> float:
        if type(value) not in (int, float) or not 0 <= value <= _MOST:
            self.refuse(f"{key} {shortened(value)}: a number of at least 0 is needed")
        found: float = value  # as it was written: 3 stays whole
        return found

    def amount(self, key: str, value: Any) -> float:
        """Whole requests; where each client has one vote (``served``), parts of votes."""
        return self.number(key, value) if "served" in self.raw else self.count(key, value)

    def part(self, key: str, requests: float) -> float:
        """No more than there were requests."""
        found = self.amount(key, self.raw[key])
        if found > requests:
            self.refuse(f"{found} {key} of {requests} requests")
        return found

    def arm(self) -> Arm:
        requests = self.amount("requests", self.raw["requests"])
        arm = Arm(
            requests,
            self.part("errors", requests),
            self.optional("probe_failed"),
            self.within(requests),
            self.part("rejected", requests) if "rejected" in self.raw else None,
            self.optional("served"),
            self.optional("healthy"),
            self.numbers("mix", _MIX),
        )
        if "step" not in self.raw:  # what a move corrects later is counted once more, as bad
            self.fits_together(arm)
        return arm

    def fits_together(self, arm: Arm) -> None:
        """Each answer is of one kind, each client has one vote, and asked at least once."""
        requests = arm.requests
        if arm.rejected is not None and arm.errors + arm.rejected > requests * _ROUNDING:
            self.refuse(f"{arm.errors} errors and {arm.rejected} rejected of {requests} requests")
        if arm.asked * _ROUNDING < requests:
            self.refuse(f"served {arm.served}: fewer than the votes ({requests})")
        mix = arm.mix
        if mix.get("writes", 0) > arm.asked * _ROUNDING:
            self.refuse(f"mix writes {mix['writes']} of {arm.asked} requests")
        if mix.get("per_client", inf) * _ROUNDING < arm.asked:
            self.refuse(f"mix per_client {mix['per_client']}: at least 1 for each of the requests")

    def within(self, requests: float) -> dict[float, float]:
        """Counts by bound.  A day has millions: what is plainly right is not looked at twice."""
        raw = self.raw.get("le")
        if raw is None:
            return {}
        if not isinstance(raw, dict) or len(raw) > _MOST_BOUNDS:
            self.refuse(f'le {shortened(raw)}: counts by seconds are needed, such as {{"0.1": 48}}')
        return self._as_before(raw, requests) or self._counted(raw, requests)

    def _as_before(self, raw: dict[str, Any], requests: float) -> dict[float, float] | None:
        """The bounds of a line that was right, and whole counts that rise; None: look at it."""
        if not raw:
            return {}
        row = self._bounds.rows.get(tuple(raw))
        if row is None:
            return None
        counts = list(raw.values())
        if not _WHOLE_ONLY.issuperset(map(type, counts)) or counts != sorted(counts):
            return None
        if counts[0] < 0 or counts[-1] > requests:
            return None
        return dict(zip(row, counts))  # noqa: B905 - the row is of these bounds, and a day is long

    def _counted(self, raw: dict[str, Any], requests: float) -> dict[float, float]:
        known = self._bounds.known
        found: dict[float, float] = {}
        for bound, n in raw.items():
            if bound == "+Inf":
                continue
            at = known.get(bound) or self.bound(bound)
            found[at] = n if type(n) is int and n >= 0 else self.amount(f"le {bound}", n)
        if found and max(found.values()) > requests:
            self.refuse(f"le counts more answers than requests ({requests})")
        if len(found) + ("+Inf" in raw) < len(raw):
            self.refuse("le counts at one bound twice")
        if "tau" not in self.raw:
            self._rising(found)
        self._remember(raw, found)
        return found

    def _remember(self, raw: Mapping[str, Any], found: Mapping[float, float]) -> None:
        """The next line will most likely have the same bounds."""
        rows = self._bounds.rows
        if found and len(found) == len(raw) and _in_order(found) and len(rows) < _MOST_ROWS:
            rows[tuple(raw)] = tuple(found)

    def _rising(self, found: Mapping[float, float]) -> None:
        """Counts of a load balancer at bounds that it is asked at may waver; others are read off
        one histogram."""
        last: float = 0
        for bound in found if _in_order(found) else sorted(found):
            if found[bound] < last:
                self.refuse(f"le {bound:g} counts fewer answers than a smaller bound: {last:g}")
            last = found[bound]

    def bound(self, text: str) -> float:
        """A bound in seconds that was not met before."""
        at = float(text) if _BOUND.fullmatch(text) else inf
        if not 0 < at <= _LATEST:
            self.refuse(f"le {shortened(text)}: a bound is a number of seconds above 0")
        if len(self._bounds.known) < _MOST_BOUNDS:
            self._bounds.known[text] = at
        return at

    def tau(self) -> dict[str, float]:
        tau = self.raw.get("tau") or {}
        if not isinstance(tau, dict) or not tau.keys() <= QUANTILES.keys():
            self.refuse(f"tau {shortened(tau)}: seconds by {', '.join(QUANTILES)}")
        found = {metric: self.seconds("tau", value) for metric, value in tau.items()}
        rising = [found[metric] for metric in QUANTILES if metric in found]
        falls = rising != sorted(rising) and "step" not in self.raw
        if falls or min(rising, default=0.0) < 0:
            self.refuse(f"tau {shortened(tau)}: seconds that rise from p50 to p99")
        return found


_KNOWN = frozenset(_KEYS)
_SIDES = ("old", "new")
_PLAIN = frozenset(("t", "side", "requests", "errors", "share", "le", "dt"))


def _in_order(found: Mapping[float, float]) -> bool:
    bounds = list(found)
    return all(map(le, bounds, bounds[1:]))


def _is_whole(value: Any) -> bool:
    if type(value) is int:
        return True
    return isinstance(value, float) and isfinite(value) and value == int(value)


def batches(lines: Iterable[str], name: str) -> Iterator[Batch]:
    """Lines of the same ``t`` as one batch.  Raises UsageProblem."""
    same: list[Line] = []
    for line in read(lines, name):
        if same and line.t != same[0].t:
            yield _batch(same)
            same = []
        same.append(line)
    if same:
        yield _batch(same)


def _batch(lines: Sequence[Line]) -> Batch:
    routes: dict[str, dict[str, Arm]] = {}
    for _, _, side, _, route, counts, _ in lines:
        mine = routes.setdefault(route, {})
        mine[side] = mine[side].plus(counts) if side in mine else counts
    last = lines[-1]
    more = last.more
    return Batch(
        last.t,
        last.dt,
        last.share,
        routes,
        more.step,
        more.tau,
        None,
        more.unplaced,
        more.exact,
        more.dispersion,
    )


def looks(lines: Iterable[str], name: str, trial: Trial) -> Iterator[Look]:
    """One look per batch.  Raises UsageProblem."""
    for batch in batches(lines, name):
        yield trial.look(batch)
