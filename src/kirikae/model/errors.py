"""What can go wrong anywhere in kirikae, and the exit code that says so.

KirikaeError                 1  refused or failed, nothing changed
├── UsageProblem             2  wrong usage or project file
├── Unfinished               3  changed but unfinished or unclear: run again or look
│   └── AwsUnreachable       3  AWS (or kirikae local) does not answer; see aws/errors.py
├── BackedOut                4  backed out or rolled back
└── Waiting                  5  unsure, held, or an approval is pending
"""

from __future__ import annotations

from enum import IntEnum


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
