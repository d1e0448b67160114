"""Ask three hosts the same question at the same moment: two of the old side and the new one.

Every question has a connection of its own, so that no host is asked later than the others because
of what was asked before.  ``http.client`` reads the answers: here their content matters, not the
load, for which there is ``engine``.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from kirikae.drill.difference import step
from kirikae.drill.errors import TargetsProblem
from kirikae.drill.fields import MOST_OCTETS, Reply
from kirikae.drill.hiding import without_secrets
from kirikae.drill.noise import Asked
from kirikae.drill.targets import Target
from kirikae.model.texts import shortened

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Host:
    """One of the three.  The request still names the service's own host, as users' do."""

    name: str
    port: int
    tls: bool


def host_of(url: str, option: str) -> Host:
    """Raises TargetsProblem."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise TargetsProblem(f"{option}: {shortened(url)} is no URL: {error}") from error
    if split.scheme not in ("http", "https") or not split.hostname:
        raise TargetsProblem(f"{option}: {shortened(url)} is no host; write http://10.0.0.1:8080")
    if split.path not in ("", "/") or split.query:
        raise TargetsProblem(f"{option}: {shortened(url)}: only a host; paths are the targets'")
    tls = split.scheme == "https"
    return Host(split.hostname, port or (443 if tls else 80), tls)


def route_of(target: Target) -> str:
    """Method and path; what tells one thing from another of its kind is ``{}``."""
    parts = (target.url.path or "/").split("/")
    return f"{target.method} {'/'.join(map(step, parts))}"


def harmless(target: Target, allowed: Sequence[str]) -> bool:
    """It only reads, or the user said that it may be sent three times."""
    path = target.url.path or "/"
    return target.method in _SAFE_METHODS or any(fnmatchcase(path, each) for each in allowed)


def sample(targets: Iterable[Target], per_route: int) -> list[Target]:
    """The first different ones of each route, so that rare routes are asked, too."""
    taken: dict[str, dict[Target, None]] = {}
    for target in targets:
        of_route = taken.setdefault(route_of(target), {})
        if len(of_route) < per_route:
            of_route[target] = None
    return [target for of_route in taken.values() for target in of_route]


def shown(target: Target) -> str:
    """Method, path and query, without secrets."""
    query = f"?{target.url.query}" if target.url.query else ""
    return f"{target.method} {target.url.path or '/'}{without_secrets(query)}"


@dataclass(frozen=True, slots=True)
class Three:
    """Whom to ask.  ``insecure``: any certificate will do."""

    old: Host
    other_old: Host
    new: Host
    timeout_s: float = 30.0
    insecure: bool = False

    def ask(
        self,
        targets: Sequence[Target],
        repeat: int,
    ) -> Iterator[Asked]:
        """All of them in turn, ``repeat`` times, so that noise has time to show."""
        with ThreadPoolExecutor(3) as pool:
            for target in (target for _ in range(repeat) for target in targets):
                coming = [
                    pool.submit(
                        _reply,
                        host,
                        target,
                        self.timeout_s,
                        self.insecure,
                    )
                    for host in (self.old, self.other_old, self.new)
                ]
                old, other_old, new = (each.result() for each in coming)
                yield Asked(
                    route_of(target),
                    shown(target),
                    old,
                    other_old,
                    new,
                )


def _reply(
    host: Host,
    target: Target,
    timeout_s: float,
    insecure: bool,
) -> Reply:
    """Never raises for what a host does."""
    try:
        return _read(
            host,
            target,
            timeout_s,
            insecure,
        )
    except (OSError, http.client.HTTPException) as error:
        return Reply(None, error=f"{host.name}:{host.port}: {error or type(error).__name__}")


def _read(
    host: Host,
    target: Target,
    timeout_s: float,
    insecure: bool,
) -> Reply:
    until = monotonic() + timeout_s
    connection = http.client.HTTPConnection(host.name, host.port, timeout=timeout_s)
    try:
        connection.sock = _connected(
            host,
            target.url,
            timeout_s,
            insecure,
        )
        _send(connection, target)
        answer = connection.getresponse()
        body = _body(answer, until)
        return Reply(answer.status, tuple(answer.getheaders()), body)
    finally:
        connection.close()


def _body(answer: http.client.HTTPResponse, until: float) -> bytes:
    """Its first 16 MiB.  A host that drips its answer has no more time than one that is silent."""
    found = bytearray()
    while piece := answer.read1(_PIECE):
        found += piece
        if len(found) >= MOST_OCTETS:
            return bytes(found[:MOST_OCTETS])
        if monotonic() > until:
            raise TimeoutError("timed out within the answer")
    if answer.length:
        raise http.client.IncompleteRead(bytes(found), answer.length)
    return bytes(found)


def _connected(
    host: Host,
    url: SplitResult,
    timeout_s: float,
    insecure: bool,
) -> socket.socket:
    """TLS greets the service by its own name, whatever address it is asked at."""
    plain = socket.create_connection((host.name, host.port), timeout_s)
    if not host.tls:
        return plain
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=url.hostname)
    except OSError:
        plain.close()
        raise


def _send(connection: http.client.HTTPConnection, target: Target) -> None:
    path = target.url.path or "/"
    query = f"?{target.url.query}" if target.url.query else ""
    given = {name.lower() for name, _ in target.headers}
    connection.putrequest(
        target.method,
        path + query,
        skip_host=True,
        skip_accept_encoding=True,
    )
    if "host" not in given:
        connection.putheader("Host", target.url.netloc.rpartition("@")[2])
    for name, value in target.headers:
        connection.putheader(name, value)
    if target.body and "content-length" not in given:
        connection.putheader("Content-Length", str(len(target.body)))
    connection.endheaders(target.body or None)
