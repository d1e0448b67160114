"""``kirikae project``: the project file's schema, and whether a file can be used."""

from __future__ import annotations

import json

import click


@click.group()
def project() -> None:
    """Look at the project file."""


@project.command()
def schema() -> None:
    """Print the JSON Schema of kirikae.yml."""
    from kirikae.model.project import schema as project_schema

    click.echo(json.dumps(project_schema(), indent=2, ensure_ascii=False))


@project.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what was read as JSON (shares in permille, times in seconds).",
)
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Read the project file and say what is in it, or every fault with its line."""
    from kirikae.console.context import load_project

    found = load_project(ctx.obj)
    if as_json:
        click.echo(found.model_dump_json())
        return
    moves = ", ".join(found.moves) or "none"
    click.echo(
        f"{ctx.obj.project_file}: service {found.service}, environment "
        f"{found.environment}, moves: {moves}"
    )
