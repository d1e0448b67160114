"""S3 and Glue, asked of moto by the child process; one connection, kept open."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from kirikae.local.errors import QueryFailed, StoreRefused
from kirikae.local.ownrequest import own_request

_PATIENCE_S = 120
_XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Object:
    """One object of S3."""

    key: str
    etag: str
    size: int


class Stores:
    """moto, on this machine."""

    def __init__(self, port: int, region: str) -> None:
        self._port = port
        self._region = region
        self._connection: http.client.HTTPConnection | None = None

    def glue(self, operation: str, **params: object) -> Plain:
        """Raises StoreRefused; QueryFailed where the store does not answer."""
        headers = {
            **self._headers("glue"),
            "X-Amz-Target": f"AWSGlue.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        status, body = self._ask("POST", "/", headers, json.dumps(params).encode())
        told: Plain = json.loads(body or b"{}")
        if status != 200:
            code = str(told.get("__type", status)).rpartition("#")[2]
            raise StoreRefused(code, str(told.get("message") or told.get("Message") or told))
        return told

    def objects(self, bucket: str, prefix: str) -> Iterator[Object]:
        """All below it, in the order of their keys."""
        after = ""
        while True:
            more = {"continuation-token": after} if after else {}
            query = urlencode({"list-type": "2", "prefix": prefix, **more})
            status, body = self._ask("GET", f"/{bucket}?{query}", self._headers("s3"))
            if status != 200:
                raise QueryFailed(f"s3://{bucket}/{prefix} cannot be listed: status {status}")
            page = ElementTree.fromstring(body)
            for each in page.iter(f"{_XMLNS}Contents"):
                yield Object(_text(each, "Key"), _text(each, "ETag"), int(_text(each, "Size")))
            after = page.findtext(f"{_XMLNS}NextContinuationToken") or ""
            if not after:
                return

    def read(self, bucket: str, key: str) -> bytes:
        """A whole object.  Raises QueryFailed where it cannot be had."""
        status, body = self._ask("GET", f"/{bucket}/{quote(key)}", self._headers("s3"))
        if status != 200:
            raise QueryFailed(f"s3://{bucket}/{key} cannot be read: status {status}")
        return body

    def _headers(self, service: str) -> dict[str, str]:
        asked = own_request(service, self._region)
        return {"Authorization": str(asked["HTTP_AUTHORIZATION"])}

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """A connection that was closed meanwhile is made anew, once."""
        for is_last in (False, True):
            connection = self._connection or http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=_PATIENCE_S
            )
            try:
                connection.request(method, path, body, dict(headers))
                answer = connection.getresponse()
                self._connection = connection
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._connection = None
                if is_last:
                    raise QueryFailed(f"the stores do not answer: {error}") from error
        raise AssertionError("the last try answers or raises")


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{_XMLNS}{name}") or ""
