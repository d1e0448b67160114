"""``kirikae logs``: every verb of it, imported when it is used."""

from __future__ import annotations

from importlib import import_module

import click

from kirikae.console.options import Whole

_VERBS = {
    "layout": ("kirikae.console.logs_layout", "layout"),
    "classify": ("kirikae.console.logs_classify", "classify"),
    "double": ("kirikae.console.logs_double", "double"),
    "backfill": ("kirikae.console.logs_backfill", "backfill"),
    "verify": ("kirikae.console.logs_verify", "verify"),
    "tables": ("kirikae.console.logs_tables", "tables"),
    "compact": ("kirikae.console.logs_derive", "compact"),
    "convert": ("kirikae.console.logs_derive", "convert"),
    "tail": ("kirikae.console.logs_tail", "tail"),
    "alert": ("kirikae.console.logs_alert", "alert"),
}


class _Verbs(Whole):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used."""
        return list(_VERBS)

    def get_command(
        self,
        ctx: click.Context,
        cmd_name: str,
    ) -> click.Command | None:
        """Imports no more than this verb needs."""
        if cmd_name not in _VERBS:
            return None
        module, attribute = _VERBS[cmd_name]
        found: click.Command = getattr(import_module(module), attribute)
        return found


@click.group(cls=_Verbs)
def logs() -> None:
    """Move logs between trees of any time zone, and prove that no line is lost or doubled."""
