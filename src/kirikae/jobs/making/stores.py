"""Queues, table, log group and alarms, as AWS's own calls take them."""

from __future__ import annotations

import json

from kirikae.aws.dynamodb import definition
from kirikae.jobs.dynamo_rows import EXPIRES, INDEXES
from kirikae.jobs.ledger import LEASE_S
from kirikae.jobs.making.stack import Definition, Stack

RECEIVES = 3
"""After so many a message is a dead letter."""
_FORTNIGHT_S = 14 * 86_400
_WAITS_S = 300
_LOGS_KEPT_DAYS = 30


def dead_queue(stack: Stack) -> Definition:
    """Of a FIFO queue it has to be one, too."""
    attributes = {"FifoQueue": "true", "MessageRetentionPeriod": str(_FORTNIGHT_S)}
    return {"QueueName": stack.dead_queue, "Attributes": attributes}


def queue(stack: Stack) -> Definition:
    """Hidden for as long as a lease; a schedule of EventBridge can send to it only where content
    is a de-duplication ID (those of schedulers go before it)."""
    redrive = {
        "deadLetterTargetArn": stack.arn("sqs", stack.dead_queue),
        "maxReceiveCount": str(RECEIVES),
    }
    attributes = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "VisibilityTimeout": str(int(LEASE_S)),
        "MessageRetentionPeriod": str(_FORTNIGHT_S),
        "RedrivePolicy": json.dumps(redrive),
    }
    return {"QueueName": stack.queue, "Attributes": attributes}


def table(stack: Stack) -> Definition:
    """The ledger's rows; paid by request."""
    assert stack.table is not None
    return definition(stack.table, INDEXES)


def table_expiry(stack: Stack) -> Definition:
    """DynamoDB takes rows away after fifteen days."""
    specification = {"Enabled": True, "AttributeName": EXPIRES}
    return {"TableName": stack.table, "TimeToLiveSpecification": specification}


def log_group(stack: Stack) -> Definition:
    """Of all tasks."""
    return {"logGroupName": stack.log_group}


def log_retention(stack: Stack) -> Definition:
    """A month."""
    return {"logGroupName": stack.log_group, "retentionInDays": _LOGS_KEPT_DAYS}


def alarms(stack: Stack) -> dict[str, Definition]:
    """Dead letters; messages that nobody takes.  No data is no trouble: an empty queue has none."""
    return {
        "dead-letters": _alarm(
            stack,
            "has dead letters",
            "A message could not be carried out; `kirikae jobs history` knows its firing.",
            ("ApproximateNumberOfMessagesVisible", stack.dead_queue, 0),
        ),
        "waiting": _alarm(
            stack,
            "is not worked on",
            "Firings wait: is a worker running, and is it busy with longer jobs?",
            ("ApproximateAgeOfOldestMessage", stack.queue, _WAITS_S),
        ),
    }


def _alarm(stack: Stack, what: str, says: str, above: tuple[str, str, int]) -> Definition:
    """``above``: metric, queue, and the most that is well."""
    metric, name, most = above
    return {
        "AlarmName": f"{stack.name} {what}",
        "AlarmDescription": says,
        "Namespace": "AWS/SQS",
        "MetricName": metric,
        "Dimensions": [{"Name": "QueueName", "Value": name}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": most,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": list(stack.topics()),
    }
