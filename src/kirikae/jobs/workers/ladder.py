"""Shares that consumers can really have, as pure arithmetic: so many tasks, so many units.

The share is told by the tasks that are wanted of the ECS service: it is one number, in one place,
which the red button can set without asking a host.
"""

from __future__ import annotations

from dataclasses import dataclass

from kirikae.model.share import WHOLE


@dataclass(frozen=True, slots=True)
class Ladder:
    """``tasks``: that do all of the work.  ``units``: of the old side, on all hosts together."""

    tasks: int
    units: int

    def plan(self) -> tuple[int, ...]:
        """A step to be tried (one task), a quarter, a half, all: no more steps than there are
        tasks, and none that stands for the same number of tasks."""
        counts = {1, *(max(1, round(self.tasks * part)) for part in (0.25, 0.5, 0.75)), self.tasks}
        return tuple(sorted(self.share_of(count) for count in counts))

    def share_of(self, tasks: int) -> int:
        """Permille; more tasks than all are all of it."""
        return min(WHOLE, round(WHOLE * tasks / self.tasks))

    def tasks_at(self, share: int) -> int:
        """The number of tasks that this share stands for; at least one above 0."""
        return max(1, round(share * self.tasks / WHOLE)) if share else 0

    def units_at(self, share: int) -> int:
        """Units of the old side that go on: together with the tasks never less than all of the
        work."""
        missing = self.tasks - self.tasks_at(share)
        return -(-missing * self.units // self.tasks)
