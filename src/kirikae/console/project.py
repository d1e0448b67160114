"""``kirikae project``: the project file's schema, and whether a file can be used."""

from __future__ import annotations

import json

import click

from kirikae.console import kinds
from kirikae.console.acceptances import doubting, doubts, needless
from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG, Whole
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.model.errors import Exit


@click.group(cls=Whole)
def project() -> None:
    """Look at the project file."""


@project.command()
@JSON
def schema() -> Answer:
    """Print the JSON Schema of kirikae.yml (with --json: under the key `schema`)."""
    found = kinds.project_schema()
    return Answer({"schema": found}, json.dumps(found, indent=2, ensure_ascii=False).split("\n"))


@project.command()
@LANG
@JSON
@click.pass_obj
def check(here: Here, lang: str | None) -> Answer:
    """Read the project file and say what is in it, or every fault with its line (exit code 6: an
    acceptance in it does not hold).

    JSON: what was read, shares in permille, times in seconds.
    """
    found = load_project(here)
    moves = ", ".join(found.moves) or "none"
    line = (
        f"{here.project_file}: service {found.service}, "
        f"environment {found.environment}, moves: {moves}"
    )
    told = doubts(found, today())
    ends = Exit.FOUND if told else Exit.DONE
    speech = Speech(here.language(lang))
    notes = [speech.say(each) for each in needless(found)]
    answer = Answer(found.model_dump(mode="json"), (line,), ends, notes=notes)
    return doubting(answer, told, speech)
