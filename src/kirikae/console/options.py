"""Options that many verbs share.

``--json`` is read by ``main``, which shows the answer; only a verb that prints while it goes on
asks for its value (``STREAM``).
"""

from __future__ import annotations

import click

from kirikae.model.said import LANGUAGES
from kirikae.model.values import seconds_from


class _Seconds(click.ParamType[float]):
    """A time with its unit, as in the project file."""

    name = "time"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """In seconds."""
        try:
            return seconds_from(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SECONDS = _Seconds()

JSON = click.option(
    "--json", "as_json", is_flag=True, expose_value=False, help="Print JSON, with the outcome."
)
STREAM = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: one object a line, the outcome in the last one.",
)
DRY = click.option("--dry-run", is_flag=True, help="Say what would be done.")
LANG = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    default=None,
    help="Language (default: that of the environment, LANG).",
)
