"""``kirikae project``: the project file's schema, what it says, and whether it can be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kirikae.console import kinds
from kirikae.console.acceptances import doubting, doubts, needless
from kirikae.console.context import load_project, project_source
from kirikae.console.here import Answer, Here, to_json
from kirikae.console.options import JSON, LANG, Whole
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.project_overlay import file_of, leaves


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
@click.option(
    "--environment",
    default=None,
    metavar="NAME",
    help="That of kirikae.NAME.yml, laid over kirikae.yml.",
)
@JSON
@click.pass_obj
def show(here: Here, environment: str | None) -> Answer:
    """Every value that is given, and which file and line gives it; other verbs read the same with
    `kirikae --project kirikae.NAME.yml`."""
    there = here if environment is None else _of_environment(here, environment)
    source = project_source(there)
    kinds.read_source(source)
    told = [
        {"key": ".".join(path), "value": value, "from": source.at(path)}
        for path, value in leaves(source.plain)
    ]
    return Answer({"file": there.project_file, "values": told}, [_line(each) for each in told])


def _line(told: Mapping[str, Any]) -> str:
    return f"{told['key']}: {to_json(told['value'])}  ({told['from']})"


def _of_environment(here: Here, environment: str) -> Here:
    """Raises UsageProblem that names the environments there are."""
    base = Path(here.project_file)
    file = Path(file_of(base, environment))
    if file.is_file():
        return replace(here, project_file=str(file))
    others = sorted(base.parent.glob(f"{base.stem}.*{base.suffix}"))
    known = ", ".join(each.name for each in others) or "none"
    raise UsageProblem(f"{file}: there is no such file; beside {base} lie: {known}")


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
