"""How a check ends: OK, NG or SKIP, each with its reason; all of them are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from kirikae.aws.errors import AwsRefused, NotThere, ReadOnly
from kirikae.model.errors import AwsUnreachable, KirikaeError
from kirikae.model.said import Said, said, text

Say = Callable[[Said | None], str]
"""Puts words of a language in."""


class Result(StrEnum):
    OK = "OK"
    NG = "NG"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a check answers.  ``remedy``: what to do about an NG."""

    result: Result
    message: Said | None = None
    remedy: Said | None = None


GOOD = Reply(Result.OK)


def ok(key: str, /, **blanks: Any) -> Reply:
    return Reply(Result.OK, said(f"release.verify.{key}", **blanks))


def wrong(key: str, /, **blanks: Any) -> Reply:
    """The remedy is the sentence ``KEY_do``, where ``remedied`` asks for it."""
    return Reply(Result.NG, said(f"release.verify.{key}", **blanks))


def remedied(key: str, /, **blanks: Any) -> Reply:
    found = wrong(key, **blanks)
    return replace(found, remedy=said(f"release.verify.{key}_do"))


def skipped(key: str, /, **blanks: Any) -> Reply:
    return Reply(Result.SKIP, said(f"release.verify.{key}", **blanks))


def wrong_as_told(words: str) -> Reply:
    """In the words of whoever told it: AWS, or its model."""
    return Reply(Result.NG, text(words))


@dataclass(frozen=True, slots=True)
class Checked:
    """A check and how it ended; ``inside``: those of its parts."""

    name: str
    said: Reply
    inside: tuple[Checked, ...] = ()
    cached: bool = False

    def all(self) -> Iterator[Checked]:
        yield self
        for each in self.inside:
            yield from each.all()

    def lines(self, say: Say, level: int = 1) -> Iterator[str]:
        """As ecspresso indents them."""
        indent = "  " * level
        yield f"{indent}{self.name}"
        for each in self.inside:
            yield from each.lines(say, level + 1)
        cached = "(cached)" if self.cached else ""
        both = (self.said.message, self.said.remedy)
        told = ": ".join(say(part) for part in both if part is not None)
        yield f"{indent}--> [{self.said.result}]{cached} {told}".rstrip()

    def to_plain(self, say: Say) -> dict[str, Any]:
        return {
            "verify": self.name,
            "result": str(self.said.result),
            "message": say(self.said.message),
            "remedy": say(self.said.remedy),
            "cached": self.cached,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """``ask`` may raise what AWS refuses: that is its answer."""

    name: str
    ask: Callable[[], Reply]
    inside: Sequence[Check] = ()


@dataclass
class Rounds:
    """Carries checks out; ``remembered`` None: each is asked again."""

    remembered: dict[str, Reply] | None = field(default_factory=dict)

    def of(self, check: Check) -> Checked:
        inside = tuple(self.of(each) for each in check.inside)
        known = None if self.remembered is None or inside else self.remembered.get(check.name)
        reply = answered(check.ask) if known is None else known
        if self.remembered is not None:
            self.remembered[check.name] = reply
        if reply.result is Result.OK and any(_is_bad(each) for each in inside):
            reply = wrong("inside")
        return Checked(
            check.name,
            reply,
            inside,
            known is not None,
        )


def _is_bad(checked: Checked) -> bool:
    return checked.said.result is Result.NG


def answered(ask: Callable[[], Reply]) -> Reply:
    """What may not be asked is not known, and what does not exist is wrong."""
    try:
        return ask()
    except NotThere as error:
        return wrong_as_told(str(error))
    except ReadOnly as error:
        return Reply(Result.SKIP, text(str(error)))
    except AwsRefused as error:
        told = str(error)
        return skipped("denied", why=told) if error.denied else wrong_as_told(told)
    except AwsUnreachable as error:
        return skipped("not_known", why=str(error))
    except KirikaeError as error:
        return wrong_as_told(str(error))
