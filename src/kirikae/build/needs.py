"""What other rooms know of the infrastructure: calls that a deployment makes, queues, the rule that
a move turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Statement = Mapping[str, object]
"""One statement of an IAM policy."""


@dataclass(frozen=True, slots=True)
class Queue:
    """``dead`` is where messages go that nobody can carry out; empty: the queue is there already,
    as the hosts use it."""

    name: str
    dead: str = ""
    hidden_s: int = 30
    kept_s: int = 345_600
    receives: int = 3

    @property
    def in_order(self) -> bool:
        """Is it a FIFO queue?"""
        return self.name.endswith(".fifo")


@dataclass(frozen=True, slots=True)
class Needs:
    """``rule`` is LOAD_BALANCER/RULE or an ARN, as the project file has it; empty: no move turns
    one.  ``deploy``: statements of whoever puts releases onto the new side."""

    rule: str = ""
    deploy: Sequence[Statement] = ()
    queues: Sequence[Queue] = ()
