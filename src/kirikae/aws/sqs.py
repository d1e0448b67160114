"""Queues: messages sent, received, held, deleted.  One thin function per call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from kirikae.aws.light import SQS, LightAws, Plain
from kirikae.model.errors import AwsUnreachable

_MOST_IN_BATCH = 10
_LONGEST_WAIT_S = 20
_WAITING = "ApproximateNumberOfMessages"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """``group`` and ``deduplication``: of a FIFO queue."""

    body: str
    group: str
    deduplication: str


@dataclass(frozen=True, slots=True)
class Received:
    """``sent_at``: seconds since 1970, by AWS's clock.  ``times``: that it was received."""

    id: str
    receipt: str
    body: str
    sent_at: float
    times: int
    group: str = ""


class Queue:
    """One queue, by its URL; with its name alone the URL is asked for as soon as it is needed."""

    def __init__(self, aws: LightAws, url: str, name: str = "") -> None:
        self._aws = aws
        self._url = url
        self._name = name

    @property
    def url(self) -> str:
        """Raises NotThere, AwsUnreachable where it had to be asked for."""
        if not self._url:
            self._url = _url_of(self._aws, self._name)
        return self._url

    def _call(self, operation: str, wait_s: float = 0, **asked: object) -> Plain:
        return self._aws.call(
            SQS,
            operation,
            {
                "QueueUrl": self.url,
                **asked,
            },
            wait_s,
        )

    def send(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Which of them the queue took; a duplicate is taken and delivered to nobody.

        Raises AwsRefused, AwsUnreachable: what was sent before stays sent."""
        taken: list[bool] = []
        for batch in _batches(messages):
            entries = [
                {
                    "Id": str(at),
                    "MessageBody": message.body,
                    "MessageGroupId": message.group,
                    "MessageDeduplicationId": message.deduplication,
                }
                for at, message in enumerate(batch)
            ]
            told = self._call("SendMessageBatch", Entries=entries)
            done = {str(each["Id"]) for each in told.get("Successful", ())}
            taken += [str(at) in done for at in range(len(batch))]
        return taken

    def receive(self, most: int, wait_s: int, visibility_s: int) -> list[Received]:
        """At most ten; ``wait_s``: until there is one, at most twenty seconds."""
        told = self._call(
            "ReceiveMessage",
            wait_s,
            MaxNumberOfMessages=min(most, _MOST_IN_BATCH),
            WaitTimeSeconds=min(wait_s, _LONGEST_WAIT_S),
            VisibilityTimeout=visibility_s,
            MessageSystemAttributeNames=["All"],
        )
        return [_received(message) for message in told.get("Messages", ())]

    def delete(self, receipt: str) -> None:
        """Raises AwsRefused for a receipt that has expired (FIFO)."""
        self._call("DeleteMessage", ReceiptHandle=receipt)

    def hold(self, receipt: str, seconds: int) -> None:
        """Hidden from others for so long from now on; 0 gives it back at once."""
        self._call(
            "ChangeMessageVisibility",
            ReceiptHandle=receipt,
            VisibilityTimeout=seconds,
        )

    def attributes(self) -> dict[str, str]:
        """How many messages there are, and the rules of the queue."""
        told = self._call("GetQueueAttributes", AttributeNames=["All"])
        return dict(told.get("Attributes", {}))

    def waiting(self) -> int:
        """Messages that nobody has in hand, about.  Raises AwsRefused, AwsUnreachable."""
        return int(self.attributes()[_WAITING])

    def dead_letters(self) -> int | None:
        """Messages that nobody could work on; None: it has no dead-letter queue.

        Raises AwsRefused, AwsUnreachable."""
        redrive = self.attributes().get("RedrivePolicy")
        if redrive is None:
            return None
        named = str(json.loads(redrive)["deadLetterTargetArn"]).rpartition(":")[2]
        return queue_named(self._aws, named).waiting()


def _batches(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    left = iter(messages)
    while batch := list(islice(left, _MOST_IN_BATCH)):
        yield batch


def _received(message: Plain) -> Received:
    about = message.get("Attributes", {})
    return Received(
        message["MessageId"],
        message["ReceiptHandle"],
        message["Body"],
        int(about.get("SentTimestamp", 0)) / 1000,
        int(about.get("ApproximateReceiveCount", 1)),
        about.get("MessageGroupId", ""),
    )


def queue_named(aws: LightAws, named: str) -> Queue:
    """By its URL or its name.  A queue that is out of reach is looked for again when it is used:
    who starts meanwhile does what can be done without it.  Raises NotThere."""
    if named.startswith(("http://", "https://")):
        return Queue(aws, named)
    url = ""
    with suppress(AwsUnreachable):
        url = _url_of(aws, named)
    return Queue(aws, url, named)


def _url_of(aws: LightAws, name: str) -> str:
    """Raises NotThere, AwsUnreachable."""
    told = aws.call(
        SQS,
        "GetQueueUrl",
        {"QueueName": name},
    )
    return str(told["QueueUrl"])


def make_queue(aws: LightAws, name: str, attributes: dict[str, str]) -> Queue:
    """The queue with these attributes; asking again for the same is harmless."""
    told = aws.call(
        SQS,
        "CreateQueue",
        {
            "QueueName": name,
            "Attributes": attributes,
        },
    )
    return Queue(aws, str(told["QueueUrl"]))
