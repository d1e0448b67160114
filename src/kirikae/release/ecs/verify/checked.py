"""How a check ends: OK, NG or SKIP, each with its reason; all of them are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kirikae.aws.errors import AwsRefused, NotThere, ReadOnly
from kirikae.model.errors import AwsUnreachable, KirikaeError


class Result(StrEnum):
    OK = "OK"
    NG = "NG"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Said:
    """What a check answers.  ``remedy``: what to do about an NG."""

    result: Result
    message: str = ""
    remedy: str = ""


GOOD = Said(Result.OK)


def ok(message: str = "") -> Said:
    return Said(Result.OK, message)


def wrong(message: str, remedy: str = "") -> Said:
    return Said(
        Result.NG,
        message,
        remedy,
    )


def skipped(message: str) -> Said:
    return Said(Result.SKIP, message)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check and how it ended; ``inside``: those of its parts."""

    name: str
    said: Said
    inside: tuple[Checked, ...] = ()
    cached: bool = False

    def all(self) -> Iterator[Checked]:
        yield self
        for each in self.inside:
            yield from each.all()

    def lines(self, level: int = 1) -> Iterator[str]:
        """As ecspresso indents them."""
        indent = "  " * level
        yield f"{indent}{self.name}"
        for each in self.inside:
            yield from each.lines(level + 1)
        cached = "(cached)" if self.cached else ""
        told = ": ".join(part for part in (self.said.message, self.said.remedy) if part)
        yield f"{indent}--> [{self.said.result}]{cached} {told}".rstrip()

    def to_plain(self) -> dict[str, Any]:
        return {
            "verify": self.name,
            "result": str(self.said.result),
            "message": self.said.message,
            "remedy": self.said.remedy,
            "cached": self.cached,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """``ask`` may raise what AWS refuses: that is its answer."""

    name: str
    ask: Callable[[], Said]
    inside: Sequence[Check] = ()


@dataclass
class Rounds:
    """Carries checks out; ``remembered`` None: each is asked again."""

    remembered: dict[str, Said] | None = field(default_factory=dict)

    def of(self, check: Check) -> Checked:
        inside = tuple(self.of(each) for each in check.inside)
        known = None if self.remembered is None or inside else self.remembered.get(check.name)
        said = answered(check.ask) if known is None else known
        if self.remembered is not None:
            self.remembered[check.name] = said
        if said.result is Result.OK and any(_is_bad(each) for each in inside):
            said = wrong("something inside is not right")
        return Checked(
            check.name,
            said,
            inside,
            known is not None,
        )


def _is_bad(checked: Checked) -> bool:
    return checked.said.result is Result.NG


def answered(ask: Callable[[], Said]) -> Said:
    """What may not be asked is not known, and what does not exist is wrong."""
    try:
        return ask()
    except NotThere as error:
        return wrong(str(error))
    except ReadOnly as error:
        return skipped(str(error))
    except AwsRefused as error:
        return skipped(f"may not be asked: {error}") if error.denied else wrong(str(error))
    except AwsUnreachable as error:
        return skipped(f"not known: {error}")
    except KirikaeError as error:
        return wrong(str(error))
