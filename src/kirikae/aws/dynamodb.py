"""DynamoDB: items that are replaced only by who read them, as DynamoDB's conditional writes allow.

Keys are ``part`` and ``sort``; every item has a ``nonce`` that no other write has, so that somebody
who does not know whether a write arrived can look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kirikae.aws.errors import AwsRefused, ItemChanged
from kirikae.aws.light import DYNAMODB, LightAws

Item = Mapping[str, Any]
"""Plain values: text and numbers."""
_LONGEST_MAKING_S = 120.0
_CHANGED = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
_CONFLICTS = frozenset(
    {
        "ConditionalCheckFailedException",
        "TransactionConflictException",
    }
)


class Index(NamedTuple):
    """A second order of the table's items: ``hash`` (text) and ``range`` (a number)."""

    name: str
    hash: str
    range: str


class Replacing(NamedTuple):
    """``nonce``: of the item as it was read; None: there was none."""

    item: Item
    nonce: str | None


class Table:
    """One table, by its name."""

    def __init__(self, aws: LightAws, name: str) -> None:
        self._aws = aws
        self.name = name

    def make(self, indexes: Sequence[Index], expires: str) -> bool:
        """Pay by request; items go some time after ``expires``.  False: it was there already.

        Raises AwsRefused, AwsUnreachable."""
        try:
            self._call("CreateTable", definition(self.name, indexes))
        except AwsRefused as error:
            if error.code != "ResourceInUseException":
                raise
            return False
        deadline = time.monotonic() + _LONGEST_MAKING_S
        while not self.stands() and time.monotonic() < deadline:
            time.sleep(1)
        specification = {
            "Enabled": True,
            "AttributeName": expires,
        }
        asked = {
            "TableName": self.name,
            "TimeToLiveSpecification": specification,
        }
        self._call("UpdateTimeToLive", asked)
        return True

    def stands(self) -> bool:
        """Raises NotThere."""
        told = self._call("DescribeTable", {"TableName": self.name})
        return bool(told["Table"]["TableStatus"] == "ACTIVE")

    def get(self, part: str, sort: str) -> Item | None:
        """As the last write left it."""
        told = self._call(
            "GetItem",
            {
                "TableName": self.name,
                "Key": _typed(
                    {
                        "part": part,
                        "sort": sort,
                    }
                ),
                "ConsistentRead": True,
            },
        )
        return _plain(told["Item"]) if "Item" in told else None

    def put(self, wanted: Sequence[Replacing], token: str) -> None:
        """All or none.  ``token``: the nonce that these items have.  Raises ItemChanged."""
        try:
            if len(wanted) == 1:
                self._call("PutItem", self._put(wanted[0]))
            else:
                puts = [{"Put": self._put(each)} for each in wanted]
                asked = {
                    "TransactItems": puts,
                    "ClientRequestToken": token[:36],
                }
                self._call("TransactWriteItems", asked)
        except AwsRefused as error:
            if not _is_conflict(error):
                raise
            first = wanted[0].item
            stands = self.get(str(first["part"]), str(first["sort"]))
            if stands is None or stands["nonce"] != token:
                raise ItemChanged(
                    error.operation,
                    error.code,
                    "somebody was quicker",
                ) from error

    def _put(self, wanted: Replacing) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "TableName": self.name,
            "Item": _typed(wanted.item),
        }
        if wanted.nonce is None:
            return {
                **asked,
                "ConditionExpression": "attribute_not_exists(part)",
            }
        return {
            **asked,
            "ConditionExpression": "nonce = :nonce",
            "ExpressionAttributeValues": _typed({":nonce": wanted.nonce}),
        }

    def part(self, part: str) -> list[Item]:
        """All items of a part, in the order of their sort."""
        asked = {
            "KeyConditionExpression": "#part = :part",
            "ExpressionAttributeNames": {"#part": "part"},
            "ExpressionAttributeValues": _typed({":part": part}),
            "ConsistentRead": True,
        }
        return self._query(asked, None)

    def between(
        self,
        part: str,
        first: str,
        last: str,
        most: int,
    ) -> list[Item]:
        """Items of a part, both ends among them; the last one first."""
        values = {
            ":part": part,
            ":first": first,
            ":last": last,
        }
        asked = {
            "KeyConditionExpression": "#part = :part and #sort between :first and :last",
            "ExpressionAttributeNames": {
                "#part": "part",
                "#sort": "sort",
            },
            "ExpressionAttributeValues": _typed(values),
            "ConsistentRead": True,
            "ScanIndexForward": False,
        }
        return self._query(asked, most)

    def by_index(
        self,
        index: Index,
        value: str,
        low: float,
        high: float,
        most: int,
        falling: bool = False,
    ) -> list[Item]:
        """By another order, both ends among them; a moment old."""
        names = {
            "#hash": index.hash,
            "#range": index.range,
        }
        asked = {
            "IndexName": index.name,
            "KeyConditionExpression": "#hash = :value and #range between :low and :high",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": _typed(
                {
                    ":value": value,
                    ":low": low,
                    ":high": high,
                }
            ),
            "ScanIndexForward": not falling,
        }
        return self._query(asked, most)

    def _query(self, asked: Mapping[str, Any], most: int | None) -> list[Item]:
        """Page by page."""
        found: list[Item] = []
        page: dict[str, Any] = {
            "TableName": self.name,
            **asked,
        }
        while most is None or len(found) < most:
            if most is not None:
                page["Limit"] = most - len(found)
            told = self._call("Query", page)
            found += [_plain(item) for item in told["Items"]]
            if "LastEvaluatedKey" not in told:
                break
            page["ExclusiveStartKey"] = told["LastEvaluatedKey"]
        return found

    def _call(self, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._aws.call(
            DYNAMODB,
            operation,
            asked,
        )


def _is_conflict(error: AwsRefused) -> bool:
    """Somebody else wrote first, or writes at this moment."""
    if error.code in _CONFLICTS:
        return True
    if error.code != "TransactionCanceledException":
        return False
    reasons = error.told.get("CancellationReasons") or []
    codes = {str(reason.get("Code")) for reason in reasons}
    return bool(codes & _CHANGED) or any(code in error.args[0] for code in _CHANGED)


def definition(name: str, indexes: Sequence[Index]) -> dict[str, Any]:
    kinds = {
        "part": "S",
        "sort": "S",
    }
    for index in indexes:
        kinds |= {
            index.hash: "S",
            index.range: "N",
        }
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {
                "AttributeName": key,
                "AttributeType": kind,
            }
            for key, kind in kinds.items()
        ],
        "KeySchema": _schema("part", "sort"),
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index.name,
                "KeySchema": _schema(index.hash, index.range),
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in indexes
        ],
    }


def _schema(hash_key: str, range_key: str) -> list[dict[str, str]]:
    return [
        {
            "AttributeName": hash_key,
            "KeyType": "HASH",
        },
        {
            "AttributeName": range_key,
            "KeyType": "RANGE",
        },
    ]


def _typed(plain: Item) -> dict[str, dict[str, str]]:
    """As DynamoDB's JSON has it."""
    typed = {}
    for key, value in plain.items():
        is_number = isinstance(value, (int, float))
        typed[key] = {"N": repr(value)} if is_number else {"S": str(value)}
    return typed


def _plain(typed: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Text and numbers again."""
    plain: dict[str, Any] = {}
    for key, value in typed.items():
        plain[key] = float(value["N"]) if "N" in value else value["S"]
    return plain
