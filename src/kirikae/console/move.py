"""``kirikae move`` (all but ``judge``) and ``kirikae back-out``: plan, drive, look at and command a
move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kirikae.console import orders, pressing
from kirikae.console.completion import MOVES
from kirikae.console.context import Desk, open_desk
from kirikae.console.driving import drive_on, start, step
from kirikae.console.here import Answer, Here
from kirikae.console.notices import begun, explain
from kirikae.console.options import DRY, JSON, LANG, STREAM
from kirikae.console.orders import Complain
from kirikae.console.outlook import outlook, standing
from kirikae.console.recording import Recorder
from kirikae.console.speech import Speech
from kirikae.console.telling import Teller, shown, shown_look
from kirikae.console.watching import look_at
from kirikae.console.watching import watch as look_on
from kirikae.model.errors import UsageProblem
from kirikae.model.evidence import Verdict
from kirikae.model.move import Move, Phase, Verb
from kirikae.model.said import text
from kirikae.model.shown import clean, writable
from kirikae.move.engine import Wait, held_in_words


@click.group()
def move() -> None:
    """The verbs of ``moving.move`` that open a move."""


for command in (start, step, drive_on):
    move.add_command(command)


def _complain(words: str) -> None:
    click.echo(clean(words), err=True)


COMPLAIN: Complain = _complain


@move.command()
@click.argument("name", shell_complete=MOVES)
@JSON
@LANG
@click.pass_obj
def plan(here: Here, name: str, lang: str | None) -> Answer:
    """Show every step, what each must prove, and what stands in the way."""
    desk = open_desk(here, name)
    return outlook(here, desk).answer(Speech(here.language(lang), desk.kind.name))


@move.command()
@click.argument("name", shell_complete=MOVES)
@JSON
@LANG
@click.pass_obj
def status(here: Here, name: str, lang: str | None) -> Answer:
    """Where the move stands, who drives it, and whether the old side can take all of it now."""
    desk = open_desk(here, name)
    speech = Speech(here.language(lang), desk.kind.name)
    with begun(name, speech):
        found = standing(desk)
        found = replace(found, wait=_still_lacks(desk, found.move))
    lines = found.lines(speech)
    return Answer(found.to_plain(), lines, found.exit)


def _still_lacks(desk: Desk, found: Move) -> Wait | None:
    """What the judge still waits for, of a move that nobody holds."""
    if found.phase is not Phase.RUNNING or found.held is not None:
        return None
    look = look_at(desk, found)
    unsure = look.evidence is not None and look.evidence.verdict is Verdict.UNSURE
    return look.wait if unsure else None


@move.command()
@click.argument("name", shell_complete=MOVES)
@STREAM
@click.option("--once", is_flag=True, help="Print one line and end.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this attempt's figures to a file for `move judge`.",
)
@LANG
@click.pass_obj
def watch(
    here: Here, name: str, as_json: bool, once: bool, record: Path | None, lang: str | None
) -> Answer:
    """Look on: share, figures and evidence as the journal has them; changes nothing."""
    desk = open_desk(here, name)
    speech = Speech(here.language(lang), desk.kind.name)
    teller = Teller(as_json, desk.thing.told, speech)
    recorder = Recorder(desk.journal, record) if record is not None else None
    last = look_on(desk, teller, once, recorder.write if recorder is not None else None)
    if not as_json:
        teller(last)
    return Answer(shown_look(last))


@move.command()
@click.argument("name", shell_complete=MOVES)
@click.option(
    "--reason", default="held by hand", show_default=True, help="Why; kept in the journal."
)
@JSON
@DRY
@click.pass_obj
def hold(here: Here, name: str, reason: str, dry_run: bool) -> Answer:
    """Stop where it is; the share stays."""
    here.assert_may_change("move hold", dry_run)
    return orders.hold(open_desk(here, name), reason, dry_run, COMPLAIN)


def _command_by_hand(verb: Verb, says: str) -> None:
    @move.command(str(verb), help=says)
    @click.argument("name", shell_complete=MOVES)
    @JSON
    @DRY
    @click.pass_obj
    def command(here: Here, name: str, dry_run: bool) -> Answer:
        here.assert_may_change(f"move {verb}", dry_run)
        return orders.by_hand(here, open_desk(here, name), verb, dry_run, COMPLAIN)


_command_by_hand(
    Verb.RESUME,
    "Lift the hold: the share is set back to the journal's; `move start` then drives on.",
)
_command_by_hand(Verb.ABANDON, "Give the move up (only before it started, or at 0%).")
_command_by_hand(
    Verb.SETTLE, "Say by hand that 100% is where it stays (a driver does so once that is proven)."
)
_command_by_hand(Verb.RETIRE, "Pin the share and write the removal plan; deletes nothing.")


@move.command()
@click.argument("name", shell_complete=MOVES)
@JSON
@DRY
@click.pass_obj
def approve(here: Here, name: str, dry_run: bool) -> Answer:
    """Say yes to the next step (with `advance: ask`)."""
    here.assert_may_change("move approve", dry_run)
    return orders.approve(open_desk(here, name), dry_run)


@move.command()
@click.argument("name", shell_complete=MOVES)
@STREAM
@LANG
@click.pass_obj
def history(here: Here, name: str, as_json: bool, lang: str | None) -> Answer:
    """The journal: what was intended, done and seen, by whom (JSON: one entry a line)."""
    desk = open_desk(here, name)
    found = orders.history(desk)
    if not as_json:
        return Answer({}, found.lines(Speech(here.language(lang), desk.kind.name)))
    for entry in found.to_plain():
        click.echo(writable(Answer(entry).json()))
    return Answer(silent=True)


@move.command("explain")
@click.argument("name", shell_complete=MOVES)
@LANG
@JSON
@click.pass_obj
def explain_move(here: Here, name: str, lang: str | None) -> Answer:
    """Why the move stands where it stands, in one sentence that everybody understands."""
    desk = open_desk(here, name)
    speech = Speech(here.language(lang), desk.kind.name)
    with begun(name, speech):
        found = desk.journal.read(name)
    look = look_at(desk, found)
    sentence = explain(speech, found, look.evidence)
    held = Speech().say(held_in_words(found))
    plain = {**shown(found, look.evidence, look.wait), "says": sentence}
    return Answer({**plain, "waits_for": held or plain["waits_for"]}, (sentence,))


@click.command("back-out")
@click.argument("name", required=False, shell_complete=MOVES)
@click.option("--all", "everything", is_flag=True, help="Every live move of this project.")
@click.option(
    "--reason",
    default="the red button was pressed",
    show_default=True,
    help="Why; kept in the journal.",
)
@JSON
@DRY
@click.pass_obj
def back_out(here: Here, name: str | None, everything: bool, reason: str, dry_run: bool) -> Answer:
    """The red button: share 0 now, whatever a driver is doing."""
    here.assert_may_change("back-out", dry_run)
    if (name is None) != everything:
        raise UsageProblem("name the move, or say --all")
    return pressing.back_out(here, name, text(reason), dry_run, COMPLAIN)
