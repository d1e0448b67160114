"""``kirikae logs double``: let the old writer write both trees, and measure since when it does."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, LogsDesk, desk_of, speech_of
from kirikae.console.options import JSON, LANG, Whole
from kirikae.logs.layout import OURS, UNPARSED
from kirikae.logs.manifest import Manifest
from kirikae.logs.measured import first_record
from kirikae.logs.thing import manifest_file
from kirikae.logs.writers import double_off, double_on
from kirikae.model.errors import Exit
from kirikae.model.said import said


@click.group("double", cls=Whole)
def double() -> None:
    """Let the old writer write both trees for a while."""


@double.command("on")
@MOVE
@click.option("--tag", default="access", show_default=True, help="What the writer calls the lines.")
@LANG
@JSON
@click.pass_obj
def on(here: Here, move: str, tag: str, lang: str | None) -> Answer:
    """Print the second output for the old writer's configuration; it changes nothing itself."""
    desk = desk_of(here, move)
    url, layout = desk.settings.new.layout(here.folder)
    writer = desk.settings.old.writer
    text = double_on(writer, url, layout, desk.project.region, tag)
    lead = speech_of(here, lang).say(said("logs.double.put_in", writer=writer))
    return Answer({"writer": writer, "configuration": text}, [lead, "", *text.splitlines()])


@double.command("off")
@MOVE
@LANG
@JSON
@click.pass_obj
def off(here: Here, move: str, lang: str | None) -> Answer:
    """Print what is taken out of the old writer's configuration again."""
    desk = desk_of(here, move)
    text = double_off(desk.settings.old.writer)
    lead = speech_of(here, lang).say(said("logs.double.take_out"))
    return Answer({"writer": desk.settings.old.writer, "remove": text}, [lead, text])


@double.command("status")
@MOVE
@LANG
@JSON
@click.pass_obj
def status(here: Here, move: str, lang: str | None) -> Answer:
    """Since when the new tree gets lines, measured from the first record in it (exit 5: none yet).

    What kirikae itself has put there does not count.
    """
    desk = desk_of(here, move)
    speech = speech_of(here, lang)
    url = desk.settings.new.layout(here.folder)[0]
    found = _measured(desk)
    set_to = desk.settings.double_write_since
    told = None if set_to is None else set_to.isoformat()
    plain = {"measured": None, "double_write_since": told}
    if found is None:
        lines = [speech.say(said("logs.double.none", url=url))]
        return Answer(plain, lines, Exit.WAITING)
    when = f"{datetime.fromtimestamp(found, UTC):%Y-%m-%dT%H:%M:%SZ}"
    lines = [speech.say(said("logs.double.since", when=when))]
    if told is not None:
        lines.append(speech.say(said("logs.double.now", when=told)))
    return Answer({**plain, "measured": when}, lines)


def _measured(desk: LogsDesk) -> int | None:
    file = manifest_file(desk.here.folder, desk.name)
    mine = {part.new_key for part in Manifest(file).parts()} if file.exists() else set()
    mover = desk.mover()
    theirs = [
        listed
        for listed in mover.new.list()
        if listed.key not in mine and not listed.key.startswith((OURS, UNPARSED))
    ]
    return first_record(mover, theirs)
