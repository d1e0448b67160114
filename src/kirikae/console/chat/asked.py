"""What somebody asks for in a chat, and the button that asks back: it carries what it asks, sealed,
for one person, for some minutes, once."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from kirikae.console.errors import NotAsked
from kirikae.model.texts import shortened

EXPIRES_S = 300.0
LONGEST_REASON = 200
_PURPOSE = b"kirikae: a question in a chat"
"""The key of a seal is not the key of a request."""


class Act(StrEnum):
    """What can be asked for.  All but STATUS change something, and are asked back."""

    STATUS = "status"
    APPROVE = "approve"
    HOLD = "hold"
    BACK_OUT = "back-out"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class Asked:
    """``name``: of a move or a release; empty: all.  ``sides``: of a release, in their order.
    ``seq``: the move's last entry as the asker saw it; None: it was not read."""

    act: Act
    name: str = ""
    sides: tuple[str, ...] = ()
    reason: str = ""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What the button carries.  ``once``: its own name, under which it is used up."""

    asked: Asked
    person: str
    expires: int
    once: str

    @classmethod
    def now(cls, asked: Asked, person: str, now: float) -> Question:
        return cls(
            asked,
            person,
            int(now + EXPIRES_S),
            secrets.token_urlsafe(16),
        )

    def sealed(self, secret: str) -> str:
        """For a button's value: at most 2,000 letters (Slack, "Button element")."""
        plain = json.dumps(asdict(self), ensure_ascii=False)
        body = base64.urlsafe_b64encode(plain.encode()).decode()
        return f"{body}.{_seal(secret, body)}"


def _seal(secret: str, body: str) -> str:
    key = hmac.new(
        secret.encode(),
        _PURPOSE,
        hashlib.sha256,
    ).digest()
    return hmac.new(
        key,
        body.encode(),
        hashlib.sha256,
    ).hexdigest()


def opened(value: str, secret: str) -> Question:
    """Raises NotAsked for what this kirikae never asked."""
    body, _, seal = value.partition(".")
    if not hmac.compare_digest(
        seal.encode(),
        _seal(secret, body).encode(),
    ):
        raise NotAsked("forged")
    try:
        raw = json.loads(base64.urlsafe_b64decode(body))
        return _question(raw)
    except (binascii.Error, LookupError, TypeError, ValueError) as error:
        raise NotAsked("forged") from error  # a seal of another version of kirikae


def _question(raw: dict[str, Any]) -> Question:
    asked = raw["asked"]
    whole = Asked(
        **{
            **asked,
            "act": Act(asked["act"]),
            "sides": tuple(asked["sides"]),
        }
    )
    return Question(
        whole,
        raw["person"],
        raw["expires"],
        raw["once"],
    )


def assert_answers(question: Question, person: str, now: float) -> None:
    """Raises NotAsked where somebody else presses, or too late."""
    if question.person != person:
        raise NotAsked("another")
    if now > question.expires:
        raise NotAsked("expired")


def asked_from(words: str) -> Asked | None:
    """A slash command's text; None: it says nothing that can be done.

    ``status [MOVE]``, ``approve MOVE``, ``hold MOVE [WHY]``, ``back-out MOVE [WHY]``,
    ``deploy RELEASE SIDE[,SIDE]``.
    """
    first, *rest = words.split() or [Act.STATUS]
    if first.lower() not in {*Act}:
        return None
    act = Act(first.lower())
    return _of_release(rest) if act is Act.DEPLOY else _of_move(act, rest)


def _of_move(act: Act, words: Sequence[str]) -> Asked | None:
    """Only a hold and a back-out take a reason; only a look needs no name."""
    name, *more = words or [""]
    if not name and act is not Act.STATUS:
        return None
    if more and act not in (Act.HOLD, Act.BACK_OUT):
        return None
    return Asked(act, name, reason=shortened_reason(" ".join(more)))


def _of_release(words: Sequence[str]) -> Asked | None:
    if len(words) != 2:
        return None
    name, named = words
    sides = tuple(side for side in named.split(",") if side)
    return Asked(Act.DEPLOY, name, sides) if sides else None


def shortened_reason(reason: str) -> str:
    """A button has no room for a letter."""
    return reason if len(reason) <= LONGEST_REASON else shortened(reason)[:LONGEST_REASON]
