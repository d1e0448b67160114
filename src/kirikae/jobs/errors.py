"""What the jobs can end in, besides done.

KirikaeError
├── UsageProblem
│   └── NoCrontab         2  what was named cannot be read as a crontab, or names no time zone
├── WorkersNotReady       1  what must stand before workers may be moved does not stand
├── StillConsuming        1  a unit of the old side still works on messages
└── Unfinished
    └── WorkersNotThere   3  tasks or units do not run yet as the share asks for
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError, Unfinished, UsageProblem


class NoCrontab(UsageProblem):
    """What was named cannot be read as a crontab, or names no time zone."""


class WorkersNotReady(KirikaeError):
    """What must stand before workers may be moved does not stand."""


class StillConsuming(KirikaeError):
    """A unit of the old side still works on messages."""


class WorkersNotThere(Unfinished):
    """Tasks or units do not run yet as the share asks for: tried again."""
