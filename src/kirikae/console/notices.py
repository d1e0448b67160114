"""What a move does, in words for a chat and for a director."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kirikae.console.speech import Speech
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Said, said
from kirikae.move.engine import Waits
from kirikae.move.errors import UnknownMove
from kirikae.move.kind import Told


@dataclass(frozen=True, slots=True)
class Notice:
    """A message: the verdict first, the number second, the command to undo third."""

    verdict: str
    number: str
    command: str

    def text(self) -> str:
        """One line each; what is empty is left out."""
        return "\n".join(line for line in (self.verdict, self.number, self.command) if line)


@dataclass(frozen=True, slots=True)
class Announcer:
    """Makes messages.  ``told``: both sides' figures in words, as the thing that moves has them."""

    speech: Speech
    told: Callable[[Evidence], Told | None]

    def of_order(
        self,
        order: Order,
        after: Move,
        evidence: Evidence | None,
        approver: str,
    ) -> Notice | None:
        """What an order that was carried out means to people; None for one that nobody needs to
        hear of."""
        if order.verb is Verb.PREPARE:
            return None
        key = str(order.verb)
        if order.verb is Verb.BACK_OUT:
            key = "pressed" if evidence is None else "fail"
        verdict = self._say(f"notice.{key}", name=after.name, share=after.share)
        number = self._number(order, evidence)
        if approver:
            approved = self._say("notice.approved", who=approver.rpartition("/")[2])
            number = f"{number} · {approved}" if number else approved
        return Notice(verdict, number, self._command(order, after))

    def _say(self, key: str, **blanks: object) -> str:
        """As this kind of move says it."""
        return self.speech.say(self.speech.of_kind(key, **blanks))

    def _number(self, order: Order, evidence: Evidence | None) -> str:
        """The figures; a reason where there are none, or where a person gave one."""
        number = self.speech.say(self._figures(evidence))
        wanted = order.verb is Verb.HOLD or not number
        if order.reason is not None and wanted:
            return self._say("notice.why", reason=order.reason)
        return number

    def _figures(self, evidence: Evidence | None) -> Said | None:
        """None where nothing was measured, or the kind has no words for it."""
        told = self.told(evidence) if evidence is not None else None
        return told.sentence if told is not None else None

    def _command(self, order: Order, after: Move) -> str:
        """The command that takes the order back, or goes on from it; empty where there is none."""
        name = after.name
        match order.verb:
            case Verb.SHIFT | Verb.SETTLE | Verb.RESUME if after.live:
                return self._say("notice.undo", command=f"kirikae back-out {name}")
            case Verb.BACK_OUT | Verb.HOLD:
                return self._say("notice.on", command=f"kirikae move resume {name}")
            case Verb.START:
                return self._say("notice.undo", command=f"kirikae move abandon {name}")
            case _:
                return ""

    def of_waiting(self, waits: Waits, move: Move, evidence: Evidence | None) -> Notice:
        """``waits``: for an approval or for a window."""
        commands = []
        if waits is Waits.APPROVAL:
            commands.append(self._say("notice.ok", command=f"kirikae move approve {move.name}"))
        if move.share:
            commands.append(self._say("notice.undo", command=f"kirikae back-out {move.name}"))
        verdict = self._say(f"notice.{waits}", name=move.name, share=move.share)
        return Notice(verdict, self.speech.say(self._figures(evidence)), " · ".join(commands))

    def of_leaving(self, move: Move) -> Notice:
        """Its driver ended, and users are on the new side."""
        verdict = self.speech.say(
            said("console.interrupted.somebody", name=move.name, share=move.share)
        )
        return Notice(verdict, "", "")


@contextmanager
def begun(name: str, speech: Speech) -> Iterator[None]:
    """That a move was never started is told in the reader's language.  Raises UnknownMove."""
    try:
        yield
    except UnknownMove as error:
        says = speech.say(speech.of_kind("explain.unstarted", name=name))
        raise UnknownMove(says) from error


def explain(speech: Speech, move: Move, evidence: Evidence | None) -> str:
    """Why the move stands where it stands, in one sentence.  ``evidence``: what the record says, if
    it says anything."""
    return speech.say(_explained(speech, move, evidence))


def _explained(speech: Speech, move: Move, evidence: Evidence | None) -> Said:
    """A hold outweighs everything; then the phase; then what the record says."""
    blanks: dict[str, object] = {"name": move.name, "share": move.share}
    held = move.held
    if held is not None:
        reason = held.reason or said(f"model.why.{held.why}")
        key = "explain.held" if move.share else "explain.held_at_zero"
        return speech.of_kind(key, reason=reason, **blanks)
    if move.phase is not Phase.RUNNING:
        return speech.of_kind(f"explain.{move.phase}", **blanks)
    if not move.share or evidence is None:
        return speech.of_kind("explain.ready", **blanks)
    if evidence.plainly is not None:
        return evidence.plainly
    return speech.of_kind(f"explain.{evidence.verdict}", reason=evidence.reason, **blanks)
