"""What SQS takes, and how it refuses the rest."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import MessageAttribute

LARGEST_BYTES = 1024 * 1024
LONGEST_VISIBILITY_S = 43_200
LONGEST_DELAY_S = 900
LONGEST_WAIT_S = 20
MOST_ATTRIBUTES = 10
MOST_RECEIVED = 10
Attributes = Mapping[str, MessageAttribute]
_ALLOWED_TEXT = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ATTRIBUTE_NAME = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_TOKEN = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


def wrong(parameter: str, value: object, reason: str) -> AwsError:
    """The error (not raised yet) for a parameter's value that SQS does not take."""
    return AwsError(
        "InvalidParameterValue",
        f"Value {value} for parameter {parameter} is invalid. Reason: {reason}",
    )


def missing(parameter: str) -> AwsError:
    """The error (not raised yet) for a parameter that must be given."""
    return AwsError("MissingParameter", f"The request must contain the parameter {parameter}.")


def is_id(text: str) -> bool:
    """Of a queue's name, or of an entry of a batch."""
    return _ID.fullmatch(text) is not None


def is_fifo(attributes: Mapping[str, str]) -> bool:
    """Do these attributes make it a FIFO queue?"""
    return attributes.get("FifoQueue") == "true"


def within(
    params: Plain,
    key: str,
    low: int,
    high: int,
    reason: str,
) -> int | None:
    """The number that a request gives, if it gives one."""
    value: int | None = params.get(key)
    if value is not None and not low <= value <= high:
        raise wrong(key, value, reason)
    return value


def check_message(queue: Mapping[str, str], body: str, attributes: Attributes) -> None:
    """Raise AwsError for a message that this queue does not take."""
    if not body:
        raise missing("MessageBody")
    if not _ALLOWED_TEXT.fullmatch(body):
        raise AwsError(
            "InvalidMessageContents",
            "Invalid characters in the message body; allowed: #x9 #xA #xD #x20-#xD7FF and beyond.",
        )
    for name, attribute in attributes.items():
        _check_attribute(name, attribute)
    size = message_bytes(body, attributes)
    largest = queue["MaximumMessageSize"]
    if size > int(largest):
        raise AwsError(
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than "
            f"{largest} bytes.",
        )
    if len(attributes) > MOST_ATTRIBUTES:
        reason = "Number of message attributes exceeds the allowed maximum [10]."
        raise wrong("MessageAttributes", len(attributes), reason)


def check_system(attributes: Attributes) -> None:
    """Raise AwsError for what senders may not say of a message (SQS API reference, SendMessage:
    AWSTraceHeader, a String)."""
    for name, attribute in attributes.items():
        if name != "AWSTraceHeader" or attribute["DataType"] != "String":
            raise wrong(f"MessageSystemAttribute.{name}", attribute["DataType"], "Invalid type.")
        if not attribute.get("StringValue"):
            raise wrong(f"MessageSystemAttribute.{name}", "", "The value must not be empty.")


def _check_attribute(name: str, attribute: MessageAttribute) -> None:
    """Raise AwsError for a message attribute that SQS does not take (developer guide, "Amazon SQS
    message metadata")."""
    kind = attribute["DataType"]
    if not _ATTRIBUTE_NAME.fullmatch(name) or name.lower().startswith(("aws.", "amazon.")):
        raise AwsError(
            "InvalidParameterValue",
            f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, "
            "0-9, underscore (_), hyphen (-), and period (.) characters.",
        )
    if kind.partition(".")[0] not in ("String", "Number", "Binary"):
        raise AwsError(
            "InvalidParameterValue",
            f"The message attribute '{name}' has an invalid message attribute type, the set of "
            "supported type prefixes is Binary, Number, and String.",
        )
    try:
        is_empty = not _value(attribute)
    except ValueError as error:
        raise wrong(f"MessageAttribute.{name}", "BinaryValue", "It is no base64.") from error
    field = "BinaryValue" if kind.partition(".")[0] == "Binary" else "StringValue"
    if field not in attribute:
        raise AwsError(
            "InvalidParameterValue",
            f"The message attribute '{name}' with type '{kind}' must use field "
            f"'{field.removesuffix('Value')}'.",
        )
    if kind.partition(".")[0] == "Number" and not _is_number(attribute["StringValue"]):
        raise AwsError(
            "InvalidParameterValue",
            f"Can't cast the value of message attribute '{name}' to a number.",
        )
    if is_empty:
        reason = f"The message attribute '{name}' must contain a non-empty value."
        raise AwsError("InvalidParameterValue", reason)


def _is_number(text: str) -> bool:
    """As SQS takes it; an empty one is refused in other words."""
    return not text or _DECIMAL.fullmatch(text) is not None


def check_token(key: str, value: str) -> None:
    """Raise AwsError for a group or an ID of other characters than SQS takes."""
    if value and not _TOKEN.fullmatch(value):
        reason = (
            f"{key} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        )
        raise wrong(key, value, reason)


def check_fifo(
    queue: Mapping[str, str],
    group: str,
    dedup: str,
    delay_s: int | None,
) -> None:
    """Raise AwsError for what a FIFO queue does not take."""
    check_ids(queue, group, dedup)
    for key, value in (("MessageGroupId", group), ("MessageDeduplicationId", dedup)):
        check_token(key, value)
    if delay_s:
        reason = "The request include parameter that is not valid for this queue type."
        raise wrong("DelaySeconds", delay_s, reason)


def check_ids(queue: Mapping[str, str], group: str | None, dedup: str | None) -> None:
    """Raise AwsError for a message without its group, or without an ID where its content is
    none."""
    if not group:
        raise missing("MessageGroupId")
    if not dedup and queue["ContentBasedDeduplication"] != "true":
        raise AwsError(
            "InvalidParameterValue",
            "The queue should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly",
        )


# --- sizes and digests


def _value(attribute: MessageAttribute) -> bytes:
    """The bytes of a message attribute: binary values come as base64 from JSON clients, as bytes
    from query clients."""
    if "BinaryValue" in attribute:
        value = attribute["BinaryValue"]
        return base64.b64decode(value) if isinstance(value, str) else bytes(value)
    return attribute.get("StringValue", "").encode()


def message_bytes(body: str, attributes: Attributes) -> int:
    """What counts towards the largest size: the body and each attribute's name, type and value."""
    own = len(body.encode())
    for name, attribute in attributes.items():
        own += len(name.encode()) + len(attribute["DataType"].encode()) + len(_value(attribute))
    return own


def body_md5(body: str) -> str:
    """The digest that SDKs compare with their own; it protects nothing."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def attributes_md5(attributes: Attributes) -> str:
    """The digest that SDKs check (SQS developer guide, "Calculating the MD5 message digest for
    message attributes")."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        kind = attribute["DataType"]
        digest.update(_sized(name.encode()) + _sized(kind.encode()))
        digest.update(b"\x02" if kind.startswith("Binary") else b"\x01")
        digest.update(_sized(_value(attribute)))
    return digest.hexdigest()


def _sized(part: bytes) -> bytes:
    """A part with its length before it, four bytes, the largest first."""
    return struct.pack(">I", len(part)) + part
