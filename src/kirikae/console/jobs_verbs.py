"""``kirikae jobs``: every verb of it, imported when it is used.

A worker lives in a user's container: it must not pay for what reads crontabs, project files and
findings.
"""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

_LIGHT = {
    "serve": ("kirikae.console.jobs_serve", "serve"),
    "scheduler": ("kirikae.console.jobs_schedule", "schedule"),
    "worker": ("kirikae.console.jobs_work", "work"),
    "own": ("kirikae.console.jobs_history", "own"),
    "history": ("kirikae.console.jobs_history", "history"),
    "show": ("kirikae.console.jobs_history", "show"),
}


@click.group(cls=Lazy, verbs=_LIGHT, others=("kirikae.console.jobs", "jobs"))
def jobs() -> None:
    """Read crontabs as the host's own cron does, and run their jobs on redundant machines."""
