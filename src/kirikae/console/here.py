"""Where a verb stands, and what it answers: data first, then text or JSON.

A verb is a function that returns an ``Answer``; ``main`` shows it.  A web page can call the same
functions: nothing here knows click.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import Language, chosen
from kirikae.model.shown import escaped

OUTCOMES = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused",
    Exit.USAGE: "wrong usage",
    Exit.UNFINISHED: "unfinished",
    Exit.BACKED_OUT: "backed out",
    Exit.WAITING: "waiting",
    Exit.FOUND: "found",
}
DRY_RUN = "dry run"
NOTHING_TO_DO = "nothing to do"


@dataclass(frozen=True, slots=True)
class Here:
    """``project_file``: as it was named.  ``read_only``: no call that changes anything is sent.
    ``person``: who asks through a console that serves several; empty: whoever runs the command.
    ``copied_from``: the address of the project file, where it lies in no folder of this machine."""

    project_file: str = "kirikae.yml"
    read_only: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    person: str = ""
    copied_from: str = ""

    def signed(self, who: str) -> str:
        """Who the journal names: as AWS knows us, and the person whom the console knows."""
        return f"{who} console/{self.person}" if self.person else who

    @property
    def folder(self) -> Path:
        """The folder of the project file: what it names is relative to it."""
        return Path(self.project_file).absolute().parent

    def language(self, asked: str | None = None) -> Language:
        """As asked, else the environment's."""
        return chosen(asked, self.environment)

    def assert_may_change(self, verb: str, dry_run: bool = False) -> None:
        """Before anything is written down.  Raises UsageProblem under --read-only."""
        if self.read_only and not dry_run:
            raise UsageProblem(
                f"--read-only: `kirikae {verb}` changes something; leave --read-only out, "
                "or add --dry-run to see what it would do"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb found or did.

    ``plain``: JSON data.  ``lines``: the same for people.  ``notes``: what belongs on the error
    stream.  ``outcome``: in words; by default what the exit code means.  ``silent``: everything has
    been printed already.  ``listed``: where other programs want a bare list, it is the JSON.
    """

    plain: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    exit: Exit = Exit.DONE
    outcome: str = ""
    notes: Sequence[str] = ()
    silent: bool = False
    listed: Sequence[Mapping[str, Any]] | None = None

    def to_plain(self) -> dict[str, Any]:
        """The outcome first, so that a program finds it in every answer."""
        return {"outcome": self.outcome or OUTCOMES[self.exit], **self.plain}

    def json(self) -> str:
        """One line."""
        return to_json(self.to_plain() if self.listed is None else self.listed)


_FINITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def to_json(plain: Any) -> str:
    """One line.  Numbers that JSON does not have (infinities, NaN) are null: not known."""
    try:
        return escaped(_FINITE(plain))
    except ValueError:
        return escaped(json.dumps(_finite(plain), ensure_ascii=False))


def _finite(plain: Any) -> Any:
    """``x - x`` is 0 for every number but infinities and NaN."""
    match plain:
        case float():
            return plain if plain - plain == 0 else None
        case Mapping():
            return {str(key): _finite(value) for key, value in plain.items()}
        case list() | tuple():
            return [_finite(value) for value in plain]
        case _:
            return plain


def refused(exit_code: Exit, message: str) -> Answer:
    """An error as an answer."""
    return Answer({"message": message}, (), exit_code, "", (message,))


def would(lines: Iterable[str], plain: Mapping[str, Any] | None = None) -> Answer:
    """What ``--dry-run`` answers."""
    told = list(lines)
    return Answer({"would": told} if plain is None else plain, told, Exit.DONE, DRY_RUN)
