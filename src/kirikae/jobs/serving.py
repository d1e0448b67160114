"""The ledger over HTTP, for processes that do not own its file: docs/reference/jobs-ledger.md."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from kirikae.jobs import wire
from kirikae.jobs.errors import LedgerAway, WrongRequest
from kirikae.jobs.job import Firing, Job, Owner
from kirikae.jobs.ledger import Hold, Ledger, Mark
from kirikae.jobs.requests import CONTINUE, Request, read_request, response
from kirikae.jobs.waking import claimed_after_sleep
from kirikae.jobs.wire import Lines

log = logging.getLogger(__name__)
PORT = 8062
_IDLE_S = 120
_PREFIX = "/v1/"
Asked = Callable[[Ledger, Mapping[str, Any]], Any]


def token_at(path: Path) -> str:
    """The token of this file; a new one where there is none.  Raises LedgerAway."""
    try:
        with suppress(FileExistsError):
            opened = os.open(
                path,
                os.O_WRONLY | os.O_CREAT | os.O_EXCL,
                0o600,
            )
            with os.fdopen(
                opened,
                "w",
                encoding="ascii",
            ) as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
        token = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise LedgerAway(f"the token {path} cannot be used: {error}; check the file") from error
    if len(token) < 32:
        raise LedgerAway(f"the token in {path} is too short to be one; remove the file")
    return token


# --- JSON: every call of the port, by its name


def _history(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    return [firing.to_plain() for firing in ledger.history(**asked)]


def _definition(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    found = ledger.definition(asked["digest"])
    return None if found is None else found.to_plain()


def _firing(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    found = ledger.firing(asked["job"], asked["due"])
    return None if found is None else found.to_plain()


def _mark(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    found = ledger.mark(asked["table"])
    return None if found is None else asdict(found)


def _raise_mark(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    return asdict(ledger.raise_mark(asked["table"], Mark(**asked["mark"])))


def _admit(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    wanted = [wire.wanted_from(each) for each in asked["wanted"]]
    return wire.admitted_plain(ledger.admit(wanted))


def _finish(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    return ledger.finish(Hold(**asked["hold"]), wire.ending_from(asked["ending"]))


def _own(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    ledger.own(
        asked["jobs"],
        Owner(asked["owner"]),
        asked.get("only_new", False),
    )


def _sent(ledger: Ledger, asked: Mapping[str, Any]) -> Any:
    ledger.sent([Firing.from_plain(each) for each in asked["firings"]])


_BY_JSON: dict[str, Asked] = {
    "health": lambda ledger, _: _health(ledger),
    "now": lambda ledger, _: ledger.now(),
    "define": lambda ledger, asked: ledger.define([Job.from_plain(p) for p in asked["jobs"]]),
    "definition": _definition,
    "owners": lambda ledger, _: ledger.owners(),
    "own": _own,
    "since": lambda ledger, asked: ledger.since(asked["jobs"], asked["minute"]),
    "mark": _mark,
    "raise-mark": _raise_mark,
    "admit": _admit,
    "sent": _sent,
    "unsent": lambda ledger, asked: [each.to_plain() for each in ledger.unsent(**asked)],
    "claim": lambda ledger, asked: wire.claimed_plain(ledger.claim(wire.claim_from(asked))),
    "start": lambda ledger, asked: ledger.start(Hold(**asked["hold"]), asked["task"]),
    "heartbeat": lambda ledger, asked: ledger.heartbeat(Hold(**asked["hold"]), asked["lease_s"]),
    "finish": _finish,
    "sweep": lambda ledger, asked: [each.to_plain() for each in ledger.sweep(**asked)],
    "firing": _firing,
    "history": _history,
}


def _health(ledger: Ledger) -> dict[str, Any]:
    """A write that is on the disk, not only a process that listens."""
    ledger.own([], Owner.OLD)
    ledger.raise_mark("health", Mark(0, int(ledger.now() // 60)))
    return {
        "ok": True,
        "now": ledger.now(),
    }


# --- lines: what a guard asks


def _claim_lines(ledger: Ledger, lines: Lines) -> list[str]:
    claim = lines.claim(ledger.now())
    times = lines.times()
    if times is None:
        return wire.claimed_lines(ledger.claim(claim), claim.lease_s)
    return wire.claimed_lines(claimed_after_sleep(ledger, claim, *times), claim.lease_s)


def _own_lines(ledger: Ledger, lines: Lines) -> list[str]:
    if lines.one("owner") not in list(Owner):
        raise WrongRequest("owner= is old or new")
    lines.one("job")
    ledger.own(lines.values["job"], Owner(lines.one("owner")))
    return ["ok=yes"]


def _health_lines(ledger: Ledger, _: Lines) -> list[str]:
    return ["ok=yes", f"now={_health(ledger)['now']:.0f}"]


def _counts(counts: bool) -> list[str]:
    return ["counts=yes" if counts else "counts=no"]


_BY_LINES: dict[str, Callable[[Ledger, Lines], list[str]]] = {
    "claim": _claim_lines,
    "start": lambda ledger, lines: _counts(ledger.start(lines.hold(), lines.one("task", ""))),
    "heartbeat": lambda ledger, lines: _counts(ledger.heartbeat(lines.hold(), lines.lease_s())),
    "finish": lambda ledger, lines: _counts(ledger.finish(lines.hold(), lines.ending())),
    "own": _own_lines,
    "owner": lambda ledger, lines: [
        f"owner={ledger.owners().get(lines.one('job'), Owner.OLD)}",
    ],
    "health": _health_lines,
}


def answer_json(ledger: Ledger, verb: str, body: bytes) -> Any:
    """Raises WrongRequest, LookupError for a verb that is none, LedgerAway."""
    asked = _BY_JSON[verb]
    try:
        plain = json.loads(body or b"{}")
        if not isinstance(plain, dict):
            raise WrongRequest("the body is no object")
        return asked(ledger, plain)
    except WrongRequest:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongRequest(f"{verb}: {type(error).__name__}: {error}") from error


def answer_lines(ledger: Ledger, verb: str, body: bytes) -> list[str]:
    """Raises WrongRequest, LookupError for a verb that is none, LedgerAway."""
    answer = _BY_LINES[verb]
    return answer(ledger, Lines.read(verb, body.decode("utf-8", "replace")))


class Server(ThreadingTCPServer):
    """One ledger, one token."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], ledger: Ledger, token: str) -> None:
        """Raises OSError where the address cannot be had."""
        super().__init__(address, _Handler)
        self.server_port = int(self.server_address[1])
        self.ledger = ledger
        self.token = token

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is nothing to shout about."""
        log.debug("a caller went away", exc_info=True)


class _Handler(StreamRequestHandler):
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        """Request after request of one connection."""
        try:
            while self._one():
                """As long as the caller wants."""
        except WrongRequest as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": str(error)}, False, False)
        except OSError as error:
            log.debug("a caller went away: %s", error)

    def _one(self) -> bool:
        """False: it was the last one.  Raises WrongRequest where nothing after it can be read."""
        request = read_request(self.rfile)
        if request is None:
            return False
        length = request.length
        if request.headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(CONTINUE)
        body = self.rfile.read(length)
        if len(body) < length:
            return False
        as_json = "json" in request.headers.get("content-type", "")
        self._say(*self._answer(request, body, as_json), as_json, request.stays)
        return request.stays

    def _answer(self, request: Request, body: bytes, as_json: bool) -> tuple[HTTPStatus, Any]:
        if not self._knows_token(request):
            return HTTPStatus.UNAUTHORIZED, {"error": "the token is missing or another one"}
        if request.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, {"error": "every call is a POST"}
        verb = request.path.removeprefix(_PREFIX)
        known: Mapping[str, Any] = _BY_JSON if as_json else _BY_LINES
        if not request.path.startswith(_PREFIX) or verb not in known:
            return HTTPStatus.NOT_FOUND, {"error": f"there is no {request.path[:80]}"}
        answer = answer_json if as_json else answer_lines
        try:
            return HTTPStatus.OK, answer(self.server.ledger, verb, body)
        except WrongRequest as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)[:500]}
        except LedgerAway as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)[:500]}

    def _knows_token(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        expected = f"Bearer {self.server.token}"
        return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())

    def _say(self, status: HTTPStatus, answer: Any, as_json: bool, stays: bool) -> None:
        if as_json:
            kind = "application/json"
            text = json.dumps(answer)
        else:
            kind = "text/plain; charset=utf-8"
            lines = [f"error={answer['error']}"] if isinstance(answer, dict) else answer
            text = "".join(f"{line}\n" for line in lines)
        self.wfile.write(response(status, kind, text.encode(), stays))
