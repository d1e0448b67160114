"""What the rehearsal has to show: figures per act, side and verdict, as JSON, as a page with charts, and in words."""

from __future__ import annotations

import html
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

Row = tuple[int, str, str, str, str, str, int]
KILL_WINDOW_S = 5
"""Failures this soon after a task was killed, on the new side, are its requests in flight."""


def read_load(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    lines = []
    for line in file.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # the last line may be half written while the load runs
    return lines


def load_line(file: Path, since: float, until: float) -> str:
    """The load between two times in one line."""
    seconds = [s for s in read_load(file) if since <= s["t"] <= until]
    if not seconds:
        return "no load yet"
    by: Counter[tuple[str, str]] = Counter()
    for second in seconds:
        for side, verdict, _, _, _, count in second["rows"]:
            by[side, verdict] += count
    total = sum(by.values())
    verdicts = {
        v: sum(n for (_, w), n in by.items() if w == v) for v in ("ok", "slow", "wrong", "lost")
    }
    new = sum(n for (side, _), n in by.items() if side == "new")
    return (
        f"{total / max(1, len(seconds)):.0f} requests/s · new side {100 * new / max(1, total):.0f}% · "
        + " · ".join(f"{v} {n}" for v, n in verdicts.items())
    )


def summarise(
    seconds: list[dict[str, Any]], acts: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Counts per act and side; what failed, and which of it was planted."""
    killed_at = facts.get("task_killed_at", 0.0)
    out_acts = []
    planted = Counter[str]()
    in_flight = 0
    outside = []
    for act in acts:
        sides = {side: Counter[str]() for side in ("old", "new", "none")}
        for second in (s for s in seconds if act["began"] <= s["t"] < act["ended"]):
            for side, verdict, action, reason, release, count in second["rows"]:
                sides[side][verdict] += count
                if verdict in ("ok", "slow"):
                    continue
                if (
                    action == "order"
                    and side == "new"
                    and release == "r2"
                    and reason == "status 500"
                ):
                    planted[verdict] += count
                elif (
                    killed_at <= second["t"] + 1
                    and second["t"] <= killed_at + KILL_WINDOW_S
                    and side != "old"
                    and verdict == "lost"
                ):
                    in_flight += count
                else:
                    outside.append(
                        {
                            "t": second["t"],
                            "side": side,
                            "verdict": verdict,
                            "action": action,
                            "reason": reason,
                            "count": count,
                        }
                    )
        out_acts.append(
            {
                **act,
                "seconds": round(act["ended"] - act["began"], 1),
                "sides": {s: dict(c) for s, c in sides.items()},
            }
        )
    totals: Counter[str] = Counter()
    for act in out_acts:
        for counts in act["sides"].values():
            totals.update(counts)
    return {
        "acts": out_acts,
        "totals": dict(totals),
        "sent": sum(totals.values()),
        "sessions_lost": seconds[-1]["sessions_lost"] if seconds else 0,
        "stalled": seconds[-1]["stalled"] if seconds else 0,
        "met_the_planted_fault": sum(planted.values()),
        "in_flight_of_the_killed_task": in_flight,
        "outside": outside,
    }


def write(
    out: Path,
    load_file: Path,
    acts: list[dict[str, Any]],
    marks: list[dict[str, Any]],
    facts: dict[str, Any],
    history: list[dict[str, Any]],
    plan: dict[str, Any],
    rate: float,
) -> dict[str, Any]:
    """Write report.json and report.html; the answer is what the JSON holds."""
    seconds = read_load(load_file)
    summary = {
        **summarise(seconds, acts, facts),
        "cores": os.cpu_count(),
        "rate_asked": rate,
        "facts": facts,
        "marks": marks,
        "plan": plan,
        "took_s": round(acts[-1]["ended"] - acts[0]["began"], 1),
        "journal": history,
    }
    summary["broken"] = broken(summary)
    (out / "report.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False))
    (out / "report.html").write_text(page(summary, seconds), encoding="utf-8")
    return summary


def broken(summary: dict[str, Any]) -> list[str]:
    """The promises that this rehearsal did not keep."""
    found = []
    lost = sum(o["count"] for o in summary["outside"])
    if lost:
        found.append(
            f"{lost} requests were lost or wrong outside the planted fault and the killed task: {summary['outside'][:5]}"
        )
    if summary["sessions_lost"]:
        found.append(f"{summary['sessions_lost']} sessions were lost")
    if summary["facts"].get("secrets_found_in"):
        found.append(
            f"the planted secret stands in {', '.join(summary['facts']['secrets_found_in'])}"
        )
    if not {"ST03", "ST04"} <= set(summary["facts"].get("refused_over", ())):
        found.append(
            f"the first survey did not refuse over logins and uploads but over {summary['facts'].get('refused_over')}"
        )
    if not summary["met_the_planted_fault"]:
        found.append("the planted fault was never met: the rehearsal proved nothing")
    if not any(j["intent"] == "back-out" for j in summary["journal"]):
        found.append("kirikae never backed out")
    if summary["journal"][-1]["phase"] != "retired":
        found.append(f"the move ended {summary['journal'][-1]['phase']}, not retired")
    return found


def in_words(summary: dict[str, Any]) -> str:
    totals = summary["totals"]
    steps = summary["plan"]["steps"]
    lines = [
        "",
        "Summary",
        f"  {summary['sent']} requests in {summary['took_s']:.0f} s on {summary['cores']} cores: "
        + ", ".join(f"{totals.get(v, 0)} {v}" for v in ("ok", "slow", "wrong", "lost")),
        f"  {summary['met_the_planted_fault']} requests met r2's fault before kirikae had backed out: {summary['facts']['fail']}",
        f"  {summary['in_flight_of_the_killed_task']} requests were in flight in the killed task",
        f"  outside of these: {sum(o['count'] for o in summary['outside'])} lost or wrong, {summary['sessions_lost']} sessions lost",
        f"  red button: share 0 after {summary['facts']['red_button_s']} s",
        "  margins: "
        + "; ".join(
            f"{s['share']}: at most {s['errors_at_most_more']:.1%} more errors" for s in steps
        ),
    ]
    for act in summary["acts"]:
        sides = " · ".join(
            f"{side} " + " ".join(f"{v} {n}" for v, n in sorted(counts.items()))
            for side, counts in act["sides"].items()
            if counts
        )
        lines.append(f"  {act['seconds']:5.0f} s  {act['title']}: {sides or 'no load yet'}")
    return "\n".join(lines)


# --- the page

# ruff: noqa: E501
WIDTH = 960
HEIGHT = 170
LEFT = 48
COLOURS = {"old": "#8a8f98", "new": "#2a7de1", "lost": "#d5302f"}


def page(summary: dict[str, Any], seconds: list[dict[str, Any]]) -> str:
    begin = min([s["t"] for s in seconds], default=summary["acts"][0]["began"])
    end = max([s["t"] for s in seconds], default=begin + 1)

    def x(t: float) -> float:
        return LEFT + (WIDTH - LEFT) * (t - begin) / max(1, end - begin)

    by_side = {
        side: [(s["t"], sum(r[5] for r in s["rows"] if r[0] == side)) for s in seconds]
        for side in ("old", "new")
    }
    failures = [
        (s["t"], sum(r[5] for r in s["rows"] if r[1] in ("lost", "wrong"))) for s in seconds
    ]
    latency = {
        side: [(s["t"], s["ms"][side][1]) for s in seconds if s["ms"][side]]
        for side in ("old", "new")
    }
    share = [(j["at"], float(j["share"].rstrip("%"))) for j in summary["journal"]]
    share = [(begin, 0.0), *(p for p in share if p[0] >= begin), (end, share[-1][1])]
    acts = "".join(_act_band(a, x) for a in summary["acts"] if a["ended"] > begin)
    marks = "".join(
        f'<line x1="{x(m["t"]):.1f}" x2="{x(m["t"]):.1f}" y1="0" y2="{HEIGHT}" class="mark"><title>{html.escape(m["text"])}</title></line>'
        for m in summary["marks"]
    )
    charts = (
        _chart("Share on the new side, %", acts + marks + _steps(share, x, 100), 100),
        _chart("Requests per second", acts + marks + _bars(by_side, failures, x), _top(by_side)),
        _chart(
            "95th percentile of the answer time, ms",
            acts
            + marks
            + "".join(
                _line(points, x, _top(latency), COLOURS[side]) for side, points in latency.items()
            ),
            _top(latency),
        ),
    )
    cells = "".join(
        f"<tr><td>{html.escape(a['title'])}</td><td>{a['seconds']:.0f} s</td>"
        + "".join(
            f"<td>{a['sides'][side].get(v, 0) or ''}</td>"
            for side in ("old", "new")
            for v in ("ok", "slow", "wrong", "lost")
        )
        + "</tr>"
        for a in summary["acts"]
    )
    journal = "".join(
        f"<tr><td>{j['seq']}</td><td>{html.escape(j['phase'])} {j['share']}</td><td>{html.escape(j['intent'] or '')}</td>"
        f"<td>{html.escape(j['held'] or (j['evidence'] or {}).get('reason', ''))}</td></tr>"
        for j in summary["journal"]
    )
    notes = "".join(f"<li>{html.escape(m['text'])}</li>" for m in summary["marks"])
    words = html.escape(in_words(summary).strip().split("\n", 1)[1])
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>A rehearsed move of the bookshop</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2330}}
h1{{font-size:1.6rem}} h2{{font-size:1.05rem;margin:1.6rem 0 .3rem}} svg{{width:100%;height:auto;background:#fafbfc;border:1px solid #e3e6ea}}
table{{border-collapse:collapse;width:100%;font-size:13px}} td,th{{padding:.2rem .5rem;border-bottom:1px solid #e3e6ea;text-align:left;vertical-align:top}}
pre{{background:#fafbfc;border:1px solid #e3e6ea;padding:.8rem;white-space:pre-wrap;font-size:13px}}
.journal td:nth-child(-n+3){{white-space:nowrap}}
.mark{{stroke:#e08a00;stroke-dasharray:3 3}} .band{{fill:#eef1f5}} .key b{{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}}
text{{font:11px system-ui;fill:#5a6270}}</style>
<h1>A rehearsed move of the bookshop: virtual machines → containers</h1>
<p>{summary["sent"]} requests; outside the planted fault and the killed task <strong>{sum(o["count"] for o in summary["outside"])} lost or wrong</strong>,
<strong>{summary["sessions_lost"]} sessions lost</strong>. {summary["met_the_planted_fault"]} requests met the planted fault before kirikae backed out.</p>
<p class="key"><b style="background:{COLOURS["old"]}"></b>old side<b style="background:{COLOURS["new"]}"></b>new side
<b style="background:{COLOURS["lost"]}"></b>lost or wrong<b style="background:#e08a00"></b>something done on purpose</p>
{"".join(charts)}<ul>{notes}</ul><h2>In words</h2><pre>{words}</pre>
<h2>Acts</h2><table><tr><th></th><th></th><th colspan="4">old: ok, slow, wrong, lost</th><th colspan="4">new: ok, slow, wrong, lost</th></tr>{cells}</table>
<h2>The journal of the move</h2><table class=journal>{journal}</table></html>"""


def _top(series: dict[str, list[tuple[float, float]]]) -> float:
    return max([v for points in series.values() for _, v in points], default=1) * 1.1 or 1


def _chart(title: str, body: str, top: float) -> str:
    scale = f'<text x="2" y="12">{top:.0f}</text><text x="2" y="{HEIGHT - 4}">0</text>'
    return f'<h2>{title}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{body}{scale}</svg>'


def _act_band(act: dict[str, Any], x: Any) -> str:
    left = max(LEFT, x(act["began"]))
    right = x(act["ended"])
    shade = "band" if int(act["title"].split()[1]) % 2 else ""
    fill = (
        f'<rect class="{shade}" x="{left:.1f}" y="0" width="{max(0, right - left):.1f}" height="{HEIGHT}"/>'
        if shade
        else ""
    )
    return (
        fill
        + f'<text x="{left + 3:.1f}" y="12">{html.escape(" ".join(act["title"].split()[:2]))}</text>'
    )


def _steps(points: list[tuple[float, float]], x: Any, top: float) -> str:
    path = ""
    last = 0.0
    for t, value in points:
        path += f"{'L' if path else 'M'}{x(t):.1f},{_y(last, top):.1f} L{x(t):.1f},{_y(value, top):.1f} "
        last = value
    return f'<path d="{path}" fill="none" stroke="{COLOURS["new"]}" stroke-width="2"/>'


def _line(points: list[tuple[float, float]], x: Any, top: float, colour: str) -> str:
    path = " ".join(f"{x(t):.1f},{_y(v, top):.1f}" for t, v in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _bars(
    by_side: dict[str, list[tuple[float, float]]], failures: list[tuple[float, float]], x: Any
) -> str:
    top = _top(by_side)
    lines = "".join(_line(points, x, top, COLOURS[side]) for side, points in by_side.items())
    dots = "".join(
        f'<circle cx="{x(t):.1f}" cy="{_y(n, top):.1f}" r="3" fill="{COLOURS["lost"]}"/>'
        for t, n in failures
        if n
    )
    return lines + dots


def _y(value: float, top: float) -> float:
    return HEIGHT - 2 - (HEIGHT - 20) * value / top
