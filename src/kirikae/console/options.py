"""Options that many verbs share.

``--json`` is read by ``main``, which shows the answer; only a verb that prints while it goes on
asks for its value (``STREAM``).
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

from kirikae.model.said import LANGUAGES


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """A time with its unit, as in the project file; to be named as an option's ``callback``."""
    from kirikae.model.values import seconds_from  # pydantic: no worker needs it

    try:
        return seconds_from(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


class Whole(click.Group):
    """A group whose help shows the whole first paragraph of each verb, not as much as fits a
    line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                first = (command.help or "").split("\n\n")[0]
                rows.append((name, " ".join(first.split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


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


class Number(click.FloatRange):
    """A number within limits.  NaN, which is neither below nor above one, is none; nor is an
    infinity."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Fails as click does."""
        found = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value} is not a number.", param, ctx)
        return float(found)


YEN = click.option(
    "--yen-per-dollar",
    type=Number(min=0, min_open=True, max=1_000_000),
    default=None,
    metavar="RATE",
    help="Say costs in yen, too, at this rate; kirikae knows none of its own.",
)
