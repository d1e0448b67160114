"""Queues and messages in one SQLite file; every send, receive and delete is one transaction.

Rules are those of the SQS developer guide ("FIFO queue delivery logic", "Exactly-once processing",
"Visibility timeout", "Dead-letter queues").  Times are Unix milliseconds of the clock that is
given."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Message, MessageAttribute, Queue
from kirikae.local.sqs.limits import is_fifo
from kirikae.local.sqs.places import Place, key_of_arn
from kirikae.local.wire import ACCOUNT

# Counted from the accepted send, whatever became of the message since: so IDs have a table of their
# own. moto forgets an ID with its message, and a job that is sent twice would run twice.
DEDUPLICATION_MS = 5 * 60 * 1000
# Beyond it a FIFO queue just returns nothing, and a standard one answers OverLimit.
MOST_IN_FLIGHT = 120_000
BAD_RECEIPT = "ReceiptHandleIsInvalid"
_OFTEN = 3
"""What was received more often does not count for the age of a queue (SQS developer guide,
ApproximateAgeOfOldestMessage)."""
_SECOND_MS = 1000
_ACCOUNT = re.compile(r"[0-9]{12}")
_SCHEMA = """
create table if not exists queue (name text primary key, body text not null) strict, without rowid;
create table if not exists message (
    seq integer primary key autoincrement, queue text not null, id text not null,
    body text not null, attributes text not null, system text not null, grp text not null,
    dedup text not null, sent integer not null, visible integer not null,
    receipt text not null default '', received integer not null default 0,
    first integer not null default 0, source text not null default ''
) strict;
create index if not exists by_time on message (queue, visible, seq);
create table if not exists dedup (
    queue text, key text, until integer not null, id text not null, seq integer not null,
    primary key (queue, key)
) strict, without rowid;
create table if not exists attempt (
    queue text, id text, until integer not null, seqs text not null, primary key (queue, id)
) strict, without rowid;
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is to be sent."""

    body: str
    attributes: Mapping[str, MessageAttribute] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    dedup: str = ""
    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """What a send is answered with; a duplicate gets the first one's."""

    id: str
    seq: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages of a queue are visible, in flight, delayed."""

    visible: int
    flying: int
    delayed: int


def missing_queue() -> AwsError:
    """The error (not raised yet) for a queue that is not there."""
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


class Queues:
    """Durable at once: what was answered is in the file.

    FIFO rules are kept by the queries themselves, so a restart forgets none of them.
    """

    def __init__(
        self,
        path: Path,
        now_ms: Callable[[], int],
        home: str | None = None,
    ) -> None:
        """Opens or makes the file; ``home`` is the region whose queues stand there by their names.

        With WAL and ``synchronous=normal`` a killed process loses nothing that was answered; only a
        machine that loses its power may (sqlite.org, "PRAGMA synchronous").
        """
        self._now = now_ms
        self._home = home
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._tally: dict[str, Counter[str]] = defaultdict(Counter)

    def close(self) -> None:
        """What was answered is in the file already."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing.

        ``immediate`` takes the file for writing at once: nothing that was read inside can have
        changed when it is written.
        """
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # --- queues

    def names(self) -> list[str]:
        """All queues, by name."""
        return [row["name"] for row in self._db.execute("select name from queue order by name")]

    def find(self, name: str) -> Queue | None:
        """None where there is none of this name."""
        row = self._db.execute("select body from queue where name = ?", (name,)).fetchone()
        if row is None:
            return None
        queue: Queue = json.loads(row["body"])
        return queue

    def get(self, name: str) -> Queue:
        """Raises AwsError for a queue that does not exist."""
        queue = self.find(name)
        if queue is None:
            raise missing_queue()
        return queue

    def named(self, params: Plain, place: Place) -> str:
        """The queue of this place that a URL names, whatever its host is: tasks and this machine
        see different addresses.  Raises AwsError where it names one of another account."""
        before, _, name = str(params["QueueUrl"]).rstrip("/").rpartition("/")
        account = before.rpartition("/")[2]
        if _ACCOUNT.fullmatch(account) and account != ACCOUNT:
            raise missing_queue()
        key = place.key(name)
        self.get(key)
        return key

    def put(self, name: str, body: Queue) -> None:
        """Make or change a queue; its messages stay."""
        self._db.execute("insert or replace into queue values (?, ?)", (name, json.dumps(body)))

    def delete(self, name: str) -> None:
        """The queue, its messages, and what FIFO queues remember; a new queue of the name begins
        with nothing."""
        with self._transaction():
            for table in ("message", "dedup", "attempt"):
                self._db.execute(f"delete from {table} where queue = ?", (name,))
            self._db.execute("delete from queue where name = ?", (name,))
        self._tally.pop(name, None)

    def forget_all(self) -> None:
        """Every queue with all that it holds."""
        with self._transaction():
            for table in ("message", "dedup", "attempt", "queue"):
                self._db.execute(f"delete from {table}")
        self._tally.clear()

    def purge(self, name: str) -> None:
        """All messages.

        Deduplication IDs are kept: for five minutes, the same ID is still a duplicate.
        """
        self._db.execute("delete from message where queue = ?", (name,))

    def sources(self, name: str) -> list[str]:
        """Queues whose dead letters come here."""
        return [other for other in self.names() if self.dead_letters(self.get(other)) == name]

    def dead_letters(self, queue: Queue) -> str | None:
        """Key of the queue where this one's dead letters go; None where they go nowhere."""
        policy = json.loads(queue["attributes"].get("RedrivePolicy") or "{}")
        return key_of_arn(policy["deadLetterTargetArn"], self._home) if policy else None

    def counts(self, name: str) -> Counts:
        """At this moment, without those that are older than the queue keeps them."""
        self._expire(name)
        now = self._now()
        row = self._db.execute(
            "select sum(visible <= ?), sum(visible > ? and received > 0), sum(visible > "
            "? and received = 0) from message where queue = ?",
            (now, now, now, name),
        ).fetchone()
        return Counts(*(int(count or 0) for count in row))

    def oldest_s(self, name: str) -> int:
        """The age of the oldest message, in seconds; 0 where there is none."""
        often = "and received <= ?" if not is_fifo(self.get(name)["attributes"]) else ""
        row = self._db.execute(
            f"select min(sent) from message where queue = ? {often}",
            (name, *([_OFTEN] if often else [])),
        ).fetchone()
        return 0 if row[0] is None else max(0, self._now() - int(row[0])) // _SECOND_MS

    # --- figures

    def count(self, name: str, what: str, number: int = 1) -> None:
        """So many more of this figure."""
        self._tally[name][what] += number

    def take_tally(self, name: str) -> Counter[str]:
        """What was counted since the last time that somebody asked."""
        return self._tally.pop(name, Counter())

    def _expire(self, name: str) -> None:
        """Drop what is older than the queue keeps it."""
        retention_s = int(self.get(name)["attributes"]["MessageRetentionPeriod"])
        self._db.execute(
            "delete from message where queue = ? and sent < ?",
            (name, self._now() - retention_s * _SECOND_MS),
        )

    # --- sending

    def send(self, name: str, draft: Draft) -> Sent:
        """Store one message; a duplicate within five minutes of the accepted one is answered alike
        and stored nowhere."""
        attributes = self.get(name)["attributes"]
        with self._transaction():
            if not is_fifo(attributes):
                return self._store(name, draft, draft.dedup)
            dedup = draft.dedup or hashlib.sha256(draft.body.encode()).hexdigest()
            of_group = attributes.get("DeduplicationScope") == "messageGroup"
            key = f"{draft.group}/{dedup}" if of_group else dedup
            self._db.execute("delete from dedup where until <= ?", (self._now(),))
            known = self._db.execute(
                "select id, seq from dedup where queue = ? and key = ?", (name, key)
            ).fetchone()
            if known is not None:
                return Sent(known["id"], known["seq"], False)
            sent = self._store(name, draft, dedup)
            until = self._now() + DEDUPLICATION_MS
            self._db.execute(
                "insert into dedup values (?, ?, ?, ?, ?)", (name, key, until, sent.id, sent.seq)
            )
            return sent

    def _store(
        self,
        name: str,
        draft: Draft,
        dedup: str,
    ) -> Sent:
        """Write one message down; it is visible after its delay."""
        message_id = str(uuid.uuid4())
        now = self._now()
        cursor = self._db.execute(
            "insert into message (queue, id, body, attributes, system, grp, dedup, "
            "sent, visible) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name,
                message_id,
                draft.body,
                json.dumps(draft.attributes),
                json.dumps(draft.system),
                draft.group,
                dedup,
                now,
                now + draft.delay_s * _SECOND_MS,
            ),
        )
        return Sent(message_id, int(cursor.lastrowid or 0), True)

    # --- receiving

    def receive(
        self,
        name: str,
        most: int,
        visibility_s: int | None,
        attempt: str,
    ) -> list[Message]:
        """Take up to ``most`` messages into flight.  Raises AwsError OverLimit where a standard
        queue has too many in flight."""
        queue = self.get(name)["attributes"]
        now = self._now()
        own_s = int(queue["VisibilityTimeout"])
        visible = now + _SECOND_MS * (own_s if visibility_s is None else visibility_s)
        self._expire(name)
        with self._transaction():
            if not is_fifo(queue):
                if self._flying(name, now) >= MOST_IN_FLIGHT:
                    raise AwsError(
                        "OverLimit", f"The queue has {MOST_IN_FLIGHT} messages in flight."
                    )
                return self._take(name, queue, most, now, visible)
            if attempt and (again := self._same_attempt(name, attempt, visible)):
                return again
            if self._flying(name, now) >= MOST_IN_FLIGHT:
                return []
            found = self._take(name, queue, most, now, visible)
            if attempt:
                self._remember(name, attempt, found, now)
            return found

    def _flying(self, name: str, now: int) -> int:
        """How many messages are received and not deleted yet."""
        row = self._db.execute(
            "select count(*) from message where queue = ? and visible > ? and received > 0",
            (name, now),
        ).fetchone()
        return int(row[0])

    def _take(
        self,
        name: str,
        queue: Mapping[str, str],
        most: int,
        now: int,
        visible: int,
    ) -> list[Message]:
        """The oldest visible ones; of a FIFO queue none of a group that is in flight."""
        self._redrive(name, queue, now)
        locked = ""
        if is_fifo(queue):
            locked = (
                "and grp not in (select grp from message where queue = :queue and visible > :now)"
            )
        rows = self._db.execute(
            "select * from message where queue = :queue and visible <= :now "
            f"{locked} order by seq limit :most",
            {
                "queue": name,
                "now": now,
                "most": most,
            },
        ).fetchall()
        return [self._into_flight(_message(row), now, visible) for row in rows]

    def _into_flight(
        self,
        row: Message,
        now: int,
        visible: int,
    ) -> Message:
        """The message as it is received now: with a new receipt, so that earlier ones are worth
        nothing any more."""
        receipt = f"{row['seq']}-{secrets.token_urlsafe(24)}"
        first = row["first"] or now
        self._db.execute(
            "update message set receipt = ?, received = received + 1, first = ?, visible "
            "= ? where seq = ?",
            (receipt, first, visible, row["seq"]),
        )
        return {
            **row,
            "receipt": receipt,
            "received": row["received"] + 1,
            "first": first,
        }

    def _remember(
        self,
        name: str,
        attempt: str,
        found: list[Message],
        now: int,
    ) -> None:
        """What this attempt was answered with, for when the answer is lost on the way."""
        seqs = json.dumps([[row["seq"], row["receipt"]] for row in found])
        self._db.execute(
            "insert or replace into attempt values (?, ?, ?, ?)",
            (name, attempt, now + DEDUPLICATION_MS, seqs),
        )

    def _same_attempt(
        self,
        name: str,
        attempt: str,
        visible: int,
    ) -> list[Message]:
        """The messages of an earlier attempt of this ID, if all are still as they were; their
        visibility begins anew."""
        self._db.execute("delete from attempt where until <= ?", (self._now(),))
        known = self._db.execute(
            "select seqs from attempt where queue = ? and id = ?", (name, attempt)
        ).fetchone()
        if known is None:
            return []
        wanted: dict[int, str] = dict(json.loads(known["seqs"]))
        marks = ",".join("?" * len(wanted))
        rows = self._db.execute(
            f"select * from message where seq in ({marks}) and visible > ?", (*wanted, self._now())
        ).fetchall()
        if not rows or {row["seq"]: row["receipt"] for row in rows} != wanted:
            return []
        self._db.execute(
            f"update message set visible = ? where seq in ({marks})", (visible, *wanted)
        )
        return [_message(row) for row in rows]

    def _redrive(
        self,
        name: str,
        queue: Mapping[str, str],
        now: int,
    ) -> None:
        """Messages that were received often enough go to the dead-letter queue instead of being
        received once more."""
        policy = json.loads(queue.get("RedrivePolicy") or "{}")
        if not policy:
            return
        target = key_of_arn(policy["deadLetterTargetArn"], self._home)
        if target not in self.names():
            return
        self._db.execute(
            "update message set queue = ?, source = ?, receipt = '', visible = ? where "
            "queue = ? and visible <= ? and received >= ?",
            (target, name, now, name, now, int(policy["maxReceiveCount"])),
        )

    def next_visible(self, name: str) -> int | None:
        """When the next message of this queue becomes visible; None if none waits."""
        row = self._db.execute(
            "select min(visible) from message where queue = ? and visible > ?", (name, self._now())
        ).fetchone()
        return None if row[0] is None else int(row[0])

    # --- what was received

    def _by_receipt(self, name: str, receipt: str) -> Message | None:
        """The message of a receipt, which may have a newer one by now; None where it is deleted.

        Raises AwsError for a text that is no receipt.
        """
        seq, dash, _ = receipt.partition("-")
        if not dash or not seq.isdigit():
            raise AwsError(BAD_RECEIPT, "The input receipt handle is invalid.")
        found = self._db.execute(
            "select * from message where queue = ? and seq = ?", (name, int(seq))
        ).fetchone()
        return None if found is None else _message(found)

    def remove(self, name: str, receipt: str) -> bool:
        """Delete by receipt; was something deleted?  One that is not the newest deletes nothing; on
        FIFO queues an expired one is an error."""
        fifo = is_fifo(self.get(name)["attributes"])
        with self._transaction():
            row = self._by_receipt(name, receipt)
            if row is None:
                return False
            if fifo and (row["receipt"] != receipt or row["visible"] <= self._now()):
                expired = (
                    f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: The "
                    "receipt handle has expired."
                )
                raise AwsError("InvalidParameterValue", expired)
            is_newest = row["receipt"] == receipt
            if is_newest:
                self._db.execute("delete from message where seq = ?", (row["seq"],))
            return is_newest

    def set_visibility(
        self,
        name: str,
        receipt: str,
        visibility_s: int,
    ) -> None:
        """Seconds from now.

        Raises AwsError for a message that is not in flight, or was received again since.
        """
        self.get(name)
        with self._transaction():
            row = self._by_receipt(name, receipt)
            if row is None or row["receipt"] != receipt or row["visible"] <= self._now():
                raise AwsError("MessageNotInflight", "The specified message isn't in flight.")
            self._db.execute(
                "update message set visible = ? where seq = ?",
                (self._now() + _SECOND_MS * visibility_s, row["seq"]),
            )

    def move(self, source: str, target: str | None) -> int:
        """Messages of a dead-letter queue back to where they came from, or to ``target``; the
        answer is how many."""
        place = "?" if target else "source"
        only = "" if target else " and source <> ''"
        with self._transaction():
            cursor = self._db.execute(
                f"update message set queue = {place}, received = "
                "0, first = 0, receipt = '', source = '' "
                f"where queue = ? and visible <= ?{only}",
                (*([target] if target else []), source, self._now()),
            )
        return cursor.rowcount


def _message(row: sqlite3.Row) -> Message:
    """The columns of its table are the keys."""
    return cast(Message, dict(row))
