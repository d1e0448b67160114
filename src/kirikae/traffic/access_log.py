"""Figures from the load balancer's access log: one vote per client, single routes, errors that the
balancer itself made.

CloudWatch counts requests; where one client's retries make errors come in bursts, counting requests
makes false alarms of it.  Here a client (address and user agent; the log has no cookies) has one
vote per side and period: bad if any of its requests was. A log file holds five minutes and is
delivered after them, by each node of the load balancer: figures are that much later."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from math import isfinite
from typing import NamedTuple
from urllib.parse import urlsplit

from kirikae.aws import logs_bucket
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import Arm, Batch, Sides
from kirikae.traffic.figures import TRAILING_S, Asked, Unread, periods

_FIELD = re.compile(r'"[^"]*"|\S+')
_CLIENT = 3
_TARGET_S = 6
_STATUS = 8
_REQUEST = 12
_AGENT = 13
_GROUP = 16
_CREATED = 21
_ABORTED = 460
"""The client closed the connection (ELB user guide, HTTP 460): nobody's error."""
_SAMPLE = 20_000
_LEAST = 100
_FILE_S = 900.0
"""A file is looked for so long after its requests began: five minutes of log, and its delivery."""


class Request(NamedTuple):
    """One line.  ``at``: when it arrived.  ``seconds``: the target's time, None if it did not
    answer."""

    at: float
    side: str
    client: str
    bad: bool
    seconds: float | None
    path: str


def request_of(line: str, groups: dict[str, str]) -> Request | None:
    """None for a line that is neither side's (``groups``: target group ARN -> side).

    Raises ValueError for a line that cannot be read: what a client sent stands in it.
    """
    fields = _FIELD.findall(line)
    if len(fields) <= _CREATED:
        raise ValueError(f"{len(fields)} fields")
    if fields[_GROUP] not in groups:
        return None
    status = int(fields[_STATUS])
    took = float(fields[_TARGET_S])
    try:
        at = datetime.fromisoformat(fields[_CREATED]).timestamp()
    except (OverflowError, OSError) as error:
        raise ValueError(fields[_CREATED]) from error
    if not isfinite(took):
        raise ValueError(fields[_TARGET_S])
    if status == _ABORTED:
        return None
    _, _, rest = fields[_REQUEST].strip('"').partition(" ")
    client = fields[_CLIENT].rpartition(":")[0] + fields[_AGENT]
    return Request(
        at,
        groups[fields[_GROUP]],
        client,
        status >= 500,
        took if took >= 0 else None,
        urlsplit(rest.rpartition(" ")[0]).path,
    )


class Votes:
    """Requests of one side and route in one period, as one vote per client (or, if asked, as one
    each)."""

    def __init__(self, per_client: bool) -> None:
        self._per_client = per_client
        self._clients: dict[object, tuple[bool, float]] = {}

    def add(self, request: Request) -> None:
        client = request.client if self._per_client else len(self._clients)
        bad, slowest = self._clients.get(client, (False, 0.0))
        self._clients[client] = (bad or request.bad, max(slowest, request.seconds or 0.0))

    def arm(self, bounds: Sequence[float]) -> Arm:
        within = {
            bound: sum(slowest <= bound for _, slowest in self._clients.values())
            for bound in bounds
        }
        return Arm(len(self._clients), sum(bad for bad, _ in self._clients.values()), None, within)


class AccessLog:
    """``routes``: patterns of paths that are judged by themselves as well, such as ``/pay/*``; the
    first that fits counts."""

    def __init__(
        self,
        aws: Aws,
        place: logs_bucket.Place,
        old: TargetGroup,
        new: TargetGroup,
        period_s: int,
        routes: tuple[str, ...] = (),
        per_client: bool = True,
    ) -> None:
        self._aws = aws
        self._place = place
        self._period_s = period_s
        self._routes = routes
        self._per_client = per_client
        self._groups = {old.arn: "old", new.arn: "new"}
        self._read: set[str] = set()
        self._unread = Unread()
        self._waiting: list[Request] = []
        self._old_times: deque[tuple[float, float]] = deque(maxlen=_SAMPLE)

    def _fetch(self, since: float, until: float) -> None:
        """Every file that has come since the last look."""
        for key in logs_bucket.files(self._aws, self._place, since, until + _FILE_S):
            if key not in self._read:
                self._take(logs_bucket.lines(self._aws, self._place, key))
                self._read.add(key)

    @property
    def unread(self) -> Unread:
        return self._unread

    def _take(self, lines: list[str] | None) -> None:
        if lines is None:
            self._unread = replace(self._unread, files=self._unread.files + 1)
        for line in lines or ():
            try:
                self._keep(request_of(line, self._groups))
            except ValueError:
                self._unread = replace(self._unread, lines=self._unread.lines + 1)

    def _keep(self, request: Request | None) -> None:
        if request is None:
            return
        self._waiting.append(request)
        if request.side == "old" and request.seconds is not None:
            self._old_times.append((request.at, request.seconds))

    def quantiles(self, until: float) -> dict[str, float]:
        since = until - TRAILING_S
        self._fetch(since, until)
        times = sorted(seconds for at, seconds in self._old_times if since <= at < until)
        if len(times) < _LEAST:
            return {}
        last = len(times) - 1
        return {metric: round(times[int(q * last)], 4) for metric, q in QUANTILES.items()}

    def batches(self, asked: Asked) -> list[Batch]:
        stamps = periods(asked.since, asked.until, self._period_s)
        if not stamps:
            return []
        self._fetch(asked.since, asked.until)
        found = []
        for stamp, routes in self._votes(stamps).items():
            counted: dict[str, Sides] = {}
            for route, sides in routes.items():
                counted[route] = {side: v.arm(asked.bounds[side]) for side, v in sides.items()}
            found.append(asked.batch(stamp, self._period_s, counted or {"": {}}))
        return found

    def _votes(self, stamps: range) -> dict[int, dict[str, dict[str, Votes]]]:
        """Period -> route -> side -> votes; nobody asks for older ones again."""
        votes: dict[int, dict[str, dict[str, Votes]]] = {stamp: {} for stamp in stamps}
        for request in self._waiting:
            if stamps.start <= request.at < stamps.stop:
                stamp = int(request.at // self._period_s) * self._period_s
                sides = votes[stamp].setdefault(self._route(request.path), {})
                sides.setdefault(request.side, Votes(self._per_client)).add(request)
        self._waiting = [request for request in self._waiting if request.at >= stamps.start]
        return votes

    def _route(self, path: str) -> str:
        return next((route for route in self._routes if fnmatchcase(path, route)), "")
