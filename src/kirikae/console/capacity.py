"""``kirikae capacity``: every verb of it, imported when it is used."""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

_VERBS = {
    "init": ("kirikae.console.capacity_trace", "init"),
    "trace": ("kirikae.console.capacity_trace", "trace"),
    "simulate": ("kirikae.console.capacity_try", "simulate"),
    "tune": ("kirikae.console.capacity_try", "tune"),
    "cost": ("kirikae.console.capacity_cost", "cost"),
    "explain": ("kirikae.console.capacity_explain", "explain"),
    "apply": ("kirikae.console.capacity_apply", "apply"),
    "nat": ("kirikae.console.capacity_try", "nat"),
}


@click.group(cls=Lazy, verbs=_VERBS, libraries=("numpy",), extra="capacity")
def capacity() -> None:
    """Try scaling rules on your own load before AWS acts by them, and price them."""
