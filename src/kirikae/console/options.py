"""Options that many verbs share.

``--json`` is read by ``main``, which shows the answer; only a verb that prints while it goes on
asks for its value (``STREAM``).
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

from kirikae.model.said import LANGUAGES

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
