"""The ledger's rows in a table of DynamoDB, for schedulers and workers on many machines.

A transaction reads, decides, and writes on the condition that what it replaces is still what it
read; whoever was beaten reads again.  What it only read may have changed since: then the call
counts as before that change, which every call of the ledger may.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from kirikae.aws.dynamodb import Index, Item, Replacing, Table
from kirikae.aws.errors import AwsRefused, ItemChanged
from kirikae.aws.light import LightAws
from kirikae.jobs.book import Book
from kirikae.jobs.errors import LedgerAway
from kirikae.jobs.rows import KEPT_MIN, Key, Plain, View, Written
from kirikae.model.errors import AwsUnreachable

T = TypeVar("T")
_LISTED = Index(
    "listed",
    "list",
    "at",
)
_BY_DAY = Index(
    "by-day",
    "day",
    "minute",
)
INDEXES = (_LISTED, _BY_DAY)
EXPIRES = "expires"
_AT_ONCE = 16
_TRIES = 60
_WAIT_S = 0.005
_LAST_SORT = "9" * 12


def dynamo_ledger(aws: LightAws, table: str, clock: Callable[[], float] | None = None) -> Book:
    """The table must be there; ``make_table`` makes it."""
    return Book(
        DynamoRows(
            aws,
            table,
            clock,
        )
    )


def make_table(aws: LightAws, table: str) -> bool:
    """False: it was there.  Raises AwsRefused, AwsUnreachable."""
    return Table(aws, table).make(INDEXES, EXPIRES)


class DynamoRows:
    """``Rows`` in one table.  The clock is AWS's own, as its answers tell it."""

    def __init__(self, aws: LightAws, table: str, clock: Callable[[], float] | None = None) -> None:
        self._table = Table(aws, table)
        self._clock = clock or aws.now
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ledger")

    def now(self) -> float:
        return self._clock()

    def close(self) -> None:
        """Connections end with their threads."""
        self._pool.shutdown()

    @contextmanager
    def _told(self) -> Any:
        """Raises LedgerAway for whatever AWS says but for a lost race."""
        try:
            yield
        except (AwsRefused, AwsUnreachable) as error:
            raise LedgerAway(
                f"the ledger dynamodb://{self._table.name} cannot be used: {error}"
            ) from error

    def together(self, act: Callable[[View], T]) -> T:
        with self._told():
            for attempt in range(_TRIES):
                try:
                    return self._once(act)
                except ItemChanged:
                    time.sleep(random.uniform(0, _WAIT_S * min(attempt + 1, 20)))
        raise LedgerAway(
            f"the ledger dynamodb://{self._table.name}: somebody else was quicker {_TRIES} times"
        )

    def _once(self, act: Callable[[View], T]) -> T:
        nonces: dict[Key, str | None] = {}

        def read(key: Key) -> Plain | None:
            item = self._table.get(*key)
            nonces[key] = None if item is None else str(item["nonce"])
            # DynamoDB takes away what has expired when it finds the time.
            if item is None or item.get(EXPIRES, self.now() + 1) < self.now():
                return None
            return _body(item)

        view = View(read)
        answer = act(view)
        if view.wanted:
            nonce = uuid.uuid4().hex
            wanted = [
                Replacing(
                    _item(
                        key,
                        written,
                        nonce,
                    ),
                    nonces[key],
                )
                for key, written in view.wanted.items()
            ]
            self._table.put(wanted, nonce)
        return answer

    def each(self, acts: Sequence[Callable[[View], T]]) -> list[T]:
        return list(self._pool.map(self.together, acts))

    def listed(self, name: str, until: float, most: int) -> list[Plain]:
        with self._told():
            found = self._table.by_index(
                _LISTED,
                name,
                0,
                until,
                most,
            )
        return [_body(item) for item in found]

    def part(self, part: str) -> list[tuple[str, Plain]]:
        with self._told():
            found = self._table.part(part)
        return [(str(item["sort"]), _body(item)) for item in found]

    def newest(
        self, part: str | None, since: int | None, until: int | None, most: int
    ) -> list[Plain]:
        with self._told():
            if part is None:
                return self._newest_of_all(
                    since,
                    until,
                    most,
                )
            first = f"{since or 0:012d}"
            last = _LAST_SORT if until is None else f"{until - 1:012d}"
            if last < first:
                return []
            return [
                _body(item)
                for item in self._table.between(
                    part,
                    first,
                    last,
                    most,
                )
            ]

    def _newest_of_all(self, since: int | None, until: int | None, most: int) -> list[Plain]:
        """Day by day, back to the oldest that is kept."""
        now = int(self.now() // 60)
        end = now + 1440 if until is None else until
        begin = now - KEPT_MIN - 1440 if since is None else since
        found: list[Plain] = []
        day = _day_of(end)
        while day >= _day_of(begin) and len(found) < most:
            # A whole day, so that the order inside a minute does not depend on the page.
            items = self._table.by_index(
                _BY_DAY, f"{day:%Y%m%d}", begin, end - 1, _most_of_day(most), falling=True
            )
            ordered = sorted(items, key=lambda item: (-item["minute"], item["part"]))
            found += [_body(item) for item in ordered]
            day -= timedelta(days=1)
        return found[:most]

    def forget(self, before: int) -> None:
        """The table's time to live does it."""


def _most_of_day(most: int) -> int:
    """A few more than are shown, for the order inside the last minute."""
    return most + 1000


def _day_of(minute: int) -> datetime:
    moment = datetime.fromtimestamp(minute * 60, UTC)
    return moment.replace(
        hour=0,
        minute=0,
        second=0,
    )


def _body(item: Item) -> Plain:
    body: Plain = json.loads(item["body"])
    return body


def _item(key: Key, written: Written, nonce: str) -> Item:
    item: dict[str, Any] = {
        "part": key.part,
        "sort": key.sort,
        "nonce": nonce,
        "body": json.dumps(written.body),
    }
    if written.listed is not None:
        item |= {
            "list": written.listed.name,
            "at": written.listed.at,
        }
    if written.minute is not None:
        item |= {
            "minute": written.minute,
            "day": f"{_day_of(written.minute):%Y%m%d}",
            EXPIRES: (written.minute + KEPT_MIN) * 60,
        }
    return item
