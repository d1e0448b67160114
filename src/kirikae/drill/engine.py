"""The load engine: sends every request when it is due, whatever the server does.

One process for each core: an own asyncio protocol on uvloop, requests made before the run, one
timer of the kernel, no object for a request.  A request that finds no idle connection opens a new
one: with a fixed pool, a hung server would eat the pool, and the engine's own queue would be taken
for the service's slowness.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import httptools
import numpy as np
import uvloop
from numpy.typing import NDArray

from kirikae.drill.columns import MOST_TOLD, Columns, Error, Record
from kirikae.drill.errors import TargetsProblem
from kirikae.drill.plan import Plan
from kirikae.drill.targets import Target

_LIBC = ctypes.CDLL(None, use_errno=True)
_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_ABSOLUTE = 1
_LEAD_NS = 300_000_000
"""From the fork until the first request is due."""
_TOGETHER_NS = 100_000
"""Requests that are due within this time go out together: at high rates waking up costs more than
sending."""
_CONNECTING = 256
"""Connections that are opened at once, to one origin and by one process."""
_HANDSHAKING = 16
"""The same with TLS, where one costs as much CPU as dozens of requests: many at once would starve
those that are answered already, and one stall would become a storm of handshakes."""
_ANSWER_S = 0.005
_SWEEP_S = 0.05
_KEPT_FILES = 64
_LOOKED_AT = 1 << 20
"""So much of a body is searched for the text that it must have."""
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``timeout_s``: a request without a complete answer so long after it was due is lost.
    ``connections``: at most, of all processes.  ``told_by``: a header of answers whose value is
    kept; empty: none."""

    processes: int = 1
    timeout_s: float = 30.0
    connections: int = 10_000
    insecure: bool = False
    told_by: str = ""


class _Alarm:
    """Rings at absolute times of CLOCK_MONOTONIC, far finer than the millisecond timers of the
    loop (timerfd_create(2); Python has it from 3.13 on)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ring: Callable[[], None],
    ):
        self._fd = _LIBC.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()
        self._ring = ring
        loop.add_reader(self._fd, self._rung)

    def _rung(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._ring()

    def at(self, when_ns: int) -> None:
        """A time that is past rings at once."""
        self._spec[2], self._spec[3] = divmod(max(when_ns, 1), 1_000_000_000)
        _LIBC.timerfd_settime(
            self._fd,
            _ABSOLUTE,
            self._spec,
            None,
        )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where connections go."""

    address: tuple[str, int]
    tls: ssl.SSLContext | None
    host: str


class _Wire(NamedTuple):
    """A target as it is sent.  ``origin``: its number.  ``text``: what its answer must have."""

    octets: bytes
    origin: int
    is_head: bool
    text: bytes


class _Connection(asyncio.Protocol):
    """Carries one request at a time.  ``request``: its number; -1: idle."""

    __slots__ = (
        "_file",
        "_parser",
        "_pool",
        "_request",
        "_reused",
        "_sender",
        "transport",
    )

    def __init__(
        self,
        sender: _Sender,
        pool: _Pool,
    ):
        self._sender = sender
        self._pool = pool
        self._request = -1
        self._reused = False
        self._parser: _Answer | None = None
        self._file = -1
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if transport.get_extra_info("sslcontext") is None:
            self._file = transport.get_extra_info("socket").fileno()

    def carries(self, request: int) -> bool:
        """Is it this one that waits here?"""
        return self._request == request

    def send(
        self,
        request: int,
        wire: bytes,
    ) -> None:
        """Only an idle connection is given one."""
        self._request = request
        if self._file < 0:
            self.transport.write(wire)
            return
        # Past the transport, whose queue costs as much as all the rest: nothing else is on its way.
        try:
            sent = os.write(self._file, wire)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the loop tells of it: connection_lost
        if sent < len(wire):
            self.transport.write(wire[sent:])

    def data_received(self, data: bytes) -> None:
        request = self._request
        if request < 0:
            self.transport.abort()
            return
        now = time.monotonic_ns()
        sender = self._sender
        if not sender.columns.first[request]:
            sender.columns.first[request] = now
        if self._parser is None:
            read = _read_whole(data, sender.is_head(request))
            if read is not None:
                status, keep = read
                if sender.looks:
                    sender.look_at(request, _header(data, sender.told_by), _body(data))
                self._answered(
                    request,
                    status,
                    len(data),
                    now,
                    keep,
                )
                return
            self._parser = _Answer(sender.is_head(request), sender.told_by, sender.looks)
        self._parse(
            request,
            data,
            now,
        )

    def _parse(
        self,
        request: int,
        data: bytes,
        now: int,
    ) -> None:
        """What does not come whole in one piece, or is not told by its length."""
        parser = self._parser
        assert parser is not None
        try:
            parser.feed(data)
        except httptools.HttpParserError:
            self._fail(request, Error.NO_HTTP)
            return
        if parser.complete:
            self._sender.look_at(request, parser.told, parser.body)
            self._answered(
                request,
                parser.status,
                parser.octets,
                now,
                parser.keep,
            )

    def _answered(
        self,
        request: int,
        status: int,
        octets: int,
        now: int,
        keep: bool,
    ) -> None:
        columns = self._sender.columns
        columns.done[request] = now
        columns.status[request] = status
        columns.octets[request] = octets
        columns.error[request] = Error.NONE
        self._request = -1
        self._parser = None
        self._reused = True
        if keep:
            self._pool.free(self)
        else:
            self.transport.close()
        self._sender.ended(Error.NONE)

    def _fail(
        self,
        request: int,
        error: Error,
    ) -> None:
        self._request = -1
        self.transport.abort()
        self._sender.failed(request, error)

    def give_up(self) -> None:
        """No answer came in time."""
        if self._request >= 0:
            self._fail(self._request, Error.TIMED_OUT)

    def connection_lost(self, exc: Exception | None) -> None:
        request = self._request
        self._pool.gone(self)
        if request < 0:
            return
        self._request = -1
        parser = self._parser
        if parser is not None and exc is None and parser.ended_by_close():
            columns = self._sender.columns
            columns.done[request] = time.monotonic_ns()
            columns.status[request] = parser.status
            columns.octets[request] = parser.octets
            columns.error[request] = Error.NONE
            self._sender.look_at(request, parser.told, parser.body)
            self._sender.ended(Error.NONE)
        elif self._reused and parser is None and not self._sender.columns.first[request]:
            # The server closed an idle connection as we sent: every client asks once more.
            self._pool.again(request)
        else:
            self._sender.failed(request, Error.CLOSED)


def _read_whole(data: bytes, head_only: bool) -> tuple[int, bool] | None:
    """(status, the connection stays open) of an answer that came in one piece and tells its length;
    None for every other one."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or data[:9] != b"HTTP/1.1 ":
        return None
    head = data[:end].lower()
    try:
        status = int(data[9:12])
    except ValueError:
        return None
    if status < 200 or b"\r\ntransfer-encoding:" in head:
        return None
    keep = b"\r\nconnection: close" not in head
    if head_only or status in (204, 304):
        return (status, keep) if len(data) == end + 4 else None
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return None
    stop = head.find(b"\r", at + 2)
    length = head[at + 17 : stop if stop > 0 else None].strip()
    if not length.isdigit() or len(data) != end + 4 + int(length):
        return None
    return status, keep


def _header(data: bytes, name: bytes) -> bytes | None:
    """Its value in an answer that came whole; ``name`` in lower case.  None: it is not there, or
    none is looked at."""
    if not name:
        return None
    end = data.find(b"\r\n\r\n")
    at = data[:end].lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    stop = data.find(b"\r\n", begin)
    return data[begin:stop].strip()


def _body(data: bytes) -> bytes:
    """Of an answer that came whole."""
    return data.partition(b"\r\n\r\n")[2]


class _Answer:
    """An answer that comes in pieces, read by httptools; what that one gets wrong is mended here:
    an answer to HEAD has no body, and 100 Continue is none."""

    __slots__ = (
        "_begun",
        "_head_only",
        "_keeps",
        "_length",
        "_parser",
        "_told_by",
        "body",
        "complete",
        "keep",
        "octets",
        "status",
        "told",
    )

    def __init__(self, head_only: bool, told_by: bytes = b"", keeps: bool = False):
        """``keeps``: the body is looked at."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._begun = False
        self._length = False
        self._told_by = told_by
        self._keeps = keeps
        self.told: bytes | None = None
        self.body = b""
        self.status = 0
        self.octets = 0
        self.complete = False
        self.keep = False

    def feed(self, data: bytes) -> None:
        """Raises httptools' HttpParserError."""
        self.octets += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.complete:
                raise

    def on_header(
        self,
        name: bytes,
        value: bytes,
    ) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._length = True
        elif self._told_by and name.lower() == self._told_by:
            self.told = value.strip()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._begun = self.status >= 200
        if self._begun and self._head_only:
            self._end()

    def on_body(self, part: bytes) -> None:
        if self._keeps and len(self.body) < _LOOKED_AT:
            self.body += part

    def on_message_complete(self) -> None:
        if self._begun:
            self._end()
        self._length = False

    def _end(self) -> None:
        if not self.complete:
            self.complete = True
            self.keep = self._parser.should_keep_alive() and not self._head_only

    def ended_by_close(self) -> bool:
        """A body without a length ends where the connection does."""
        return self._begun and not self._length and not self.complete


class _Pool:
    """The connections to one origin, and the requests that wait for one."""

    def __init__(
        self,
        sender: _Sender,
        where: _Origin,
    ):
        self._sender = sender
        self._where = where
        self._idle: list[_Connection] = []
        self._waiting: deque[int] = deque()
        self._connecting = 0
        self._at_once = _CONNECTING if where.tls is None else _HANDSHAKING
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: int) -> None:
        """At once, on an idle connection or on a new one; over the limit it waits."""
        if self._idle:
            self._sender.give(self._idle.pop(), request)
            return
        if self._sender.may_open():
            self._sender.begin(request)
        self._waiting.append(request)
        self.connect()

    def connect(self) -> None:
        """As many connections as requests wait.  Whichever is free first takes the first of them:
        to connect costs more than to ask, and a burst must not open hundreds."""
        self.open(min(len(self._waiting), self._at_once) - self._connecting)

    def open(self, connections: int) -> None:
        """So many more, as far as the limit allows."""
        for _ in range(connections):
            if not self._sender.may_open():
                return
            self._connecting += 1
            self._sender.open += 1
            task = self._sender.loop.create_task(self._connected())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connected(self) -> None:
        where = self._where
        connection = _Connection(self._sender, self)
        try:
            async with asyncio.timeout(self._sender.timeout_s):
                await self._sender.loop.create_connection(
                    lambda: connection,
                    *where.address,
                    ssl=where.tls,
                    server_hostname=where.host if where.tls is not None else None,
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            self._connecting -= 1
            self._sender.open -= 1
            if self._waiting:
                late = isinstance(error, TimeoutError)
                self._sender.failed(
                    self._waiting.popleft(), Error.TIMED_OUT if late else Error.REFUSED
                )
        else:
            self._connecting -= 1
            self.free(connection)
        self.connect()

    def free(self, connection: _Connection) -> None:
        """It may carry the next one."""
        if self._waiting:
            self._sender.give(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: _Connection) -> None:
        """It is no more."""
        with suppress(ValueError):
            self._idle.remove(connection)
        self._sender.open -= 1
        self._sender.connect()

    def again(self, request: int) -> None:
        """Before all others that wait."""
        self._waiting.appendleft(request)
        self.connect()

    def give_up(self, due_before_ns: int) -> None:
        """Requests that waited too long: begun, they are lost; else they were never sent."""
        columns = self._sender.columns
        while self._waiting and columns.due[self._waiting[0]] < due_before_ns:
            request = self._waiting.popleft()
            begun = columns.sent[request] > 0
            self._sender.failed(request, Error.TIMED_OUT if begun else Error.NOT_SENT)

    def end(self) -> deque[int]:
        """Stop connecting; answers what still waits."""
        for task in self._tasks:
            task.cancel()
        return self._waiting


class _Sender:
    """One process of the engine: its share of the requests.  ``open``: connections of all pools."""

    def __init__(
        self,
        columns: Columns,
        number: int,
        requests: Sequence[int],
        wires: Sequence[_Wire],
        origins: Sequence[_Origin],
        settings: Settings,
        ends_ns: int,
    ):
        self.columns = columns
        self.timeout_s = settings.timeout_s
        self.told_by = settings.told_by.lower().encode()
        self.looks = bool(settings.told_by) or any(wire.text for wire in wires)
        self._told: dict[bytes, int] = {}
        self.open = 0
        self._number = number
        self._requests = requests
        self._wires = wires
        self._pools = [_Pool(self, origin) for origin in origins]
        self._grace_ns = ends_ns + int(settings.timeout_s * 1e9)
        self._most = max(1, settings.connections // settings.processes)
        self._next = 0
        self._in_flight: deque[tuple[int, _Connection]] = deque()
        self._ahead = self._expected(ends_ns)
        self._counts = {
            "sent": 0,
            "answered": 0,
            "failed": 0,
        }

    def _expected(self, ends_ns: int) -> int:
        """Connections to open before the first request is due, so that the beginning is no storm of
        them: what the mean rate needs where answers take some milliseconds."""
        seconds = max(1e-3, (ends_ns - self.columns.due[0]) / 1e9)
        return min(_CONNECTING, 1 + int(len(self._requests) / seconds * _ANSWER_S))

    async def run(self) -> None:
        """Until every request has ended, or time is up."""
        self.loop = asyncio.get_running_loop()
        self._finished = self.loop.create_future()
        self.loop.set_exception_handler(_trouble_of_loop)
        self._alarm = _Alarm(self.loop, self._ring)
        for pool in self._pools:
            pool.open(self._ahead)
        self._sweep()
        self._ring()
        await self._finished

    def is_head(self, request: int) -> bool:
        """Was it HEAD that was asked?"""
        return self._wires[request % len(self._wires)].is_head

    def look_at(self, request: int, told: bytes | None, body: bytes) -> None:
        """An answer that is whole."""
        if not self.looks:
            return
        self.tell(request, told)
        wire = self._wires[request % len(self._wires)]
        if wire.text and not wire.is_head and wire.text not in body:
            self.columns.lacks[request] = 1

    def tell(self, request: int, value: bytes | None) -> None:
        """What the header says that is looked at, if it is there."""
        if value is None:
            return
        place = self._told.get(value)
        if place is None:
            if len(self._told) == MOST_TOLD:
                return
            place = self.columns.keep(self._number, len(self._told), value)
            self._told[value] = place
        self.columns.told[request] = place

    def _ring(self) -> None:
        """Send all that is due, and be woken for the next one."""
        due = self.columns.due
        requests = self._requests
        wires = self._wires
        pools = self._pools
        at = self._next
        many = len(requests)
        now = time.monotonic_ns()
        while at < many and due[requests[at]] <= now:
            request = requests[at]
            pools[wires[request % len(wires)].origin].send(request)
            at += 1
        self._next = at
        if at < many:
            self._alarm.at(max(due[requests[at]], now + _TOGETHER_NS))

    def give(
        self,
        connection: _Connection,
        request: int,
    ) -> None:
        """Ask it there."""
        self.begin(request)
        self._in_flight.append((request, connection))
        connection.send(request, self._wires[request % len(self._wires)].octets)

    def begin(self, request: int) -> None:
        """From here on the time is the service's: to connect is part of its answer."""
        if not self.columns.sent[request]:
            self.columns.sent[request] = time.monotonic_ns()
            self._counts["sent"] += 1

    def may_open(self) -> bool:
        """Is one more connection allowed?"""
        return self.open < self._most

    def connect(self) -> None:
        """A connection less: whoever waits may have a new one."""
        for pool in self._pools:
            pool.connect()

    def failed(
        self,
        request: int,
        error: Error,
    ) -> None:
        """No answer will come."""
        self.columns.error[request] = error
        self.columns.done[request] = time.monotonic_ns()
        self.ended(error)

    def ended(self, error: Error) -> None:
        """One request less."""
        self._counts["answered" if error == Error.NONE else "failed"] += 1
        if self._counts["answered"] + self._counts["failed"] >= len(self._requests):
            self._finish()

    def _sweep(self) -> None:
        """What waits too long is lost; whoever looks on is told; a stop is heard."""
        now = time.monotonic_ns()
        limit = now - int(self.timeout_s * 1e9)
        flying = self._in_flight
        while flying and (
            not flying[0][1].carries(flying[0][0]) or self.columns.due[flying[0][0]] < limit
        ):
            request, connection = flying.popleft()
            if connection.carries(request):
                connection.give_up()
        for pool in self._pools:
            pool.give_up(limit)
        self._tell()
        if self.columns.stop[0] or now > self._grace_ns:
            self._finish()
        elif not self._finished.done():
            self.loop.call_later(_SWEEP_S, self._sweep)

    def _tell(self) -> None:
        for name, value in self._counts.items():
            self.columns.count(self._number, name, value)

    def _finish(self) -> None:
        if self._finished.done():
            return
        stopped = bool(self.columns.stop[0])
        waiting = [request for pool in self._pools for request in pool.end()]
        left = [request for request, connection in self._in_flight if connection.carries(request)]
        left += [request for request in waiting if self.columns.sent[request]]
        for request in left:
            self.columns.error[request] = Error.STOPPED if stopped else Error.TIMED_OUT
            self.columns.done[request] = time.monotonic_ns()
        if stopped:
            for request in (*waiting, *self._requests[self._next :]):
                self.columns.error[request] = Error.STOPPED
        self._tell()
        self.columns.count(self._number, "cpu_ns", time.process_time_ns())
        self._finished.set_result(None)


def _trouble_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """uvloop tells of each TLS connection that was closed while it was written to.  The request has
    its verdict: nothing to tell."""
    if "SSL" not in str(context.get("message", "")):
        loop.default_exception_handler(context)


def attack(
    plan: Plan,
    targets: Sequence[Target],
    settings: Settings,
    look: Callable[[Columns, float], None] = lambda columns, seconds: None,
) -> Record:
    """Send the plan to the targets in turn, from forked processes; a KeyboardInterrupt stops it,
    and what was sent so far is the record.

    ``look``: called four times a second with the seconds since the plan's begin.  Raises
    TargetsProblem where a host's name has no address.
    """
    origins, numbers = _origins(targets, settings)
    wires = [
        _Wire(target.wire(), numbers[target.origin], target.method == "HEAD", target.text)
        for target in targets
    ]
    begins = time.monotonic_ns() + _LEAD_NS
    wall = time.time() + _LEAD_NS / 1e9
    due = begins + (plan.due * 1e9).astype(np.int64)
    columns = Columns.made(due, settings.processes)
    ends = begins + int(plan.seconds * 1e9)
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(
            target=_child,
            args=(columns, number, wires, origins, settings, ends),
            daemon=True,
        )
        for number in range(settings.processes)
    ]
    for child in children:
        child.start()
    _watch(
        children,
        columns,
        begins,
        look,
    )
    return _record(
        columns,
        begins,
        wall,
        len(targets),
        (time.monotonic_ns() - begins) / 1e9,
        bool(settings.told_by),
    )


def _child(
    columns: Columns,
    number: int,
    wires: Sequence[_Wire],
    origins: Sequence[_Origin],
    settings: Settings,
    ends_ns: int,
) -> None:
    """A process of its own: Ctrl-C is for the parent, which tells it to stop.  Who kills the parent
    ends the load."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    _many_files(settings.connections // settings.processes + _KEPT_FILES)
    requests = range(
        number,
        len(columns.due),
        settings.processes,
    )
    sender = _Sender(
        columns,
        number,
        requests,
        wires,
        origins,
        settings,
        ends_ns,
    )
    gc.collect()
    gc.freeze()
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(sender.run())


def _many_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _watch(
    children: Sequence[Any],
    columns: Columns,
    begins: int,
    look: Callable[[Columns, float], None],
) -> None:
    try:
        while any(child.is_alive() for child in children):
            try:
                children[0].join(0.25)
                look(columns, (time.monotonic_ns() - begins) / 1e9)
            except KeyboardInterrupt:
                columns.stop[0] = 1
    finally:
        columns.stop[0] = 1
        for child in children:
            child.join()


def _record(
    columns: Columns,
    begins: int,
    wall: float,
    targets: int,
    lasted: float,
    looked: bool,
) -> Record:
    """``looked``: a header was looked at."""
    told, values = _told(columns) if looked else (None, ())
    due = np.frombuffer(columns.due, np.int64).copy()
    return Record(
        due=due,
        sent=np.frombuffer(columns.sent, np.int64).copy(),
        first=np.frombuffer(columns.first, np.int64).copy(),
        done=np.frombuffer(columns.done, np.int64).copy(),
        status=np.frombuffer(columns.status, np.int16).copy(),
        error=np.frombuffer(columns.error, np.uint8).copy(),
        octets=np.frombuffer(columns.octets, np.int64).copy(),
        target=np.arange(len(due)) % targets,
        began_ns=begins,
        wall=wall,
        cores=tuple(cpu / 1e9 / max(lasted, 1e-9) for cpu in columns.counted("cpu_ns")),
        told=told,
        values=values,
        lacks=np.frombuffer(columns.lacks, np.uint8).copy(),
    )


def _told(columns: Columns) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Each process numbers values by itself: the same value gets one number here."""
    places, inverse = np.unique(np.frombuffer(columns.told, np.int16), return_inverse=True)
    names = ["" if place < 0 else columns.kept(int(place)) for place in places]
    values = sorted({name for place, name in zip(places, names, strict=True) if place >= 0})
    numbers = [
        -1 if place < 0 else values.index(name) for place, name in zip(places, names, strict=True)
    ]
    return np.array(numbers, np.int16)[inverse], tuple(values)


def _origins(
    targets: Sequence[Target], settings: Settings
) -> tuple[list[_Origin], dict[tuple[str, int, bool], int]]:
    """Each host is looked up once, before the run."""
    numbers: dict[tuple[str, int, bool], int] = {}
    found: list[_Origin] = []
    for target in targets:
        if target.origin in numbers:
            continue
        host, port, tls = target.origin
        try:
            address = socket.getaddrinfo(
                host,
                port,
                type=socket.SOCK_STREAM,
            )[0][4]
        except OSError as error:
            raise TargetsProblem(f"{host} has no address: {error}; is its name right?") from error
        numbers[target.origin] = len(found)
        context = _tls(settings.insecure) if tls else None
        found.append(
            _Origin(
                (str(address[0]), int(address[1])),
                context,
                host,
            )
        )
    return found, numbers


def _tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
