"""Figures of both sides as a page draws them: numbers, bars of evidence, and the road of a move.

Everything is drawn here, as SVG without style of its own: the page runs nothing and loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kirikae.console.speech import Speech
from kirikae.model.said import said
from kirikae.model.share import WHOLE
from kirikae.move.journal import Entry

Figures = Mapping[str, float]
_SAFE = "log_safe_"


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has answered.  A figure that did not come is None, never 0."""

    name: str
    requests: float | None
    errors: float | None
    rate_per_s: float | None

    @property
    def part(self) -> str:
        """Of its requests, those that failed."""
        if not self.requests or self.errors is None:
            return "–"
        return f"{self.errors / self.requests:.2%}"


def sides(figures: Figures) -> list[Side]:
    """Old, then new; none where nothing was counted (other kinds of move count otherwise)."""
    if "old_requests" not in figures and "new_requests" not in figures:
        return []
    return [
        Side(
            name,
            figures.get(f"{name}_requests"),
            figures.get(f"{name}_errors"),
            figures.get(f"{name}_rate_per_s"),
        )
        for name in ("old", "new")
    ]


@dataclass(frozen=True, slots=True)
class Bar:
    """Evidence, and what it must reach: both as powers of ten of the odds."""

    says: str
    harm: bool
    part: float

    @property
    def percent(self) -> int:
        """Rounded down: 100 only where the bar is reached."""
        return int(100 * self.part)


def bars(figures: Figures, speech: Speech) -> list[Bar]:
    """Harm first, then the proof of each metric."""
    found = []
    if "log_harm" in figures and figures.get("bar_harm", 0) > 0:
        part = _part(figures["log_harm"], figures["bar_harm"])
        found.append(
            Bar(
                speech.say(said("console.web.move.harm")),
                True,
                part,
            )
        )
    bar = figures.get("bar_safe", 0.0)
    for key, value in figures.items():
        if key.startswith(_SAFE) and bar > 0:
            metric = key.removeprefix(_SAFE)
            says = speech.say(
                said("console.web.move.safe", metric=said(f"traffic.metric.{metric}"))
            )
            found.append(
                Bar(
                    says,
                    False,
                    _part(value, bar),
                )
            )
    return found


def _part(value: float, bar: float) -> float:
    return min(max(value / bar, 0.0), 1.0)


_WIDTH = 960
_HEIGHT = 132
_LOW = 122
_HIGH = 10


@dataclass(frozen=True, slots=True)
class Road:
    """The share over time until now.  ``svg``: a line of steps; ``begin``, ``end``: Unix times."""

    svg: str
    begin: float
    end: float
    entries: int


def road(entries: Sequence[Entry], now: float) -> Road | None:
    """Nothing before there are two entries."""
    if len(entries) < 2:
        return None
    begin = entries[0].at
    whole = max(
        entries[-1].at - begin,
        now - begin,
        1.0,
    )
    points = [(_WIDTH * (each.at - begin) / whole, _y(each.move.share)) for each in entries]
    return Road(
        _drawn(entries, points),
        begin,
        begin + whole,
        len(entries),
    )


def _drawn(entries: Sequence[Entry], points: Sequence[tuple[float, float]]) -> str:
    """With a rule for each share that the plan stops at, so that a height can be read."""
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, after in pairwise(points):
        steps.append(f"H{after[0]:.1f}")
        if after[1] != before[1]:
            steps.append(f"V{after[1]:.1f}")
    line = "".join([*steps, f"H{_WIDTH}"])
    held = "".join(
        f'<path class="held" d="M{x:.1f} {y:.1f}h0"/>'
        for (x, y), entry in zip(
            points,
            entries,
            strict=True,
        )
        if entry.move.held is not None
    )
    rules = "".join(
        f'<line class="rule" x1="0" x2="{_WIDTH}" y1="{_y(share):.1f}" y2="{_y(share):.1f}"/>'
        for share in sorted({0, *entries[-1].move.plan, WHOLE})
    )
    return (
        f'<svg viewBox="-6 0 {_WIDTH + 12} {_HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{rules}'
        f'<path class="under" d="{line}V{_LOW}H0Z"/><path class="line" d="{line}"/>{held}</svg>'
    )


def _y(share: int) -> float:
    return _LOW - (_LOW - _HIGH) * share / WHOLE
