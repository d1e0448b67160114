"""Pictures of a drill, second by second, as SVG: verdicts as bars, latencies as lines."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Record
from kirikae.drill.verdict import Verdict

WIDTH = 900
HEIGHT = 220
_LEFT = 60
_RIGHT = 10
_TOP = 26
_BOTTOM = 24
_COLOURS = {
    "ok": "#5aa469",
    "slow": "#e0a030",
    "wrong": "#9467bd",
    "lost": "#c0392b",
    "not_sent": "#999999",
    "p50": "#7f7f7f",
    "p95": "#2ca02c",
    "p99": "#1f77b4",
}
_MOST_COLUMNS = 300
_SHADE = "#f6dede"


@dataclass(frozen=True, slots=True)
class Buckets:
    """A run in steps of ``step_s``.  ``counts``: of each verdict; ``latencies``: seconds, NaN where
    nothing was answered."""

    step_s: float
    counts: dict[str, NDArray[np.float64]]
    latencies: dict[str, NDArray[np.float64]]

    @property
    def many(self) -> int:
        return len(next(iter(self.counts.values())))

    @property
    def seconds(self) -> float:
        return self.many * self.step_s


def buckets_of(record: Record, verdicts: NDArray[np.uint8]) -> Buckets:
    """By when requests were due; a second each, or more where the run is long."""
    due = (record.due - record.began_ns) / 1e9
    seconds = float(due.max(initial=0.0)) + 1e-9
    step = max(1.0, np.ceil(seconds / _MOST_COLUMNS))
    place = np.floor(due / step).astype(np.int64)
    many = int(place.max(initial=0)) + 1
    counts = {
        each.name.lower(): np.bincount(place[verdicts == each], minlength=many).astype(np.float64)
        for each in list(Verdict)[:5]
    }
    lines = {name: np.full(many, np.nan) for name in ("p50", "p95", "p99")}
    latency = record.latency_s
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(many + 1))
    for number in range(many):
        mine = latency[order[edges[number] : edges[number + 1]]]
        mine = mine[np.isfinite(mine)]
        if len(mine):
            for name in lines:
                lines[name][number] = np.percentile(mine, float(name[1:]))
    return Buckets(float(step), counts, lines)


@dataclass(frozen=True, slots=True)
class Frame:
    """``marks``: seconds and what happened then.  ``shade``: from when to when a fault was."""

    seconds: float
    most: float
    unit: str
    shade: tuple[float, float] | None = None

    def x(self, at: float) -> float:
        inside = min(max(at, 0.0), self.seconds)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * inside / max(self.seconds, 1e-9)

    def y(self, value: float) -> float:
        part = min(max(value / max(self.most, 1e-9), 0.0), 1.0)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * part

    def svg(self, title: str, names: Mapping[str, str], inside: Iterator[str]) -> str:
        """The whole picture.  ``names``: of what is drawn -> as it is told."""
        told = html.escape(title)
        parts = [*self._ground(), *inside, *_legend(names)]
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
            f'<text x="4" y="16">{told}</text>{"".join(parts)}</svg>'
        )

    def _ground(self) -> Iterator[str]:
        if self.shade is not None:
            left = self.x(self.shade[0])
            right = self.x(self.shade[1])
            yield (
                f'<rect x="{left:.1f}" y="{_TOP}" width="{max(1.5, right - left):.1f}" '
                f'height="{HEIGHT - _TOP - _BOTTOM}" fill="{_SHADE}"/>'
            )
        for part in (0.0, 0.5, 1.0):
            value = self.most * part
            y = self.y(value)
            yield (
                f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="#ddd"/><text x="4" y="{y + 4:.1f}">{value:.4g} {self.unit}</text>'
            )
        for part in (0.0, 0.25, 0.5, 0.75, 1.0):
            at = self.seconds * part
            yield f'<text x="{self.x(at) - 8:.1f}" y="{HEIGHT - 6}">{at:.0f} s</text>'


def _legend(names: Mapping[str, str]) -> Iterator[str]:
    for number, (name, told) in enumerate(names.items()):
        x = WIDTH - 90 * (len(names) - number)
        fill = f"fill:{_COLOURS[name]}"
        yield f'<text x="{x}" y="16" style="{fill}">{html.escape(told)}</text>'


def bars(
    buckets: Buckets,
    title: str,
    shade: tuple[float, float] | None,
    told: Callable[[str], str],
) -> str:
    """Requests a second by verdict, the bad ones at the bottom.  ``told``: a verdict's name, for
    whoever reads it."""
    names = [name for name, counts in buckets.counts.items() if counts.any()]
    total = sum(buckets.counts.values(), np.zeros(buckets.many)) / buckets.step_s
    frame = Frame(buckets.seconds, float(total.max(initial=1.0)), "/s", shade)

    def drawn() -> Iterator[str]:
        floor = np.zeros(buckets.many)
        for name in reversed(names):
            values = buckets.counts[name] / buckets.step_s
            yield _stack(frame, buckets.step_s, floor, floor + values, _COLOURS[name])
            floor = floor + values

    return frame.svg(title, {name: told(name) for name in names}, drawn())


def _stack(
    frame: Frame,
    step_s: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: str,
) -> str:
    """One path for all bars of a colour."""
    parts = []
    for number in np.flatnonzero(high > low).tolist():
        left = frame.x(number * step_s)
        right = frame.x((number + 1) * step_s)
        top = frame.y(float(high[number]))
        bottom = frame.y(float(low[number]))
        parts.append(f"M{left:.1f} {bottom:.1f}V{top:.1f}H{right - 0.3:.1f}V{bottom:.1f}Z")
    return f'<path d="{"".join(parts)}" fill="{colour}"/>'


def lines(buckets: Buckets, title: str, shade: tuple[float, float] | None = None) -> str:
    """p50, p95 and p99 of what was answered."""
    every = np.concatenate([values[np.isfinite(values)] for values in buckets.latencies.values()])
    most = float(every.max(initial=0.001)) * 1000
    frame = Frame(buckets.seconds, most, "ms", shade)

    def drawn() -> Iterator[str]:
        for name, values in buckets.latencies.items():
            points = [
                f"{frame.x((number + 0.5) * buckets.step_s):.1f},"
                f"{frame.y(float(values[number]) * 1000):.1f}"
                for number in np.flatnonzero(np.isfinite(values)).tolist()
            ]
            yield (
                f'<polyline fill="none" stroke="{_COLOURS[name]}" stroke-width="1.5" '
                f'points="{" ".join(points)}"/>'
            )

    return frame.svg(title, {name: name for name in buckets.latencies}, drawn())
