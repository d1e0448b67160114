"""EventBridge Scheduler as one more scheduler: its schedules send due minutes to the queue, and
the ledger admits each of them once, whoever was first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.jobs.conversion import Export
from kirikae.jobs.messages import Clocked, clocked_input
from kirikae.jobs.tables import Jobs

_LONGEST_NAME = 64
_WITHIN_S = 3600
"""So old a firing is still sent."""


@dataclass(frozen=True, slots=True)
class Replica:
    """ARNs of the queue, and of the role that may send to it."""

    queue: str
    role: str


def created(exports: Sequence[Export], jobs: Jobs, replica: Replica) -> Iterator[dict[str, Any]]:
    """CreateSchedule's parameters; two expressions of a job may meet in a minute, and the ledger
    runs it once."""
    by_line = {timed.entry.line: timed for timed in jobs.timed}
    for one in exports:
        timed = by_line[one.entry.line]
        found = Clocked(timed.job.id, 0, timed.digest, jobs.name, jobs.serial)
        for ordinal, expression in enumerate(one.expressions):
            yield {
                "Name": _name(f"{jobs.name}-{timed.job.id}-{ordinal}"),
                "ScheduleExpression": expression,
                "ScheduleExpressionTimezone": one.zone or "UTC",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": replica.queue,
                    "RoleArn": replica.role,
                    "Input": clocked_input(found),
                    "SqsParameters": {"MessageGroupId": _name(timed.job.id)},
                    "RetryPolicy": {"MaximumEventAgeInSeconds": _WITHIN_S},
                },
            }


def _name(text: str) -> str:
    """Names of schedules have 64 characters at most."""
    if len(text) <= _LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: _LONGEST_NAME - 13]}-{digest}"
