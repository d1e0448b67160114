"""Writes to kirikae local's S3 that hold only under a condition, as AWS answers them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends

from kirikae.local.keeper import Journal, Keeper
from kirikae.local.ownrequest import own_request

FIRST = '"8b04d5e3775d298e78455efc5ca404d5"'
"""MD5 of b"first"."""


class Bucket:
    """A keeper in this process, over a journal that is done again when asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.begin()
        assert self.ask("PUT", "/logs")[0] == 200

    def begin(self) -> None:
        s3_backends["123456789012"]["aws"].reset()
        app = DomainDispatcherApplication(create_backend_app)
        journal = Journal(self._folder / "stores.db")
        self._keeper = Keeper(app, journal, mock_random.seed)

    def again(self) -> None:
        """Forgets everything, and does the journal."""
        self.begin()
        self._keeper.remember()

    def _served(self, environ: dict[str, Any], body: bytes) -> dict[str, Any]:
        more = {"wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr}
        return environ | more | {"wsgi.version": (1, 0), "wsgi.multithread": True}

    def ask(
        self, method: str, path: str, body: bytes = b"", query: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """Status and body.  ``if_match`` is the header If-Match."""
        more = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        environ = own_request("s3", "us-east-1", method, path, body, **more)
        environ["QUERY_STRING"] = query
        said: list[str] = []
        answer = self._keeper(self._served(environ, body), lambda status, *_: said.append(status))
        return int(said[0].split()[0]), b"".join(answer)

    def read(self, key: str) -> bytes | None:
        status, body = self.ask("GET", f"/logs/{key}")
        return body if status == 200 else None


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    found = Bucket(tmp_path)
    assert found.ask("PUT", "/logs/a", b"first")[0] == 200
    yield found


def test_nothing_is_overwritten_with_if_none_match(bucket):
    """By no kind of write that makes an object."""
    assert bucket.ask("PUT", "/logs/a", b"second", if_none_match="*")[0] == 412
    status, body = bucket.ask("PUT", "/logs/a", if_none_match="*", x_amz_copy_source="/logs/a")
    assert status == 412 and b"<Code>PreconditionFailed</Code>" in body
    assert b"<Condition>If-None-Match</Condition>" in body
    _, made = bucket.ask("POST", "/logs/a", query="uploads")
    upload = made.decode().partition("<UploadId>")[2].partition("<")[0]
    bucket.ask("PUT", "/logs/a", b"part", query=f"partNumber=1&uploadId={upload}")
    whole = b"<CompleteMultipartUpload></CompleteMultipartUpload>"
    query = f"uploadId={upload}"
    assert bucket.ask("POST", "/logs/a", whole, query=query, if_none_match="*")[0] == 412
    assert bucket.read("a") == b"first"
    assert bucket.ask("PUT", "/logs/b", b"new", if_none_match="*")[0] == 200


def test_a_copy_is_of_the_object_that_was_meant(bucket):
    """Its tag, or its time, as the API reference has it."""
    source = {"x_amz_copy_source": "/logs/a"}
    wrong = [
        {"x_amz_copy_source_if_match": '"other"'},
        {"x_amz_copy_source_if_none_match": FIRST},
        {"x_amz_copy_source_if_unmodified_since": "Wed, 01 Jan 2020 00:00:00 GMT"},
        {"x_amz_copy_source_if_modified_since": "Wed, 01 Jan 2120 00:00:00 GMT"},
    ]
    for condition in wrong:
        assert bucket.ask("PUT", "/logs/b", **source, **condition)[0] == 412
    assert bucket.read("b") is None
    right = {
        "x_amz_copy_source_if_match": FIRST,
        "x_amz_copy_source_if_unmodified_since": "Wed, 01 Jan 2020 00:00:00 GMT",
    }
    assert bucket.ask("PUT", "/logs/b", **source, **right)[0] == 200
    assert bucket.read("b") == b"first"
    gone = {"x_amz_copy_source": "/logs/none", "x_amz_copy_source_if_match": FIRST}
    assert bucket.ask("PUT", "/logs/c", **gone)[0] == 404


def test_a_key_of_any_letters_is_a_source(bucket):
    """It is URL-encoded in the header."""
    key = "a=1/50%+b c/日本"
    assert bucket.ask("PUT", f"/logs/{key}".encode().decode("latin-1"), b"first")[0] == 200
    source = "/logs/a%3D1/50%25%2Bb%20c/%E6%97%A5%E6%9C%AC"
    for tag, status in ((FIRST, 200), ('"other"', 412)):
        asked = {"x_amz_copy_source": source, "x_amz_copy_source_if_match": tag}
        assert bucket.ask("PUT", "/logs/copied", **asked)[0] == status


def test_only_the_object_that_was_seen_is_replaced_or_deleted(bucket):
    """A tag that does not fit is 412; where there is nothing to replace, 404."""
    assert bucket.ask("DELETE", "/logs/a", if_match='"other"')[0] == 412
    assert bucket.ask("PUT", "/logs/a", b"x", if_match='"other"')[0] == 412
    assert bucket.ask("PUT", "/logs/none", b"x", if_match="*")[0] == 404
    assert bucket.ask("DELETE", "/logs/none", if_match="*")[0] == 412
    assert bucket.ask("PUT", "/logs/a", b"second", if_match=FIRST)[0] == 200
    assert bucket.ask("DELETE", "/logs/a", if_match=FIRST)[0] == 412
    assert bucket.read("a") == b"second"
    many = b"<Delete><Object><Key>a</Key><ETag>other</ETag></Object></Delete>"
    assert bucket.ask("POST", "/logs", many, query="delete")[0] == 501
    assert bucket.read("a") == b"second"


def test_what_was_written_under_a_condition_comes_back(bucket):
    """After a restart nobody asks for the condition again: what it was judged by may be gone from
    the journal."""
    assert bucket.ask("PUT", "/logs/a", b"second", if_match=FIRST)[0] == 200
    assert bucket.ask("PUT", "/logs/b", b"new", if_none_match="*")[0] == 200
    asked = {"x_amz_copy_source": "/logs/b", "x_amz_copy_source_if_match": "*"}
    assert bucket.ask("PUT", "/logs/c", if_none_match="*", **asked)[0] == 200
    bucket.again()
    assert [bucket.read(key) for key in "abc"] == [b"second", b"new", b"new"]
