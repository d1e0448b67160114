"""``kirikae capacity init | trace``: a first file of rules, and load over time to try them on."""

from __future__ import annotations

import csv
import datetime
import io
import time
from collections.abc import Sequence
from pathlib import Path

import click

from kirikae.capacity.trace import MINUTE, Made, made
from kirikae.capacity.writing import FIRST, write_new
from kirikae.console.capacity_try import speech_of
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, LANG, Number, Whole
from kirikae.model.errors import UsageProblem
from kirikae.model.said import said

OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("trace.csv"),
    show_default=True,
    help="File to write; an existing one stays as it is.",
)
_MOST_DAYS = 63
"""CloudWatch keeps periods of five minutes so long (User Guide, "Metrics retention")."""
_MINUTELY_DAYS = 15


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("capacity.yml"))
@DRY
@LANG
@JSON
@click.pass_obj
def init(here: Here, file: Path, dry_run: bool, lang: str | None) -> Answer:
    """Write a first FILE (capacity.yml), with what each number means."""
    if dry_run:
        return would([FIRST])
    here.assert_may_change("capacity init")
    write_new(file, FIRST)
    return Answer(
        {"wrote": str(file)},
        [speech_of(here, lang).say(said("capacity.init.wrote", file=str(file)))],
    )


@click.group("trace", cls=Whole)
def trace() -> None:
    """Write a trace of load: from your balancer's figures, or made up."""


@trace.command("make")
@click.option("--peak", type=Number(0.01, 1e6), required=True, help="Requests a second.")
@click.option("--times", type=Number(1, 1000), default=5, show_default=True, help="Peak to trough.")
@click.option("--days", type=click.IntRange(1, 365), default=21, show_default=True)
@click.option(
    "--crowds", type=Number(0, 1000), default=2, show_default=True, help="Flash crowds a week."
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True)
@OUT
@DRY
@LANG
@JSON
@click.pass_obj
def make(
    here: Here,
    peak: float,
    times: float,
    days: int,
    crowds: float,
    seed: int,
    out: Path,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """A made-up load with days, weekends, noise and flash crowds; the same seed, the same load."""
    found = made(Made(peak=peak, times=times, days=days, crowds=crowds, seed=seed))
    rows = [
        (found.begins + at * MINUTE, float(round(rate * 60))) for at, rate in enumerate(found.rates)
    ]
    if dry_run:
        return would([str(out)])
    here.assert_may_change("capacity trace make")
    write_new(out, _csv(rows))
    told = said("capacity.trace.made", file=str(out), days=days, peak=peak)
    return Answer({"wrote": str(out), "days": days}, [speech_of(here, lang).say(told)])


@trace.command("cloudwatch")
@click.argument("load_balancer")
@click.option("--days", type=click.IntRange(1, _MOST_DAYS), default=14, show_default=True)
@OUT
@DRY
@LANG
@JSON
@click.pass_obj
def cloudwatch(
    here: Here, load_balancer: str, days: int, out: Path, dry_run: bool, lang: str | None
) -> Answer:
    """RequestCount of a LOAD_BALANCER (app/NAME/ID, as CloudWatch names it) of the last days.

    Up to 15 days by minutes, more by five minutes: so long CloudWatch keeps them.
    """
    from kirikae.aws.cloudwatch import Query, metric_data
    from kirikae.aws.session import Aws, configured_region

    region = configured_region()
    if region is None:
        raise UsageProblem("which region? set AWS_REGION, or `eval $(kirikae local env)`")
    period = MINUTE if days <= _MINUTELY_DAYS else 5 * MINUTE
    until = int(time.time()) // 300 * 300
    begin = until - days * 86_400
    query = Query(None, load_balancer, "RequestCount", "Sum")
    (found,) = metric_data(Aws(region, read_only=True), [query], begin, until, period)
    if not found:
        raise UsageProblem(
            f"CloudWatch has no RequestCount of {load_balancer} in these {days} days; it is named "
            "app/NAME/ID, the end of the load balancer's ARN"
        )
    first = min(found)
    rows = [(at, found.get(at)) for at in range(first, max(found) + 1, period)]
    if dry_run:
        return would([str(out)])
    here.assert_may_change("capacity trace cloudwatch")
    write_new(out, _csv(rows))
    missing = sum(value is None for _, value in rows) * period // MINUTE
    begins = datetime.datetime.fromtimestamp(first, datetime.UTC).isoformat()
    minutes = len(rows) * period // MINUTE
    told = said(
        "capacity.trace.read", file=str(out), minutes=minutes, begins=begins, missing=missing
    )
    return Answer(
        {"wrote": str(out), "minutes": minutes, "missing_minutes": missing},
        [speech_of(here, lang).say(told)],
    )


def _csv(rows: Sequence[tuple[int, float | None]]) -> str:
    """Empty: no figure, which is not zero."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("time", "requests"))
    for at, requests in rows:
        writer.writerow((at, "" if requests is None else f"{requests:.15g}"))
    return out.getvalue()
