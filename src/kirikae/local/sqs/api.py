"""The SQS API over the queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from kirikae.local.sqs import messageapi, queueapi
from kirikae.local.sqs.messageapi import MessageApi
from kirikae.local.sqs.places import Place
from kirikae.local.sqs.queueapi import QueueApi
from kirikae.local.sqs.queues import Queues
from kirikae.local.wire import Operation, bound

NAMES: frozenset[str] = frozenset([*queueapi.OPERATIONS, *messageapi.OPERATIONS])
"""Every operation that is carried out."""
PARTLY: Mapping[str, str] = {
    **queueapi.PARTLY,
    **messageapi.PARTLY,
}
"""Operations of which something is missing, and what."""
QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "OverLimit": "OverLimit",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}
"""JSON error names whose older query code differs; SDKs show the query code (the model's
awsQueryCompatible trait)."""


class Sqs:
    """Queues and messages of one region, under one clock."""

    def __init__(
        self,
        queues: Queues,
        place: Place,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` answers Unix seconds."""
        self._queues = QueueApi(queues, place, clock)
        self._messages = MessageApi(queues, place, clock)

    def operations(self) -> dict[str, Operation]:
        """Operation's name -> what carries it out; its keys are ``NAMES``."""
        return {
            **bound(queueapi.OPERATIONS, self._queues),
            **bound(messageapi.OPERATIONS, self._messages),
        }
