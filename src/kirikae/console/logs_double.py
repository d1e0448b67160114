"""``kirikae logs double``: let the old writer write both trees, and measure since when it does."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import MOVE, LogsDesk, desk_of, speech_of
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.logs.layout import OURS, UNPARSED
from kirikae.logs.measured import first_record
from kirikae.logs.writers import double_off, double_on
from kirikae.model.errors import Exit
from kirikae.model.said import said


@click.command("double")
@click.argument("what", type=click.Choice(["on", "off", "status"]))
@MOVE
@click.option(
    "--tag",
    default="access",
    show_default=True,
    help="What the writer calls the lines.",
)
@LANG
@JSON
@click.pass_obj
def double(
    here: Here,
    what: str,
    move: str,
    tag: str,
    lang: str | None,
) -> Answer:
    """Let the old writer write both trees: print its configuration (on, off), or measure (status).

    It changes nothing itself.  status: since when the new tree gets lines, from the first record in
    it that kirikae has not put there (exit 5: none yet).
    """
    desk = desk_of(here, move)
    speech = speech_of(here, lang)
    if what == "on":
        return _on(desk, tag, speech)
    return _off(desk, speech) if what == "off" else _status(desk, speech)


def _on(
    desk: LogsDesk,
    tag: str,
    speech: Speech,
) -> Answer:
    url, layout = desk.settings.new.layout(desk.here.folder)
    writer = desk.settings.old.writer
    text = double_on(
        writer,
        url,
        layout,
        desk.project.region,
        tag,
    )
    lead = speech.say(said("logs.double.put_in", writer=writer))
    plain = {"writer": writer, "configuration": text}
    return Answer(plain, [lead, "", *text.splitlines()])


def _off(desk: LogsDesk, speech: Speech) -> Answer:
    writer = desk.settings.old.writer
    text = double_off(writer)
    lead = speech.say(said("logs.double.take_out"))
    return Answer({"writer": writer, "remove": text}, [lead, text])


def _status(desk: LogsDesk, speech: Speech) -> Answer:
    url = desk.settings.new.layout(desk.here.folder)[0]
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
    manifest = desk.manifest_if_any()
    mine = set() if manifest is None else {part.new_key for part in manifest.parts()}
    carrier = desk.carrier()
    theirs = [
        listed
        for listed in carrier.new.list()
        if listed.key not in mine and not listed.key.startswith((OURS, UNPARSED))
    ]
    return first_record(carrier, theirs)
