"""What the jobs can end in, besides done.

KirikaeError
└── UsageProblem
    └── NoCrontab    2  what was named cannot be read as a crontab, or names no time zone
"""

from __future__ import annotations

from kirikae.model.errors import UsageProblem


class NoCrontab(UsageProblem):
    """What was named cannot be read as a crontab, or names no time zone."""
