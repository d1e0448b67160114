"""The report as a page: charts of share, requests and answer times, then the acts and the journal.

The frame is ``page.html``.
"""

from __future__ import annotations

import html
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH = 960
HEIGHT = 170
LEFT = 48
COLOURS = {"old": "#8a8f98", "new": "#2a7de1", "lost": "#d5302f"}
FRAME = Path(__file__).with_name("page.html")
Plain = dict[str, Any]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """Times from left to right."""

    begin: float
    end: float

    def x(self, t: float) -> float:
        return LEFT + (WIDTH - LEFT) * (t - self.begin) / max(1, self.end - self.begin)


def of(summary: Plain, seconds: list[Plain], words: str) -> str:
    begin = min([second["t"] for second in seconds], default=summary["acts"][0]["began"])
    end = max([second["t"] for second in seconds], default=begin + 1)
    frame = string.Template(FRAME.read_text(encoding="utf-8"))
    return frame.substitute(
        sent=summary["sent"],
        lost=sum(row["count"] for row in summary["outside"]),
        sessions=summary["sessions_lost"],
        planted=summary["met_the_planted_fault"],
        old=COLOURS["old"],
        new=COLOURS["new"],
        red=COLOURS["lost"],
        charts="".join(_charts(summary, seconds, Axis(begin, end))),
        notes="".join(f"<li>{html.escape(mark['text'])}</li>" for mark in summary["marks"]),
        words=html.escape(words.strip().partition("\n")[2]),
        acts="".join(_act_cells(act) for act in summary["acts"]),
        journal="".join(_journal_cells(entry) for entry in summary["journal"]),
    )


def _charts(summary: Plain, seconds: list[Plain], axis: Axis) -> tuple[str, ...]:
    behind = "".join(_act_band(act, axis) for act in summary["acts"] if act["ended"] > axis.begin)
    behind += "".join(_mark(mark, axis) for mark in summary["marks"])
    share = [(entry["at"], float(entry["share"].rstrip("%"))) for entry in summary["journal"]]
    known = [point for point in share if point[0] >= axis.begin]
    share = [(axis.begin, 0.0), *known, (axis.end, share[-1][1])]
    requests = {side: [(s["t"], _count(s, side)) for s in seconds] for side in ("old", "new")}
    failures = [(s["t"], _failed(s)) for s in seconds]
    p95 = {
        side: [(s["t"], s["ms"][side][1]) for s in seconds if s["ms"][side]]
        for side in ("old", "new")
    }
    return (
        _chart("Share on the new side, %", behind + _steps(share, axis, 100), 100),
        _chart(
            "Requests per second",
            behind + _lines(requests, axis) + _dots(failures, axis, _top(requests)),
            _top(requests),
        ),
        _chart("95th percentile of the answer time, ms", behind + _lines(p95, axis), _top(p95)),
    )


def _count(second: Plain, side: str) -> int:
    return sum(row[5] for row in second["rows"] if row[0] == side)


def _failed(second: Plain) -> int:
    return sum(row[5] for row in second["rows"] if row[1] in ("lost", "wrong"))


def _act_cells(act: Plain) -> str:
    counts = "".join(
        f"<td>{act['sides'][side].get(verdict, 0) or ''}</td>"
        for side in ("old", "new")
        for verdict in ("ok", "slow", "wrong", "lost")
    )
    title = html.escape(act["title"])
    return f"<tr><td>{title}</td><td>{act['seconds']:.0f} s</td>{counts}</tr>\n"


def _journal_cells(entry: Plain) -> str:
    why = entry["held"] or (entry["evidence"] or {}).get("reason", "")
    cells = (
        str(entry["seq"]),
        f"{entry['phase']} {entry['share']}",
        entry["intent"] or "",
        str(why or ""),
    )
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>\n"


def _top(series: dict[str, list[tuple[float, float]]]) -> float:
    return max([value for points in series.values() for _, value in points], default=1) * 1.1 or 1


def _y(value: float, top: float) -> float:
    return HEIGHT - 2 - (HEIGHT - 20) * value / top


def _chart(title: str, body: str, top: float) -> str:
    scale = f'<text x="2" y="12">{top:.0f}</text><text x="2" y="{HEIGHT - 4}">0</text>'
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"'
    return f"<h2>{title}</h2><svg {box}>{body}{scale}</svg>\n"


def _act_band(act: Plain, axis: Axis) -> str:
    left = max(LEFT, axis.x(act["began"]))
    width = max(0, axis.x(act["ended"]) - left)
    label = " ".join(act["title"].split()[:2])
    text = f'<text x="{left + 3:.1f}" y="12">{html.escape(label)}</text>'
    if int(act["title"].split()[1]) % 2 == 0:
        return text
    box = f'x="{left:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}"'
    return f'<rect class="band" {box}/>{text}'


def _mark(mark: Plain, axis: Axis) -> str:
    x = f"{axis.x(mark['t']):.1f}"
    line = f'<line x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}" class="mark">'
    return f"{line}<title>{html.escape(mark['text'])}</title></line>"


def _steps(points: Points, axis: Axis, top: float) -> str:
    path = []
    last = 0.0
    for t, value in points:
        x = f"{axis.x(t):.1f}"
        path.append(f"{'L' if path else 'M'}{x},{_y(last, top):.1f} L{x},{_y(value, top):.1f}")
        last = value
    drawn = f'fill="none" stroke="{COLOURS["new"]}" stroke-width="2"'
    return f'<path d="{" ".join(path)}" {drawn}/>'


def _lines(series: dict[str, list[tuple[float, float]]], axis: Axis) -> str:
    top = _top(series)
    return "".join(_line(points, axis, top, COLOURS[side]) for side, points in series.items())


def _line(points: Points, axis: Axis, top: float, colour: str) -> str:
    path = " ".join(f"{axis.x(t):.1f},{_y(value, top):.1f}" for t, value in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _dots(points: Points, axis: Axis, top: float) -> str:
    return "".join(
        f'<circle cx="{axis.x(t):.1f}" cy="{_y(n, top):.1f}" r="3" fill="{COLOURS["lost"]}"/>'
        for t, n in points
        if n
    )
