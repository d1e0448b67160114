"""What a drill can end in, besides done.

KirikaeError
├── CannotBeDone             1  a fault that cannot be made here; the message says what can
├── TooDangerous             1  a guard stands in the way: production, the last task, a move
├── AnotherDrill             1  another drill is at work here
├── UndoFailed               3  a fault stands, because what undoes it did not get through
└── UsageProblem
    ├── PlanProblem          2  a plan of load cannot be read, or asks for more than can be sent
    ├── TargetsProblem       2  a file of targets cannot be read
    ├── SloProblem           2  an expression of a limit cannot be read
    ├── AcknowledgedProblem  2  a file of acknowledged differences cannot be read
    ├── RunProblem           2  a kept run or another tool's results cannot be read
    └── ExperimentProblem    2  an experiment's file cannot be read, or asks for what is not here
"""

from __future__ import annotations

from kirikae.model.errors import Exit, KirikaeError, UsageProblem


class CannotBeDone(KirikaeError):
    """A fault that cannot be made here; the message says what can."""


class TooDangerous(KirikaeError):
    """A guard stands in the way: production, the last task, a move under way."""


class AnotherDrill(KirikaeError):
    """Another drill is at work here."""


class UndoFailed(KirikaeError):
    """A fault stands, because what undoes it did not get through."""

    exit = Exit.UNFINISHED


class PlanProblem(UsageProblem):
    """A plan of load cannot be read, or asks for more than can be sent."""


class TargetsProblem(UsageProblem):
    """A file of targets cannot be read."""


class SloProblem(UsageProblem):
    """An expression of a limit cannot be read."""


class AcknowledgedProblem(UsageProblem):
    """A file of acknowledged differences cannot be read."""


class RunProblem(UsageProblem):
    """A kept run or another tool's results cannot be read."""


class ExperimentProblem(UsageProblem):
    """An experiment's file cannot be read, or asks for what cannot be done."""
