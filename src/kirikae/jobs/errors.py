"""What the jobs can end in, besides done.

KirikaeError
├── UsageProblem
│   ├── NoCrontab    2  what was named cannot be read as a crontab, or names no time zone
│   ├── NoTable      2  a crontab cannot be taken as a table of jobs
│   ├── NoWay        2  no such way to tell people
│   ├── NoStats      2  the address for figures cannot be listened at
│   ├── NoLedger     2  what was named is no ledger, or its token is missing
│   ├── NotReviewed  2  an edit of a crontab is not the one that was looked at
│   └── WrongRequest 2  a request to the ledger is not what docs/reference/jobs-ledger.md says
├── Poison           1  a message that nobody can carry out
├── NotStarted       1  a command could not be started
├── NotAnswered      1  what `jobs write` has to know does not stand in the project file
├── LedgerOwned      1  another process owns the ledger's file
├── WorkersNotReady  1  what must stand before workers may be moved does not stand
├── StillConsuming   1  a unit of the old side still works on messages
├── NotPrepared      1  jobs cannot be handed over as the project file stands
├── StillRuns        1  the old side is still needed: nothing is retired yet
└── Unfinished
    ├── LedgerAway        3  the ledger cannot be reached or written; nothing is known of the call
    └── WorkersNotThere   3  tasks or units do not run yet as the share asks for
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError, Unfinished, UsageProblem
from kirikae.model.said import Said


class NoCrontab(UsageProblem):
    """What was named cannot be read as a crontab, or names no time zone."""


class NoTable(UsageProblem):
    """A crontab cannot be taken as a table of jobs."""


class NoWay(UsageProblem):
    """No such way to tell people."""


class NoStats(UsageProblem):
    """The address for figures cannot be listened at."""


class NoLedger(UsageProblem):
    """What was named is no ledger, or its token is missing."""


class NotReviewed(UsageProblem):
    """An edit of a crontab is not the one that was looked at."""


class WrongRequest(UsageProblem):
    """A request to the ledger is not what docs/reference/jobs-ledger.md says."""


class Poison(KirikaeError):
    """A message that nobody can carry out."""


class NotAnswered(KirikaeError):
    """What `jobs write` has to know does not stand in the project file."""


class NotStarted(KirikaeError):
    """A command could not be started."""


class LedgerOwned(KirikaeError):
    """Another process owns the ledger's file."""


class LedgerAway(Unfinished):
    """The ledger cannot be reached or written; nothing is known of the call."""


class NotPrepared(KirikaeError):
    """Jobs cannot be handed over as the project file stands."""


class StillRuns(KirikaeError):
    """The old side is still needed."""


class TooHard(Exception):
    """Inside a conversion: this entry has no such form.  ``why``: words of ``jobs.export``."""

    def __init__(self, why: Said) -> None:
        super().__init__(why.key)
        self.why = why


class WorkersNotReady(KirikaeError):
    """What must stand before workers may be moved does not stand."""


class StillConsuming(KirikaeError):
    """A unit of the old side still works on messages."""


class WorkersNotThere(Unfinished):
    """Tasks or units do not run yet as the share asks for: tried again."""
