"""The command line: parses, calls a room, prints.  Rooms are imported when their verb runs, so that
help is quick."""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EIO, ENAMETOOLONG, ENOSPC
from pathlib import Path
from typing import Any

import click

from kirikae import __version__
from kirikae.console.here import Answer, Here, refused
from kirikae.console.options import Whole
from kirikae.model.errors import Exit, KirikaeError
from kirikae.model.shown import clean, writable

TRACEBACK = "KIRIKAE_TRACEBACK"
"""Set: a fault of kirikae's own is shown whole."""
_GROUPS = {
    "init": (
        "kirikae.console.init",
        "init",
        "Look at a load balancer and its hosts, and write a first kirikae.yml.",
    ),
    "doctor": (
        "kirikae.console.doctor",
        "doctor",
        "Say where I am, which account this is, what could be changed, and what is missing.",
    ),
    "iam": (
        "kirikae.console.iam",
        "iam",
        "Print the IAM policy of one duty: survey, drive, deploy, jobs or logs.",
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
        "kirikae.console.moving",
        "move",
        "Move a thing from the old side to the new side, step by step.",
    ),
    "jobs": (
        "kirikae.console.jobs_verbs",
        "jobs",
        "Read crontabs as the host's own cron does, and run their jobs on redundant machines.",
    ),
    "logs": (
        "kirikae.console.logs_verbs",
        "logs",
        "Move logs between trees of any time zone, and prove that no line is lost or doubled.",
    ),
    "capacity": (
        "kirikae.console.capacity",
        "capacity",
        "Try scaling rules on your own load before AWS acts by them, and price them.",
    ),
    "drill": (
        "kirikae.console.drill",
        "drill",
        "Load a service with one verdict for every request, whatever the service does.",
    ),
    "guard": (
        "kirikae.console.guard",
        "guard",
        "Check Dockerfiles and task definitions: Fargate, NIST SP 800-190, twelve factors.",
    ),
    "explain": (
        "kirikae.console.explaining",
        "explain",
        "What a finding's code means, and what to do about it.",
    ),
    "report": (
        "kirikae.console.report",
        "report",
        "Write the page for people who decide, in English or Japanese.",
    ),
    "metrics": (
        "kirikae.console.metrics",
        "metrics",
        "Print moves, releases and survey for Prometheus, or a dashboard for Grafana.",
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
    "ecs": (
        "kirikae.console.ecs",
        "ecs",
        "Read ecspresso's files: write, render, compare and prove ECS definitions.",
    ),
    "serve": (
        "kirikae.console.serve",
        "serve",
        "Show moves, findings, releases and jobs in a browser, with the red button.",
    ),
    "project": ("kirikae.console.project", "project", "Look at the project file."),
    "back-out": ("kirikae.console.move", "back_out", "The red button: share 0 now."),
}


class _Lazy(Whole):
    """Loads a group's module when the group is used; its help line stands in the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the table's order."""
        return list(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of this verb alone; None for a verb that is none."""
        if cmd_name not in _GROUPS:
            return None
        module, attribute, _ = _GROUPS[cmd_name]
        from importlib import import_module

        with _nothing_to_collect():
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help lines from the table: click would import every module for them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, _, says) in _GROUPS.items()])


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """What a module makes as it is imported stays as long as the process: looking through it for
    garbage, again and again, takes a tenth of a second, and as much once more at the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
    ctx.obj = Here(project_file, read_only)
    if os.environ.get("NO_COLOR"):  # no-color.org: set and not empty
        ctx.color = False


def main(arguments: list[str] | None = None) -> None:
    """Run a verb, show its answer as text or JSON, and end with its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    try:
        answer = _answer_of(words, as_json)
        _show(answer, as_json)
    except BrokenPipeError:
        sys.exit(int(Exit.UNFINISHED))
    except OSError as error:
        sys.exit(_not_shown(error))
    sys.exit(int(answer.exit))


def _not_shown(error: OSError) -> int:
    """A full disk below standard output: what the verb did is done, and nobody has read of it."""
    with suppress(OSError):
        click.echo(
            f"the answer cannot be written: {error.strerror}; whether anything was changed, "
            "`kirikae move status` and `kirikae release status` say",
            err=True,
        )
    # What is held back would fail once more when the process ends, with an exit code of Python's.
    sys.stdout = None
    return int(Exit.UNFINISHED)


def _answer_of(words: list[str], as_json: bool) -> Answer:
    """What the verb answers; every error of ours is an answer, too."""
    try:
        found: Any = cli.main(words, prog_name="kirikae", standalone_mode=False)
    except click.exceptions.Abort:
        return refused(
            Exit.UNFINISHED,
            "stopped; what was begun is written down, and the same command goes on with it",
        )
    except click.ClickException as error:
        if as_json:
            return refused(Exit.USAGE, error.format_message())
        told = io.StringIO()
        error.show(told)
        click.echo(clean(told.getvalue()), nl=False, err=True)
        return Answer(exit=Exit.USAGE, silent=True)
    except KirikaeError as error:
        return refused(error.exit, str(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last one before a person
        return _raised(error)
    if isinstance(found, Answer):
        return found
    # ``--help`` and ``--version`` end with a number, and have printed what they had to say.
    return Answer(exit=Exit(found) if isinstance(found, int) else Exit.DONE, silent=True)


def _raised(error: Exception) -> Answer:
    """What no room has an error of its own for."""
    if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
        named = f"{str(error.filename)[:80]}..."
        return refused(Exit.USAGE, f"{named}: no file can have so long a name; write another")
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return _disk(error)
    if isinstance(error, OSError) and error.errno in _OF_OUTPUT:
        raise error
    if isinstance(error, FileNotFoundError) and _folder_is_gone():
        return refused(Exit.USAGE, "the folder that this was called in is gone: go into another")
    if TRACEBACK in os.environ:
        raise error
    return _our_own_fault(error)


_OF_OUTPUT = (ENOSPC, EDQUOT, EIO)
"""Without a file's name these are standard output's."""


def _folder_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _disk(error: OSError) -> Answer:
    """A full disk, a folder that may not be written, a file where a folder is needed: who works
    here can mend it, and how far it came is not known."""
    file = error.filename2 or error.filename
    return refused(
        Exit.UNFINISHED,
        f"{os.fsdecode(file) if not isinstance(file, int) else file}: {error.strerror}; see to the "
        "disk, the folder and its owner, then run the same command again: what was begun is "
        "written down",
    )


def _our_own_fault(error: Exception) -> Answer:
    """A fault of kirikae's own: whether something was changed is not known."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return refused(
        Exit.UNFINISHED,
        f"kirikae itself failed ({type(error).__name__}: {error}; {where}): what was begun is "
        "written down, and `kirikae move status` looks again; please report it with what "
        f"{TRACEBACK}=1 shows",
    )


def _show(answer: Answer, as_json: bool) -> None:
    """Lines to standard output, notes to the error stream: a pipe gets the lines alone."""
    if answer.silent:
        return
    if as_json:
        click.echo(writable(answer.json()))
        return
    if answer.lines:
        # In one piece: of half a million lines each would be flushed by itself.
        click.echo("\n".join(map(clean, answer.lines)))
    for note in answer.notes:
        click.echo(clean(note), err=True)
