"""A move: one thing going from its old side to its new side.

A move is a value.  Its whole life is a phase, a share and a hold:

    planned -> prepared -> running(share) -> settled -> retired
                               |                |
                               +-- back out: share = 0, held
    planned | prepared | running(0) -> abandoned

Everything up to ``retired`` can be undone by asking for a smaller share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from kirikae.model.errors import OutOfOrder
from kirikae.model.said import Said, said, text
from kirikae.model.share import WHOLE, percent
from kirikae.model.texts import shortened

_LAST = 99_999_999
"""Numbers of entries are written with eight digits."""


class Phase(StrEnum):
    """How far a move has come.  The words stand in journals: none may be changed."""

    PLANNED = "planned"
    PREPARED = "prepared"
    RUNNING = "running"
    SETTLED = "settled"
    RETIRED = "retired"
    ABANDONED = "abandoned"


class Verb(StrEnum):
    """What can be asked of a move.  The words stand in journals: none may be changed."""

    PREPARE = "prepare"
    START = "start"
    SHIFT = "shift"
    BACK_OUT = "back-out"
    SETTLE = "settle"
    RETIRE = "retire"
    ABANDON = "abandon"
    HOLD = "hold"
    RESUME = "resume"


class Why(StrEnum):
    """Why a move stands still."""

    BACKED_OUT = "backed out"
    HAND_ON_KNOB = "hand on the knob"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Hold:
    """A move that goes no further until a person resumes it.  ``reason``: None where none was
    given."""

    why: Why
    reason: Said | None = None

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {"why": str(self.why), "reason": self.reason.to_plain() if self.reason else None}


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to do next, small enough to be written down before it is done.

    ``why``: of an order to hold.
    """

    verb: Verb
    share: int = 0
    reason: Said | None = None
    why: Why = Why.BY_HAND

    @property
    def says(self) -> Said:
        """What is to be done: ``shift to 10%``."""
        return said(f"model.order.{self.verb}", share=self.share)

    def __str__(self) -> str:
        """``shift to 10%``, for messages in English; ``says`` is for people in their language."""
        return f"{self.verb} to {percent(self.share)}" if self.verb is Verb.SHIFT else self.verb

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {
            "verb": str(self.verb),
            "share": self.share,
            "reason": self.reason.to_plain() if self.reason else None,
            "why": str(self.why),
        }


@dataclass(frozen=True, slots=True)
class Move:
    """``planned``, ``attempt`` and ``stepped`` are the seq of the entries with which this life,
    this attempt and this step began: notes are kept per life, evidence is gathered per attempt,
    proof of safety per step.  ``subject``: what it moves, as its kind names it (empty: written by
    a kirikae that did not say)."""

    name: str
    plan: tuple[int, ...]
    phase: Phase = Phase.PLANNED
    share: int = 0
    held: Hold | None = None
    intent: Order | None = None
    seq: int = 0
    attempt: int = 0
    stepped: int = 0
    planned: int = 1
    subject: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a plan that does not rise, from at least 0.1% to 100%."""
        if (
            not self.plan
            or list(self.plan) != sorted(set(self.plan))
            or self.plan[-1] != WHOLE
            or self.plan[0] < 1
        ):
            shares = ", ".join(percent(s) for s in self.plan)
            raise ValueError(f"the plan of {self.name} must rise to 100%, got [{shares}]")

    @property
    def over(self) -> bool:
        """Nothing but a new life follows (``anew``)."""
        return self.phase in (Phase.RETIRED, Phase.ABANDONED)

    @property
    def live(self) -> bool:
        """Does the share mean anything in the outside world now?"""
        return self.phase in (Phase.RUNNING, Phase.SETTLED)

    @property
    def next_share(self) -> int | None:
        """Of the plan, in permille; None once all of it has moved."""
        return next((s for s in self.plan if s > self.share), None)

    def allows(self, order: Order) -> bool:
        """Is this order lawful now?  The whole law is these nine lines."""
        p = Phase
        here = self.phase
        match order.verb:
            case Verb.PREPARE:
                return here is p.PLANNED
            case Verb.START:
                return here is p.PREPARED
            case Verb.SHIFT:
                return here is p.RUNNING and not self.held and order.share == self.next_share
            case Verb.BACK_OUT:
                return self.live
            case Verb.SETTLE:
                return here is p.RUNNING and not self.held and self.share == WHOLE
            case Verb.RETIRE:
                return here is p.SETTLED and not self.held
            case Verb.ABANDON:
                return here in (p.PLANNED, p.PREPARED) or (here is p.RUNNING and self.share == 0)
            case Verb.HOLD:
                return not self.over
            case Verb.RESUME:
                return self.held is not None and not self.over

    def may_replace(self, order: Order) -> bool:
        """May this order take the place of the open intent?  The red button always may, short of
        retiring; a hold may stop a shift that found a hand on the knob."""
        if self.intent is None:
            return True
        match order.verb:
            case Verb.BACK_OUT:
                return self.intent.verb not in (Verb.RETIRE, Verb.BACK_OUT)
            case Verb.HOLD:
                return self.intent.verb in (Verb.SHIFT, Verb.SETTLE)
            case _:
                return False

    def intending(self, order: Order) -> Self:
        """The move with this order written down.  Raises OutOfOrder."""
        if not self.may_replace(order):
            raise OutOfOrder(
                f"{self.name} still has to {self.intent}; run `kirikae move start "
                f"{self.name}` to finish it",
            )
        if not self.allows(order):
            held = f", held ({self.held.why})" if self.held is not None else ""
            raise OutOfOrder(
                f"{self.name} is {self.phase} at {percent(self.share)}{held}: it cannot "
                f"{order} now; "
                f"`kirikae move status {self.name}` shows what it can do",
            )
        return replace(self, intent=order, seq=self.seq + 1)

    def done(self) -> Self:  # noqa: C901 - one case a verb: the law as a table
        """The move after its open intent has been carried out."""
        if self.intent is None:
            raise OutOfOrder(f"{self.name} has nothing open")
        order = self.intent
        seq = self.seq + 1
        after = replace(self, intent=None, seq=seq)
        match order.verb:
            case Verb.PREPARE:
                return replace(after, phase=Phase.PREPARED)
            case Verb.START:
                return replace(after, phase=Phase.RUNNING, share=0, attempt=seq, stepped=seq)
            case Verb.SHIFT:
                return replace(after, share=order.share, stepped=seq)
            case Verb.BACK_OUT:
                held = Hold(Why.BACKED_OUT, order.reason)
                back = replace(after, phase=Phase.RUNNING, share=0, held=held)
                return replace(back, attempt=seq, stepped=seq)
            case Verb.SETTLE:
                return replace(after, phase=Phase.SETTLED)
            case Verb.RETIRE:
                return replace(after, phase=Phase.RETIRED)
            case Verb.ABANDON:
                return replace(after, phase=Phase.ABANDONED)
            case Verb.HOLD:
                return replace(after, held=Hold(order.why, order.reason))
            case Verb.RESUME:
                # Figures from before a hold would mix two times: the step is judged afresh.
                attempt = seq if self.share == 0 else self.attempt
                return replace(after, held=None, attempt=attempt, stepped=seq)

    def anew(self, plan: tuple[int, ...], subject: str = "") -> Self:
        """The same move planned once more, after it was retired or abandoned."""
        if not self.over:
            raise OutOfOrder(f"{self.name} is still {self.phase}")
        seq = self.seq + 1
        fresh = replace(self, plan=plan, phase=Phase.PLANNED, share=0, held=None, intent=None)
        return replace(fresh, seq=seq, planned=seq, subject=subject)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the journal; ``from_plain`` reads it back."""
        plain = {name: getattr(self, name) for name in _AS_THEY_ARE}
        return plain | {
            "plan": list(self.plan),
            "phase": str(self.phase),
            "held": self.held.to_plain() if self.held else None,
            "intent": self.intent.to_plain() if self.intent else None,
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Read what ``to_plain`` wrote, in this format or a former one.  Raises ValueError,
        KeyError, TypeError for what neither did."""
        fields = {name: raw[name] for name in _AS_THEY_ARE if name in raw}
        for name, value in fields.items():
            _assert_kind(name, value)
        return cls(
            **fields,
            plan=tuple(raw["plan"]),
            phase=Phase(raw["phase"]),
            held=_held(raw["held"], raw["share"]),
            intent=_intent(raw["intent"]),
        )


_AS_THEY_ARE = ("name", "share", "seq", "attempt", "stepped", "planned", "subject")
_TEXTS = ("name", "subject")
_FORMER_BACK_OUT = "backed out: "


def _assert_kind(name: str, value: Any) -> None:
    """Raises ValueError for a text that is none, or a number that nobody counted so far."""
    if name in _TEXTS:
        right = isinstance(value, str)
    else:
        most = WHOLE if name == "share" else _LAST
        right = type(value) is int and 0 <= value <= most
    if not right:
        raise ValueError(f"{name} is {shortened(value)}")


def _reason(raw: Any) -> Said | None:
    """Formats 1 and 2 kept an English sentence, or an empty one."""
    if isinstance(raw, str):
        return text(raw) if raw else None
    return None if raw is None else Said.from_plain(raw)


def _held(raw: Any, share: int) -> Hold | None:
    """Formats 1 and 2 kept a sentence, which began with "backed out" after a back-out; a hold by
    hand may begin so too, but no back-out leaves a share."""
    if not raw:
        return None
    if not isinstance(raw, str):
        return Hold(Why(raw["why"]), _reason(raw["reason"]))
    if share == 0 and (raw == "backed out" or raw.startswith(_FORMER_BACK_OUT)):
        return Hold(
            Why.BACKED_OUT,
            _reason(raw.removeprefix(_FORMER_BACK_OUT.strip(": ")).lstrip(": ")),
        )
    by_a_hand = raw.startswith("somebody else set the ")
    return Hold(
        Why.HAND_ON_KNOB if by_a_hand else Why.BY_HAND,
        None if raw == "held" else text(raw),
    )


def _intent(raw: Any) -> Order | None:
    """In this format or a former one, which did not say why something is held."""
    if raw is None:
        return None
    _assert_kind("share", raw["share"])
    why = Why(raw.get("why", Why.BY_HAND))
    return Order(Verb(raw["verb"]), raw["share"], _reason(raw["reason"]), why)
