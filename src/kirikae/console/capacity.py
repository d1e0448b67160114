"""``kirikae capacity``: every verb of it, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from kirikae.capacity.errors import NotInstalled
from kirikae.console.options import Whole

_VERBS = {
    "init": ("kirikae.console.capacity_trace", "init"),
    "trace": ("kirikae.console.capacity_trace", "trace"),
    "simulate": ("kirikae.console.capacity_try", "simulate"),
    "tune": ("kirikae.console.capacity_try", "tune"),
    "nat": ("kirikae.console.capacity_try", "nat"),
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
        if find_spec("numpy") is None:
            raise NotInstalled("the library numpy is missing: pip install 'kirikae[capacity]'")
        module, attribute = _VERBS[cmd_name]
        found: click.Command = getattr(import_module(module), attribute)
        return found


@click.group(cls=_Verbs)
def capacity() -> None:
    """Try scaling rules on your own load before AWS acts by them, and price them."""
