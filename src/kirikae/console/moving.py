"""The group ``kirikae move``: a verb that reads one file does not wait for every room."""

from __future__ import annotations

from importlib import import_module

import click

from kirikae.console.options import Whole

_JUDGE = "judge"


class _Moving(Whole):
    """``judge`` reads a file of figures; the other verbs open a move, whatever its kind."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, by name."""
        return sorted([*self._opening().commands, _JUDGE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports what this verb needs; None for a verb that is none."""
        if cmd_name == _JUDGE:
            judge: click.Command = import_module("kirikae.console.verdict").judge_file
            return judge
        return self._opening().get_command(ctx, cmd_name)

    @staticmethod
    def _opening() -> click.Group:
        group: click.Group = import_module("kirikae.console.move").move
        return group


@click.group(cls=_Moving)
def move() -> None:
    """Move a thing from the old side to the new side, step by step."""
