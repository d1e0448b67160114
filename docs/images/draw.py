"""Draw the picture of the README from a rehearsal's report: ``python docs/images/draw.py`` after
``make rehearse``."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
W = 960
H = 300
LEFT = 46
GREY = "#8a8f98"
BLUE = "#2a7de1"
RED = "#d5302f"
AMBER = "#e08a00"


def main() -> None:
    report = json.loads((ROOT / "rehearsal/report.json").read_text())
    journal = report["journal"]
    begin = report["acts"][2]["began"]
    end = report["acts"][-1]["ended"]

    def x(t: float) -> float:
        return LEFT + (W - LEFT - 10) * (min(max(t, begin), end) - begin) / (end - begin)

    def y(percent: float) -> float:
        return 250 - 2.0 * percent

    path = f"M{x(begin):.0f},{y(0):.0f}"
    last = 0.0
    for entry in journal:
        share = float(entry["share"].rstrip("%"))
        if share != last:
            path += f" L{x(entry['at']):.0f},{y(last):.0f} L{x(entry['at']):.0f},{y(share):.0f}"
            last = share
    path += f" L{x(end):.0f},{y(last):.0f}"
    back_outs = [e for e in journal if e["intent"] == "back-out"]
    notes = [
        (e["at"], "fault shows: backed out" if n == 0 else "red button", RED)
        for n, e in enumerate(back_outs)
    ]
    kills = [m for m in report["marks"] if m["kind"] == "kill"]
    notes.append((kills[0]["t"], "kirikae, a task and the control plane killed", AMBER))
    notes += [
        (m["t"], "weights turned by hand: held", AMBER)
        for m in report["marks"]
        if m["kind"] == "hand"
    ]
    notes.append((journal[-1]["at"], "settled, retired", BLUE))
    texts = ""
    for n, (t, text, colour) in enumerate(sorted(notes)):
        row = 20 + 17 * (n % 5)
        anchor = "end" if x(t) > W - 240 else "start"
        shift = -4 if anchor == "end" else 4
        texts += (
            f'<line x1="{x(t):.0f}" x2="{x(t):.0f}" y1="{row - 10}" y2="250" '
            f'stroke="{colour}" stroke-dasharray="3 3"/>'
        )
        texts += (
            f'<text x="{x(t) + shift:.0f}" y="{row}" fill="{colour}" '
            f'text-anchor="{anchor}">{text}</text>'
        )
    scale = "".join(
        f'<text x="4" y="{y(p) + 4:.0f}" fill="{GREY}">{p}%</text>' for p in (0, 10, 50)
    )
    kept = (
        f"{report['sent']:,} requests: {report['met_the_planted_fault']} met the fault, "
        "otherwise 0 wrong, 0 sessions lost"
    )
    (HERE / "move.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" '
        'font-family="system-ui,sans-serif" font-size="13">'
        f'<rect width="{W}" height="{H}" fill="#fafbfc"/>'
        f'<path d="{path} L{x(end):.0f},250 L{x(begin):.0f},250 Z" fill="{BLUE}" opacity=".12"/>'
        f'<path d="{path}" fill="none" stroke="{BLUE}" stroke-width="2.5"/>'
        f"{texts}{scale}"
        f'<text x="{LEFT}" y="275" fill="#1d2330">share of the requests that containers '
        f"answer, over {end - begin:.0f} s</text>"
        f'<text x="{LEFT}" y="293" fill="{GREY}">{kept}</text></svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
