"""``kirikae move judge FILE``: a recorded shift judged again, as a table, as JSON, and as a
picture."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from math import log10
from pathlib import Path

import click

from kirikae.console.context import load_project, move_of
from kirikae.model.errors import Exit
from kirikae.model.evidence import Verdict
from kirikae.model.share import percent
from kirikae.move.judge import SAFE_BAR, Margins
from kirikae.move.replay import looks
from kirikae.move.trial import Look, Trial
from kirikae.traffic.mover import margins_of, trial_of

_LN10 = 2.302585
_POINTS = 1200
"""Looks that the picture shows at most: of more, the telling ones of each stretch."""
_EXITS = {Verdict.PASS: Exit.DONE, Verdict.FAIL: Exit.BACKED_OUT, Verdict.UNSURE: Exit.WAITING}


class _Kept:
    """What a picture and a summary need of a replay of any length."""

    def __init__(self) -> None:
        self.last: Look | None = None
        self.first_fail: Look | None = None
        self.changes: list[Look] = []
        self.points: list[Look] = []
        self._every = 1
        self._seen = 0

    def pass_on(self, found: Iterable[Look]) -> Iterator[Look]:
        for look in found:
            changed = self.last is None or (look.verdict, look.reason.partition(":")[0]) != (
                self.last.verdict,
                self.last.reason.partition(":")[0],
            )
            if changed and len(self.changes) < 200:
                self.changes.append(look)
            if look.verdict is Verdict.FAIL and self.first_fail is None:
                self.first_fail = look
            if changed or self._seen % self._every == 0:
                self.points.append(look)
                if len(self.points) > _POINTS:
                    self.points = self.points[::2]
                    self._every = self._every * 2
            self._seen += 1
            self.last = look
            yield look


@click.command("judge")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print every look as JSON.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the picture to this file.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(1e-6, 0.5),
    default=0.01,
    show_default=True,
    help="Chance of a false fail, all looks together.",
)
@click.option(
    "--worse-requests",
    type=click.FloatRange(1e-6, 0.5),
    default=0.0005,
    show_default=True,
    help="Part of all requests that a step may make worse.",
)
@click.option(
    "--bake",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds with figures before a step can pass.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds after each step in which latency is not judged.",
)
@click.option(
    "--ceiling",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Part of failed requests above which it fails at once (1: none).",
)
@click.option(
    "--move",
    "name",
    help="Judge as this move of the project file is judged; the options below are then not needed.",
)
@click.option(
    "--fast-enough",
    type=click.FloatRange(1),
    help="Judge latency by this bound in ms, one that the file counts at.",
)
@click.option(
    "--slower",
    type=click.FloatRange(0, 10),
    help="How much slower the new side may be (0.1: a tenth); default: as the share grows.",
)
@click.pass_context
def judge_file(
    ctx: click.Context,
    file: Path,
    as_json: bool,
    page: Path | None,
    false_alarms: float,
    worse_requests: float,
    bake: float,
    warm_up: float,
    ceiling: float,
    fast_enough: float | None,
    slower: float | None,
    name: str | None,
) -> None:
    """Judge a recorded shift again (JSON lines; see docs/reference/judge-file.md)."""
    margins = Margins(false_alarms, worse_requests, bake, slower, fast_enough or 0.0)
    kept = _Kept()
    trial = Trial(margins, warm_up_s=warm_up, ceiling=ceiling)
    if name is not None:
        settings = move_of(ctx.obj, load_project(ctx.obj), name)
        margins = margins_of(settings)
        trial = trial_of(settings, settings.plan)
    with file.open(encoding="utf-8", errors="replace") as lines:
        found = kept.pass_on(looks(lines, str(file), trial))
        if as_json:
            _print_json(found, kept)
        else:
            for _ in found:
                pass
            _print_table(kept, margins, trial)
    if page is not None:
        page.write_text(chart(kept.points, file.name, margins), encoding="utf-8")
        if not as_json:
            click.echo(f"picture: {page}")
    ctx.exit(_EXITS[kept.last.verdict if kept.last else Verdict.UNSURE])


def _print_json(found: Iterable[Look], kept: _Kept) -> None:
    """A day has 86,400 looks: printed as they come."""
    click.echo('{"looks": [', nl=False)
    for number, look in enumerate(found):
        click.echo((",\n" if number else "") + json.dumps(look.to_plain()), nl=False)
    last = kept.last
    first = kept.first_fail
    verdict = str(last.verdict) if last else str(Verdict.UNSURE)
    told = {
        "verdict": verdict,
        "reason": last.reason if last else "no figures",
        "first_fail_t": first.t if first else None,
    }
    click.echo("],\n" + json.dumps(told)[1:])


def _print_table(kept: _Kept, margins: Margins, trial: Trial) -> None:
    if kept.last is None:
        click.echo("unsure: the file holds no figures")
        return
    click.echo(f"{'t':>14}  {'verdict':<7} {'exposed':>8} {'harm':>7}  why")
    for look in kept.changes:
        click.echo(
            f"{_at(look.t):>14}  {look.verdict:<7} {look.exposed:>8} "
            f"{look.log_e['harm'] / _LN10:>7.2f}  {look.reason}"
        )
    last = kept.last
    click.echo(f"\n{last.verdict} at {_at(last.t)}: {last.reason}")
    click.echo(
        f"harm 10^{last.log_e['harm'] / _LN10:.1f} of "
        f"10^{-log10(margins.false_alarms):.0f}; requests on the new side: {last.exposed}"
    )
    if last.verdict is Verdict.UNSURE:
        click.echo(f"forecast: {trial.evidence().reason}")
    if kept.first_fail is not None:
        click.echo(
            f"first fail at {_at(kept.first_fail.t)}, after {kept.first_fail.exposed} "
            "requests on the new side"
        )


def _at(t: float) -> str:
    """Unix times as times of day (UTC); small numbers as they are."""
    return datetime.fromtimestamp(t, UTC).strftime("%d %H:%M:%S") if t > 1e8 else f"{t:g}"


_COLOURS = {
    "harm": "#c0392b",
    "errors": "#1f77b4",
    "latency": "#2ca02c",
    "p50": "#7f7f7f",
    "p95": "#2ca02c",
    "p99": "#9467bd",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;color:#222}}
svg{{width:100%;height:auto}}
text{{font:12px system-ui,sans-serif;fill:#444}}.v{{font-size:1.4em}}
.fail{{color:#c0392b}}.pass{{color:#217a3c}}.unsure{{color:#8a6d00}}
td{{padding:.1em .8em .1em 0;vertical-align:top}}</style>
<h1>{title}</h1><p class="v {verdict}">{verdict}: {reason}</p>
<p>{exposed} requests on the new side{first}. A line that crosses its dashed bar
is a proof: the red one of harm, each other of safety.</p>
{harm}{safe}<h2>When the verdict changed</h2><table>{rows}</table></html>
"""


def chart(points: list[Look], name: str, margins: Margins) -> str:
    """One page without scripts: evidence of harm and of safety over time, and when the verdict
    changed."""
    if not points:
        return _PAGE.format(
            title=html.escape(name),
            verdict="unsure",
            reason="no figures",
            exposed=0,
            first="",
            harm="",
            safe="",
            rows="",
        )
    last = points[-1]
    first = next((p for p in points if p.verdict is Verdict.FAIL), None)
    bar_harm = -log10(margins.false_alarms)
    bar_safe = log10(SAFE_BAR)
    harm = _svg("Evidence of harm (powers of ten)", points, {"harm": "harm"}, bar_harm)
    safe = _svg(
        "Evidence of safety at this step (powers of ten)",
        points,
        {m: f"safe_{m}" for m in margins.weights},
        bar_safe,
    )
    changes = [
        b
        for a, b in zip([None, *points], points, strict=False)
        if a is None or a.verdict is not b.verdict
    ]
    rows = "".join(
        f"<tr><td>{_at(p.t)}</td><td "
        f"class={p.verdict}>{p.verdict}</td><td>{percent(p.share or 0)}</td>"
        f"<td>{html.escape(p.reason)}</td></tr>"
        for p in changes[:100]
    )
    return _PAGE.format(
        title=html.escape(name),
        verdict=last.verdict,
        reason=html.escape(last.reason),
        exposed=last.exposed,
        harm=harm,
        safe=safe,
        rows=rows,
        first=f", {first.exposed} of them until the first fail at {_at(first.t)}" if first else "",
    )


def _svg(title: str, points: list[Look], lines: dict[str, str], bar: float) -> str:
    width = 900
    height = 240
    left = 50
    top = 30
    bottom = 30
    begin = points[0].t
    end = max(points[-1].t, points[0].t + 1)
    values = {label: [p.log_e[key] / _LN10 for p in points] for label, key in lines.items()}
    low = max(-6.0, min(-1.0, *(min(v) for v in values.values())))
    high = min(max(bar * 1.3, *(max(v) for v in values.values())), bar * 4)

    def x(t: float) -> float:
        return left + (width - left - 10) * (t - begin) / (end - begin)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - min(max(value, low), high)) / (high - low)

    parts = [f'<text x="{left}" y="16">{title}</text>']
    for value in (low, 0.0, bar, high):
        dash = ' stroke-dasharray="6 4"' if value == bar else ""
        colour = "#888" if value == bar else "#ddd"
        parts.append(
            f'<line x1="{left}" x2="{width - 10}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}" stroke="{colour}"{dash}/>'
        )
        parts.append(f'<text x="4" y="{y(value) + 4:.1f}">{value:.1f}</text>')
    for number, (label, series) in enumerate(values.items()):
        path = " ".join(f"{x(p.t):.1f},{y(v):.1f}" for p, v in zip(points, series, strict=True))
        parts.append(
            f'<polyline fill="none" stroke="{_COLOURS[label]}" stroke-width="1.6" points="{path}"/>'
        )
        parts.append(
            f'<text x="{width - 330 + 80 * number}" y="16" '
            f'style="fill:{_COLOURS[label]}">{label}</text>'
        )
    for place, t in ((left, begin), (width - 90, end)):
        parts.append(f'<text x="{place}" y="{height - 8}">{_at(t)}</text>')
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{title}">{"".join(parts)}</svg>'
    )
