"""``kirikae guard``: every verb of it, imported when it is used."""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

_VERBS = {
    "check": ("kirikae.console.guard_check", "check"),
    "nist": ("kirikae.console.guard_nist", "nist"),
    "tickets": ("kirikae.console.guard_tickets", "tickets"),
}


@click.group(cls=Lazy, verbs=_VERBS)
def guard() -> None:
    """Check images, definitions and accounts: Fargate, NIST SP 800-190, twelve factors."""
