"""Figures over HTTP, in the shapes that the monitoring of sqsjfr, sqsjkr and Prometheus reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kirikae.jobs.errors import NoStats

Pages = Mapping[str, Callable[[], Any]]
"""A page that is text is answered as it is, as Prometheus reads it."""
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Stats:
    """Answers as soon as it is made, in a thread of its own."""

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        """``pages``: path -> what is told there.  Raises NoStats."""
        handler = _handler(pages)
        try:
            self._server = ThreadingHTTPServer(address, handler)
        except OSError as error:
            raise NoStats(
                f"{address[0]}:{address[1]} cannot be listened at: {error.strerror}; "
                "choose another with --stats"
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever,
            args=(0.5,),
            daemon=True,
        ).start()

    def close(self) -> None:
        """It answers no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            found = {} if page is None else page()
            as_text = isinstance(found, str)
            raw = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", _TEXT if as_text else "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Asked every minute."""

    return Handler
