"""The red button on the command line: share 0 for one move or for all, whatever is broken.

The weights are set first; only then it is asked what the journal says of them.
"""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from kirikae.aws.errors import WrongAccount
from kirikae.aws.session import Aws
from kirikae.console.context import Desk, desk_of, move_of
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.notify import tell_once
from kirikae.console.salvage import Salvaged, salvaged
from kirikae.console.speech import Speech
from kirikae.console.telling import about, shown
from kirikae.model.errors import Exit, KirikaeError, UsageProblem
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.button import Finger, set_to_zero, share_found, write_down

Complain = Callable[[str], None]
STORE_PATIENCE_S = 1.0
"""How long the journal's file may be locked by another process before the button goes on."""
_WHO_S = 1.0
_AT_ONCE = 8


class End(StrEnum):
    """How it ended for one move."""

    BACKED_OUT = "backed out"
    UNRECORDED = "unrecorded"
    NOTHING = "nothing"
    LEFT = "left"
    STILL = "still"
    WOULD = "would"


@dataclass(frozen=True, slots=True)
class Pressed:
    """What the red button did for one move.

    ``share``: what the weights said before, None where they said nothing.  ``move``: as the journal
    has it afterwards, None where that is not known.  ``trouble``: what a person must know.
    ``by_hand``: what a person can do without kirikae.
    """

    name: str
    end: End
    share: int | None = None
    move: Move | None = None
    delay_s: float = 0.0
    trouble: Said | None = None
    by_hand: Said | None = None

    @property
    def ours(self) -> bool:
        """Is it in the journal, or would it be?"""
        return self.end in (End.BACKED_OUT, End.WOULD)


class Identity:
    """Who we are, asked beside everything else: only the wrong account may stop the button."""

    def __init__(self, aws: Aws, account: str) -> None:
        """Asks at once, beside whatever else is done; nobody waits for it here."""
        self._found = f"local user {getpass.getuser()}"
        self._wrong: WrongAccount | None = None
        self._thread = threading.Thread(
            target=self._ask, args=(aws, account), daemon=True, name="identity"
        )
        self._thread.start()

    def _ask(self, aws: Aws, account: str) -> None:
        """The wrong account is kept for ``who``; where AWS does not say, the local user's name
        stands."""
        try:
            self._found = aws.identity(account)
        except WrongAccount as error:
            self._wrong = error
        except KirikaeError:
            pass  # the local user's name stands

    def who(self) -> str:
        """Raises WrongAccount."""
        self._thread.join(_WHO_S)
        if self._wrong is not None:
            raise self._wrong
        return self._found


def back_out(
    here: Here, name: str | None, reason: Said, dry_run: bool, complain: Complain
) -> Answer:
    """Share 0 now for this move, or for each that has weight on the new side.

    One that cannot be backed out never keeps the others from it.  Raises UsageProblem for one that
    was named and has nothing there.
    """
    file = salvaged(here)
    speech = Speech(here.language())
    if file.faults:
        complain(speech.say(said("console.button.faults", faults=file.faults)))
    if name is not None and name not in file.lost:
        move_of(here, file.project, name)
    hand = _Hand(here, file.project, reason, name is None, dry_run, complain, speech)
    pressed = _press_all(hand, file, name)
    if name is not None:
        _assert_there(pressed[0])
    return _answer(pressed, dry_run, speech)


def _press_all(hand: _Hand, file: Salvaged, name: str | None) -> list[Pressed]:
    """All of them side by side: a move that hangs does not keep the others at their share."""
    names = [*file.project.moves, *file.lost] if name is None else [name]
    if not names:
        return []
    aws = Aws(file.project.region, hand.here.read_only)
    identity = Identity(aws, file.project.account)

    def press(each: str) -> Pressed:
        if each in file.lost:
            return Pressed(each, End.STILL, trouble=said("console.button.lost", name=each))
        return hand.press(each, aws, identity)

    with ThreadPoolExecutor(_AT_ONCE, "button") as pool:
        return list(pool.map(press, names))


@dataclass(frozen=True, slots=True)
class _Hand:
    """Who presses, and how."""

    here: Here
    project: Project
    reason: Said
    everything: bool
    dry_run: bool
    complain: Complain
    speech: Speech

    def press(self, name: str, aws: Aws, identity: Identity) -> Pressed:
        """The world first: share 0 is set before anything is asked of the journal.

        A move that is retired is left as it is where all are pressed, for nothing of its old side
        may be there any more.
        """
        desk = self._desk(name, aws, "")
        looked, share = share_found(desk.thing)
        known = share if looked else None
        try:
            if self.everything and share == WHOLE and _is_retired(desk):
                return Pressed(name, End.LEFT, share)
            if self.dry_run:
                return _would(desk, looked, share)
            who = self.here.signed(identity.who())
            set_to_zero(desk.thing, name, Finger(self._tell))
        except KirikaeError as error:
            trouble = said("console.button.refused", name=name, error=str(error))
            # Whoever holds the keys of another account must not be told to type anything.
            by_hand = None if isinstance(error, WrongAccount) else self._by_hand(desk)
            return Pressed(name, End.STILL, known, trouble=trouble, by_hand=by_hand)
        self._tell(said("console.button.zero", name=name))
        return self._written_down(self._desk(name, aws, who), looked, share)

    def _by_hand(self, desk: Desk) -> Said | None:
        """Share 0 without kirikae; None where its kind knows no way."""
        way = desk.kind.by_hand
        return None if way is None else way(desk.settings, self.project)

    def _tell(self, says: Said) -> None:
        """In the language of whoever pressed."""
        self.complain(self.speech.say(says))

    def _desk(self, name: str, aws: Aws, who: str) -> Desk:
        """``who`` is empty while it is only looked: who we are is not known yet."""
        return desk_of(self.here, self.project, name, aws, who, STORE_PATIENCE_S)

    def _written_down(self, desk: Desk, looked: bool, share: int | None) -> Pressed:
        """Share 0 is set; now the journal, as far as it can be used."""
        name = desk.name
        known = share if looked else None
        try:
            before = desk.read()
            if before is None or not before.live:
                return _not_live(name, before, looked, share)
            finger = Finger(self._tell, now=desk.aws.now)
            after = write_down(desk.journal, desk.thing, desk.lease, name, self.reason, finger)
        except KirikaeError as error:
            trouble = said("console.button.not_written", name=name, error=str(error))
            return Pressed(name, End.UNRECORDED, known, trouble=trouble)
        self._notify(desk)
        return Pressed(name, End.BACKED_OUT, known, after, _delay_s(desk))

    def _notify(self, desk: Desk) -> None:
        """A message that cannot be sent is complained of, and changes nothing."""
        try:
            tell_once(desk, self.complain)
        except KirikaeError as error:
            self.complain(str(error))


def _is_retired(desk: Desk) -> bool:
    """Everything is on the new side for good; where the journal does not tell, it is not."""
    try:
        found = desk.read()
    except KirikaeError:
        return False
    return found is not None and found.phase is Phase.RETIRED


def _not_live(name: str, before: Move | None, looked: bool, share: int | None) -> Pressed:
    """Weights say more than a journal that does not know of them."""
    if looked and share == 0:
        return Pressed(name, End.NOTHING, 0, before)
    at: Said | str = said("console.button.some") if share is None else percent(share)
    where = said("console.button.unknown")
    if before is not None:
        where = said("console.button.phase", phase=str(before.phase))
    trouble = said("console.button.unrecorded", name=name, where=where, share=at)
    return Pressed(name, End.UNRECORDED, share, before, trouble=trouble)


def _would(desk: Desk, looked: bool, share: int | None) -> Pressed:
    """What ``--dry-run`` answers of one move; a journal that cannot be read stops it no more than
    the button itself."""
    try:
        found = desk.read()
    except KirikaeError:
        found = None
    live = found is not None and found.live
    end = End.WOULD if live or not looked or share != 0 else End.NOTHING
    return Pressed(desk.name, end, share if looked else None, found)


def _delay_s(desk: Desk) -> float:
    """By DNS a back-out is as slow as resolvers forget: say so."""
    try:
        return desk.thing.delay_s
    except KirikaeError:
        return 0.0


def _assert_there(pressed: Pressed) -> None:
    """Raises UsageProblem where the one move that was named has nothing on its new side."""
    if pressed.end is End.NOTHING:
        where = Speech().where(pressed.move) if pressed.move is not None else "not started"
        raise UsageProblem(f"{pressed.name} is {where}: nothing of it is on the new side")


# --- what is answered


def _answer(pressed: Sequence[Pressed], dry_run: bool, speech: Speech) -> Answer:
    """Lines of what was done, notes of what is in doubt, and in the end for each move where its
    share is now."""
    lines = [line for each in pressed for line in _lines(each, speech)]
    if all(each.end is End.NOTHING for each in pressed):
        lines.append(speech.say(said("console.button.none")))
    notes = [speech.say(trouble) for trouble in _troubles(pressed)]
    notes += [speech.say(each.by_hand) for each in pressed if each.by_hand]
    if not dry_run:
        notes += [speech.say(_last(each)) for each in pressed]
    code, outcome = _outcome([each.end for each in pressed], dry_run)
    return Answer(_plain(pressed), lines, code, outcome, notes)


def _plain(pressed: Sequence[Pressed]) -> dict[str, object]:
    english = Speech()
    done = [each.move for each in pressed if each.ours and each.move is not None]
    plain: dict[str, object] = {
        "moves": [shown(move) for move in done],
        "troubles": [english.say(trouble) for trouble in _troubles(pressed)],
        "ends": {each.name: str(each.end) for each in pressed},
        "shares": {each.name: _share_now(each) for each in pressed},
    }
    return {**shown(done[0]), **plain} if len(done) == 1 else plain


def _troubles(pressed: Sequence[Pressed]) -> list[Said]:
    return [each.trouble for each in pressed if each.trouble is not None]


def _outcome(ends: Sequence[End], dry_run: bool) -> tuple[Exit, str]:
    """The worst of all moves decides."""
    if End.STILL in ends or End.UNRECORDED in ends:
        return Exit.UNFINISHED, ""
    if dry_run:
        return Exit.DONE, DRY_RUN
    if End.BACKED_OUT in ends:
        return Exit.BACKED_OUT, ""
    # Never 0 while a rule of the project gives the new side weight.
    return (Exit.FOUND, "") if End.LEFT in ends else (Exit.DONE, NOTHING_TO_DO)


def _lines(pressed: Pressed, speech: Speech) -> list[str]:
    """What was done for one move; what is in doubt is told in its trouble instead."""
    name = pressed.name
    match pressed.end:
        case End.BACKED_OUT if pressed.move is not None:
            lines = list(about(pressed.move).lines)
            if pressed.delay_s:
                delay = said("console.button.delay", seconds=pressed.delay_s)
                lines.append(speech.say(delay))
            return lines
        case End.WOULD if pressed.move is not None and pressed.move.live:
            return list(about(pressed.move, "would set it to 0% and hold it;").lines)
        case End.WOULD:
            return [speech.say(said("console.button.would", name=name))]
        case End.NOTHING:
            return [speech.say(said("console.button.nothing", name=name))]
        case End.LEFT:
            return [speech.say(said("console.button.left", name=name))]
        case _:
            return []


def _last(pressed: Pressed) -> Said:
    """What a tired person reads last."""
    match pressed.end:
        case End.STILL:
            share = pressed.share
            at: Said | str = said("console.button.as_it_was") if share is None else percent(share)
            return said("console.button.still", name=pressed.name, share=at)
        case End.LEFT:
            return said("console.button.whole", name=pressed.name)
        case _:
            return said("console.button.zero", name=pressed.name)


def _share_now(pressed: Pressed) -> str | None:
    """None where it is not known."""
    if pressed.end in (End.BACKED_OUT, End.UNRECORDED, End.NOTHING):
        return percent(0)
    return None if pressed.share is None else percent(pressed.share)
