"""HTTP between the ledger and those who ask it, by hand: for a thousand claims a second.

``http.server`` and ``http.client`` read headers with the parser of mails, which costs more than the
claim itself.
Sources: RFC 9112, "HTTP/1.1"; RFC 9110, section 10.1.1 (``Expect``).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedIOBase

from kirikae.jobs.errors import WrongRequest

MOST_BYTES = 16_000_000
_LONGEST_LINE = 16_384
_MOST_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Request:
    """``headers``: names in small letters.  ``stays``: the connection is used again."""

    method: str
    path: str
    headers: Mapping[str, str]
    stays: bool

    @property
    def length(self) -> int:
        """Of the body.  Raises WrongRequest."""
        if "transfer-encoding" in self.headers:
            raise WrongRequest("a body in chunks is not taken: send its length")
        text = self.headers.get("content-length", "0")
        if not text.isdigit() or int(text) > MOST_BYTES:
            raise WrongRequest("no length, or too long")
        return int(text)


def read_request(stream: BufferedIOBase) -> Request | None:
    """None: the caller has gone.  Raises WrongRequest."""
    line = _line(stream)
    while line == "":
        # A line break too many after the last body (RFC 9112, section 2.2).
        line = _line(stream)
    if line is None:
        return None
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise WrongRequest("that is no request of HTTP/1.1")
    headers = _headers(stream)
    if headers is None:
        return None
    connection = headers.get("connection", "").lower()
    stays = connection != "close" if words[2] != "HTTP/1.0" else connection == "keep-alive"
    return Request(words[0], words[1], headers, stays)


def _line(stream: BufferedIOBase) -> str | None:
    raw = stream.readline(_LONGEST_LINE)
    if not raw:
        return None
    if not raw.endswith(b"\n"):
        raise WrongRequest("a line is too long, or cut off")
    return raw.decode("latin-1").rstrip("\r\n")


def _headers(stream: BufferedIOBase) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = _line(stream)
        if line is None:
            return None
        if line == "":
            return found
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise WrongRequest("a header is no header")
        found[name.lower()] = value.strip()
    raise WrongRequest("too many headers")


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def response(status: HTTPStatus, kind: str, body: bytes, stays: bool) -> bytes:
    """Whole, so that one packet carries it."""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n"
    )
    return head.encode("latin-1") + body


class Connection:
    """The other end: one request after another over one connection.

    Raises OSError where the other end goes away or does not answer in time, WrongRequest where
    what it answers is none of the ledger's."""

    def __init__(self, address: tuple[str, int], secure: bool, timeout_s: float) -> None:
        """Connected at once."""
        self._socket = socket.create_connection(address, timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(self._socket, server_hostname=address[0])
        self._stream = self._socket.makefile("rb")

    def close(self) -> None:
        """May be called again."""
        self._stream.close()
        self._socket.close()

    def ask(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {told}" for name, told in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        self._socket.sendall(head.encode("latin-1") + body)
        status = self._status()
        found = _headers(self._stream)
        if found is None:
            raise ConnectionResetError("the answer was cut off")
        length = found.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            raise WrongRequest("an answer without a length: is a proxy in between?")
        raw = self._stream.read(int(length))
        if len(raw) < int(length):
            raise ConnectionResetError("the answer was cut off")
        return status, raw

    def _status(self) -> int:
        line = _line(self._stream)
        if line is None:
            raise ConnectionResetError("the connection was closed")
        words = line.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise WrongRequest("that is no answer of HTTP/1.1")
        return int(words[1])
