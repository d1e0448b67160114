"""The verbs that drive a move: ``start`` until it ends, ``step`` for CI, ``drive`` for weeks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from kirikae.aws.cloudwatch import heartbeat
from kirikae.build.driver import driver_files
from kirikae.console.acceptances import doubts
from kirikae.console.completion import MOVES
from kirikae.console.context import Desk, load_project, move_of, open_desk
from kirikae.console.errors import SurveySaysNo
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.notify import Notifier, notifier_of
from kirikae.console.options import DRY, LANG, STREAM
from kirikae.console.orders import dry
from kirikae.console.outlook import mends_it
from kirikae.console.speech import Speech
from kirikae.console.telling import Teller, about, exit_of, shown, shown_look
from kirikae.hosts.files import write_durably
from kirikae.model.errors import AwsUnreachable, Exit, KirikaeError, UsageProblem
from kirikae.model.finding import blocking, mended
from kirikae.model.move import Move
from kirikae.model.said import said
from kirikae.model.share import percent
from kirikae.model.shown import clean
from kirikae.move.driver import Service
from kirikae.move.engine import Look
from kirikae.move.errors import LeaseLost, LeftAlone, Stopped


def _assert_may_begin(desk: Desk, here: Here, found: Move | None, speech: Speech) -> None:
    """No share leaves 0 over a blocking finding or without a fresh survey.

    Raises SurveySaysNo, AnotherSubject.  A move whose share is above 0 is driven on whatever the
    survey says: leaving it without a driver helps nobody.
    """
    from kirikae.console.surveyed import refusal, survey_findings, today  # for a beginning alone

    desk.assert_same_subject(found)
    if found is not None and found.live and (found.share or found.held or found.intent):
        return
    kind = desk.kind.name
    surveyed = survey_findings(here, desk.project)
    for each in doubts(desk.project, today(), surveyed):
        _complain(speech.say(each.says))
    in_the_way = blocking(surveyed, kind)
    if in_the_way:
        raise SurveySaysNo(refusal(in_the_way, desk.name, speech))
    for finding in mended(surveyed, kind):
        _complain(speech.say(mends_it(finding, speech)))


def _plan_it(desk: Desk, found: Move | None) -> None:
    """The first entry of a life of the move."""
    plan = desk.thing.plan()
    subject = desk.thing.subject
    if found is None:
        desk.journal.write(Move(desk.name, plan, seq=1, subject=subject))
    elif found.over:
        desk.journal.write(found.anew(plan, subject))


@contextmanager
def _telling(
    desk: Desk, speech: Speech | None, as_json: bool = False
) -> Iterator[Callable[[Look], None]]:
    """To the terminal (None: not there), and to who is named in `notify`."""
    shower = None if speech is None else Teller(as_json, desk.thing.told, speech)
    teller: Callable[[Look], None] = shower or _nobody
    notifier = notifier_of(desk, _complain)
    try:
        with _with_notes(desk, teller, notifier) as tell:
            yield tell
    finally:
        if shower is not None:
            shower.close()


@contextmanager
def _with_notes(
    desk: Desk, teller: Callable[[Look], None], notifier: Notifier | None
) -> Iterator[Callable[[Look], None]]:
    """Beside the terminal, people in a chat."""
    if notifier is None:
        yield teller
        return

    def both(look: Look) -> None:
        teller(look)
        notifier(look)

    try:
        yield both
    except (KeyboardInterrupt, LeftAlone):
        notifier.left(desk.name)
        raise
    finally:
        notifier.close()


def _nobody(look: Look) -> None:
    """Where the look is the answer itself."""


def _complain(text: str) -> None:
    click.echo(clean(text), err=True)


@click.command()
@click.argument("name", shell_complete=MOVES)
@click.option("--detach", is_flag=True, help="Plan it, and leave the driving to `move drive`.")
@STREAM
@DRY
@LANG
@click.pass_obj
def start(
    here: Here, name: str, detach: bool, as_json: bool, dry_run: bool, lang: str | None
) -> Answer:
    """Drive the move until it is settled, held or backed out; takes over after a crash."""
    here.assert_may_change("move start", dry_run)
    desk = open_desk(here, name)
    found = desk.read()
    speech = Speech(here.language(lang), desk.kind.name)
    _assert_may_begin(desk, here, found, speech)
    if dry_run:
        return _would_start(desk, found)
    _plan_it(desk, found)
    if detach:
        return about(desk.journal.read(name), "left to its driver;")
    try:
        with _ends_as_ctrl_c(), _telling(desk, speech, as_json) as tell:
            look = desk.driver.drive(tell)
    except KeyboardInterrupt:
        return _interrupted(desk.journal.read(name), speech)
    return _ended(look.move, speech)


@contextmanager
def _ends_as_ctrl_c() -> Iterator[None]:
    """A closed terminal and a plain `kill` end a drive as Ctrl-C does: the lease is given back,
    and who is left on the new side is told."""
    former = {sign: signal.signal(sign, _interrupt) for sign in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, handler in former.items():
            signal.signal(sign, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _interrupted(found: Move, speech: Speech) -> Answer:
    """Who is left on the new side, and that nobody looks after them now."""
    key = "console.interrupted.nobody"
    if found.live and found.share:
        key = "console.interrupted.somebody"
    says = speech.say(said(key, name=found.name, share=found.share))
    return Answer({**shown(found), "message": says}, (), Exit.UNFINISHED, "", (says,))


def _would_start(desk: Desk, found: Move | None) -> Answer:
    if found is not None:
        return dry(found, f"go on with {desk.name}")
    plan = desk.thing.plan()
    shares = ", ".join(percent(share) for share in plan)
    told = dry(Move(desk.name, plan), f"plan {desk.name}: {shares}")
    return Answer(told.plain, (f"would plan {desk.name}: {shares}",), Exit.DONE, DRY_RUN)


def _ended(found: Move, speech: Speech) -> Answer:
    """Where it stands has been told by the last look: here what goes on from there."""
    lines = []
    if found.held is not None:
        lines.append(
            speech.say(said("console.ended.held", name=found.name, share=percent(found.share)))
        )
    return Answer(shown(found), lines, exit_of(found))


@click.command()
@click.argument("name", shell_complete=MOVES)
@STREAM
@DRY
@click.pass_obj
def step(here: Here, name: str, as_json: bool, dry_run: bool) -> Answer:
    """One look and at most one step, for CI (5: waiting, 4: backed out)."""
    here.assert_may_change("move step", dry_run)
    desk = open_desk(here, name)
    found = desk.read()
    if dry_run:
        now = found or Move(name, desk.thing.plan())
        return dry(now, "look, and take at most one step")
    _assert_may_begin(desk, here, found, Speech(here.language(), desk.kind.name))
    if found is None:
        _plan_it(desk, found)
    speech = Speech("en", desk.kind.name)
    before, look = _step(desk, None if as_json else speech)
    went_on = look.move.seq > before.seq or look.move.over
    outcome = Exit.DONE if went_on else Exit.WAITING
    if exit_of(look.move) is Exit.BACKED_OUT:
        outcome = Exit.BACKED_OUT
    # For people the look itself is the answer: it has been told.
    return Answer(shown_look(look), (), outcome)


def _step(desk: Desk, speech: Speech | None) -> tuple[Move, Look]:
    """The move before, and the one look."""
    engine = desk.engine
    with _telling(desk, speech) as tell:
        try:
            with desk.lease.held():
                before = desk.journal.read(desk.name)
                look = engine.step(desk.name)
                tell(look)
        except LeaseLost:
            engine.clear_up(desk.name)
            raise
        engine.keep_down(look.move)
    return before, look


@click.command("drive")
@click.argument("name", shell_complete=MOVES)
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
@STREAM
@DRY
@click.pass_obj
def drive_on(
    here: Here,
    name: str,
    as_service: bool,
    definition: Path | None,
    image: str,
    as_json: bool,
    dry_run: bool,
) -> Answer:
    """Drive a move that was started with --detach, as a service; each minute a heartbeat goes to
    CloudWatch."""
    if as_service == (definition is not None):
        raise UsageProblem(
            "say --service to drive, or --definition FOLDER to write the files that run it on ECS"
        )
    _assert_in_a_bucket(here, name)
    here.assert_may_change("move drive", dry_run)
    desk = open_desk(here, name)
    if definition is not None:
        return _write_definition(desk, definition, image, dry_run)
    if dry_run:
        return dry(desk.journal.read(name), "drive")
    return _serve(desk, as_json)


def _assert_in_a_bucket(here: Here, name: str) -> None:
    project = load_project(here)
    move_of(here, project, name)
    if not project.store.startswith("s3://"):
        raise UsageProblem(
            f"store {project.store!r}: a driver that runs as a service keeps its journal "
            "in a bucket; set `store: s3://BUCKET/PREFIX`"
        )


def _write_definition(desk: Desk, folder: Path, image: str, dry_run: bool) -> Answer:
    permissions = desk.kind.permissions(desk.settings, desk.bench)
    files = driver_files(desk.project, desk.name, image, permissions)
    named = [str(folder / file) for file in files]
    if dry_run:
        lines = [f"would write {file}" for file in named]
        return Answer({"files": named}, lines, Exit.DONE, DRY_RUN)
    for file, text in files.items():
        write_durably(folder / file, text)
    return Answer({"files": named}, [f"wrote {file}" for file in named])


def _serve(desk: Desk, as_json: bool) -> Answer:
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    speech = Speech("en", desk.kind.name)
    with _telling(desk, speech, as_json) as tell, suppress(Stopped):
        Service(desk.driver, tell, lambda: _beat(desk), ended.is_set).serve()
    found = desk.read()
    if found is None:
        return Answer({"move": desk.name}, (), Exit.DONE, NOTHING_TO_DO)
    return about(found, "stopped driving;")


def _beat(desk: Desk) -> None:
    """A beat that cannot be sent is what the alarm on missing beats is for."""
    project = desk.project
    dimensions = {
        "Service": project.service,
        "Environment": project.environment,
        "Move": desk.name,
    }
    try:
        heartbeat(desk.aws, dimensions)
    except (KirikaeError, AwsUnreachable) as error:
        _complain(f"no heartbeat was sent: {error}")
