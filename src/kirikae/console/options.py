"""Options that many verbs share.

``--json`` is read by ``main``, which shows the answer; only a verb that prints while it goes on
asks for its value (``STREAM``).
"""

from __future__ import annotations

import click

from kirikae.model.said import LANGUAGES
from kirikae.model.values import seconds_from


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A time with its unit, as in the project file; to be named as an option's ``callback``."""
    try:
        return seconds_from(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


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
