"""Copies within S3 without botocore: what is sent, and what each answer means.

A server of our own answers: it honours both conditions, as S3 does, and can be told to fail.
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kirikae.aws.errors import AwsRefused
from kirikae.aws.s3_copy import Copier, Copy
from kirikae.aws.s3_objects import objects_at
from kirikae.aws.session import Aws
from kirikae.model.errors import AwsUnreachable, Changed, Taken
from kirikae.model.objects import Listed

REGION = "ap-northeast-1"
ODD = "a=1/50%+b c/日本.gz"
ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>please wait</Message></Error>'


@dataclass
class Bucket:
    """``objects``: tags by path.  ``script``: answers that come first, (status, body)."""

    objects: dict[str, str] = field(default_factory=dict)
    script: list[tuple[int, str]] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        self.seen.append((path, headers))
        if self.script:
            return self.script.pop(0)
        source = "/" + headers["x-amz-copy-source"].lstrip("/")
        held = self.objects.get(source) == headers["x-amz-copy-source-if-match"]
        if not held or (path in self.objects and headers["if-none-match"] == "*"):
            return 412, ERROR.format("PreconditionFailed")
        self.objects[path] = self.objects[source]
        return 200, f"<CopyObjectResult><ETag>{self.objects[path]}</ETag></CopyObjectResult>"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_PUT(self) -> None:
        self._answer(*self.bucket.answer(self.path, _small(self.headers)))

    def do_HEAD(self) -> None:
        found = self.bucket.objects.get(self.path)
        self.send_response(404 if found is None else 200)
        self.send_header("content-length", "1")
        self.send_header("etag", found or "")
        self.send_header("last-modified", "Fri, 27 Nov 2026 00:00:00 GMT")
        self.end_headers()

    def _answer(self, status: int, body: str) -> None:
        raw = body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _small(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    found = Bucket()
    handler = type("Handler", (Handler,), {"bucket": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def listed(key: str, etag: str = '"a"') -> Listed:
    return Listed(key, etag, 1, 0.0, "STANDARD_IA")


def path_of(bucket: str, key: str) -> str:
    return f"/{bucket}/" + urllib.parse.quote(key, "/-_.~")


def test_both_conditions_and_the_storage_class_are_sent_and_signed(bucket):
    """The signature is the one that botocore would have made, whatever letters a key has."""
    bucket.objects[path_of("old", f"logs/{ODD}")] = '"a"'
    aws = Aws(REGION)
    new = objects_at(aws, "s3://new/utc/", "123456789012")
    made = new.copy_from(objects_at(aws, "s3://old/logs/"), listed(ODD), ODD)
    assert (made.key, made.etag, made.size, made.storage) == (ODD, '"a"', 1, "STANDARD_IA")
    [(path, headers)] = bucket.seen
    assert path == path_of("new", f"utc/{ODD}")
    assert headers["x-amz-copy-source-if-match"] == '"a"' and headers["if-none-match"] == "*"
    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert headers["x-amz-security-token"] == "token"
    assert headers["authorization"] == _by_botocore(bucket.url + path, headers)


def _by_botocore(url: str, headers: dict[str, str]) -> str:
    """Made anew from what was sent, by another code."""
    words = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest("PUT", url, {name: headers[name] for name in words})
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials("key", "secret", "token"), "s3", REGION)
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    return headers["authorization"].split("Signature=")[0] + f"Signature={signature}"


def test_what_is_there_is_not_written_over_and_a_source_that_changed_is_not_copied(bucket):
    """One status for both: who is meant is looked up."""
    bucket.objects |= {path_of("old", "a"): '"a"', path_of("new", "there"): '"b"'}
    aws = Aws(REGION)
    old = objects_at(aws, "s3://old/")
    new = objects_at(aws, "s3://new/")
    with pytest.raises(Taken):
        new.copy_from(old, listed("a"), "there")
    with pytest.raises(Changed):
        new.copy_from(old, listed("a", '"another"'), "b")
    with pytest.raises(Changed):
        new.copy_from(old, listed("gone"), "b")
    assert bucket.objects[path_of("new", "there")] == '"b"'


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "SlowDown"), (500, "InternalError"), (200, "InternalError"), (200, "SlowDown")],
)
def test_an_answer_that_is_no_copy_is_asked_for_again(bucket, status, code):
    """Also a 200 whose body says that it failed; nothing counts as copied."""
    bucket.objects[path_of("old", "a")] = '"a"'
    bucket.script = [(status, ERROR.format(code))]
    aws = Aws(REGION)
    with pytest.raises(AwsUnreachable):
        objects_at(aws, "s3://new/").copy_from(objects_at(aws, "s3://old/"), listed("a"), "b")
    assert path_of("new", "b") not in bucket.objects
    made = objects_at(aws, "s3://new/").copy_from(objects_at(aws, "s3://old/"), listed("a"), "b")
    assert made.etag == '"a"'


@pytest.mark.parametrize("body", ["", "<html>", ERROR.format("AccessDenied")])
def test_what_is_not_understood_is_asked_of_botocore(bucket, body):
    """It asks again, and tells."""
    bucket.objects[path_of("old", "a")] = '"a"'
    bucket.script = [(403, body)]
    aws = Aws(REGION)
    made = objects_at(aws, "s3://new/").copy_from(objects_at(aws, "s3://old/"), listed("a"), "b")
    assert made.etag == '"a"' and len(bucket.seen) == 2
    assert "x-amz-sdk-checksum" not in str(bucket.seen[0]) and "amz-sdk" in str(bucket.seen[1])


def test_a_409_is_asked_again(bucket):
    """Another conditional write of the same key was under way."""
    bucket.objects[path_of("old", "a")] = '"a"'
    bucket.script = [(409, ERROR.format("ConditionalRequestConflict"))]
    aws = Aws(REGION)
    made = objects_at(aws, "s3://new/").copy_from(objects_at(aws, "s3://old/"), listed("a"), "b")
    assert made.etag == '"a"' and len(bucket.seen) == 2


def test_a_connection_that_fell_asleep_is_opened_anew(bucket):
    """And one that never stood is told."""
    bucket.objects[path_of("old", "a")] = '"a"'
    aws = Aws(REGION)
    copier = Copier(aws)
    copier.copied(Copy("old", "a", '"a"', "new", "b", "STANDARD"))
    for connection in copier._kept.__dict__.values():
        connection.sock.shutdown(2)
    assert copier.copied(Copy("old", "a", '"a"', "new", "c", "STANDARD")) == '"a"'


def test_nobody_who_may_only_read_copies(bucket):
    """Refused before anything is sent."""
    from kirikae.aws.errors import ReadOnly

    aws = Aws(REGION, read_only=True)
    with pytest.raises((ReadOnly, AwsRefused)):
        objects_at(aws, "s3://new/").copy_from(objects_at(aws, "s3://old/"), listed("a"), "b")
    assert bucket.seen == []
