"""``kirikae drill``: every verb of it, imported when it is used."""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

_VERBS = {
    "load": ("kirikae.console.drill_load", "load"),
    "diff": ("kirikae.console.drill_diff", "diff"),
    "soak": ("kirikae.console.drill_long", "soak"),
    "overload": ("kirikae.console.drill_long", "overload"),
    "ceiling": ("kirikae.console.drill_long", "ceiling"),
    "fault": ("kirikae.console.drill_fault", "fault"),
    "day": ("kirikae.console.drill_day", "day"),
    "run": ("kirikae.console.drill_run", "run"),
    "undo": ("kirikae.console.drill_fault", "undo"),
    "compare": ("kirikae.console.drill_compare", "compare"),
    "report": ("kirikae.console.drill_report", "report"),
    "traces": ("kirikae.console.drill_traces", "traces"),
    "replay": ("kirikae.console.drill_replay", "replay"),
}


@click.group(cls=Lazy, verbs=_VERBS, libraries=("numpy", "uvloop", "httptools"), extra="drill")
def drill() -> None:
    """Load a service with one verdict for every request, whatever the service does."""
