"""``kirikae drill``: every verb of it, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from kirikae.console.options import Whole
from kirikae.drill.errors import NotInstalled

_VERBS = {
    "load": ("kirikae.console.drill_load", "load"),
}
_LIBRARIES = ("numpy", "uvloop", "httptools")


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
        missing = [name for name in _LIBRARIES if find_spec(name) is None]
        if missing:
            raise NotInstalled(f"the library {missing[0]} is missing: pip install 'kirikae[drill]'")
        module, attribute = _VERBS[cmd_name]
        found: click.Command = getattr(import_module(module), attribute)
        return found


@click.group(cls=_Verbs)
def drill() -> None:
    """Load a service with one verdict for every request, whatever the service does."""
