"""The group ``kirikae move``: a verb that reads one file does not wait for every room."""

from __future__ import annotations

import click

from kirikae.console.options import Lazy

_LIGHT = {
    "judge": ("kirikae.console.verdict", "judge_file"),
}


@click.group(cls=Lazy, verbs=_LIGHT, others=("kirikae.console.move", "move"))
def move() -> None:
    """Move a thing from the old side to the new side, step by step."""
