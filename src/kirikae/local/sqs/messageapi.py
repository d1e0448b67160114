"""Messages of the SQS API: sent, received, deleted, moved back."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Message
from kirikae.local.sqs.figures import DELETED, EMPTY, RECEIVED, SENT
from kirikae.local.sqs.limits import (
    LARGEST_BYTES,
    LONGEST_DELAY_S,
    LONGEST_VISIBILITY_S,
    LONGEST_WAIT_S,
    MOST_RECEIVED,
    attributes_md5,
    body_md5,
    check_fifo,
    check_ids,
    check_message,
    check_system,
    check_token,
    is_fifo,
    is_id,
    message_bytes,
    within,
    wrong,
)
from kirikae.local.sqs.places import Place, key_of_arn
from kirikae.local.sqs.queues import BAD_RECEIPT, Draft, Queues, missing_queue
from kirikae.local.wire import ACCOUNT, Handlers

_MOST_IN_BATCH = 10
_SOONEST_S = 0.01


class MessageApi:
    """Whoever waits for messages of a queue is woken by what is sent there."""

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
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._moves: dict[str, Plain] = {}

    # --- sending

    async def send(self, params: Plain) -> Plain:
        """SendMessage.

        Raises AwsError for a message that this queue does not take.  On a FIFO queue it may be
        asked again within five minutes: a duplicate is answered alike and stored nowhere.
        """
        return self._send(self._queues.named(params, self._place), params)

    def _send(self, name: str, params: Plain) -> Plain:
        """Store one message, and wake whoever waits for it."""
        queue = self._queues.get(name)["attributes"]
        draft = _draft(queue, params)
        sent = self._queues.send(name, draft)
        self._queues.count(name, SENT, int(sent.fresh))
        self._news[name].set()
        told: Plain = {
            "MessageId": sent.id,
            "MD5OfMessageBody": body_md5(draft.body),
        }
        if draft.attributes:
            told["MD5OfMessageAttributes"] = attributes_md5(draft.attributes)
        if is_fifo(queue):
            told["SequenceNumber"] = f"{sent.seq:020d}"
        return told

    async def send_batch(self, params: Plain) -> Plain:
        """SendMessageBatch: at most ten messages of at most 1 MiB together; each may fail by
        itself."""
        name = self._queues.named(params, self._place)
        entries = params["Entries"]
        sizes = [_size_of(entry) for entry in entries]
        if sum(sizes) > LARGEST_BYTES:
            raise AwsError(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {LARGEST_BYTES} bytes. You have sent "
                f"{sum(sizes)} bytes.",
            )

        queue = self._queues.get(name)["attributes"]
        for entry in entries if is_fifo(queue) else ():
            # What a FIFO queue needs of each message is asked of the request as a whole.
            check_ids(queue, entry.get("MessageGroupId"), entry.get("MessageDeduplicationId"))

        async def one(entry: Plain) -> Plain:
            """One entry of the batch."""
            return self._send(name, entry)

        return await _batch("SendMessage", entries, one)

    # --- receiving

    async def receive(self, params: Plain) -> Plain:
        """Long polling ends as soon as one message is there."""
        name = self._queues.named(params, self._place)
        asked = _Asked.of(params, self._queues.get(name)["attributes"])
        deadline = time.monotonic() + asked.wait_s
        while True:
            self._news[name].clear()
            found = self._queues.receive(name, asked.most, asked.visibility_s, asked.attempt)
            left = deadline - time.monotonic()
            if found:
                self._queues.count(name, RECEIVED, len(found))
                return {"Messages": [self._show(row, params) for row in found]}
            if left <= 0:
                self._queues.count(name, EMPTY)
                return {}
            await self._wait(name, left)

    async def _wait(self, name: str, longest_s: float) -> None:
        """Until something is sent, or the next message becomes visible."""
        soonest = self._queues.next_visible(name)
        if soonest is not None:
            longest_s = min(longest_s, max(_SOONEST_S, soonest / 1000 - self._clock()))
        try:
            await asyncio.wait_for(self._news[name].wait(), longest_s)
        except TimeoutError:
            pass

    def _show(self, row: Message, params: Plain) -> Plain:
        """A message as it is received, with what of it was asked for."""
        shown: Plain = {
            "MessageId": row["id"],
            "ReceiptHandle": row["receipt"],
            "Body": row["body"],
            "MD5OfBody": body_md5(row["body"]),
        }
        wanted = [*params.get("AttributeNames", []), *params.get("MessageSystemAttributeNames", [])]
        system = _chosen(self._system(row), wanted)
        if system:
            shown["Attributes"] = system
        asked = params.get("MessageAttributeNames", [])
        every = json.loads(row["attributes"])
        own = {name: value for name, value in every.items() if _matches(name, asked)}
        if own:
            shown |= {
                "MessageAttributes": own,
                "MD5OfMessageAttributes": attributes_md5(own),
            }
        return shown

    def _system(self, row: Message) -> dict[str, str]:
        """What SQS itself says of a message."""
        system = {
            "SenderId": ACCOUNT,
            "SentTimestamp": str(row["sent"]),
            "ApproximateReceiveCount": str(row["received"]),
            "ApproximateFirstReceiveTimestamp": str(row["first"]),
        }
        if row["grp"]:
            system["MessageGroupId"] = row["grp"]
        if row["dedup"]:
            system["SequenceNumber"] = f"{row['seq']:020d}"
            system["MessageDeduplicationId"] = row["dedup"]
        if row["source"]:
            system["DeadLetterQueueSourceArn"] = self._place.arn(row["source"])
        for name, value in json.loads(row["system"]).items():
            system[name] = value["StringValue"]
        return system

    # --- what was received

    async def delete(self, params: Plain) -> Plain:
        """DeleteMessage.

        A receipt that is not the newest deletes nothing on a standard queue; on a FIFO queue it
        raises AwsError once it has expired.
        """
        name = self._queues.named(params, self._place)
        if self._queues.remove(name, params["ReceiptHandle"]):
            self._queues.count(name, DELETED)
        self._news[name].set()  # a group may be free now
        return {}

    async def delete_batch(self, params: Plain) -> Plain:
        """DeleteMessageBatch: each entry by itself."""
        url = params["QueueUrl"]
        return await _batch(
            "DeleteMessage",
            params["Entries"],
            lambda entry: self.delete(
                {
                    **entry,
                    "QueueUrl": url,
                }
            ),
        )

    async def change_visibility(self, params: Plain) -> Plain:
        """ChangeMessageVisibility, in seconds from now; 0 gives the message back at once.

        Raises AwsError for one that is not in flight.
        """
        name = self._queues.named(params, self._place)
        visibility_s = within(
            params, "VisibilityTimeout", 0, LONGEST_VISIBILITY_S, "Must be between 0 and 43200."
        )
        self._queues.set_visibility(name, params["ReceiptHandle"], visibility_s or 0)
        self._news[name].set()
        return {}

    async def change_visibility_batch(self, params: Plain) -> Plain:
        """ChangeMessageVisibilityBatch: each entry by itself; 0 where an entry does not say."""
        common = {
            "VisibilityTimeout": 0,
            "QueueUrl": params["QueueUrl"],
        }
        return await _batch(
            "ChangeMessageVisibility",
            params["Entries"],
            lambda entry: self.change_visibility(
                {
                    **common,
                    **entry,
                }
            ),
        )

    # --- moving dead letters back

    async def start_move(self, params: Plain) -> Plain:
        """Done at once, whatever rate was asked for (ours)."""
        source = key_of_arn(params["SourceArn"], self._place.home)
        to = params.get("DestinationArn")
        target = key_of_arn(to, self._place.home) if to else None
        keys = [source, target] if target else [source]
        if not all(self._place.is_here(key) and self._queues.find(key) for key in keys):
            raise AwsError(
                "ResourceNotFoundException",
                "The queue of SourceArn or DestinationArn doesn't exist.",
            )
        if not self._queues.sources(source):
            reason = "Source queue must be configured as a Dead Letter Queue."
            raise wrong("SourceArn", params["SourceArn"], reason)
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

    async def list_moves(self, params: Plain) -> Plain:
        """ListMessageMoveTasks, newest first.  Moves are forgotten with this process."""
        source = params["SourceArn"]
        found = [move for move in self._moves.values() if move["SourceArn"] == source]
        return {"Results": found[::-1][: params.get("MaxResults", 1)]}

    async def cancel_move(self, params: Plain) -> Plain:
        """CancelMessageMoveTask: here every move is over when it is answered, so there is none to
        be cancelled; AWS refuses that, too."""
        if params["TaskHandle"] not in self._moves:
            raise AwsError("ResourceNotFoundException", "The task handle does not exist.")
        raise AwsError("UnsupportedOperation", "Only active tasks can be cancelled.")


def _size_of(entry: Plain) -> int:
    """Of one message of a batch; 0 for one that will be refused by itself."""
    try:
        return message_bytes(entry["MessageBody"], entry.get("MessageAttributes") or {})
    except ValueError:
        return 0


def _draft(queue: Mapping[str, str], params: Plain) -> Draft:
    """The message that a request sends.  Raises AwsError for one that this queue does not take."""
    body = params["MessageBody"]
    attributes = params.get("MessageAttributes") or {}
    group = params.get("MessageGroupId", "")
    dedup = params.get("MessageDeduplicationId", "")
    check_message(queue, body, attributes)
    check_system(params.get("MessageSystemAttributes") or {})
    reason = "DelaySeconds must be >= 0 and <= 900."
    delay_s = within(params, "DelaySeconds", 0, LONGEST_DELAY_S, reason)
    check_token("MessageGroupId", group)
    if is_fifo(queue):
        check_fifo(queue, group, dedup, delay_s)
    elif dedup:
        reason = "The request includes a parameter that is not valid for this queue type."
        raise wrong("MessageDeduplicationId", dedup, reason)
    return Draft(
        body,
        attributes,
        params.get("MessageSystemAttributes") or {},
        group,
        dedup,
        int(queue["DelaySeconds"]) if delay_s is None else delay_s,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a ReceiveMessage asks for, with the queue's own settings where it does not say."""

    most: int
    wait_s: int
    visibility_s: int | None
    attempt: str

    @classmethod
    def of(cls, params: Plain, queue: Mapping[str, str]) -> Self:
        """Raises AwsError for a number outside what SQS takes."""
        most = within(
            params,
            "MaxNumberOfMessages",
            1,
            MOST_RECEIVED,
            "Must be between 1 and 10, if provided.",
        )
        wait_s = within(
            params, "WaitTimeSeconds", 0, LONGEST_WAIT_S, "Must be >= 0 and <= 20, if provided."
        )
        visibility_s = within(
            params,
            "VisibilityTimeout",
            0,
            LONGEST_VISIBILITY_S,
            "Must be between 0 and 43200, if provided.",
        )
        own_wait_s = int(queue["ReceiveMessageWaitTimeSeconds"])
        attempt = params.get("ReceiveRequestAttemptId", "")
        if attempt and not is_fifo(queue):
            reason = "The request includes a parameter that is not valid for this queue type."
            raise wrong("ReceiveRequestAttemptId", attempt, reason)
        return cls(
            1 if most is None else most,
            own_wait_s if wait_s is None else wait_s,
            visibility_s,
            attempt,
        )


async def _batch(
    what: str,
    entries: Sequence[Plain],
    one: Callable[[Plain], Awaitable[Plain]],
) -> Plain:
    """Each entry by itself: what fails is told beside what went well."""
    _check_batch(what, entries)
    well = []
    badly = []
    for entry in entries:
        try:
            well.append(
                {
                    "Id": entry["Id"],
                    **await one(entry),
                }
            )
        except AwsError as error:
            if error.code == missing_queue().code:
                raise
            failed = {
                "SenderFault": True,
                "Code": error.code,
                "Message": _words(error, entry),
            }
            badly.append(
                {
                    "Id": entry["Id"],
                    **failed,
                }
            )
    return {
        "Successful": well,
        "Failed": badly,
    }


def _words(error: AwsError, entry: Plain) -> str:
    """Of a batch's entry, AWS names the receipt."""
    if error.code != BAD_RECEIPT:
        return error.message
    receipt = entry["ReceiptHandle"]
    return f'The input receipt handle "{receipt}" is not a valid receipt handle.'


def _check_batch(what: str, entries: Sequence[Plain]) -> None:
    """Raise AwsError for a batch as a whole: none or more than ten entries, IDs that are none or
    stand there twice."""
    if not entries:
        raise AwsError(
            "EmptyBatchRequest",
            f"There should be at least one {what}BatchRequestEntry in the request.",
        )
    if len(entries) > _MOST_IN_BATCH:
        raise AwsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are 10. You have sent {len(entries)}.",
        )
    ids = [entry["Id"] for entry in entries]
    if not all(map(is_id, ids)):
        raise AwsError(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long.",
        )
    again = next((each for at, each in enumerate(ids) if each in ids[:at]), None)
    if again is not None:
        raise AwsError("BatchEntryIdsNotDistinct", f"Id {again} repeated.")


def _chosen(system: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Those of the message's system attributes that were asked for."""
    names = set(wanted)
    return {name: value for name, value in system.items() if name in names or "All" in names}


def _matches(name: str, asked: Iterable[str]) -> bool:
    """``All``, ``.*``, the name itself, or a beginning with ``.*``."""
    for pattern in asked:
        if pattern in ("All", ".*", name):
            return True
        if pattern.endswith(".*") and name.startswith(pattern.removesuffix(".*")):
            return True
    return False


OPERATIONS: Handlers[MessageApi] = {
    "SendMessage": MessageApi.send,
    "SendMessageBatch": MessageApi.send_batch,
    "ReceiveMessage": MessageApi.receive,
    "DeleteMessage": MessageApi.delete,
    "DeleteMessageBatch": MessageApi.delete_batch,
    "ChangeMessageVisibility": MessageApi.change_visibility,
    "ChangeMessageVisibilityBatch": MessageApi.change_visibility_batch,
    "StartMessageMoveTask": MessageApi.start_move,
    "ListMessageMoveTasks": MessageApi.list_moves,
    "CancelMessageMoveTask": MessageApi.cancel_move,
}
PARTLY = {
    "StartMessageMoveTask": "done at once, at any rate",
    "CancelMessageMoveTask": "none is ever under way",
}
"""Operations of which something is missing, and what."""
