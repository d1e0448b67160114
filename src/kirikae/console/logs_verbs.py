"""``kirikae logs``: every verb of it, imported when it is used."""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

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


@click.group(cls=Lazy, verbs=_VERBS)
def logs() -> None:
    """Move logs between trees of any time zone, and prove that no line is lost or doubled."""
