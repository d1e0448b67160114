"""``kirikae drill report``: a run that was kept, or vegeta's results, judged and shown anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from kirikae.console.drill_fault import Made, answer, files_of
from kirikae.console.drill_load import (
    EXITS,
    figures_told,
    plain_of,
    record_files,
    speech_of,
    verdict_told,
)
from kirikae.console.drill_options import HTML, slow_of
from kirikae.console.drill_written import write_all
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG, seconds
from kirikae.console.speech import Speech
from kirikae.drill import slo
from kirikae.drill.kept import Run, read
from kirikae.drill.plan import Plan
from kirikae.drill.verdict import Outcome, judged
from kirikae.model.said import Said, said


@click.command("report")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--slo", "limits", multiple=True, help="A limit, such as p99<300ms, errors<0.1%, lost==0."
)
@click.option("--slow", help="Answers later than this are slow, such as 500ms.")
@click.option(
    "--expect", type=click.IntRange(100, 599), multiple=True, help="A status that is right."
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
@HTML
@LANG
@JSON
@click.pass_obj
def report(
    here: Here,
    /,
    file: Path,
    limits: tuple[str, ...],
    slow: str | None,
    expect: tuple[int, ...],
    warm_up: float,
    report: Path | None,
    csv_file: Path | None,
    hgrm_file: Path | None,
    html: Path | None,
    lang: str | None,
) -> Answer:
    """Judge FILE by other limits, or show it in another language: a run that `drill load --keep` or
    `drill fault --keep` wrote, or vegeta's results as `vegeta encode` writes them (CSV, JSON). No
    request is sent (exit code 1: a limit is broken, 5: no verdict)."""
    run = _as_expected(read(file), expect)
    judge_by = [slo.read(limit, fault=run.fault is not None) for limit in limits]
    speech = speech_of(here, lang)
    warm = min(warm_up, run.seconds / 2)
    alone = judge_by if run.fault is None else ()
    outcome = judged(run.record, run.targets, alone, slow_of(slow), warm)
    wanted = record_files(run.record, outcome, run.targets, report, csv_file, hgrm_file)
    if run.fault is not None:
        made = _made(run, run.fault, file, judge_by, slow_of(slow))
        return answer(made, speech, [*wanted, *files_of(made, speech, html, keep=None)])
    return _of_load(run, outcome, speech, [*wanted], html)


def _made(
    run: Run,
    plain: Mapping[str, Any],
    file: Path,
    limits: Sequence[slo.Limit],
    slow_s: float | None,
) -> Made:
    """A fault as it was made then, with three windows.  Raises RunProblem."""
    from kirikae.drill.kept_fault import KeptFault

    kept = KeptFault.from_plain(plain, str(file))
    experiment, ran = kept.again(run.record, run.targets, limits, slow_s)
    assert ran.cost is not None
    return Made((), ran, run.targets, ran.cost, kept.fleet, kept.prepared, experiment)


def _of_load(
    run: Run,
    outcome: Outcome,
    speech: Speech,
    wanted: list[tuple[Path, str | bytes]],
    html: Path | None,
) -> Answer:
    plan = Plan((run.record.due - run.record.began_ns).astype(np.float64) / 1e9, run.seconds)
    if html is not None:
        from kirikae.console.drill_page import page_of_load

        wanted.append((html, page_of_load(run.record, outcome, plan, speech)))
    wrote = write_all(wanted)
    told = [
        *_beware(run),
        *figures_told(outcome, plan),
        *verdict_told(outcome),
        *wrote.told(),
    ]
    return Answer(
        {**plain_of(outcome), "by": run.by, **wrote.to_plain()},
        [speech.say(each) for each in told],
        wrote.exit(EXITS[outcome.word]),
    )


def _as_expected(run: Run, expect: tuple[int, ...]) -> Run:
    """Without --expect as it was asked then."""
    if not expect:
        return run
    return replace(
        run, targets=tuple(replace(each, expected=frozenset(expect)) for each in run.targets)
    )


def _beware(run: Run) -> Iterator[Said]:
    if run.by == "vegeta":
        yield said("drill.report.vegeta")
