"""Options that many verbs share.

``--json`` is read by ``main``, which shows the answer; only a verb that prints while it goes on
asks for its value (``STREAM``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import Any, TypeAlias

import click

from kirikae.model.errors import UsageProblem
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
    line, and that guesses what a misspelt verb was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises UsageError, with what was probably meant."""
        known = args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        if not known and not ctx.resilient_parsing:
            from kirikae.console.meaning import no_verb  # imports every room

            raise no_verb(ctx, self, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                first = (command.help or "").split("\n\n")[0]
                rows.append((name, " ".join(first.split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


Place: TypeAlias = tuple[str, str]
"""A module, and an attribute of it."""


class Lazy(Whole):
    """A group whose verbs are imported when they are used, in the order of the table.

    ``others``: a group that has more verbs; then all are shown by name.  ``libraries``: what every
    verb needs beyond kirikae's own dependencies, from the extra ``extra``.
    """

    def __init__(
        self,
        *arguments: Any,
        verbs: Mapping[str, Place],
        others: Place | None = None,
        libraries: Sequence[str] = (),
        extra: str = "",
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._verbs = verbs
        self._others = others
        self._libraries = libraries
        self._extra = extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all verbs."""
        if self._others is None:
            return list(self._verbs)
        return sorted({*self._verbs, *_group(self._others).list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports no more than this verb needs; None for a verb that is none.

        Raises UsageProblem where a library is missing.
        """
        if cmd_name not in self._verbs:
            return None if self._others is None else _group(self._others).get_command(ctx, cmd_name)
        for library in self._libraries:
            if find_spec(library) is None:
                raise UsageProblem(
                    f"the library {library} is missing: pip install 'kirikae[{self._extra}]'"
                )
        found: click.Command = _at(self._verbs[cmd_name])
        return found


def _at(place: Place) -> Any:
    module, attribute = place
    return getattr(import_module(module), attribute)


def _group(place: Place) -> click.Group:
    found: click.Group = _at(place)
    return found


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
