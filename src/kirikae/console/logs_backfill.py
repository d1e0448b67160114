"""``kirikae logs backfill``: move the past."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from kirikae.console.here import Answer, Here, would
from kirikae.console.logs_common import MOVE, LogsDesk, desk_of, speech_of
from kirikae.console.logs_scale import elsewhere, written
from kirikae.console.options import DRY, JSON, LANG, Number
from kirikae.console.speech import Speech
from kirikae.logs.backfill import Backfill, Done
from kirikae.logs.manifest import State
from kirikae.logs.redo import ASIDE, marks_of
from kirikae.logs.throttle import FASTEST, Throttle
from kirikae.model.calendar import window_from
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import said

_MEGABYTE = 1_000_000
_IN_S3 = 10
"""As many connections as botocore keeps for one client."""
_FOR_A_PERSON = (State.BROKEN, State.CHANGED, State.CONFLICT, State.SPECIAL)


@click.command("backfill")
@MOVE
@click.option(
    "--rate",
    type=Number(min=0.1, max=100_000),
    default=FASTEST,
    show_default=True,
    help="Requests a second at most.",
)
@click.option(
    "--mbps",
    type=Number(min=0.001, max=100_000),
    default=None,
    help="Megabytes that are read a second, at most.",
)
@click.option(
    "--window",
    metavar="HH:MM-HH:MM",
    help="Begin objects only then, each day, in the project's time zone.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that work on objects.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 256),
    default=None,
    help="Objects in flight with one worker (default: 10 in S3, 1 in folders).",
)
@click.option(
    "--on",
    metavar="dask://HOST:PORT|ecs:N",
    help="Workers of a Dask cluster that is there, or N tasks of ECS started for this run.",
)
@click.option(
    "--write",
    "write_in",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --on ecs:N: write the task definitions and a Dockerfile here, and move nothing.",
)
@click.option(
    "--put-aside",
    is_flag=True,
    help="What lies in the place of a part that failed its proof: keep it below _kirikae/aside/ "
    "and make the part again.",
)
@DRY
@LANG
@JSON
@click.pass_obj
def backfill(
    here: Here,
    move: str,
    rate: float,
    mbps: float | None,
    window: str | None,
    workers: int,
    at_once: int | None,
    on: str | None,
    write_in: Path | None,
    put_aside: bool,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Move the past of MOVE: copy or split each old object; go on where it stopped.

    Nothing is overwritten and nothing deleted: run it again after a crash, or when new objects have
    come.  What cannot be read to its end is told and left (exit code 6).
    """
    desk = desk_of(here, move)
    speech = speech_of(here, lang)
    if on is not None and workers > 1:
        raise UsageProblem("--on and --workers exclude each other: which one is to work?")
    if write_in is not None:
        return written(here, desk, on, write_in, dry_run)
    if dry_run:
        return _would(desk, speech, put_aside)
    here.assert_may_change("logs backfill")
    throttle = Throttle(
        time.monotonic,
        time.sleep,
        rate,
        None if mbps is None else mbps * _MEGABYTE,
    )
    with elsewhere(desk, on) as crew:
        run = Backfill(
            desk.place,
            desk.manifest(),
            throttle,
            workers,
            at_once or (_IN_S3 if desk.place.old.in_s3 else 1),
            _window(window, desk.project.time_zone),
            _tell,
            on=crew.address,
            keep_up=crew.keep_up,
            put_aside=put_aside,
        )
        done = run.run(desk.aws)
    return _answer(desk, done, speech, put_aside)


def _tell(line: str) -> None:
    """For who looks on; nobody does over a pipe."""
    if sys.stderr.isatty():
        click.echo(f"\r{line}", nl=False, err=True)


def _window(text: str | None, zone: str) -> Callable[[], bool]:
    """Raises UsageProblem."""
    if text is None:
        return lambda: True
    try:
        window = window_from(f"Mon-Sun {text}")
    except ValueError as error:
        raise UsageProblem(f"--window: {error}; write it such as 01:00-06:00") from error
    return lambda: window.holds(datetime.now(UTC).astimezone(ZoneInfo(zone)))


def _would(
    desk: LogsDesk,
    speech: Speech,
    put_aside: bool,
) -> Answer:
    carrier = desk.carrier()
    objects = sum(1 for _ in carrier.old.list())
    urls = {"old": carrier.old.url, "new": carrier.new.url}
    told = [speech.say(said("logs.shown.would_move", objects=objects, **urls))]
    manifest = desk.manifest_if_any()
    marks = marks_of({} if manifest is None else manifest.judged())
    if marks:
        blanks = {
            "objects": len({key for key, _ in marks}),
            "folders": len({label for _, label in marks}),
        }
        told.append(speech.say(said("logs.shown.would_redo", **blanks)))
        if put_aside:
            url = f"{carrier.new.url}{ASIDE}"
            told.append(speech.say(said("logs.shown.would_put_aside", aside=url)))
    return would(
        told,
        {
            "would": told,
            "objects": objects,
            "redo": [{"old_key": key, "folder": label} for key, label in sorted(marks)],
            **urls,
        },
    )


def _answer(
    desk: LogsDesk,
    done: Done,
    speech: Speech,
    put_aside: bool,
) -> Answer:
    told = [
        said("logs.shown.state", state=state, count=done.states[state]) for state in done.states
    ]
    told.append(said("logs.shown.written", written=done.written, unchanged=done.unchanged))
    if done.redone:
        told.append(said("logs.shown.redone", folders=done.redone))
        url = f"{desk.settings.new.layout(desk.here.folder)[0]}{ASIDE}"
        told += [said("logs.shown.put_aside", aside=url)] if put_aside else []
    if done.slowed:
        told.append(said("logs.shown.slowed", times=done.slowed))
    if done.stopped:
        told.append(said("logs.shown.window"))
    for_a_person = any(done.states[str(state)] for state in _FOR_A_PERSON)
    if for_a_person:
        told.append(said("logs.shown.look", name=desk.name))
    lines = [speech.say(each) for each in told]
    return Answer(done.to_plain(), lines, _exit(done, for_a_person))


def _exit(done: Done, for_a_person: bool) -> Exit:
    if for_a_person:
        return Exit.FOUND
    waits = done.stopped or done.states[str(State.WAITS)]
    return Exit.WAITING if waits else Exit.DONE
