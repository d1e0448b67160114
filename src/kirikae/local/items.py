"""DynamoDB in the journal of the stores: many changes of few items become the items themselves.

A table of leases or runs is changed several times a minute for months; what counts after a restart
is what stands in it.  Requests that shape tables stay as they are, in their order; those that
change items are replaced by requests that put the items there as they are now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kirikae.local.ownrequest import own_request

Environ = dict[str, Any]
Ask = Callable[[Environ, bytes], bytes]
"""One request of the stores; the answer's body.  Raises ValueError where it is refused."""

_TARGET = "DynamoDB_20120810."
_CHANGES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
_SHAPES = (
    "CreateTable",
    "UpdateTable",
    "DeleteTable",
    "UpdateTimeToLive",
    "UpdateContinuousBackups",
    "TagResource",
    "UntagResource",
)
"""What changes tables and no item of them; of anything else (backups, imports, PartiQL) it is not
known which items it means."""
_AT_ONCE = 25
"""Items that a BatchWriteItem takes (DynamoDB API reference)."""
_SCOPE_PARTS = 5


def mark_of(environ: Environ) -> str:
    """What the requests that change items of a region have in common; empty for all others."""
    return f"dynamodb {_region(environ)}" if _operation(environ) in _CHANGES else ""


def may_be_replaced(environ: Environ) -> bool:
    """Does this request of the journal leave items alone?"""
    name = _operation(environ)
    return not name or name in _SHAPES


def _operation(environ: Environ) -> str:
    """Of DynamoDB; empty for other services."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    return target.removeprefix(_TARGET) if target.startswith(_TARGET) else ""


def _region(environ: Environ) -> str:
    """As the request was signed for."""
    scope = str(environ.get("HTTP_AUTHORIZATION", "")).split("/")
    return scope[2] if len(scope) >= _SCOPE_PARTS else ""


def items_now(ask: Ask, mark: str) -> Iterator[tuple[Environ, bytes]]:
    """Requests that put every item of this region's tables there, as it is now."""
    region = mark.partition(" ")[2]
    for table in list(_paged(ask, region, "ListTables", {}, "TableNames")):
        batch: list[Any] = []
        for item in _paged(ask, region, "Scan", {"TableName": table}, "Items"):
            batch.append(item)
            if len(batch) == _AT_ONCE:
                yield _putting(region, table, batch)
                batch = []
        if batch:
            yield _putting(region, table, batch)


_NEXT = {
    "ListTables": ("LastEvaluatedTableName", "ExclusiveStartTableName"),
    "Scan": ("LastEvaluatedKey", "ExclusiveStartKey"),
}
"""How an answer says that there is more, and how the next request says from where."""


def _paged(ask: Ask, region: str, name: str, params: Any, member: str) -> Iterator[Any]:
    """All pages' parts of this member."""
    told, asked = _NEXT[name]
    while True:
        answer = json.loads(ask(*_request(region, name, params)))
        yield from answer[member]
        if told not in answer:
            return
        params = {**params, asked: answer[told]}


def _putting(region: str, table: str, items: Sequence[Any]) -> tuple[Environ, bytes]:
    """As it is put there again."""
    puts = [{"PutRequest": {"Item": item}} for item in items]
    return _request(region, "BatchWriteItem", {"RequestItems": {table: puts}})


def _request(region: str, name: str, params: Any) -> tuple[Environ, bytes]:
    """One of DynamoDB."""
    body = json.dumps(params).encode()
    more = {
        "HTTP_X_AMZ_TARGET": f"{_TARGET}{name}",
        "CONTENT_TYPE": "application/x-amz-json-1.0",
    }
    return own_request("dynamodb", region, body=body, **more), body
