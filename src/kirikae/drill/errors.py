"""What a drill can end in, besides done.

KirikaeError
└── UsageProblem
    ├── PlanProblem          2  a plan of load cannot be read, or asks for more than can be sent
    ├── TargetsProblem       2  a file of targets cannot be read
    ├── SloProblem           2  an expression of a limit cannot be read
    └── AcknowledgedProblem  2  a file of acknowledged differences cannot be read
"""

from __future__ import annotations

from kirikae.model.errors import UsageProblem


class PlanProblem(UsageProblem):
    """A plan of load cannot be read, or asks for more than can be sent."""


class TargetsProblem(UsageProblem):
    """A file of targets cannot be read."""


class SloProblem(UsageProblem):
    """An expression of a limit cannot be read."""


class AcknowledgedProblem(UsageProblem):
    """A file of acknowledged differences cannot be read."""
