"""The command line: parses, calls a room, prints.  Rooms are imported when their verb runs, so that
help is quick."""

from __future__ import annotations

import sys
from typing import Any

import click

from kirikae import __version__
from kirikae.model.errors import Exit, KirikaeError

_GROUPS = {
    "doctor": (
        "kirikae.console.doctor",
        "doctor",
        "Say where I am, which account this is, what could be changed, and what is missing.",
    ),
    "survey": (
        "kirikae.console.survey",
        "survey",
        "Look at the hosts and the AWS side: state, jobs, configuration, dependencies.",
    ),
    "local": (
        "kirikae.console.local",
        "local",
        "Run AWS's part on this machine: ECS, load balancer, figures, stores.",
    ),
    "move": (
        "kirikae.console.move",
        "move",
        "Move traffic from the old side to the new side, step by step.",
    ),
    "report": (
        "kirikae.console.report",
        "report",
        "Write the page for people who decide, in English or Japanese.",
    ),
    "build": (
        "kirikae.console.build",
        "build",
        "Make images and definitions from what the survey found.",
    ),
    "release": (
        "kirikae.console.release",
        "release",
        "Put a release on a fleet and wait for the truth.",
    ),
    "project": ("kirikae.console.project", "project", "Look at the project file."),
    "back-out": ("kirikae.console.move", "back_out", "The red button: share 0 now."),
}


class _Lazy(click.Group):
    """Loads a group's module when the group is used; its help line stands in the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _GROUPS:
            return None
        module, attribute, _ = _GROUPS[cmd_name]
        from importlib import import_module

        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, _, says) in _GROUPS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kirikae")
@click.option(
    "--project",
    "project_file",
    type=click.Path(dir_okay=False),
    default="kirikae.yml",
    show_default=True,
    help="The project file.",
)
@click.option("--read-only", is_flag=True, help="Send no call to AWS that changes anything.")
@click.pass_context
def cli(ctx: click.Context, project_file: str, read_only: bool) -> None:
    """Move a service from virtual machines into containers on Amazon ECS without stopping it."""
    ctx.obj = {"project_file": project_file, "read_only": read_only}


def main(arguments: list[str] | None = None) -> None:
    """Run; every error of ours becomes one message and its exit code."""
    try:
        code: Any = cli.main(arguments, prog_name="kirikae", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(
            "stopped; what was begun is written down, and the same command goes on with it",
            err=True,
        )
        code = Exit.UNFINISHED
    except click.ClickException as error:
        error.show()
        code = Exit.USAGE
    except KirikaeError as error:
        click.echo(str(error), err=True)
        code = error.exit
    except BrokenPipeError:
        code = Exit.UNFINISHED
    sys.exit(int(code) if isinstance(code, int) else 0)
