"""The SQS API over the queues."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

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
_OF_A_QUEUE = re.compile(r"/[0-9]{12}/[A-Za-z0-9_.-]{1,80}")
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


def addressed(url: str, body: bytes) -> bytes:
    """A request of the query protocol that was sent to a queue's own URL, as Celery's does, names
    the queue by that (developer guide, "Making Query API requests for Amazon SQS")."""
    path = urlsplit(url).path
    if b"QueueUrl=" in body or not _OF_A_QUEUE.fullmatch(path):
        return body
    return body + b"&QueueUrl=" + quote(url, safe="").encode()


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
