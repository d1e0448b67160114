"""SQS: how many messages wait in a queue, and for how long the oldest has been waiting."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kirikae.aws import cloudwatch
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws, told

_ASKED = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "VisibilityTimeout",
    "RedrivePolicy",
)
_AGE_PERIOD_S = 60
_AGE_SINCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it is now.

    ``waiting``, ``flying``: messages that nobody has, that somebody works on (approximate).
    ``visibility_s``: after so long a message that was not deleted is given out again.
    ``dead_letters``: name of its dead-letter queue; None: it has none.
    """

    name: str
    waiting: int
    flying: int
    visibility_s: int
    dead_letters: str | None


def queue(aws: Aws, name: str) -> Queue:
    """Raises NotThere, AwsRefused, AwsUnreachable."""
    with told():
        client = aws.client("sqs")
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_ASKED))
        values = found.get("Attributes", {})
    return Queue(
        name,
        int(values["ApproximateNumberOfMessages"]),
        int(values["ApproximateNumberOfMessagesNotVisible"]),
        int(values["VisibilityTimeout"]),
        _target(values.get("RedrivePolicy", "")),
    )


def _target(policy: str) -> str | None:
    """The last part of the dead-letter queue's ARN is its name."""
    if not policy:
        return None
    return str(json.loads(policy)["deadLetterTargetArn"]).rpartition(":")[2]


def found(aws: Aws, name: str) -> Queue | None:
    """None where there is no such queue."""
    try:
        return queue(aws, name)
    except NotThere:
        return None


def oldest_s(aws: Aws, name: str, now: float) -> float | None:
    """Seconds that the oldest message has waited, by CloudWatch's last minutes; None where it has
    no figure: a queue that nobody used for hours has none (SQS developer guide, "CloudWatch metrics
    for Amazon SQS")."""
    return cloudwatch.maximum(
        aws,
        "AWS/SQS",
        "ApproximateAgeOfOldestMessage",
        {"QueueName": name},
        now - _AGE_SINCE_S,
        now,
        _AGE_PERIOD_S,
    )
