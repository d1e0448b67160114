"""The verbs that drive a move: ``start`` in the foreground, ``step`` for CI, ``drive --service``
for weeks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from kirikae.aws.cloudwatch import heartbeat
from kirikae.build.driver import driver_files
from kirikae.console.context import Desk, load_project, move_of, open_desk
from kirikae.console.notify import Notifier
from kirikae.console.surveyed import refusal, survey_findings
from kirikae.console.telling import DRY, JSON, Teller, exit_of, say, where
from kirikae.model.errors import AwsUnreachable, Exit, KirikaeError, UsageProblem
from kirikae.model.finding import blocking
from kirikae.model.move import Move
from kirikae.model.share import percent
from kirikae.move.driver import Stopped, drive, serve
from kirikae.move.engine import Look
from kirikae.move.journal import UnknownMove


def read_move(desk: Desk, name: str) -> Move | None:
    try:
        return desk.journal.read(name)
    except UnknownMove:
        return None


class SurveySaysNo(KirikaeError):
    """The survey is missing, too old, or found something that stands in the way."""


def _may_begin(ctx: click.Context, desk: Desk, name: str, found: Move | None) -> None:
    """No share leaves 0 over a blocking finding or without a fresh survey.  Raises SurveySaysNo.

    A move whose share is above 0 is driven on whatever the survey says: leaving it without a driver
    helps nobody."""
    if found is not None and found.live and (found.share or found.held or found.intent is not None):
        return
    if in_the_way := blocking(survey_findings(ctx.obj, desk.project), desk.settings.kind):
        raise SurveySaysNo(refusal(in_the_way, desk.settings.kind, name))


def _plan_it(desk: Desk, name: str, found: Move | None) -> None:
    """The first entry of a life of the move."""
    if found is None:
        desk.journal.write(Move(name, desk.settings.plan, seq=1))
    elif found.over:
        desk.journal.write(found.anew(desk.settings.plan))


@contextmanager
def _telling(desk: Desk, as_json: bool) -> Iterator[Callable[[Look], None]]:
    """To the terminal, and to who is named in `notify`."""
    teller = Teller(as_json)
    if desk.project.notify is None:
        yield teller
        return
    notifier = Notifier(
        desk.aws, desk.project, desk.journal, lambda text: click.echo(text, err=True)
    )

    def both(look: Look) -> None:
        teller(look)
        notifier(look)

    try:
        yield both
    finally:
        notifier.close()


@click.command()
@click.argument("name")
@click.option(
    "--detach", is_flag=True, help="Plan it, and leave the driving to `move drive --service`."
)
@JSON
@DRY
@click.pass_context
def start(ctx: click.Context, name: str, detach: bool, as_json: bool, dry_run: bool) -> None:
    """Drive the move until it is settled, held or backed out; takes over after a crash."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    desk = open_desk(ctx.obj, name)
    found = read_move(desk, name)
    _may_begin(ctx, desk, name, found)
    if dry_run:
        click.echo(
            f"would go on with {name}: {where(found)}"
            if found
            else f"would plan {name}: {', '.join(percent(s) for s in desk.settings.plan)}"
        )
        return
    _plan_it(desk, name, found)
    if detach:
        say(as_json, desk.journal.read(name), "left to its driver;")
        return
    with _telling(desk, as_json) as tell:
        look = drive(desk.engine, desk.journal, desk.lease, name, tell)
    _end(ctx, look.move, as_json)


def _end(ctx: click.Context, found: Move, as_json: bool) -> None:
    if not as_json:
        click.echo(f"{found.name} is {where(found)}")
        if found.held:
            click.echo(
                f"`kirikae move resume {found.name}` goes on from {percent(found.share)}; "
                f"`kirikae move history {found.name}` shows why it stands"
            )
    ctx.exit(exit_of(found))


@click.command()
@click.argument("name")
@JSON
@DRY
@click.pass_context
def step(ctx: click.Context, name: str, as_json: bool, dry_run: bool) -> None:
    """One look and at most one step, for CI (5: waiting, 4: backed out)."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    desk = open_desk(ctx.obj, name)
    found = read_move(desk, name)
    if dry_run:
        say(
            as_json,
            found or Move(name, desk.settings.plan),
            "would look, and take at most one step;",
        )
        return
    _may_begin(ctx, desk, name, found)
    if found is None:
        _plan_it(desk, name, found)
    with desk.lease.held(), _telling(desk, as_json) as tell:
        before = desk.journal.read(name)
        look = desk.engine.step(name)
        tell(look)
    if exit_of(look.move) is Exit.BACKED_OUT:
        ctx.exit(Exit.BACKED_OUT)
    ctx.exit(Exit.DONE if look.move.seq > before.seq or look.move.over else Exit.WAITING)


@click.command("drive")
@click.argument("name")
@click.option(
    "--service",
    "as_service",
    is_flag=True,
    help="Go on for weeks: rest while it is held, settled or driven by another.",
)
@click.option(
    "--definition",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files to run this as an ECS service.",
)
@click.option(
    "--image",
    default="kirikae:latest",
    show_default=True,
    help="With --definition: the image that holds kirikae and kirikae.yml.",
)
@JSON
@DRY
@click.pass_context
def drive_on(
    ctx: click.Context,
    name: str,
    as_service: bool,
    definition: Path | None,
    image: str,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Drive a move that was started with --detach, as a service; each minute a heartbeat goes to
    CloudWatch."""
    if as_service == (definition is not None):
        raise UsageProblem(
            "say --service to drive, or --definition FOLDER to write the files that run it on ECS"
        )
    project = load_project(ctx.obj)
    move_of(ctx.obj, project, name)
    if not project.store.startswith("s3://"):
        raise UsageProblem(
            f"store {project.store!r}: a driver that runs as a service keeps its journal "
            "in a bucket; set `store: s3://BUCKET/PREFIX`"
        )
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    if definition is not None:
        files = driver_files(project, name, image)
        for file, text in files.items():
            click.echo(f"{'would write' if dry_run else 'wrote'} {definition / file}")
            if not dry_run:
                definition.mkdir(parents=True, exist_ok=True)
                (definition / file).write_text(text, encoding="utf-8")
        return
    desk = open_desk(ctx.obj, name)
    if dry_run:
        say(as_json, desk.journal.read(name), "would drive;")
        return
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    with _telling(desk, as_json) as tell, suppress(Stopped):
        serve(
            desk.engine,
            desk.journal,
            desk.lease,
            name,
            tell,
            lambda: _beat(desk, name),
            ended.is_set,
        )
    found = read_move(desk, name)
    if found is not None:
        say(as_json, found, "stopped driving;")


def _beat(desk: Desk, name: str) -> None:
    """A beat that cannot be sent is what the alarm on missing beats is for."""
    try:
        heartbeat(
            desk.aws,
            {
                "Service": desk.project.service,
                "Environment": desk.project.environment,
                "Move": name,
            },
        )
    except (KirikaeError, AwsUnreachable) as error:
        click.echo(f"no heartbeat was sent: {error}", err=True)
