"""The picture of a recorded shift: one page without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log, log10

from kirikae.console.speech import Speech
from kirikae.model.evidence import Verdict
from kirikae.model.said import said
from kirikae.model.share import percent
from kirikae.move.judge import SAFE_BAR, Margins
from kirikae.traffic.trial import Look

_LN10 = log(10)
_ROWS = 100
_COLOURS = {
    "harm": "#c0392b",
    "errors": "#1f77b4",
    "rejected": "#ff7f0e",
    "latency": "#2ca02c",
    "p50": "#7f7f7f",
    "p95": "#2ca02c",
    "p99": "#9467bd",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;color:#222}
svg{width:100%;height:auto} text{font:12px system-ui,sans-serif;fill:#444} .v{font-size:1.4em}
.fail{color:#c0392b} .pass{color:#217a3c} .unsure{color:#8a6d00}
td{padding:.1em .8em .1em 0;vertical-align:top}
"""


def at(t: float) -> str:
    """Unix times as times of day (UTC); small numbers as they are."""
    return datetime.fromtimestamp(t, UTC).strftime("%d %H:%M:%S") if t > 1e8 else f"{t:g}"


def chart(points: Sequence[Look], name: str, margins: Margins, speech: Speech) -> str:
    """Evidence of harm and of safety over time, and when the verdict changed."""

    def say(key: str, **blanks: object) -> str:
        """A sentence of the picture in the reader's language."""
        return speech.say(said(f"console.chart.{key}", **blanks))

    if not points:
        nothing = f'<p class="v unsure">{say("no_figures")}</p>'
        return _page(speech.language, name, nothing)
    last = points[-1]
    harm = _Frame(points, {"harm": "harm"}, -log10(margins.false_alarms))
    safe = _Frame(points, {m: f"safe_{m}" for m in margins.weights}, log10(SAFE_BAR))
    body = [
        f'<p class="v {last.verdict}">{_verdict(last, speech)}</p>',
        f"<p>{_exposed(points, speech)} {say('how_to_read')}</p>",
        harm.svg(say("harm")),
        safe.svg(say("safe")),
        f"<h2>{say('changes')}</h2>",
        f"<table>{_rows(points, speech)}</table>",
    ]
    return _page(speech.language, name, "\n".join(body))


def _page(language: str, name: str, body: str) -> str:
    """A whole page: style and pictures stand in it, and nothing is loaded from elsewhere."""
    title = html.escape(name)
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n{body}\n</html>\n"
    )


def _verdict(look: Look, speech: Speech) -> str:
    """The last word of the record, and why."""
    reason = html.escape(speech.say(look.reason))
    return f"{look.verdict}: {reason}"


def _exposed(points: Sequence[Look], speech: Speech) -> str:
    """How many requests the new side had answered, and how many of them before the first fail."""
    first = next((look for look in points if look.verdict is Verdict.FAIL), None)
    if first is None:
        return speech.say(said("console.chart.exposed", n=points[-1].exposed))
    key = "console.chart.exposed_until"
    return speech.say(said(key, n=points[-1].exposed, first=first.exposed, at=at(first.t)))


def _rows(points: Sequence[Look], speech: Speech) -> str:
    """The changes of the verdict only: a day has too many looks for a table."""
    changes = [points[0]]
    changes += [after for before, after in pairwise(points) if before.verdict is not after.verdict]
    return "".join(
        f"<tr><td>{at(look.t)}</td><td class={look.verdict}>{look.verdict}</td>"
        f"<td>{percent(look.share or 0)}</td><td>{html.escape(speech.say(look.reason))}</td></tr>"
        for look in changes[:_ROWS]
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """One diagram.  ``lines``: label -> key of ``Look.log_e``.  ``bar``: what is a proof, in powers
    of ten."""

    points: Sequence[Look]
    lines: Mapping[str, str]
    bar: float

    width = 900
    height = 240
    left = 50
    top = 30
    bottom = 30

    def svg(self, title: str) -> str:
        """Values are cut where they leave the picture: beyond four bars nothing more is to be
        seen."""
        series = {label: self._values(key) for label, key in self.lines.items()}
        flat = [value for values in series.values() for value in values]
        low = max(-6.0, min(-1.0, *flat))
        high = min(max(self.bar * 1.3, *flat), self.bar * 4)
        scale = _Scale(low, high, self)
        parts = [f'<text x="{self.left}" y="16">{title}</text>']
        parts += [self._ruler(value, scale) for value in (low, 0.0, self.bar, high)]
        for number, (label, values) in enumerate(series.items()):
            parts.append(self._line(number, label, values, scale))
        parts.append(self._time(self.left, scale.begin))
        parts.append(self._time(self.width - 90, scale.end))
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{title}">'
            f"{''.join(parts)}</svg>"
        )

    def _values(self, key: str) -> list[float]:
        """Powers of ten, as the axis has them (the judge keeps natural logarithms)."""
        return [look.log_e[key] / _LN10 for look in self.points]

    def _ruler(self, value: float, scale: _Scale) -> str:
        """A line across at this value, with its number."""
        is_bar = value == self.bar
        dash = ' stroke-dasharray="6 4"' if is_bar else ""
        colour = "#888" if is_bar else "#ddd"
        y = scale.y(value)
        return (
            f'<line x1="{self.left}" x2="{self.width - 10}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}"{dash}/><text x="4" y="{y + 4:.1f}">{value:.1f}</text>'
        )

    def _line(self, number: int, label: str, values: Sequence[float], scale: _Scale) -> str:
        """One curve, and its name in its colour."""
        pairs = zip(self.points, values, strict=True)
        path = " ".join(f"{scale.x(look.t):.1f},{scale.y(value):.1f}" for look, value in pairs)
        colour = _COLOURS[label]
        return (
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>'
            f'<text x="{self.width - 330 + 80 * number}" y="16" style="fill:{colour}">'
            f"{label}</text>"
        )

    def _time(self, place: float, t: float) -> str:
        """A time below the picture."""
        return f'<text x="{place}" y="{self.height - 8}">{at(t)}</text>'


@dataclass(frozen=True, slots=True)
class _Scale:
    """Times and values as places in the picture."""

    low: float
    high: float
    frame: _Frame

    @property
    def begin(self) -> float:
        """Of the first look."""
        return self.frame.points[0].t

    @property
    def end(self) -> float:
        """At least a second after the first look: a single look has no width of its own."""
        return max(self.frame.points[-1].t, self.begin + 1)

    def x(self, t: float) -> float:
        """Where a time stands."""
        width = self.frame.width - self.frame.left - 10
        return self.frame.left + width * (t - self.begin) / (self.end - self.begin)

    def y(self, value: float) -> float:
        """Where a value stands; what lies beyond the frame stands at its edge."""
        height = self.frame.height - self.frame.top - self.frame.bottom
        inside = min(max(value, self.low), self.high)
        return self.frame.top + height * (self.high - inside) / (self.high - self.low)
