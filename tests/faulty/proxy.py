"""A proxy of our own in front of `kirikae local` that does everything wrong, by seed.

Errors, delays, answers that are lost after the call took effect, looks that lag, figures that are
incomplete, HTML instead of an answer.
"""

from __future__ import annotations

import random
import re
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_THROTTLED = (
    b"<ErrorResponse><Error><Code>Throttling</Code><Message>by seed</Message></Error>"
    b"</ErrorResponse>"
)
_HTML = b"<html><head><title>Sign in</title></head><body>proxy<br></body></html>"
_LAG_S = 2.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that were killed in the middle of a question."""

    def handle_error(self, *_: Any) -> None:
        """Nothing."""


class FaultyProxy:
    """``url`` stands for AWS.  ``on``: only while it is set anything goes wrong."""

    def __init__(self, endpoint: str, seed: int, often: float) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.on = True
        self.often = often
        self.met: dict[str, int] = {}
        self.deaf: tuple[str, ...] = ()
        self.calls: list[tuple[float, str]] = []
        self._rng = random.Random(seed)
        self._guard = threading.Lock()
        self._looks: list[tuple[float, Answer]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def asked(self) -> list[str]:
        """The operations in the order in which they came."""
        return [operation for _, operation in self.calls]

    def took(self, operation: str) -> float:
        """Seconds from the first call to this one."""
        at = next(at for at, asked in self.calls if asked == operation)
        return at - self.calls[0][0]

    def _wrong(self) -> str:
        """What goes wrong with this call; empty: nothing."""
        with self._guard:
            if not self.on or self._rng.random() >= self.often:
                return ""
            kinds = ("throttled", "broken", "html", "reset", "lost", "slow", "lag", "partial")
            wrong = self._rng.choice(kinds)
            self.met[wrong] = self.met.get(wrong, 0) + 1
            return wrong

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        operation = _operation(body)
        with self._guard:
            self.calls.append((time.monotonic(), operation))
        if operation in self.deaf:
            time.sleep(10)
            handler.connection.close()
            return
        wrong = self._wrong()
        match wrong:
            case "throttled":
                _send(handler, Answer(400, [("Content-Type", "text/xml")], _THROTTLED))
            case "broken":
                _send(handler, Answer(503, [], b""))
            case "html":
                _send(handler, Answer(200, [("Content-Type", "text/html")], _HTML))
            case "reset":
                handler.connection.close()
            case "lost":
                self._forward(handler, body)
                handler.connection.close()
            case _:
                if wrong == "slow":
                    time.sleep(1.0)
                _send(handler, self._altered(wrong, body, self._forward(handler, body)))

    def _altered(self, wrong: str, body: bytes, answer: Answer) -> Answer:
        if b"Action=DescribeRules" in body and b"RuleArns" in body:
            return self._lagging(wrong, answer)
        if wrong == "partial":
            return Answer(
                answer.status, answer.headers, answer.body.replace(b"Complete", b"Internal")
            )
        return answer

    def _lagging(self, wrong: str, answer: Answer) -> Answer:
        """A look as it was up to two seconds ago."""
        now = time.monotonic()
        with self._guard:
            self._looks = [each for each in self._looks if now - each[0] < _LAG_S]
            former = self._looks[0][1] if self._looks else answer
            self._looks.append((now, answer))
        return former if wrong == "lag" else answer

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in _OURS}
        request = urllib.request.Request(
            self.endpoint + handler.path, body or None, headers, method=handler.command
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, list(answer.headers.items()), answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, list(error.headers.items()), error.read())


def _operation(body: bytes) -> str:
    found = re.search(rb"Action=(\w+)", body)
    return found[1].decode() if found else ""


_OURS = ("host", "connection", "content-length", "transfer-encoding", "expect")


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response_only(answer.status)
    for name, value in answer.headers:
        if name.lower() not in _OURS:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(answer.body)
