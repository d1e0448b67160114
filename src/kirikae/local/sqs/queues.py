"""Queues and messages in one SQLite file; every send, receive and delete is one transaction.

Rules are those of the SQS developer guide ("FIFO queue delivery logic", "Exactly-once processing",
"Visibility timeout", "Dead-letter queues").  Times are Unix milliseconds of the clock that is
given."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.local.errors import AwsError
from kirikae.local.state import Row

DEDUPLICATION_MS = 5 * 60 * 1000
MOST_IN_FLIGHT = 120_000
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
class Sent:
    """What a send is answered with; a duplicate gets the first one's."""

    id: str
    seq: int
    fresh: bool


def missing_queue() -> AwsError:
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


class Queues:
    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._now = now_ms
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
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
        return [row["name"] for row in self._db.execute("select name from queue order by name")]

    def get(self, name: str) -> Row:
        """Raises AwsError for a queue that does not exist."""
        row = self._db.execute("select body from queue where name = ?", (name,)).fetchone()
        if row is None:
            raise missing_queue()
        return dict(json.loads(row["body"]))

    def put(self, name: str, body: Row) -> None:
        self._db.execute("insert or replace into queue values (?, ?)", (name, json.dumps(body)))

    def delete(self, name: str) -> None:
        with self._transaction():
            for table in ("message", "dedup", "attempt"):
                self._db.execute(f"delete from {table} where queue = ?", (name,))
            self._db.execute("delete from queue where name = ?", (name,))

    def purge(self, name: str) -> None:
        self._db.execute("delete from message where queue = ?", (name,))

    def counts(self, name: str) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        self._expire(name)
        row = self._db.execute(
            "select sum(visible <= ?), sum(visible > ? and received > 0), sum(visible > "
            "? and received = 0) from message where queue = ?",
            (self._now(), self._now(), self._now(), name),
        ).fetchone()
        return int(row[0] or 0), int(row[1] or 0), int(row[2] or 0)

    def _expire(self, name: str) -> None:
        retention_s = int(self.get(name)["attributes"]["MessageRetentionPeriod"])
        self._db.execute(
            "delete from message where queue = ? and sent < ?",
            (name, self._now() - retention_s * 1000),
        )

    # --- messages

    def send(
        self,
        name: str,
        body: str,
        attributes: Row,
        system: Row,
        group: str,
        dedup: str,
        delay_s: int,
    ) -> Sent:
        """Store one message; a duplicate within five minutes of the accepted one is answered alike
        and stored nowhere."""
        queue = self.get(name)
        now = self._now()
        fifo = queue["attributes"].get("FifoQueue") == "true"
        key = ""
        with self._transaction():
            if fifo:
                dedup = dedup or hashlib.sha256(body.encode()).hexdigest()
                key = (
                    f"{group}/{dedup}"
                    if queue["attributes"].get("DeduplicationScope") == "messageGroup"
                    else dedup
                )
                self._db.execute("delete from dedup where until <= ?", (now,))
                known = self._db.execute(
                    "select id, seq from dedup where queue = ? and key = ?", (name, key)
                ).fetchone()
                if known is not None:
                    return Sent(known["id"], known["seq"], False)
            message_id = str(uuid.uuid4())
            cursor = self._db.execute(
                "insert into message (queue, id, body, attributes, system, grp, dedup, "
                "sent, visible) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    message_id,
                    body,
                    json.dumps(attributes),
                    json.dumps(system),
                    group,
                    dedup,
                    now,
                    now + delay_s * 1000,
                ),
            )
            seq = int(cursor.lastrowid or 0)
            if fifo:
                self._db.execute(
                    "insert into dedup values (?, ?, ?, ?, ?)",
                    (name, key, now + DEDUPLICATION_MS, message_id, seq),
                )
        return Sent(message_id, seq, True)

    def receive(self, name: str, most: int, visibility_s: int | None, attempt: str) -> list[Row]:
        """Take up to ``most`` messages into flight.  Raises AwsError OverLimit where a standard
        queue has too many in flight."""
        queue = self.get(name)["attributes"]
        fifo = queue.get("FifoQueue") == "true"
        now = self._now()
        visible = now + 1000 * (
            int(queue["VisibilityTimeout"]) if visibility_s is None else visibility_s
        )
        self._expire(name)
        with self._transaction():
            if attempt and fifo and (again := self._same_attempt(name, attempt, visible)):
                return again
            flying = self._db.execute(
                "select count(*) from message where queue = ? and visible > ? and received > 0",
                (name, now),
            ).fetchone()[0]
            if flying >= MOST_IN_FLIGHT:
                if fifo:
                    return []
                raise AwsError("OverLimit", f"The queue has {MOST_IN_FLIGHT} messages in flight.")
            self._redrive(name, queue, now)
            locked = (
                "and grp not in (select grp from message where queue = :queue and visible > :now)"
                if fifo
                else ""
            )
            rows = self._db.execute(
                "select * from message where queue = :queue and visible <= :now "
                f"{locked} order by seq limit :most",
                {"queue": name, "now": now, "most": most},
            ).fetchall()
            found = [self._take(row, now, visible) for row in rows]
            if attempt and fifo:
                seqs = json.dumps([[row["seq"], row["receipt"]] for row in found])
                self._db.execute(
                    "insert or replace into attempt values (?, ?, ?, ?)",
                    (name, attempt, now + DEDUPLICATION_MS, seqs),
                )
        return found

    def _take(self, row: sqlite3.Row, now: int, visible: int) -> Row:
        receipt = f"{row['seq']}-{secrets.token_urlsafe(24)}"
        first = row["first"] or now
        self._db.execute(
            "update message set receipt = ?, received = received + 1, first = ?, visible "
            "= ? where seq = ?",
            (receipt, first, visible, row["seq"]),
        )
        return {**dict(row), "receipt": receipt, "received": row["received"] + 1, "first": first}

    def _same_attempt(self, name: str, attempt: str, visible: int) -> list[Row]:
        """The messages of an earlier attempt of this ID, if all are still as they were; their
        visibility begins anew."""
        self._db.execute("delete from attempt where until <= ?", (self._now(),))
        known = self._db.execute(
            "select seqs from attempt where queue = ? and id = ?", (name, attempt)
        ).fetchone()
        if known is None:
            return []
        wanted = dict(json.loads(known["seqs"]))
        marks = ",".join("?" * len(wanted))
        rows = self._db.execute(
            f"select * from message where seq in ({marks}) and visible > ?", (*wanted, self._now())
        ).fetchall()
        if not rows or {row["seq"]: row["receipt"] for row in rows} != {
            int(seq): receipt for seq, receipt in wanted.items()
        }:
            return []
        self._db.execute(
            f"update message set visible = ? where seq in ({marks})", (visible, *wanted)
        )
        return [dict(row) for row in rows]

    def _redrive(self, name: str, queue: Row, now: int) -> None:
        """Messages that were received often enough go to the dead-letter queue instead of being
        received once more."""
        policy = json.loads(queue.get("RedrivePolicy") or "{}")
        if not policy:
            return
        target = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
        if target not in self.names():
            return
        self._db.execute(
            "update message set queue = ?, source = ?, receipt = '', visible = ? where "
            "queue = ? and visible <= ? and received >= ?",
            (target, name, now, name, now, int(policy["maxReceiveCount"])),
        )

    def _by_receipt(self, name: str, receipt: str) -> sqlite3.Row | None:
        seq, dash, _ = receipt.partition("-")
        if not dash or not seq.isdigit():
            raise AwsError(
                "ReceiptHandleIsInvalid",
                f'The input receipt handle "{receipt}" is not a valid receipt handle.',
            )
        found: sqlite3.Row | None = self._db.execute(
            "select * from message where queue = ? and seq = ?", (name, int(seq))
        ).fetchone()
        return found

    def remove(self, name: str, receipt: str) -> None:
        """Delete by receipt.  One that is not the newest deletes nothing; on FIFO queues an expired
        one is an error."""
        fifo = self.get(name)["attributes"].get("FifoQueue") == "true"
        with self._transaction():
            row = self._by_receipt(name, receipt)
            if row is None:
                return
            if fifo and (row["receipt"] != receipt or row["visible"] <= self._now()):
                expired = (
                    f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: The "
                    "receipt handle has expired."
                )
                raise AwsError("InvalidParameterValue", expired)
            if row["receipt"] == receipt:
                self._db.execute("delete from message where seq = ?", (row["seq"],))

    def set_visibility(self, name: str, receipt: str, visibility_s: int) -> None:
        self.get(name)
        with self._transaction():
            row = self._by_receipt(name, receipt)
            if row is None or row["receipt"] != receipt or row["visible"] <= self._now():
                raise AwsError("MessageNotInflight", "The specified message isn't in flight.")
            self._db.execute(
                "update message set visible = ? where seq = ?",
                (self._now() + 1000 * visibility_s, row["seq"]),
            )

    def next_visible(self, name: str) -> int | None:
        """When the next message of this queue becomes visible; None if none waits."""
        row = self._db.execute(
            "select min(visible) from message where queue = ? and visible > ?", (name, self._now())
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def move(self, source: str, target: str | None) -> int:
        """Messages of a dead-letter queue back to where they came from, or to ``target``; the
        answer is how many."""
        with self._transaction():
            where = "queue = ? and visible <= ?" + ("" if target else " and source <> ''")
            cursor: Any = self._db.execute(
                f"update message set queue = {'?' if target else 'source'}, received = "
                "0, first = 0, receipt = '', source = '' "
                f"where {where}",
                (*([target] if target else []), source, self._now()),
            )
        return int(cursor.rowcount)
