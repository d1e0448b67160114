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


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An element; ``content`` is markup already.  ``class_`` stands for class."""
    words = [name]
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        words.append(f'{word}="{html.escape(str(value))}"')
    return f"<{' '.join(words)}>{content}</{name}>"


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
        charts=_charts(summary, seconds, Axis(begin, end)),
        notes="".join(tag("li", html.escape(mark["text"])) for mark in summary["marks"]),
        words=html.escape(words.strip().partition("\n")[2]),
        acts="\n".join(map(_act_row, summary["acts"])),
        journal="\n".join(map(_journal_row, summary["journal"])),
    )


def _charts(summary: Plain, seconds: list[Plain], axis: Axis) -> str:
    behind = _behind(summary, axis)
    share = _share_points(summary["journal"], axis)
    requests = {side: _requests(seconds, side) for side in COLOURS}
    p95 = {side: _answer_times(seconds, side) for side in ("old", "new")}
    charts = (
        ("Share on the new side, %", _steps(share, axis), 100.0),
        ("Requests per second", _lines(requests, axis), _top(requests)),
        ("95th percentile of the answer time, ms", _lines(p95, axis), _top(p95)),
    )
    return "\n".join(_chart(title, behind + body, top) for title, body, top in charts)


def _behind(summary: Plain, axis: Axis) -> str:
    """What stands behind every chart: the acts, and what was done on purpose."""
    acts = [act for act in summary["acts"] if act["ended"] > axis.begin]
    bands = [_act_band(number, act, axis) for number, act in enumerate(acts)]
    return "".join([*bands, *(_mark(mark, axis) for mark in summary["marks"])])


def _share_points(journal: list[Plain], axis: Axis) -> Points:
    points = [(axis.begin, 0.0)]
    for entry in journal:
        if entry["at"] >= axis.begin:
            points.append((entry["at"], float(entry["share"].rstrip("%"))))
    return [*points, (axis.end, points[-1][1])]


def _requests(seconds: list[Plain], which: str) -> Points:
    """Per second: those that a side answered, or those that were lost or wrong."""
    points = []
    for second in seconds:
        count = 0
        for side, verdict, *_, answers in second["rows"]:
            failed = verdict in ("lost", "wrong")
            if side == which or (which == "lost" and failed):
                count += answers
        points.append((second["t"], float(count)))
    return points


def _answer_times(seconds: list[Plain], side: str) -> Points:
    return [(second["t"], second["ms"][side][1]) for second in seconds if second["ms"][side]]


def _act_row(act: Plain) -> str:
    cells = [html.escape(act["title"]), f"{act['seconds']:.0f} s"]
    for side in ("old", "new"):
        counts = act["sides"][side]
        cells += [str(counts.get(verdict, "")) for verdict in ("ok", "slow", "wrong", "lost")]
    return _row(cells)


def _journal_row(entry: Plain) -> str:
    evidence = entry["evidence"] or {}
    why = entry["held"] or evidence.get("reason") or ""
    where = f"{entry['phase']} {entry['share']}"
    cells = (str(entry["seq"]), where, entry["intent"] or "", why)
    return _row([html.escape(cell) for cell in cells])


def _row(cells: list[str]) -> str:
    return tag("tr", "".join(tag("td", cell) for cell in cells))


def _top(series: dict[str, Points]) -> float:
    """The upper end of a chart: a little above the highest point."""
    values = [value for points in series.values() for _, value in points]
    return 1.1 * max(values, default=0.0) or 1.0


def _y(value: float, top: float) -> float:
    return HEIGHT - 2 - (HEIGHT - 20) * value / top


def _chart(title: str, body: str, top: float) -> str:
    scale = tag("text", f"{top:.0f}", x=2, y=12) + tag("text", "0", x=2, y=HEIGHT - 4)
    box = f"0 0 {WIDTH} {HEIGHT}"
    drawn = tag("svg", body + scale, viewBox=box, role="img", aria_label=title)
    return tag("h2", title) + drawn


def _act_band(number: int, act: Plain, axis: Axis) -> str:
    left = max(LEFT, axis.x(act["began"]))
    width = max(0.0, axis.x(act["ended"]) - left)
    name = " ".join(act["title"].split()[:2])
    label = tag("text", html.escape(name), x=f"{left + 3:.1f}", y=12)
    if number % 2:
        return label
    box = {"x": f"{left:.1f}", "y": 0, "width": f"{width:.1f}", "height": HEIGHT}
    return tag("rect", class_="band", **box) + label


def _mark(mark: Plain, axis: Axis) -> str:
    place = f"{axis.x(mark['t']):.1f}"
    title = tag("title", html.escape(mark["text"]))
    return tag("line", title, x1=place, x2=place, y1=0, y2=HEIGHT, class_="mark")


def _at(axis: Axis, t: float, value: float, top: float) -> str:
    return f"{axis.x(t):.1f},{_y(value, top):.1f}"


def _steps(points: Points, axis: Axis) -> str:
    corners = []
    last = 0.0
    for t, value in points:
        corners += [_at(axis, t, last, 100), _at(axis, t, value, 100)]
        last = value
    return _polyline(corners, COLOURS["new"], 2)


def _lines(series: dict[str, Points], axis: Axis) -> str:
    """Lines of both sides; of what was lost or wrong, a dot for every second that had some."""
    top = _top(series)
    drawn = []
    for name, points in series.items():
        colour = COLOURS[name]
        if name == "lost":
            drawn += [_dot(axis.x(t), _y(count, top), colour) for t, count in points if count]
        else:
            drawn.append(_polyline([_at(axis, *point, top) for point in points], colour, 1.3))
    return "".join(drawn)


def _polyline(corners: list[str], colour: str, width: float) -> str:
    path = " ".join(corners)
    return tag("polyline", points=path, fill="none", stroke=colour, stroke_width=width)


def _dot(x: float, y: float, colour: str) -> str:
    return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, fill=colour)
