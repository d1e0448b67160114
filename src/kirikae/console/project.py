"""``kirikae project``: the project file's schema, and whether a file can be used."""

from __future__ import annotations

import json

import click

from kirikae.console import kinds
from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON
from kirikae.console.surveyed import answers_for_nothing


@click.group()
def project() -> None:
    """Look at the project file."""


@project.command()
@JSON
def schema() -> Answer:
    """Print the JSON Schema of kirikae.yml (with --json: under the key `schema`)."""
    found = kinds.project_schema()
    return Answer({"schema": found}, json.dumps(found, indent=2, ensure_ascii=False).split("\n"))


@project.command()
@JSON
@click.pass_obj
def check(here: Here) -> Answer:
    """Read the project file and say what is in it, or every fault with its line.

    JSON: what was read, shares in permille, times in seconds.
    """
    found = load_project(here)
    moves = ", ".join(found.moves) or "none"
    line = (
        f"{here.project_file}: service {found.service}, "
        f"environment {found.environment}, moves: {moves}"
    )
    idle = answers_for_nothing(here, found)
    return Answer(
        found.model_dump(mode="json") | {"idle_answers": [each.where for each in idle]},
        (line,),
        notes=[f"{each.code} {each.says}: {each.remedy}" for each in idle],
    )
