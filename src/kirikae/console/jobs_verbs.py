"""``kirikae jobs``: every verb of it, imported when it is used.

A worker lives in a user's container: it must not pay for what reads crontabs, project files and
findings.
"""

from __future__ import annotations

from importlib import import_module

import click

from kirikae.console.options import Whole

_LIGHT = {
    "serve": ("kirikae.console.jobs_serve", "serve"),
    "schedule": ("kirikae.console.jobs_schedule", "schedule"),
    "work": ("kirikae.console.jobs_work", "work"),
    "own": ("kirikae.console.jobs_history", "own"),
    "history": ("kirikae.console.jobs_history", "history"),
    "show": ("kirikae.console.jobs_history", "show"),
}
_OTHERS = "kirikae.console.jobs"


class _Verbs(Whole):
    """Those of the table, and those of the group that reads crontabs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """By name."""
        return sorted({*_LIGHT, *_others().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports no more than this verb needs."""
        if cmd_name not in _LIGHT:
            return _others().get_command(ctx, cmd_name)
        module, attribute = _LIGHT[cmd_name]
        found: click.Command = getattr(import_module(module), attribute)
        return found


def _others() -> click.Group:
    found: click.Group = import_module(_OTHERS).jobs
    return found


@click.group(cls=_Verbs)
def jobs() -> None:
    """Read crontabs as the host's own cron does, and run their jobs on redundant machines."""
