"""What a chat does, by the functions of the verbs: look, ask back, carry out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kirikae.console import orders, pressing
from kirikae.console.chat.asked import Act, Asked
from kirikae.console.context import Desk, desk_of, load_project, open_aws, open_desk, open_store
from kirikae.console.errors import NotAsked, NothingToApprove
from kirikae.console.here import Answer, Here
from kirikae.console.measured import MoveSeen, move_seen
from kirikae.console.notices import explain
from kirikae.console.orders import Complain
from kirikae.console.release import ReleaseDesk, deployed, open_release_desk
from kirikae.console.speech import Speech
from kirikae.model.chat_settings import ChatPerson
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.move import Move, Order, Phase, Verb
from kirikae.model.said import Language, Said, said, text
from kirikae.move.journal import Journal
from kirikae.release.fleet import NEW, OLD
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import checked_id

_TIMEOUT_S = 600.0
_ANOTHER = "another"
_LOCALES = {"en": "C.UTF-8", "ja": "ja_JP.UTF-8"}


@dataclass(frozen=True, slots=True)
class Someone:
    """Who asks: here signed with the name that the journal shall have."""

    here: Here
    person: ChatPerson
    language: Language
    complain: Complain

    def speech(self, kind: str = "") -> Speech:
        return Speech(self.language, kind)

    @property
    def spoken_here(self) -> Here:
        """For a verb that speaks the environment's language."""
        environment = {
            **self.here.environment,
            "LC_ALL": _LOCALES[self.language],
        }
        return replace(self.here, environment=environment)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is told, and what can be asked for of it."""

    text: str
    offers: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Back:
    """A question: what would be done.  ``asked``: with what the asker has seen."""

    asked: Asked
    question: Said
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended.  ``lines``: what a verb or AWS said, as it said it."""

    well: bool
    says: Said
    lines: tuple[str, ...] = ()


# --- look


def looked(who: Someone, name: str) -> list[Line]:
    """One move with all that status says, or every move in two sentences.  Raises what the verbs
    raise."""
    if name:
        return [
            _whole(
                who,
                open_desk(who.here, name),
            )
        ]
    project = load_project(who.here)
    aws, signed = open_aws(who.here, project)
    seen = [
        move_seen(
            desk_of(
                who.here,
                project,
                each,
                aws,
                signed,
            )
        )
        for each in project.moves
    ]
    ledger = Ledger(
        open_store(who.here, project, aws), project.environment, project.service, signed
    )
    serving = {fleet: ledger.serving(fleet) for fleet in (OLD, NEW)}
    lines = [_short(who, each) for each in seen]
    return lines + [
        Line(who.speech().say(said("console.chat.serves", fleet=fleet, release=entry.release)))
        for fleet, entry in serving.items()
        if entry is not None
    ]


def _whole(who: Someone, desk: Desk) -> Line:
    seen = move_seen(desk)
    if seen.standing is None:
        return _short(who, seen)
    speech = who.speech(seen.kind)
    told = [
        explain(
            speech,
            seen.standing.move,
            seen.evidence,
        ),
        *seen.standing.lines(speech),
    ]
    return Line(
        "\n".join(told),
        _offers(who, seen.standing.move),
    )


def _short(who: Someone, seen: MoveSeen) -> Line:
    speech = who.speech(seen.kind)
    if seen.standing is None:
        key = "console.chat.not_looked_at" if seen.trouble else "console.chat.not_started"
        return Line(
            speech.say(
                said(
                    key,
                    name=seen.name,
                    why=text(seen.trouble),
                )
            )
        )
    move = seen.standing.move
    told = [
        speech.say(_is(speech, move)),
        explain(speech, move, seen.evidence),
    ]
    if seen.standing.differs is not None:
        told.append(speech.say(seen.standing.differs))
    return Line(
        "\n".join(told),
        _offers(who, move),
    )


def _is(speech: Speech, move: Move) -> Said:
    return said(
        "console.is",
        name=move.name,
        where=text(speech.where(move)),
    )


def _offers(who: Someone, move: Move) -> tuple[Asked, ...]:
    """What this person may ask for and the move allows."""
    lawful = {
        Act.APPROVE: move.held is None and move.phase is Phase.RUNNING,
        Act.HOLD: move.held is None and move.allows(Order(Verb.HOLD)),
        Act.BACK_OUT: move.allows(Order(Verb.BACK_OUT)) and bool(move.share),
    }
    may = who.person.may
    return tuple(
        Asked(act, move.name) for act, is_so in lawful.items() if is_so and str(act) in may
    )


# --- ask back


def asked_back(who: Someone, asked: Asked) -> Back:
    """What would be done, by the verb's own dry run: what it would refuse is refused now."""
    return _BACK[asked.act](who, asked)


def _back_approve(who: Someone, asked: Asked) -> Back:
    desk = open_desk(who.here, asked.name)
    move = desk.journal.read(asked.name)
    _assert_another(who, desk)
    orders.approve(desk, dry_run=True)
    key = "approve" if move.next_share is not None else "approve_settle"
    question = said(
        f"console.chat.ask.{key}",
        name=move.name,
        share=move.next_share,
    )
    return Back(
        replace(asked, seq=move.seq),
        question,
    )


def _assert_another(who: Someone, desk: Desk) -> None:
    """``approver: another`` compares identities of AWS; whoever drives in a terminal must not be
    somebody else in a chat.  Raises NothingToApprove."""
    if desk.settings.approver != _ANOTHER:
        return
    if who.person.aws is None:
        raise NothingToApprove(
            f"{desk.name} asks for the yes of somebody else than its driver: say who "
            f"{who.person.name} is in AWS (`aws` under `chat.people` of the project file)"
        )
    if orders.last_driver(desk) == who.person.aws:
        raise NothingToApprove(
            f"{who.person.name} drives {desk.name}; `approver: another` asks for the yes of "
            "somebody else"
        )


def _back_hold(who: Someone, asked: Asked) -> Back:
    desk = open_desk(who.here, asked.name)
    move = desk.journal.read(asked.name)
    order = Order(Verb.HOLD)
    if not move.allows(order):
        move.intending(order)  # raises OutOfOrder, with the words of the command
    speech = who.speech(desk.kind.name)
    where = text(speech.where(move))
    return Back(
        asked,
        said("console.chat.ask.hold", name=move.name, where=where),
    )


def _back_back_out(who: Someone, asked: Asked) -> Back:
    """Asks nothing of the journal: the button works without it."""
    pressing.back_out(
        who.spoken_here,
        asked.name,
        _reason(asked),
        True,
        who.complain,
    )
    return Back(
        asked,
        said("console.chat.ask.back_out", name=asked.name),
    )


def _back_deploy(who: Someone, asked: Asked) -> Back:
    checked_id(asked.name)
    answer = deployed(
        _release_desk(who, asked),
        asked.name,
        asked.sides,
        dry_run=True,
    )
    question = said(
        "console.chat.ask.deploy",
        name=asked.name,
        sides=list(asked.sides),
    )
    return Back(
        asked,
        question,
        tuple(answer.lines),
    )


def _release_desk(who: Someone, asked: Asked) -> ReleaseDesk:
    if not {OLD, NEW}.issuperset(asked.sides) or len({*asked.sides}) != len(asked.sides):
        raise UsageProblem(
            f"{','.join(asked.sides)}: name old, new, or old,new, in the order in which they "
            "shall change"
        )
    return open_release_desk(who.here, _TIMEOUT_S, _quietly)


def _quietly(_: str) -> None:
    """How it comes along is for a terminal."""


def _reason(asked: Asked) -> Said:
    return text(asked.reason) if asked.reason else said("console.chat.reason")


# --- carry out


def carried_out(who: Someone, asked: Asked) -> Done:
    """By the function of the verb; raises what that raises."""
    who.here.assert_may_change(f"{asked.act} (from the chat)")
    return _DO[asked.act](who, asked)


def _approve(who: Someone, asked: Asked) -> Done:
    desk = open_desk(who.here, asked.name)
    move = desk.journal.read(asked.name)
    if move.seq != asked.seq:
        raise NotAsked("changed")
    _assert_another(who, desk)
    orders.approve(desk, dry_run=False)
    return _moved(
        who,
        desk.journal,
        asked,
        "approve",
        desk.kind.name,
    )


def _hold(who: Someone, asked: Asked) -> Done:
    desk = open_desk(who.here, asked.name)
    reason = asked.reason or who.speech().say(_reason(asked))
    orders.hold(
        desk,
        reason,
        False,
        who.complain,
    )
    return _moved(
        who,
        desk.journal,
        asked,
        "hold",
        desk.kind.name,
    )


def _moved(who: Someone, journal: Journal, asked: Asked, act: str, kind: str) -> Done:
    """With where it stands now, in the reader's language."""
    speech = who.speech(kind)
    stands = speech.say(
        _is(
            speech,
            journal.read(asked.name),
        )
    )
    says = said(
        f"console.chat.done.{act}",
        name=asked.name,
        person=who.person.name,
    )
    return Done(True, says, (stands,))


def _back_out(who: Someone, asked: Asked) -> Done:
    answer = pressing.back_out(
        who.spoken_here,
        asked.name,
        _reason(asked),
        False,
        who.complain,
    )
    well = answer.exit is Exit.BACKED_OUT
    key = "back_out" if well else "back_out_unsure"
    says = said(
        f"console.chat.done.{key}",
        name=asked.name,
        person=who.person.name,
    )
    return Done(
        well,
        says,
        tuple(answer.notes),
    )


def _deploy(who: Someone, asked: Asked) -> Done:
    answer = deployed(
        _release_desk(who, asked),
        asked.name,
        asked.sides,
        dry_run=False,
    )
    well = answer.exit is Exit.DONE
    key = "deploy" if well else "deploy_failed"
    says = said(
        f"console.chat.done.{key}",
        name=asked.name,
        sides=list(asked.sides),
        person=who.person.name,
    )
    return Done(well, says, _both(answer))


def _both(answer: Answer) -> tuple[str, ...]:
    return (
        *answer.lines,
        *answer.notes,
    )


_BACK: dict[
    Act,
    Callable[
        [Someone, Asked],
        Back,
    ],
] = {
    Act.APPROVE: _back_approve,
    Act.HOLD: _back_hold,
    Act.BACK_OUT: _back_back_out,
    Act.DEPLOY: _back_deploy,
}
_DO: dict[
    Act,
    Callable[
        [Someone, Asked],
        Done,
    ],
] = {
    Act.APPROVE: _approve,
    Act.HOLD: _hold,
    Act.BACK_OUT: _back_out,
    Act.DEPLOY: _deploy,
}
