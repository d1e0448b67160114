"""Queues of the SQS API: made, changed, told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Queue
from kirikae.local.sqs import permissions
from kirikae.local.sqs.limits import (
    LARGEST_BYTES,
    LONGEST_DELAY_S,
    LONGEST_VISIBILITY_S,
    LONGEST_WAIT_S,
    is_fifo,
    is_id,
    missing,
    within,
    wrong,
)
from kirikae.local.sqs.places import Place, key_of_arn
from kirikae.local.sqs.queues import Queues, missing_queue
from kirikae.local.wire import ACCOUNT, Handlers

_RANGES = {
    "DelaySeconds": (0, LONGEST_DELAY_S),
    "MaximumMessageSize": (1024, LARGEST_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, LONGEST_WAIT_S),
    "VisibilityTimeout": (0, LONGEST_VISIBILITY_S),
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
_TRUE_OR_FALSE = ("true", "false")
_WORDS = {
    "ContentBasedDeduplication": _TRUE_OR_FALSE,
    "SqsManagedSseEnabled": _TRUE_OR_FALSE,
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_PAIRED = {
    "FifoThroughputLimit",
    "DeduplicationScope",
    "KmsMasterKeyId",
    "SqsManagedSseEnabled",
}
_PERMISSIONS = ("allowAll", "denyAll", "byQueue")
_MOST_SOURCES = 10
_LONGEST_NAME = 80
_LARGEST_PAGE = 1000
_MOST_TAGS = 50
_LONGEST_TAG_KEY = 128
_BAD_TAG_KEY = "Tag keys must be between 1 and 128 characters in length."
_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST_RECEIVES = 1000
_PURGE_EVERY_S = 60
_BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
_BAD_FIFO_NAME = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length."
)


class QueueApi:
    """A queue is known by its name; its URL says nothing more."""

    def __init__(
        self,
        queues: Queues,
        place: Place,
        clock: Callable[[], float],
    ) -> None:
        """``place`` is the region that is asked; ``clock`` answers Unix seconds."""
        self._queues = queues
        self._place = place
        self._clock = clock

    # --- making and changing

    def _attributes(self, asked: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
        """All attributes of a queue that is asked to have these.  Raises AwsError."""
        fifo = is_fifo(
            {
                **before,
                **asked,
            }
        )
        for key, value in asked.items():
            _check_attribute(key, value, fifo)
        if policy := asked.get("RedrivePolicy"):
            self._check_redrive(policy, fifo)
        after = {
            **_DEFAULTS,
            **(_FIFO_DEFAULTS if fifo else {}),
            **before,
            **asked,
        }
        if asked.get("KmsMasterKeyId") and "SqsManagedSseEnabled" not in asked:
            after["SqsManagedSseEnabled"] = "false"
        _check_pairs(asked, after)
        return after

    def _check_redrive(self, text: str, fifo: bool) -> None:
        """Raise AwsError for a redrive policy that cannot be carried out: not JSON, a count outside
        1 to 1000, a dead-letter queue that is not there or of the other type."""
        try:
            policy = json.loads(text)
            target = key_of_arn(policy["deadLetterTargetArn"], self._place.home)
            most = int(policy.get("maxReceiveCount", 10))
        except (ValueError, KeyError, TypeError) as error:
            raise AwsError(
                "InvalidParameterValue",
                f"Value {text} for parameter RedrivePolicy is invalid: {error}",
            ) from error
        if not 1 <= most <= _MOST_RECEIVES:
            raise wrong("RedrivePolicy", text, "Invalid value for maxReceiveCount: 1 to 1000.")
        try:
            other = self._queues.get(target)
        except AwsError as error:
            raise wrong("RedrivePolicy", text, "Dead letter target does not exist.") from error
        if is_fifo(other["attributes"]) != fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise wrong("RedrivePolicy", text, reason)

    async def create(self, params: Plain) -> Plain:
        """CreateQueue.

        Asking again for a queue with the same attributes answers it as it is; raises AwsError for
        other ones, and for a name that is none.
        """
        name = params["QueueName"]
        asked = {key: str(value) for key, value in params.get("Attributes", {}).items()}
        _check_name(name, is_fifo(asked))
        key = self._place.key(name)
        known = self._queues.find(key)
        wanted = {key: value for key, value in asked.items() if key != "FifoQueue"}
        if is_fifo(asked):
            wanted["FifoQueue"] = "true"
        attributes = self._attributes(wanted, {})
        _check_tags(name, params.get("tags", {}))
        if known is None:
            now = int(self._clock())
            row: Queue = {
                "attributes": attributes,
                "tags": params.get("tags", {}),
                "created": now,
                "modified": now,
                "purged": 0,
            }
            self._queues.put(key, row)
        elif any(known["attributes"].get(key) != value for key, value in asked.items()):
            raise AwsError(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for an attribute.",
            )
        return {"QueueUrl": self._place.url(name)}

    async def delete(self, params: Plain) -> Plain:
        """DeleteQueue, with all its messages.  Raises AwsError for one that does not exist."""
        self._queues.delete(self._queues.named(params, self._place))
        return {}

    async def set_attributes(self, params: Plain) -> Plain:
        """SetQueueAttributes: what is not given stays.

        Raises AwsError for what SQS refuses; a queue never becomes FIFO, nor ceases to be.
        """
        name = self._queues.named(params, self._place)
        row = self._queues.get(name)
        asked = {key: str(value) for key, value in params["Attributes"].items()}
        now_fifo = row["attributes"].get("FifoQueue")
        if asked.get("FifoQueue", now_fifo) != now_fifo:
            raise AwsError(
                "InvalidAttributeName", "FifoQueue cannot be changed after the queue was made."
            )
        every = self._attributes(asked, row["attributes"])
        # An empty value takes an attribute away.
        attributes = {key: value for key, value in every.items() if value or key not in asked}
        now = int(self._clock())
        self._queues.put(
            name,
            {
                **row,
                "attributes": attributes,
                "modified": now,
            },
        )
        return {}

    async def add_permission(self, params: Plain) -> Plain:
        """AddPermission: one statement more in the queue's policy."""
        name = self._queues.named(params, self._place)
        policy = self._queues.get(name)["attributes"].get("Policy", "")
        self._put_policy(name, permissions.added(policy, self._place.arn(name), params))
        return {}

    async def remove_permission(self, params: Plain) -> Plain:
        """RemovePermission: by the label under which it was added."""
        name = self._queues.named(params, self._place)
        policy = self._queues.get(name)["attributes"].get("Policy", "")
        arn = self._place.arn(name)
        self._put_policy(name, permissions.removed(policy, arn, params["Label"]))
        return {}

    def _put_policy(self, name: str, policy: str) -> None:
        """An empty one is none."""
        row = self._queues.get(name)
        attributes = {key: value for key, value in row["attributes"].items() if key != "Policy"}
        if policy:
            attributes["Policy"] = policy
        now = int(self._clock())
        self._queues.put(name, {**row, "attributes": attributes, "modified": now})

    async def purge(self, params: Plain) -> Plain:
        """PurgeQueue: all messages are gone at once, those in flight too.

        Raises AwsError within a minute of the last time.
        """
        name = self._queues.named(params, self._place)
        row = self._queues.get(name)
        if self._clock() - row["purged"] < _PURGE_EVERY_S:
            raise AwsError(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
            )
        self._queues.purge(name)
        self._queues.put(
            name,
            {
                **row,
                "purged": self._clock(),
            },
        )
        return {}

    async def tag(self, params: Plain) -> Plain:
        """TagQueue: tags of the same keys are replaced."""
        name = self._queues.named(params, self._place)
        row = self._queues.get(name)
        if not params["Tags"]:
            raise missing("Tags")
        tags = {
            **row["tags"],
            **params["Tags"],
        }
        _check_tags(name, tags)
        self._queues.put(
            name,
            {
                **row,
                "tags": tags,
            },
        )
        return {}

    async def untag(self, params: Plain) -> Plain:
        """UntagQueue: keys that are not there are no error."""
        name = self._queues.named(params, self._place)
        row = self._queues.get(name)
        if not params["TagKeys"]:
            raise AwsError("InvalidParameterValue", _BAD_TAG_KEY)
        left = {key: tag for key, tag in row["tags"].items() if key not in params["TagKeys"]}
        self._queues.put(
            name,
            {
                **row,
                "tags": left,
            },
        )
        return {}

    # --- asking

    async def get_url(self, params: Plain) -> Plain:
        """GetQueueUrl.  Raises AwsError for a queue that does not exist; another account has
        none."""
        if params.get("QueueOwnerAWSAccountId") not in (None, "", ACCOUNT):
            raise missing_queue()
        self._queues.get(self._place.key(params["QueueName"]))
        return {"QueueUrl": self._place.url(params["QueueName"])}

    async def list_queues(self, params: Plain) -> Plain:
        """ListQueues, by name: a thousand without pages, unless fewer are asked for."""
        begins = params.get("QueueNamePrefix", "")
        here = map(self._place.name, filter(self._place.is_here, self._queues.names()))
        names = [name for name in here if name.startswith(begins)]
        token = params.get("NextToken") or "0"
        if not _NUMBER.fullmatch(token):
            raise wrong("NextToken", token, "Invalid or expired next token.")
        most = within(params, "MaxResults", 1, _LARGEST_PAGE, "Must be between 1 and 1000.")
        begin = int(token)
        end = begin + (most or _LARGEST_PAGE)
        found = [self._place.url(name) for name in names[begin:end]]
        # AWS leaves out what is empty.
        answer: Plain = {"QueueUrls": found} if found else {}
        if params.get("MaxResults") and end < len(names):
            answer["NextToken"] = str(end)
        return answer

    async def get_attributes(self, params: Plain) -> Plain:
        """GetQueueAttributes: those that were asked for; none unless they are.

        The numbers of messages are exact here.
        """
        name = self._queues.named(params, self._place)
        row = self._queues.get(name)
        counts = self._queues.counts(name)
        every = {
            **row["attributes"],
            "QueueArn": self._place.arn(name),
            "CreatedTimestamp": str(row["created"]),
            "LastModifiedTimestamp": str(row["modified"]),
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.flying),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        }
        asked = params.get("AttributeNames", [])
        for key in asked:
            if key not in (*_SETTABLE, *every, "All"):
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
        chosen = {key: value for key, value in every.items() if key in asked or "All" in asked}
        return {"Attributes": chosen} if chosen else {}

    async def list_tags(self, params: Plain) -> Plain:
        """ListQueueTags."""
        return {"Tags": self._queues.get(self._queues.named(params, self._place))["tags"]}

    async def list_sources(self, params: Plain) -> Plain:
        """Queues whose dead letters come here."""
        sources = self._queues.sources(self._queues.named(params, self._place))
        return {"queueUrls": [self._place.url(name) for name in sources]}


def _check_name(name: str, fifo: bool) -> None:
    """Raise AwsError for a name that is none, or that does not say whether it is a FIFO queue's."""
    is_named = is_id(name.removesuffix(".fifo")) and len(name) <= _LONGEST_NAME
    if fifo and not (is_named and name.endswith(".fifo")):
        raise AwsError("InvalidParameterValue", _BAD_FIFO_NAME)
    if not is_named or (name.endswith(".fifo") and not fifo):
        raise AwsError("InvalidParameterValue", _BAD_NAME)


def _check_tags(name: str, tags: Mapping[str, str]) -> None:
    """Raise AwsError for too many, and for keys that are none (developer guide, "Amazon SQS cost
    allocation tags")."""
    if len(tags) > _MOST_TAGS:
        raise AwsError("InvalidParameterValue", f"Too many tags added for queue {name}.")
    if not all(1 <= len(key) <= _LONGEST_TAG_KEY for key in tags):
        raise AwsError("InvalidParameterValue", _BAD_TAG_KEY)
    if any(key.lower().startswith("aws:") for key in tags):
        raise AwsError("InvalidParameterValue", "Tag keys must not begin with 'aws:'.")


def _check_attribute(key: str, value: str, fifo: bool) -> None:
    """Raise AwsError for an attribute that SQS does not know, for a number outside its range, and
    for one of FIFO queues alone."""
    if key not in _SETTABLE:
        raise AwsError("InvalidAttributeName", f"Unknown Attribute {key}.")
    if key in _RANGES and not _is_within(value, *_RANGES[key]):
        raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
    _check_text(key, value)
    if key in _FIFO_DEFAULTS and not fifo:
        raise AwsError(
            "InvalidAttributeName",
            f"Unknown Attribute {key}. You can specify the {key} only when FifoQueue is set.",
        )


def _check_pairs(asked: Mapping[str, str], attributes: Mapping[str, str]) -> None:
    """Raise AwsError for attributes that do not go together (SQS API reference,
    SetQueueAttributes); whoever asks for something else is not stopped by those of before."""
    if not asked.keys() & _PAIRED:
        return
    by_group = attributes.get("FifoThroughputLimit") == "perMessageGroupId"
    if by_group and attributes.get("DeduplicationScope") != "messageGroup":
        raise AwsError(
            "InvalidAttributeValue",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
            "messageGroup.",
        )
    if attributes.get("KmsMasterKeyId") and attributes.get("SqsManagedSseEnabled") == "true":
        raise AwsError(
            "InvalidAttributeValue",
            "You can use one type of server-side encryption (SSE) at one time. You can either "
            "enable KMS SSE or SQS SSE.",
        )


def _check_text(key: str, value: str) -> None:
    """Raise AwsError for a word that this attribute has not, and for a policy that is no JSON."""
    words = _WORDS.get(key)
    if words is not None and value not in words:
        raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
    if key not in ("Policy", "RedriveAllowPolicy") or not value:
        return
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {key}.")
    if key == "RedriveAllowPolicy":
        _check_allowed(found)


def _check_allowed(policy: Plain) -> None:
    """Raise AwsError for a redrive permission that there is not, and for sources that it needs or
    does not take (SQS API reference, SetQueueAttributes: up to 10)."""
    kind = policy.get("redrivePermission")
    sources = policy.get("sourceQueueArns")
    needs = kind == "byQueue"
    fits = isinstance(sources, list) and 1 <= len(sources) <= _MOST_SOURCES
    if kind not in _PERMISSIONS or needs != (sources is not None) or (needs and not fits):
        raise AwsError(
            "InvalidAttributeValue", "Invalid value for the parameter RedriveAllowPolicy."
        )


def _is_within(value: str, low: int, high: int) -> bool:
    """Is it a whole number in this range?"""
    return _NUMBER.fullmatch(value) is not None and low <= int(value) <= high


OPERATIONS: Handlers[QueueApi] = {
    "CreateQueue": QueueApi.create,
    "DeleteQueue": QueueApi.delete,
    "GetQueueUrl": QueueApi.get_url,
    "ListQueues": QueueApi.list_queues,
    "GetQueueAttributes": QueueApi.get_attributes,
    "SetQueueAttributes": QueueApi.set_attributes,
    "PurgeQueue": QueueApi.purge,
    "AddPermission": QueueApi.add_permission,
    "RemovePermission": QueueApi.remove_permission,
    "TagQueue": QueueApi.tag,
    "UntagQueue": QueueApi.untag,
    "ListQueueTags": QueueApi.list_tags,
    "ListDeadLetterSourceQueues": QueueApi.list_sources,
}
PARTLY = {
    "AddPermission": "kept in the policy, without effect",
    "RemovePermission": "as AddPermission",
    "DeleteQueue": "the name is free again at once",
    "SetQueueAttributes": (
        "Policy, KMS and redrive-allow attributes are kept and told, without effect"
    ),
    "CreateQueue": "as SetQueueAttributes",
}
"""Operations of which something is missing, and what."""
