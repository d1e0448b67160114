"""The SQS API over the queues: parameters, limits and answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import struct
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from kirikae.local.errors import AwsError
from kirikae.local.sqs.queues import Queues, missing_queue
from kirikae.local.state import Row
from kirikae.local.wire import ACCOUNT, Operation

LARGEST_BYTES = 1024 * 1024
_RANGES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, LARGEST_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
_DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": str(LARGEST_BYTES),
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
    "SqsManagedSseEnabled": "true",
}
_FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
_SETTABLE = {
    *_RANGES,
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "SqsManagedSseEnabled",
}
PARTLY = {
    "DeleteQueue": "the name is free again at once",
    "SetQueueAttributes": (
        "Policy, KMS and redrive-allow attributes are kept and told, without effect"
    ),
    "CreateQueue": "as SetQueueAttributes",
    "StartMessageMoveTask": "done at once, at any rate",
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
_ALLOWED_TEXT = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TOKEN = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


def wrong(parameter: str, value: object, reason: str) -> AwsError:
    return AwsError(
        "InvalidParameterValue",
        f"Value {value} for parameter {parameter} is invalid. Reason: {reason}",
    )


class Sqs:
    def __init__(
        self, queues: Queues, region: str, endpoint: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._queues = queues
        self._endpoint = endpoint
        self._clock = clock
        self._arn = f"arn:aws:sqs:{region}:{ACCOUNT}:"
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._moves: dict[str, Row] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateQueue": self.create_queue,
            "DeleteQueue": self.delete_queue,
            "GetQueueUrl": self.get_queue_url,
            "ListQueues": self.list_queues,
            "GetQueueAttributes": self.get_queue_attributes,
            "SetQueueAttributes": self.set_queue_attributes,
            "PurgeQueue": self.purge_queue,
            "TagQueue": self.tag_queue,
            "UntagQueue": self.untag_queue,
            "ListQueueTags": self.list_queue_tags,
            "ListDeadLetterSourceQueues": self.list_dead_letter_source_queues,
            "SendMessage": self.send_message,
            "SendMessageBatch": self.send_message_batch,
            "ReceiveMessage": self.receive_message,
            "DeleteMessage": self.delete_message,
            "DeleteMessageBatch": self.delete_message_batch,
            "ChangeMessageVisibility": self.change_message_visibility,
            "ChangeMessageVisibilityBatch": self.change_message_visibility_batch,
            "StartMessageMoveTask": self.start_message_move_task,
            "ListMessageMoveTasks": self.list_message_move_tasks,
        }

    # --- queues

    def _url(self, name: str) -> str:
        return f"{self._endpoint}/{ACCOUNT}/{name}"

    def _name(self, params: Row) -> str:
        """The queue that a URL names, whatever its host is: tasks and this machine see different
        addresses."""
        name = str(params["QueueUrl"]).rstrip("/").rpartition("/")[2]
        self._queues.get(name)
        return name

    def _attributes(self, name: str, asked: Row, before: Row) -> Row:
        fifo = (asked | before).get("FifoQueue") == "true"
        for key, value in asked.items():
            if key not in _SETTABLE:
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
            if key in _RANGES and not (
                str(value).isdigit() and _RANGES[key][0] <= int(value) <= _RANGES[key][1]
            ):
                raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
            if key in _FIFO_DEFAULTS and not fifo:
                raise AwsError(
                    "InvalidAttributeName",
                    f"Unknown Attribute {key}. You can specify the {key} only when "
                    "FifoQueue is set.",
                )
        if asked.get("RedrivePolicy"):
            self._check_redrive(asked["RedrivePolicy"], fifo)
        return {**_DEFAULTS, **(_FIFO_DEFAULTS if fifo else {}), **before, **asked}

    def _check_redrive(self, text: str, fifo: bool) -> None:
        try:
            policy = json.loads(text)
            target = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
            most = int(policy.get("maxReceiveCount", 10))
        except (ValueError, KeyError, TypeError) as error:
            raise AwsError(
                "InvalidParameterValue",
                f"Value {text} for parameter RedrivePolicy is invalid: {error}",
            ) from error
        if not 1 <= most <= 1000:
            raise wrong("RedrivePolicy", text, "Invalid value for maxReceiveCount: 1 to 1000.")
        try:
            other = self._queues.get(target)
        except AwsError as error:
            raise wrong("RedrivePolicy", text, "Dead letter target does not exist.") from error
        if (other["attributes"].get("FifoQueue") == "true") != fifo:
            raise wrong(
                "RedrivePolicy", text, "Dead-letter queue must be same type of queue as the source."
            )

    async def create_queue(self, params: Row) -> Row:
        name = params["QueueName"]
        asked = {k: str(v) for k, v in params.get("Attributes", {}).items()}
        fifo = asked.get("FifoQueue") == "true"
        if (
            not _ID.fullmatch(name.removesuffix(".fifo"))
            or len(name) > 80
            or fifo != name.endswith(".fifo")
        ):
            raise wrong(
                "QueueName",
                name,
                "1 to 80 alphanumeric characters, hyphens, or underscores; FIFO queues "
                "end in .fifo",
            )
        try:
            known = self._queues.get(name)
        except AwsError:
            known = None
        attributes = self._attributes(
            name, {k: v for k, v in asked.items() if k != "FifoQueue" or fifo}, {}
        )
        if known is not None:
            if any(known["attributes"].get(k) != v for k, v in asked.items()):
                raise AwsError(
                    "QueueNameExists",
                    "A queue already exists with the same name and a different value for "
                    "an attribute.",
                )
            return {"QueueUrl": self._url(name)}
        now = int(self._clock())
        self._queues.put(
            name,
            {
                "attributes": attributes,
                "tags": params.get("tags", {}),
                "created": now,
                "modified": now,
                "purged": 0,
            },
        )
        return {"QueueUrl": self._url(name)}

    async def delete_queue(self, params: Row) -> Row:
        self._queues.delete(self._name(params))
        return {}

    async def get_queue_url(self, params: Row) -> Row:
        self._queues.get(params["QueueName"])
        return {"QueueUrl": self._url(params["QueueName"])}

    async def list_queues(self, params: Row) -> Row:
        names = [n for n in self._queues.names() if n.startswith(params.get("QueueNamePrefix", ""))]
        size = int(params.get("MaxResults", 1000))
        begin = int(params.get("NextToken") or 0)
        more = (
            {"NextToken": str(begin + size)}
            if params.get("MaxResults") and begin + size < len(names)
            else {}
        )
        return {"QueueUrls": [self._url(n) for n in names[begin : begin + size]], **more}

    async def get_queue_attributes(self, params: Row) -> Row:
        name = self._name(params)
        row = self._queues.get(name)
        (visible, flying, delayed) = self._queues.counts(name)
        every = {
            **row["attributes"],
            "QueueArn": self._arn + name,
            "CreatedTimestamp": str(row["created"]),
            "LastModifiedTimestamp": str(row["modified"]),
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(flying),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
        }
        asked = params.get("AttributeNames", [])
        return {
            "Attributes": every
            if "All" in asked
            else {k: v for k, v in every.items() if k in asked}
        }

    async def set_queue_attributes(self, params: Row) -> Row:
        name = self._name(params)
        row = self._queues.get(name)
        asked = {k: str(v) for k, v in params["Attributes"].items()}
        if "FifoQueue" in asked and asked["FifoQueue"] != row["attributes"].get("FifoQueue"):
            raise AwsError(
                "InvalidAttributeName", "FifoQueue cannot be changed after the queue was made."
            )
        attributes = {
            k: v
            for k, v in self._attributes(name, asked, row["attributes"]).items()
            if v != "" or k not in asked
        }
        self._queues.put(name, {**row, "attributes": attributes, "modified": int(self._clock())})
        return {}

    async def purge_queue(self, params: Row) -> Row:
        name = self._name(params)
        row = self._queues.get(name)
        if self._clock() - row["purged"] < 60:
            raise AwsError(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
            )
        self._queues.purge(name)
        self._queues.put(name, {**row, "purged": self._clock()})
        return {}

    async def tag_queue(self, params: Row) -> Row:
        name = self._name(params)
        row = self._queues.get(name)
        self._queues.put(name, {**row, "tags": {**row["tags"], **params["Tags"]}})
        return {}

    async def untag_queue(self, params: Row) -> Row:
        name = self._name(params)
        row = self._queues.get(name)
        self._queues.put(
            name,
            {**row, "tags": {k: v for k, v in row["tags"].items() if k not in params["TagKeys"]}},
        )
        return {}

    async def list_queue_tags(self, params: Row) -> Row:
        return {"Tags": self._queues.get(self._name(params))["tags"]}

    def _sources(self, name: str) -> list[str]:
        """Queues whose dead letters come here."""
        return [
            n
            for n in self._queues.names()
            if f':{name}"' in self._queues.get(n)["attributes"].get("RedrivePolicy", "")
        ]

    async def list_dead_letter_source_queues(self, params: Row) -> Row:
        return {"queueUrls": [self._url(n) for n in self._sources(self._name(params))]}

    # --- sending

    async def send_message(self, params: Row) -> Row:
        return self._send(self._name(params), params)

    def _send(self, name: str, params: Row) -> Row:
        queue = self._queues.get(name)["attributes"]
        body = params["MessageBody"]
        fifo = queue.get("FifoQueue") == "true"
        attributes = params.get("MessageAttributes") or {}
        if not body:
            raise AwsError(
                "MissingParameter", "The request must contain the parameter MessageBody."
            )
        if not _ALLOWED_TEXT.fullmatch(body):
            raise AwsError(
                "InvalidMessageContents",
                "Invalid characters in the message body; allowed: #x9 #xA #xD "
                "#x20-#xD7FF and beyond.",
            )
        size = message_bytes(body, attributes)
        if size > int(queue["MaximumMessageSize"]):
            raise wrong(
                "MessageBody",
                f"of {size} bytes",
                f"Message must be shorter than {queue['MaximumMessageSize']} bytes.",
            )
        if len(attributes) > 10:
            raise wrong(
                "MessageAttributes",
                len(attributes),
                "Number of message attributes exceeds the allowed maximum [10].",
            )
        group = params.get("MessageGroupId", "")
        dedup = params.get("MessageDeduplicationId", "")
        delay_s = params.get("DelaySeconds")
        if delay_s is not None and not 0 <= delay_s <= 900:
            raise wrong("DelaySeconds", delay_s, "DelaySeconds must be >= 0 and <= 900.")
        if fifo:
            self._check_fifo(queue, group, dedup, delay_s)
        elif dedup:
            raise wrong(
                "MessageDeduplicationId",
                dedup,
                "The request includes a parameter that is not valid for this queue type.",
            )
        delay_s = int(queue["DelaySeconds"]) if delay_s is None else delay_s
        system = params.get("MessageSystemAttributes") or {}
        sent = self._queues.send(name, body, attributes, system, group, dedup, delay_s)
        self._news[name].set()
        told = {
            "MessageId": sent.id,
            "MD5OfMessageBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        }
        if attributes:
            told["MD5OfMessageAttributes"] = attributes_md5(attributes)
        return told | ({"SequenceNumber": f"{sent.seq:020d}"} if fifo else {})

    def _check_fifo(self, queue: Row, group: str, dedup: str, delay_s: int | None) -> None:
        if not group:
            raise AwsError(
                "MissingParameter", "The request must contain the parameter MessageGroupId."
            )
        if not dedup and queue["ContentBasedDeduplication"] != "true":
            raise AwsError(
                "InvalidParameterValue",
                "The queue should either have ContentBasedDeduplication enabled or "
                "MessageDeduplicationId provided explicitly",
            )
        for key, value in (("MessageGroupId", group), ("MessageDeduplicationId", dedup)):
            if value and not _TOKEN.fullmatch(value):
                raise wrong(
                    key,
                    value,
                    f"{key} can only include alphanumeric and punctuation characters. 1 "
                    "to 128 in length.",
                )
        if delay_s:
            raise wrong(
                "DelaySeconds",
                delay_s,
                "The request include parameter that is not valid for this queue type.",
            )

    async def send_message_batch(self, params: Row) -> Row:
        name = self._name(params)
        entries = params["Entries"]
        if (
            sum(message_bytes(e["MessageBody"], e.get("MessageAttributes") or {}) for e in entries)
            > LARGEST_BYTES
        ):
            raise AwsError(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {LARGEST_BYTES} bytes.",
            )

        async def one(entry: Row) -> Row:
            return self._send(name, entry)

        return await _batch(entries, one)

    # --- receiving

    async def receive_message(self, params: Row) -> Row:
        """Long polling ends as soon as one message is there."""
        name = self._name(params)
        most = params.get("MaxNumberOfMessages", 1)
        queue = self._queues.get(name)["attributes"]
        if not 1 <= most <= 10:
            raise wrong("MaxNumberOfMessages", most, "Must be between 1 and 10, if provided.")
        wait_s = params.get("WaitTimeSeconds", int(queue["ReceiveMessageWaitTimeSeconds"]))
        if not 0 <= wait_s <= 20:
            raise wrong("WaitTimeSeconds", wait_s, "Must be >= 0 and <= 20, if provided.")
        visibility_s = params.get("VisibilityTimeout")
        if visibility_s is not None and not 0 <= visibility_s <= 43_200:
            raise wrong(
                "VisibilityTimeout", visibility_s, "Must be between 0 and 43200, if provided."
            )
        deadline = time.monotonic() + wait_s
        while True:
            self._news[name].clear()
            found = self._queues.receive(
                name, most, visibility_s, params.get("ReceiveRequestAttemptId", "")
            )
            left = deadline - time.monotonic()
            if found or left <= 0:
                return {"Messages": [self._show(row, params) for row in found]} if found else {}
            soonest = self._queues.next_visible(name)
            if soonest is not None:
                left = min(left, max(0.01, soonest / 1000 - self._clock()))
            try:
                await asyncio.wait_for(self._news[name].wait(), left)
            except TimeoutError:
                pass

    def _show(self, row: Row, params: Row) -> Row:
        attributes = json.loads(row["attributes"])
        system = {
            "SenderId": ACCOUNT,
            "SentTimestamp": str(row["sent"]),
            "ApproximateReceiveCount": str(row["received"]),
            "ApproximateFirstReceiveTimestamp": str(row["first"]),
            **({"MessageGroupId": row["grp"]} if row["grp"] else {}),
            **(
                {"SequenceNumber": f"{row['seq']:020d}", "MessageDeduplicationId": row["dedup"]}
                if row["dedup"]
                else {}
            ),
            **({"DeadLetterQueueSourceArn": self._arn + row["source"]} if row["source"] else {}),
            **{k: v["StringValue"] for k, v in json.loads(row["system"]).items()},
        }
        wanted = [*params.get("AttributeNames", []), *params.get("MessageSystemAttributeNames", [])]
        chosen = system if "All" in wanted else {k: v for k, v in system.items() if k in wanted}
        asked = params.get("MessageAttributeNames", [])
        own = {k: v for k, v in attributes.items() if _matches(k, asked)}
        shown = {
            "MessageId": row["id"],
            "ReceiptHandle": row["receipt"],
            "Body": row["body"],
            "MD5OfBody": hashlib.md5(row["body"].encode(), usedforsecurity=False).hexdigest(),
        }
        if chosen:
            shown["Attributes"] = chosen
        if own:
            shown |= {"MessageAttributes": own, "MD5OfMessageAttributes": attributes_md5(own)}
        return shown

    async def delete_message(self, params: Row) -> Row:
        name = self._name(params)
        self._queues.remove(name, params["ReceiptHandle"])
        self._news[name].set()  # a group may be free now
        return {}

    async def delete_message_batch(self, params: Row) -> Row:
        return await _batch(
            params["Entries"], lambda e: self.delete_message({**e, "QueueUrl": params["QueueUrl"]})
        )

    async def change_message_visibility(self, params: Row) -> Row:
        name = self._name(params)
        visibility_s = params["VisibilityTimeout"]
        if not 0 <= visibility_s <= 43_200:
            raise wrong("VisibilityTimeout", visibility_s, "Must be between 0 and 43200.")
        self._queues.set_visibility(name, params["ReceiptHandle"], visibility_s)
        self._news[name].set()
        return {}

    async def change_message_visibility_batch(self, params: Row) -> Row:
        return await _batch(
            params["Entries"],
            lambda e: self.change_message_visibility(
                {"VisibilityTimeout": 0, **e, "QueueUrl": params["QueueUrl"]}
            ),
        )

    # --- moving dead letters back

    async def start_message_move_task(self, params: Row) -> Row:
        """Done at once, whatever rate was asked for (ours)."""
        source = str(params["SourceArn"]).rpartition(":")[2]
        target = (
            str(params["DestinationArn"]).rpartition(":")[2]
            if params.get("DestinationArn")
            else None
        )
        try:
            for name in filter(None, (source, target)):
                self._queues.get(name)
        except AwsError as error:
            raise AwsError(
                "ResourceNotFoundException",
                "The queue of SourceArn or DestinationArn doesn't exist.",
            ) from error
        if not self._sources(source):
            raise wrong(
                "SourceArn",
                params["SourceArn"],
                "Source queue must be configured as a Dead Letter Queue.",
            )
        count = self._queues.move(source, target)
        handle = base64.b64encode(f"{source}/{self._clock()}".encode()).decode()
        self._moves[handle] = {
            "SourceArn": params["SourceArn"],
            "Status": "COMPLETED",
            "ApproximateNumberOfMessagesMoved": count,
            "ApproximateNumberOfMessagesToMove": count,
            "StartedTimestamp": int(self._clock() * 1000),
        }
        for news in self._news.values():
            news.set()
        return {"TaskHandle": handle}

    async def list_message_move_tasks(self, params: Row) -> Row:
        found = [m for m in self._moves.values() if m["SourceArn"] == params["SourceArn"]]
        return {"Results": found[::-1][: params.get("MaxResults", 1)]}


async def _batch(entries: list[Row], one: Callable[[Row], Awaitable[Row]]) -> Row:
    """Each entry by itself: what fails is told beside what went well."""
    if not entries:
        raise AwsError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > 10:
        raise AwsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are 10. You have sent {len(entries)}.",
        )
    if not all(_ID.fullmatch(e["Id"]) for e in entries):
        raise AwsError(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores.",
        )
    if len({e["Id"] for e in entries}) < len(entries):
        raise AwsError(
            "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id."
        )
    well = []
    badly = []
    for entry in entries:
        try:
            well.append({"Id": entry["Id"], **await one(entry)})
        except AwsError as error:
            if error.code == missing_queue().code:
                raise
            badly.append(
                {
                    "Id": entry["Id"],
                    "SenderFault": True,
                    "Code": error.code,
                    "Message": error.message,
                }
            )
    return {"Successful": well, "Failed": badly}


def _matches(name: str, asked: list[str]) -> bool:
    """``All``, ``.*``, the name itself, or a beginning with ``.*``."""
    return any(
        a in ("All", ".*", name) or (a.endswith(".*") and name.startswith(a[:-2])) for a in asked
    )


def _value(attribute: Row) -> bytes:
    if "BinaryValue" in attribute:
        value: Any = attribute["BinaryValue"]
        return base64.b64decode(value) if isinstance(value, str) else bytes(value)
    return str(attribute.get("StringValue", "")).encode()


def message_bytes(body: str, attributes: Row) -> int:
    """What counts towards the largest size: the body and each attribute's name, type and value."""
    return len(body.encode()) + sum(
        len(k.encode()) + len(a["DataType"].encode()) + len(_value(a))
        for k, a in attributes.items()
    )


def attributes_md5(attributes: Row) -> str:
    """The digest that SDKs check (SQS developer guide, "Calculating the MD5 message digest for
    message attributes")."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name.encode(), attribute["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        value = _value(attribute)
        digest.update(
            (b"\x02" if attribute["DataType"].startswith("Binary") else b"\x01")
            + struct.pack(">I", len(value))
            + value
        )
    return digest.hexdigest()
