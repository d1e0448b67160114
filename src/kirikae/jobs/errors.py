"""What the jobs can end in, besides done.

KirikaeError
├── UsageProblem
│   ├── NoCrontab    2  what was named cannot be read as a crontab, or names no time zone
│   ├── NoTable      2  a crontab cannot be taken as a table of jobs
│   ├── NoWay        2  no such way to tell people
│   ├── NoStats      2  the address for figures cannot be listened at
│   ├── NoLedger     2  what was named is no ledger, or its token is missing
│   └── WrongRequest 2  a request to the ledger is not what docs/reference/jobs-ledger.md says
├── Poison           1  a message that nobody can carry out
├── NotStarted       1  a command could not be started
├── LedgerOwned      1  another process owns the ledger's file
└── Unfinished
    └── LedgerAway   3  the ledger cannot be reached or written; nothing is known of the call
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError, Unfinished, UsageProblem


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


class WrongRequest(UsageProblem):
    """A request to the ledger is not what docs/reference/jobs-ledger.md says."""


class Poison(KirikaeError):
    """A message that nobody can carry out."""


class NotStarted(KirikaeError):
    """A command could not be started."""


class LedgerOwned(KirikaeError):
    """Another process owns the ledger's file."""


class LedgerAway(Unfinished):
    """The ledger cannot be reached or written; nothing is known of the call."""
