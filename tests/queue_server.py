"""kirikae local's own SQS, real protocol, in this process: no container engine, and a clock in the
test's hand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kirikae.aws.light import LightAws
from kirikae.aws.sqs import Queue, make_queue
from kirikae.local.errors import AwsError
from kirikae.local.sqs.api import Sqs
from kirikae.local.sqs.places import Place
from kirikae.local.sqs.queues import Queues

REGION = "eu-west-1"
FIFO = {"FifoQueue": "true", "VisibilityTimeout": "30"}


class _Server(ThreadingHTTPServer):
    """A caller that was killed is nothing to print."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Its next one comes."""


class QueueServer:
    """``away``: answers 503, as a queue that is out of reach does."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.away = False
        self.refuse_deletes = 0
        self.calls: list[str] = []
        self.others: dict[str, Callable[[dict[str, Any]], tuple[int, Any]]] = {}
        """Operations of other services, as a test answers them."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.headers["X-Amz-Target"].rpartition(".")[2]
                status, told = outer.answer(name, json.loads(body))
                raw = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(clock() if timestamp is None else timestamp)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self._operations = self._on_loop(self._made(path, clock))
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
            "AWS_REGION": REGION,
        }
        self.aws = LightAws(REGION, self.environment)

    async def _made(self, path: Path, clock: Callable[[], float]) -> dict[str, Any]:
        queues = Queues(path, lambda: int(clock() * 1000))
        return dict(Sqs(queues, Place(REGION, REGION, self.endpoint), clock).operations())

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def answer(self, name: str, asked: dict[str, Any]) -> tuple[int, Any]:
        self.calls.append(name)
        if name in self.others:
            return self.others[name](asked)
        if self.away:
            return 503, {"__type": "ServiceUnavailable"}
        if name == "DeleteMessage" and self.refuse_deletes:
            self.refuse_deletes -= 1
            return 503, {"__type": "ServiceUnavailable"}
        try:
            return 200, self._on_loop(self._operations[name](asked))
        except AwsError as error:
            return 400, {"__type": error.code, "message": str(error)}

    def queue(self, name: str = "jobs.fifo", dead: str = "", **attributes: str) -> Queue:
        """``dead``: the dead-letter queue of its poison."""
        wanted = {**FIFO, **attributes}
        if dead:
            arn = make_queue(self.aws, dead, FIFO).attributes()["QueueArn"]
            redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": "3"}
            wanted["RedrivePolicy"] = json.dumps(redrive)
        return make_queue(self.aws, name, wanted)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
