"""CopyObject by the thousand: signed and sent without botocore, which takes four times as much CPU
for one.

Only what is plain is understood here: a copy that was made, one of the two conditions that did not
hold, and S3's wish to be asked more slowly.  Whatever else is answered, botocore is let ask again
and tell (redirects, expired credentials, refusals).  S3 API reference: CopyObject; "Authenticating
Requests: Using the Authorization Header (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from kirikae.aws.errors import AwsRefused
from kirikae.model.errors import AwsUnreachable

if TYPE_CHECKING:
    from kirikae.aws.session import Aws

_EMPTY = hashlib.sha256(b"").hexdigest()
_ANSWER_S = 60.0
"""S3 answers 200 at once and sends blanks until a large copy is done."""
_GONE = (OSError, http.client.HTTPException)
_LEFT_AS_THEY_ARE = "/-_.~"


@dataclass(frozen=True, slots=True)
class Copy:
    """One request.  ``owner``: the account that the bucket must belong to, if given."""

    source_bucket: str
    source_key: str
    source_etag: str
    bucket: str
    key: str
    storage: str
    owner: str = ""

    def headers(self) -> dict[str, str]:
        """Guarded on both sides: the source is the one that was listed, and nothing lies there."""
        source = urllib.parse.quote(f"{self.source_bucket}/{self.source_key}", _LEFT_AS_THEY_ARE)
        found = {
            "if-none-match": "*",
            "x-amz-copy-source": f"/{source}",
            "x-amz-copy-source-if-match": self.source_etag,
            "x-amz-storage-class": self.storage,
        }
        if self.owner:
            found["x-amz-expected-bucket-owner"] = self.owner
        return found


class Copier:
    """Copies from any thread; each keeps its connection open."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._kept = threading.local()

    def copied(self, copy: Copy) -> str | None:
        """The tag of what was made; None: ask botocore.  Raises AwsRefused where a condition did
        not hold, AwsUnreachable."""
        host, path = self._place(copy)
        headers = self._signed(copy, host, path)
        if headers is None:
            return None
        try:
            status, body = self._sent(host, path, headers)
        except _GONE as error:
            raise AwsUnreachable(
                f"AWS does not answer CopyObject: {type(error).__name__}: {error}"
            ) from error
        return _read(status, body)

    def _place(self, copy: Copy) -> tuple[urllib.parse.SplitResult, str]:
        """The bucket is part of the host's name at AWS itself, of the path elsewhere, and where its
        name has dots, for which no certificate is."""
        endpoint = urllib.parse.urlsplit(self._aws.client("s3").meta.endpoint_url)
        key = urllib.parse.quote(copy.key, _LEFT_AS_THEY_ARE)
        if not _is_aws(endpoint.netloc) or "." in copy.bucket:
            return endpoint, f"{endpoint.path.rstrip('/')}/{copy.bucket}/{key}"
        return endpoint._replace(netloc=f"{copy.bucket}.{endpoint.netloc}"), f"/{key}"

    def _signed(
        self,
        copy: Copy,
        endpoint: urllib.parse.SplitResult,
        path: str,
    ) -> dict[str, str] | None:
        """All headers.  None: whoever may not change anything, or has no credentials, is told by
        botocore."""
        found = None if self._aws.read_only else self._aws.credentials()
        if found is None:
            return None
        now = datetime.fromtimestamp(self._aws.now(), UTC)
        headers = {
            **copy.headers(),
            "host": endpoint.netloc,
            "x-amz-content-sha256": _EMPTY,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        if found.token:
            headers["x-amz-security-token"] = found.token
        scope = f"{now:%Y%m%d}/{self._aws.region}/s3/aws4_request"
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"PUT\n{path}\n\n{lines}\n{names}\n{_EMPTY}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
        key = _key(found.secret_key, scope)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={found.access_key}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        )
        return headers

    def _sent(
        self,
        endpoint: urllib.parse.SplitResult,
        path: str,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        """A connection that fell asleep is opened anew, once.  Sent twice, the second copy finds
        the first."""
        connection = self._connection(endpoint)
        asleep = connection.sock is not None
        try:
            return _exchanged(connection, path, headers)
        except _GONE:
            connection.close()
            if not asleep:
                raise
        try:
            return _exchanged(connection, path, headers)
        except _GONE:
            connection.close()
            raise

    def _connection(self, endpoint: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        """Of this thread."""
        kept: dict[str, http.client.HTTPConnection] = self._kept.__dict__
        if endpoint.netloc not in kept:
            secure = endpoint.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            host = endpoint.hostname or ""
            kept[endpoint.netloc] = kind(host, endpoint.port, timeout=_ANSWER_S)
        return kept[endpoint.netloc]


def _is_aws(netloc: str) -> bool:
    return netloc.endswith((".amazonaws.com", ".amazonaws.com.cn"))


@lru_cache(maxsize=8)
def _key(secret: str, scope: str) -> bytes:
    """The same all day."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _exchanged(
    connection: http.client.HTTPConnection,
    path: str,
    headers: Mapping[str, str],
) -> tuple[int, bytes]:
    """The body to its end: what became of the copy is said there."""
    connection.putrequest(
        "PUT",
        path,
        skip_host=True,
        skip_accept_encoding=True,
    )
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("content-length", "0")
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


def _read(status: int, body: bytes) -> str | None:
    """200 is said before a copy is made: only the body tells."""
    if status == 200:
        return _etag(body)
    code = _between(body, b"<Code>", b"</Code>").decode("utf-8", "replace")
    if status in (409, 412):
        raise AwsRefused("CopyObject", code or _NAMES[status], _message(body))
    if status in (500, 503):
        raise AwsUnreachable(f"AWS could not answer CopyObject: {code}: {_message(body)}")
    return None


_NAMES = {409: "ConditionalRequestConflict", 412: "PreconditionFailed"}


def _etag(body: bytes) -> str | None:
    if b"<CopyObjectResult" in body:
        found = _between(body, b"<ETag>", b"</ETag>").decode().replace("&quot;", '"')
        return found.replace("&#34;", '"') or None
    code = _between(body, b"<Code>", b"</Code>").decode("utf-8", "replace")
    if code in ("InternalError", "SlowDown", "ServiceUnavailable"):
        raise AwsUnreachable(f"AWS could not finish CopyObject: {code}: {_message(body)}")
    return None


def _message(body: bytes) -> str:
    return _between(body, b"<Message>", b"</Message>").decode("utf-8", "replace")


def _between(body: bytes, begin: bytes, end: bytes) -> bytes:
    found = body.partition(begin)[2].partition(end)
    return found[0] if found[1] else b""
