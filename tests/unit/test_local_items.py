"""The journal of the stores keeps DynamoDB's items, not each of their changes."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kirikae.local import keeper as keepers
from kirikae.local.items import mark_of
from kirikae.local.keeper import Journal, Keeper
from kirikae.local.ownrequest import own_request

REGION = "eu-north-1"
KEYS = {
    "TableName": "runs",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


class Stores:
    """moto's DynamoDB behind a journal; ``again`` is what comes back after a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.again()

    def again(self) -> int:
        from moto.dynamodb.models import dynamodb_backends
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        dynamodb_backends["123456789012"][REGION].reset()
        app = DomainDispatcherApplication(create_backend_app)
        self._keeper = Keeper(app, Journal(self._folder / "stores.db"), lambda seed: None)
        return self._keeper.remember()

    def ask(self, name: str, **params: Any) -> Any:
        body = json.dumps(params).encode()
        more = {
            "HTTP_X_AMZ_TARGET": f"DynamoDB_20120810.{name}",
            "CONTENT_TYPE": "application/x-amz-json-1.0",
        }
        environ = own_request("dynamodb", REGION, body=body, **more)
        environ["wsgi.input"] = io.BytesIO(body)
        told: list[str] = []
        answer = b"".join(self._keeper(environ, lambda status, headers: told.append(status)))
        assert told[0].startswith("200"), answer
        return json.loads(answer)

    def put(self, key: str, value: str) -> None:
        self.ask("PutItem", TableName="runs", Item={"id": {"S": key}, "v": {"S": value}})

    def items(self) -> dict[str, str]:
        found = self.ask("Scan", TableName="runs")["Items"]
        return {item["id"]["S"]: item["v"]["S"] for item in found}

    def rows(self) -> int:
        with sqlite3.connect(self._folder / "stores.db") as db:
            return int(db.execute("select count(*) from request").fetchone()[0])


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.setattr(keepers, "MOST_CHANGES", 20)
    return Stores(tmp_path)


def test_changes_of_a_few_items_do_not_pile_up(stores):
    """A lease that is renewed for months, among others that come and go."""
    stores.ask("CreateTable", **KEYS)
    for number in range(100):
        stores.put("lease", str(number))
        stores.put(f"run{number % 3}", str(number))
        gone = {"id": {"S": f"run{(number + 1) % 3}"}}
        stores.ask("DeleteItem", TableName="runs", Key=gone)
    before = stores.items()
    assert before["lease"] == "99"
    assert stores.rows() < 40
    stores.again()
    assert stores.items() == before


def test_more_items_than_one_request_takes_come_back(stores):
    """And none that was deleted."""
    stores.ask("CreateTable", **KEYS)
    for number in range(60):
        stores.put(f"run{number}", "x")
    for number in range(30):
        stores.ask("DeleteItem", TableName="runs", Key={"id": {"S": f"run{number}"}})
    expected = {f"run{number}": "x" for number in range(30, 60)}
    stores.again()
    assert stores.items() == expected


def test_where_items_are_meant_that_nobody_can_tell_nothing_is_replaced(stores):
    """PartiQL says in words which item it changes."""
    stores.ask("CreateTable", **KEYS)
    words = "INSERT INTO runs VALUE {'id': 'told', 'v': 'x'}"
    stores.ask("ExecuteStatement", Statement=words)
    for number in range(50):
        stores.put("lease", str(number))
    assert stores.rows() == 52
    stores.again()
    assert stores.items() == {"told": "x", "lease": "49"}


def test_a_journal_of_a_former_version_is_shortened_too(stores, tmp_path):
    """Its requests bear no mark yet."""
    stores.ask("CreateTable", **KEYS)
    for number in range(15):
        stores.put("lease", str(number))
    with sqlite3.connect(tmp_path / "stores.db") as db:
        db.execute("update request set object = ''")
    stores.again()
    for number in range(10):
        stores.put("lease", str(number))
    assert stores.rows() < 15
    stores.again()
    assert stores.items() == {"lease": "9"}


def test_only_changes_of_items_are_marked():
    """By region: tables of the same name stand in several."""
    scope = "AWS4 Credential=k/20260101/r/dynamodb/aws4_request"
    begin = {"HTTP_AUTHORIZATION": scope}
    marked = {**begin, "HTTP_X_AMZ_TARGET": "DynamoDB_20120810.UpdateItem"}
    assert mark_of(marked) == "dynamodb r"
    for target in ("DynamoDB_20120810.CreateTable", "AmazonSSM.PutParameter", ""):
        assert mark_of({**begin, "HTTP_X_AMZ_TARGET": target}) == ""
