"""What capacity can end in, besides done.

KirikaeError
└── UsageProblem
    ├── TraceProblem  2  a trace of load cannot be read
    └── RulesProblem  2  rules that AWS would refuse, or that cannot be simulated
"""

from __future__ import annotations

from kirikae.model.errors import UsageProblem


class TraceProblem(UsageProblem):
    """A trace of load cannot be read."""


class RulesProblem(UsageProblem):
    """Rules that AWS would refuse, or that cannot be simulated."""
