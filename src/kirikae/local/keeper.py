"""moto with a memory: the child process that keeps S3, SSM, Secrets Manager and the other stores.

moto holds everything in memory.  Every request that changes something is written to a journal after
moto has carried it out and before it is answered; a new process does the journal again.
Identifiers come out the same, because the journal holds the seed of each request's random numbers.
Dates of what is kept are those of the restart (ours).

``python -m kirikae.local.keeper DIRECTORY PORT``
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import secrets
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from kirikae.local.callers import OWN_HEADER, stranger
from kirikae.local.items import items_now, mark_of, may_be_replaced
from kirikae.local.neveract import refusal
from kirikae.local.ownrequest import own_request
from kirikae.local.preconditions import Failed, Seen, failed, without_conditions

log = logging.getLogger("kirikae.local.keeper")

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
App = Callable[[Environ, Any], Iterable[bytes]]

_SCHEMA = """
create table if not exists request (
    seq integer primary key, stamp real not null, seed integer not null, object text not null,
    environ text not null, body blob not null
) strict;
create index if not exists by_object on request (object) where object <> '';
"""
_OWN = f"HTTP_{OWN_HEADER.upper().replace('-', '_')}"
RESET = "/moto-api/reset"
_CERTIFICATE = "/_kirikae/certificate"
_CBOR = re.compile(r"/service/[^/]+/operation/([A-Za-z0-9]+)")
"""Where Smithy's rpc-v2-cbor says which operation is meant."""
_READS = (
    "Describe",
    "Get",
    "List",
    "Filter",
    "BatchGet",
    "Lookup",
    "Search",
    "Query",
    "Scan",
    "Head",
    "Validate",
    "Simulate",
    "Test",
)
_FORGETTABLE = {"sts", "monitoring", "sqs"}
"""Services of which nothing is kept: figures are by the minute, sessions are made anew, queues are
kirikae local's own."""
_KMS_READS = {
    "Encrypt",
    "Decrypt",
    "ReEncrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateRandom",
    "Sign",
    "Verify",
}


def operation(environ: Environ, body: bytes) -> str:
    """The operation's name for JSON and query protocols; empty for paths (S3, Route 53)."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2]
    if (found := _CBOR.fullmatch(str(environ.get("PATH_INFO", "")))) is not None:
        return found[1]
    if str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        return parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    return ""


def service(environ: Environ) -> str:
    """The signing name; S3 where a request is not signed (a browser with a public object)."""
    scope = str(environ.get("HTTP_AUTHORIZATION", "")).split("/")
    return scope[3] if len(scope) > 4 else "s3"


def changes_something(environ: Environ, body: bytes) -> bool:
    """Must it be done again after a restart?

    In doubt it must: an operation that only reads costs a line in the journal, one that is lost
    loses what was put.
    """
    if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS") or environ["PATH_INFO"].startswith(
        "/moto-api"
    ):
        return False
    name = operation(environ, body)
    if service(environ) in _FORGETTABLE or name in _KMS_READS:
        return False
    return not name.startswith(_READS)


def plain_object(environ: Environ) -> str:
    """``/bucket/key`` of a plain PUT or DELETE of one whole object: the next one makes it
    superfluous.  Else empty."""
    host = str(environ.get("HTTP_HOST", "")).partition(":")[0]
    if not re.fullmatch(r"[\d.]+|localhost", host) or environ.get("QUERY_STRING"):
        return ""
    if service(environ) != "s3" or environ["REQUEST_METHOD"] not in ("PUT", "DELETE"):
        return ""
    path = str(environ["PATH_INFO"])
    return path if path.count("/") > 1 and not path.endswith("/") else ""


MOST_CHANGES = 1000
"""Of items in a region, beyond twice what is needed to put the items there."""
_OF_THE_SERVER = ("SERVER_SOFTWARE", "werkzeug.")
"""What begins so in a request's environment says nothing of the request."""


class Journal:
    """Requests that changed something, in the order in which moto carried them out."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the journal.

        ``synchronous=normal``: with WAL, a killed process loses nothing; only a machine that loses
        its power may lose the last requests (sqlite.org, "PRAGMA synchronous").
        """
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._pinned: set[str] = set()
        """Buckets whose former versions, and objects whose former contents, later requests refer
        to."""
        self._long: Counter[str] = Counter()
        self._short: Counter[str] = Counter()
        """Mark of DynamoDB's items in a region -> how many requests change them, now and when they
        were replaced last."""
        rows = self._db.execute("select seq, object, environ from request").fetchall()
        for seq, place, text in rows:
            environ = json.loads(text)
            self._pin(environ)
            mark = mark_of(environ)
            self._long.update([mark] if mark else [])
            if mark and not place:
                # One of a former version.
                self._db.execute("update request set object = ? where seq = ?", (mark, seq))

    def _pin(self, environ: Environ) -> None:
        """A copy's source and what a versioned bucket holds must be there when the journal is done
        again."""
        if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
            path = unquote(
                str(source).partition("?")[0], encoding="latin-1"
            )  # as WSGI writes a path
            self._pinned |= {"/" + path.lstrip("/"), str(environ["PATH_INFO"])}
        if "versioning" in str(environ.get("QUERY_STRING", "")):
            self._pinned.add("/" + str(environ["PATH_INFO"]).split("/")[1] + "/")

    def _is_pinned(self, path: str) -> bool:
        """Would a later request miss the former contents of this object?"""
        return bool(path) and (path in self._pinned or f"/{path.split('/')[1]}/" in self._pinned)

    def write(
        self,
        environ: Environ,
        body: bytes,
        seed: int,
    ) -> None:
        """One transaction: the request, and the former contents of its object go."""
        self._pin(environ)
        path = plain_object(environ)
        if self._is_pinned(path):
            path = ""
        mark = mark_of(environ)
        with self._transaction():
            if path:
                self._db.execute("delete from request where object = ?", (path,))
            self._insert(environ, body, seed, path or mark)
        if mark:
            self._long[mark] += 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def _insert(self, environ: Environ, body: bytes, seed: int, place: str) -> None:
        """One request more, with what of its environment can be kept."""
        kept = {
            key: value
            for key, value in environ.items()
            if isinstance(value, str) and not key.startswith(_OF_THE_SERVER)
        }
        self._db.execute(
            "insert into request (stamp, seed, object, environ, body) values (?, ?, ?, ?, ?)",
            (time.time(), seed, place, json.dumps(kept), body),
        )

    def is_long(self, mark: str) -> bool:
        """Do so many requests change items that they are worth replacing?"""
        return self._long[mark] > MOST_CHANGES + 2 * self._short[mark]

    def replace(self, mark: str, requests: Iterable[tuple[Environ, bytes]]) -> None:
        """These in the place of all that bear this mark.  Nothing is done where some request of
        DynamoDB means items that nobody can tell."""
        others = self._db.execute("select environ from request where object = ''")
        if not all(may_be_replaced(json.loads(environ)) for (environ,) in others):
            self._short[mark] = self._long[mark]
            return
        with self._transaction():
            self._db.execute("delete from request where object = ?", (mark,))
            count = 0
            for environ, body in requests:
                self._insert(environ, body, 0, mark)
                count += 1
        self._long[mark] = self._short[mark] = count

    def clear(self) -> None:
        """Nothing of before is done again."""
        self._db.execute("delete from request")
        self._pinned.clear()
        self._long.clear()
        self._short.clear()

    def read(self) -> Iterable[tuple[int, Environ, bytes]]:
        """Seed, environment and body of every request, in the order in which they were carried
        out."""
        for seed, environ, body in self._db.execute(
            "select seed, environ, body from request order by seq"
        ):
            yield seed, json.loads(environ), body


@dataclass(frozen=True, slots=True)
class _Answer:
    """``status``: code and words."""

    status: str
    headers: Headers
    body: list[bytes]


class Keeper:
    """A WSGI application around moto's: one request at a time, so that a seed belongs to one
    request alone."""

    def __init__(
        self,
        app: App,
        journal: Journal,
        seed: Callable[[int], None],
    ) -> None:
        """``seed`` sets moto's random numbers."""
        self._app = app
        self._journal = journal
        self._seed = seed
        self._one = threading.Lock()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """One request.

        It is written down after moto took it and before it is answered: what the caller was told is
        kept, and what a crash swallowed was never told.  A refusal of moto's is not kept.
        """
        if (why := stranger(_headers(environ))) is not None:
            return _refused(environ, _Refusal(why, "AccessDeniedException", 403), start_response)
        if environ["PATH_INFO"] == _CERTIFICATE:
            return self._certificate(environ, start_response)
        body = _whole_body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        kept = dict(environ)
        try:
            if (why := self._refusal(environ, body)) is not None:
                return _refused(environ, _Refusal(why), start_response)
            return self._answered(environ, kept, body, start_response)
        except NotImplementedError as error:
            return _refused(environ, _Refusal(_not_there(environ, body, error)), start_response)
        except Exception as error:
            log.exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return _refused(environ, _own_fault(error), start_response)

    def _certificate(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """A certificate with its key, for the control plane alone."""
        # Read here, because few instances ever have a certificate.
        from kirikae.local.keptpems import pem_of

        with self._one:
            arn = parse_qs(environ.get("QUERY_STRING", "")).get("arn", [""])[0]
            text = pem_of(arn) if _OWN in environ else None
        start_response("200 OK" if text else "404 Not Found", [("Content-Type", "text/plain")])
        return [(text or "").encode()]

    def _refusal(self, environ: Environ, body: bytes) -> str | None:
        """Why a request is not carried out.  moto's own levers are the control plane's alone: it
        knows whether this is an instance for tests."""
        is_lever = str(environ["PATH_INFO"]).startswith("/moto-api/")
        only_looks = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if is_lever and not only_looks and _OWN not in environ:
            return "ask the endpoint of kirikae local for this, not its stores"
        return refusal(service(environ), operation(environ, body), environ, body, self._object)

    def _object(self, place: str) -> bytes | None:
        """An object of S3, as moto has it now."""
        asked = own_request("s3", "us-east-1", "GET", place)
        with self._one:
            answer = self._asked(_served(asked, b""))
        return b"".join(answer.body) if answer.status < "400" else None

    def _answered(
        self,
        environ: Environ,
        kept: Environ,
        body: bytes,
        start_response: Any,
    ) -> Iterable[bytes]:
        """By moto; ``kept`` is the environment as it came, for moto changes it."""
        with self._one:
            if not changes_something(environ, body):
                answer = self._asked(environ)
                if (kept["REQUEST_METHOD"], kept["PATH_INFO"]) == ("POST", RESET):
                    self._journal.clear()
            elif (no := self._unmet(environ, body)) is not None:
                answer = _Answer(no.status, [("Content-Type", "application/xml")], [no.body])
            else:
                seed = secrets.randbits(62)
                environ = without_conditions(environ)
                kept = without_conditions(kept)
                answer = self._carry_out(environ, seed)
                if answer.status < "400":
                    try:
                        self._journal.write(kept, body, seed)
                    except sqlite3.Error as error:
                        log.error("the journal cannot be written: %s", error)
                        start_response("507 Insufficient Storage", [("Content-Type", "text/plain")])
                        return [
                            f"kirikae local cannot keep this: {error}; free some disk space "
                            "and try again\n".encode()
                        ]
                    self._shorten(mark_of(kept))
        start_response(answer.status, _without_cors(answer.headers))
        return answer.body

    def _unmet(self, environ: Environ, body: bytes) -> Failed | None:
        """Which condition of a write to S3 does not hold."""
        return failed(environ, body, self._seen) if service(environ) == "s3" else None

    def _seen(self, asked: Environ) -> Seen | None:
        """An object as moto has it now."""
        answer = self._asked(_served(asked, b""))
        headers = {name.lower(): value for name, value in answer.headers}
        if answer.status >= "300" or "etag" not in headers:
            return None
        return Seen(headers["etag"], parsedate_to_datetime(headers["last-modified"]))

    def _shorten(self, mark: str) -> None:
        """Items in the place of their changes, where these have become many.  What cannot be done
        now is done after a later request."""
        if not mark or not self._journal.is_long(mark):
            return
        try:
            self._journal.replace(mark, items_now(self._told, mark))
        except (sqlite3.Error, ValueError, KeyError) as error:
            log.warning("the journal stays long: %s", error)

    def _told(self, environ: Environ, body: bytes) -> bytes:
        """Of a request that only reads.  Raises ValueError where it is refused."""
        answer = self._asked(_served(environ, body))
        if answer.status >= "400":
            raise ValueError(f"{environ['HTTP_X_AMZ_TARGET']}: {answer.status}")
        return b"".join(answer.body)

    def _asked(self, environ: Environ) -> _Answer:
        """One request, whole."""
        told: list[tuple[str, Headers]] = []
        body = list(self._app(environ, lambda status, headers, *_: told.append((status, headers))))
        status, headers = told[0]
        return _Answer(status, headers, body)

    def _carry_out(self, environ: Environ, seed: int) -> _Answer:
        """One request with this seed; the same seed makes the same identifiers."""
        self._seed(seed)
        return self._asked(environ)

    def remember(self) -> int:
        """Do the whole journal again; the answer is how many requests it held."""
        count = 0
        for seed, environ, body in self._journal.read():
            count += 1
            try:
                status = self._carry_out(_served(environ, body), seed).status
            except Exception:
                # One request that moto fails of must not keep all others from being there again.
                log.exception("a request of the journal")
                status = "500"
            if status >= "400":
                log.warning(
                    "%s %s was answered %s when it was done again",
                    environ["REQUEST_METHOD"],
                    environ["PATH_INFO"],
                    status,
                )
        return count


def _served(environ: Environ, body: bytes) -> Environ:
    """A request of the journal, as a server would hand it over."""
    return environ | {
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
    }


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error of AWS's kind."""

    why: str
    code: str = "UnsupportedOperation"
    status: int = 400


_WORDS = {
    400: "400 Bad Request",
    403: "403 Forbidden",
    500: "500 Internal Server Error",
}


def _refused(environ: Environ, no: _Refusal, start_response: Any) -> Iterable[bytes]:
    """An error in the request's own protocol."""
    status = _WORDS[no.status]
    if "HTTP_X_AMZ_TARGET" in environ or _speaks_json(environ):
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", no.code)]
        start_response(status, headers)
        return [
            json.dumps(
                {
                    "__type": no.code,
                    "message": no.why,
                }
            ).encode()
        ]
    error = f"<Error><Code>{no.code}</Code><Message>{escape(no.why)}</Message></Error>"
    start_response(status, [("Content-Type", "text/xml")])
    return [
        (
            f"<ErrorResponse>{error}</ErrorResponse>"
            if operation(environ, b"") or service(environ) != "s3"
            else error
        ).encode()
    ]


_BY_PATHS_IN_XML = ("s3", "route53", "cloudfront")
"""Services whose protocol is rest-xml (botocore's models)."""


def _speaks_json(environ: Environ) -> bool:
    """Is it a request that names its operation by its path, of a service that speaks JSON?"""
    is_form = str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")
    return not is_form and service(environ) not in _BY_PATHS_IN_XML


def _not_there(environ: Environ, body: bytes, error: Exception) -> str:
    """What moto has not."""
    name = operation(environ, body) or environ["PATH_INFO"]
    return f"kirikae local does not carry out {service(environ)} {name}: {error}"


def _own_fault(error: Exception) -> _Refusal:
    """What should never have happened; the log says where."""
    why = f"a fault of moto's own ({type(error).__name__}: {error}); see stores.log"
    return _Refusal(why, "InternalFailure", 500)


def _headers(environ: Environ) -> dict[str, str]:
    """Those that say who asks."""
    names = {
        "HTTP_ORIGIN": "Origin",
        "HTTP_SEC_FETCH_SITE": "Sec-Fetch-Site",
        "HTTP_HOST": "Host",
    }
    return {name: str(environ[key]) for key, name in names.items() if key in environ}


def _without_cors(headers: Headers) -> Headers:
    """moto would let every web page read; ours lets none."""
    return [each for each in headers if not each[0].lower().startswith("access-control-")]


def _whole_body(environ: Environ) -> bytes:
    """The request's body, also a chunked one; the environment then says how long it is."""
    source = environ["wsgi.input"]
    if environ.get("CONTENT_LENGTH"):
        return bytes(source.read(int(environ["CONTENT_LENGTH"])))
    body = bytes(source.read()) if environ.get("wsgi.input_terminated") else b""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def main() -> None:
    """``python -m kirikae.local.keeper DIRECTORY PORT``: serve until SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    os.umask(0o077)
    # Nothing is open that the journal does not hold.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _serve(Path(sys.argv[1]), int(sys.argv[2]))


def _serve(directory: Path, port: int) -> None:
    """Do the journal again, then answer on 127.0.0.1.

    Until that is done nobody is listened to, so nobody sees half of what was kept.
    """
    # Imported here, because moto takes a second.
    os.environ.setdefault("MOTO_PORT", str(port))
    from moto.moto_api._internal import mock_random
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    def seeded_urandom(size: int) -> bytes:
        """Some of moto's identifiers come from the system: they, too, must come out the same when
        they are made again."""
        return mock_random.getrandbits(8 * size).to_bytes(size, "little") if size else b""

    os.urandom = seeded_urandom
    app = DomainDispatcherApplication(create_backend_app)
    keeper = Keeper(app, Journal(directory / "stores.db"), mock_random.seed)
    began = time.monotonic()
    if count := keeper.remember():
        log.info("%d requests were done again in %.1f s", count, time.monotonic() - began)
    server = make_server(
        "127.0.0.1", port, keeper, threaded=True, request_handler=MotoRequestHandler
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
