"""What can go wrong anywhere in kirikae, and the exit code that says so.

KirikaeError                 1  refused or failed, nothing changed
├── UsageProblem             2  wrong usage or project file
│   └── ProjectProblem       2  the project file cannot be used as it stands
├── Unfinished               3  changed but unfinished or unclear: run again or look
│   ├── AwsUnreachable       3  AWS (or kirikae local) does not answer; see aws/errors.py
│   └── StoreBroken          3  the store cannot be read or written
├── BackedOut                4  backed out or rolled back
├── Waiting                  5  unsure, held, or an approval is pending
├── OutOfOrder               1  an order that does not fit the phase the move is in
├── Taken                    1  somebody else wrote this key of the store first
├── Withheld                 1  an object is there and cannot be had: archived, or not our key
└── Changed                  1  the body in the store is no longer the one that was read
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kirikae.model.said import Said


class Exit(IntEnum):
    """The exit codes of every verb; the table stands in docs/reference/exit-codes.md."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNFINISHED = 3
    BACKED_OUT = 4
    WAITING = 5
    FOUND = 6


class KirikaeError(Exception):
    """Refused or failed; nothing was changed.  The message tells the operator what to do next."""

    exit: Exit = Exit.REFUSED


class UsageProblem(KirikaeError):
    """The command line or the project file is wrong."""

    exit = Exit.USAGE


class Unfinished(KirikaeError):
    """Something was changed and the rest is not done, or not known: run again or look."""

    exit = Exit.UNFINISHED


class AwsUnreachable(Unfinished):
    """No answer from AWS (or from kirikae local); the same call may succeed later."""


class BackedOut(KirikaeError):
    """The thing was taken back to where it stood before."""

    exit = Exit.BACKED_OUT


class Waiting(KirikaeError):
    """Nothing is wrong, but something or somebody has to be waited for."""

    exit = Exit.WAITING


class ProjectProblem(UsageProblem):
    """The project file cannot be used as it stands."""


class StoreBroken(Unfinished):
    """The store cannot be read or written."""


class OutOfOrder(KirikaeError):
    """The order does not fit the phase the move is in."""


class Taken(KirikaeError):
    """``create_if_absent``: somebody else wrote this key first."""


class Withheld(KirikaeError):
    """An object is there and cannot be had: it is archived, or encrypted by a key that is not
    ours."""


class Changed(KirikaeError):
    """``replace_if_match``: the body is no longer the one that was read."""


class RefusedByAws(Exception):
    """Inside the reading of one schedule expression; nobody outside of it meets this.  ``why``:
    words of ``model.aws_schedule``."""

    def __init__(self, why: Said) -> None:
        super().__init__(why.key)
        self.why = why
