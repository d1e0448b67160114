"""``kirikae metrics``: what Prometheus scrapes at ``/metrics``, and a dashboard for Grafana."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import click

from kirikae.console.exposition import text_of
from kirikae.console.here import Answer, Here
from kirikae.console.measured import Kept, measured
from kirikae.console.metrics_families import families
from kirikae.console.options import JSON
from kirikae.model.errors import Exit


def page_of(here: Here) -> Kept:
    """The text at ``/metrics``, looked at anew when it is called and the last look is too old."""
    return Kept(lambda: text_of(families(measured(here))))


def dashboard() -> dict[str, Any]:
    """For Grafana's import; its data source is asked for there."""
    text = files("kirikae.console").joinpath("pages", "grafana.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@click.command()
@click.option("--grafana", is_flag=True, help="Print a dashboard for Grafana's import instead.")
@JSON
@click.pass_obj
def metrics(here: Here, grafana: bool) -> Answer:
    """Print moves, releases and survey as Prometheus reads them (exit code 6: something could not
    be looked at, and its figures are missing)."""
    if grafana:
        found = dashboard()
        return Answer({"dashboard": found}, json.dumps(found, indent=2).split("\n"))
    seen = measured(here)
    told = families(seen)
    ends = Exit.FOUND if seen.troubles else Exit.DONE
    plain = {"families": [each.to_plain() for each in told], "troubles": list(seen.troubles)}
    return Answer(plain, text_of(told).splitlines(), ends, notes=seen.troubles)
