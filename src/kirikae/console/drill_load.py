"""``kirikae drill load``: requests at fixed times, judged by limits."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

import click

from kirikae.console.drill_options import HTML, KEEP, Asking, asking
from kirikae.console.drill_written import write_all
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, seconds
from kirikae.console.progress import Progress
from kirikae.console.speech import Speech
from kirikae.drill import files, slo
from kirikae.drill.columns import Columns
from kirikae.drill.engine import attack
from kirikae.drill.kept import kept
from kirikae.drill.plan import Plan
from kirikae.drill.plan import read as read_plan
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Checked, Figures, Outcome, judged
from kirikae.model.errors import Exit
from kirikae.model.said import Said, said, words_of

EXITS = {"pass": Exit.DONE, "fail": Exit.REFUSED, "unsure": Exit.WAITING}
_ROUTES = 20


@click.command("load")
@click.argument("plan")
@asking
@click.option(
    "--slo", "limits", multiple=True, help="A limit, such as p99<300ms, errors<0.1%, lost==0."
)
@click.option(
    "--warm-up",
    callback=seconds,
    default="2s",
    show_default=True,
    help="Left out of the judgement.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write vegeta's JSON report there.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="Write vegeta's CSV there."
)
@click.option("--hgrm", "hgrm_file", type=click.Path(path_type=Path), help="Write a histogram.")
@KEEP
@HTML
@DRY
@LANG
@JSON
@click.pass_obj
def load(
    here: Here,
    /,
    plan: str,
    limits: tuple[str, ...],
    warm_up: float,
    report: Path | None,
    csv_file: Path | None,
    hgrm_file: Path | None,
    keep: Path | None,
    html: Path | None,
    dry_run: bool,
    lang: str | None,
    **options: Any,
) -> Answer:
    """Send requests at the times of PLAN, such as "100/s for 30s" or "10/s..200/s for 1m", to the
    targets in turn, whatever the service does (exit code 1: a limit is broken, 5: no verdict).

    Every request has a verdict: ok, slow, wrong, lost, or not sent, which is the engine's fault.
    Times count from when a request was due.
    """
    speech = speech_of(here, lang)
    found = read_plan(plan)
    asking_for = Asking.of(options)
    targets = asking_for.targets()
    judge_by = [slo.read(limit) for limit in limits]
    if dry_run:
        asked = sorted({target.name for target in targets})
        told = f"{found.requests} requests in {found.seconds:g} s: {', '.join(asked[:_ROUTES])}"
        return would([told], {"requests": found.requests, "seconds": found.seconds})
    here.assert_may_change("drill load")
    record = attack(found, targets, asking_for.settings, Looking(found, speech).look)
    outcome = judged(record, targets, judge_by, asking_for.slow_s, min(warm_up, found.seconds / 2))
    wanted: list[tuple[Path, str | bytes]] = [
        *record_files(record, outcome, targets, report, csv_file, hgrm_file)
    ]
    if keep is not None:
        wanted.append((keep, kept(record, targets, found.seconds)))
    if html is not None:
        from kirikae.console.drill_page import page_of_load

        wanted.append((html, page_of_load(record, outcome, found, speech)))
    wrote = write_all(wanted)
    told_all = [
        *figures_told(outcome, found),
        *verdict_told(outcome),
        *wrote.told(),
    ]
    return Answer(
        {**plain_of(outcome), **wrote.to_plain()},
        [speech.say(each) for each in told_all],
        wrote.exit(EXITS[outcome.word]),
    )


def speech_of(here: Here, lang: str | None) -> Speech:
    """With the words of the room ``drill``."""
    common = Speech(here.language(lang))
    return Speech(common.language, words=common.words.plus(words_of("kirikae.drill")))


class Looking:
    """A line every five seconds for whoever looks on."""

    def __init__(self, plan: Plan, speech: Speech):
        self._plan = plan
        self._speech = speech
        self._progress = Progress()
        self._told = 0.0

    def say(self, what: Said) -> None:
        """Before it begins."""
        self._progress.step(self._speech.say(what))

    def look(self, columns: Columns, at: float) -> None:
        """Called some times a second."""
        if at - self._told < 5:
            return
        self._told = at
        counts = {name: sum(columns.counted(name)) for name in ("sent", "failed")}
        self._progress.step(
            self._speech.say(said("drill.looking", all=self._plan.requests, **counts))
        )


def figures_told(outcome: Outcome, plan: Plan) -> Iterator[Said]:
    """What was measured."""
    figures = outcome.figures
    yield said("drill.asked", requests=figures.requests, seconds=plan.seconds, rate=figures.rate)
    yield said("drill.counts", **figures.counts)
    yield said(
        "drill.latency",
        p50=time_told(figures.percentile(50)),
        p95=time_told(figures.percentile(95)),
        p99=time_told(figures.percentile(99)),
        most=time_told(figures.percentile(100)),
    )
    if figures.errors:
        yield said("drill.errors", errors=_pairs(figures.errors))
    if set(figures.statuses) - {200}:
        yield said("drill.statuses", statuses=_pairs(figures.statuses))
    if len(outcome.routes) > 1:
        yield from _routes(outcome.routes)
    yield said("drill.pace", p50=outcome.pace_p50_s * 1000, p99=outcome.pace_p99_s * 1000)


def verdict_told(outcome: Outcome) -> Iterator[Said]:
    """What follows from it."""
    yield from map(_checked, outcome.checked)
    yield from outcome.doubts
    yield said(f"drill.{outcome.word}") if outcome.checked else said("drill.unlimited")


def _routes(routes: dict[str, Figures]) -> Iterator[Said]:
    """The slowest first."""
    slowest = sorted(routes.items(), key=lambda each: -each[1].percentile(99))
    for name, figures in slowest[:_ROUTES]:
        yield said(
            "drill.route",
            name=name,
            requests=figures.requests,
            errors=figures.share("errors"),
            p99=time_told(figures.percentile(99)),
        )


def _pairs(counts: dict[Any, int]) -> str:
    return ", ".join(f"{name} {many:,}" for name, many in counts.items())


def _checked(each: Checked) -> Said:
    mark = {True: "holds", False: "broken", None: "unknown"}[each.holds]
    found: object = said("drill.not_asked")
    if each.found is not None:
        limit = each.limit
        found = f"{each.found:.3%}" if limit.share else f"{each.found:g}"
        if limit.figure not in (*slo.COUNTS, "rate"):
            found = time_told(each.found)
    return said("drill.limit", mark=said(f"drill.{mark}"), limit=each.limit.text, found=found)


def time_told(found: float) -> object:
    """Milliseconds, or that there was no answer."""
    return f"{found * 1000:.1f} ms" if isfinite(found) else said("drill.no_answer")


def plain_of(outcome: Outcome) -> dict[str, Any]:
    """The same as data."""
    return {
        "verdict": outcome.word if outcome.checked else None,
        "figures": figures_plain(outcome.figures),
        "routes": {name: figures_plain(figures) for name, figures in outcome.routes.items()},
        "limits": [
            {
                "limit": each.limit.text,
                "found": None if each.found == inf else each.found,
                "holds": each.holds,
            }
            for each in outcome.checked
        ],
        "doubts": [each.to_plain() for each in outcome.doubts],
        "pace_ms": {"p50": outcome.pace_p50_s * 1000, "p99": outcome.pace_p99_s * 1000},
    }


def figures_plain(figures: Figures) -> dict[str, Any]:
    """Milliseconds; null: so many had no answer."""
    return {
        "requests": figures.requests,
        **figures.counts,
        "right_answers_per_s": figures.rate,
        "latency_ms": {
            f"p{of:g}": figures.percentile(of) * 1000 for of in (50, 90, 95, 99, 99.9, 100)
        },
        "statuses": {str(status): many for status, many in figures.statuses.items()},
        "errors": figures.errors,
    }


def record_files(
    record: Any,
    outcome: Outcome,
    targets: Sequence[Target],
    report: Path | None,
    csv_file: Path | None,
    hgrm_file: Path | None,
) -> Iterator[tuple[Path, str]]:
    """The files that were asked for."""
    import json

    if report is not None:
        yield report, json.dumps(files.vegeta_report(record, outcome.figures), indent=1) + "\n"
    if csv_file is not None:
        out = io.StringIO()
        files.vegeta_csv(out, record, targets)
        yield csv_file, out.getvalue()
    if hgrm_file is not None:
        yield hgrm_file, "\n".join((*files.hgrm(outcome.figures.waited), ""))
