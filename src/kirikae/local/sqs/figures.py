"""Figures of queues by the minute, under CloudWatch's names (SQS developer guide, "Available
CloudWatch metrics for Amazon SQS")."""

from __future__ import annotations

from kirikae.local.sqs.queues import Queues
from kirikae.local.state import State

SENT = "NumberOfMessagesSent"
RECEIVED = "NumberOfMessagesReceived"
EMPTY = "NumberOfEmptyReceives"
DELETED = "NumberOfMessagesDeleted"
AGE = "ApproximateAgeOfOldestMessage"
COUNTED = (SENT, RECEIVED, EMPTY, DELETED)
MEASURED = (
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    AGE,
)
OF_QUEUES = frozenset((*COUNTED, *MEASURED))
_MINUTE_S = 60


class QueueFigures:
    """One row for each queue and minute: what was counted in it, and what was measured last.

    What a killed process had counted since the last row is lost: the figures are approximate on
    AWS, too."""

    def __init__(self, queues: Queues, state: State) -> None:
        """Counts come from the queues, which are asked and begin anew."""
        self._queues = queues
        self._state = state

    def write(self, now: float) -> None:
        """The minute of now; a row that is there already is added to."""
        minute = int(now) - int(now) % _MINUTE_S
        for key in self._queues.names():
            subject = subject_of(key)
            counted = self._queues.take_tally(key)
            for _, before in self._state.gauged(subject, minute, minute + 1):
                counted.update({name: int(before[name]) for name in COUNTED})
            row = {
                **{name: counted[name] for name in COUNTED},
                **self._measured(key),
            }
            self._state.put_figure(subject, minute, row)

    def _measured(self, key: str) -> dict[str, float]:
        """As it is at this moment."""
        counts = self._queues.counts(key)
        values = (counts.visible, counts.flying, counts.delayed, self._queues.oldest_s(key))
        return dict(zip(MEASURED, values, strict=True))


def subject_of(key: str) -> str:
    """Under which name the figures of this queue stand in the store."""
    return f"sqs/{key}"
