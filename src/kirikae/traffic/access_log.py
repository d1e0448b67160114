"""Figures from the load balancer's access log: one vote per client, single routes, errors that the
balancer itself made.

CloudWatch counts requests; where one client's retries make errors come in bursts, counting requests
makes false alarms of it.  Here a client (address and user agent; the log has no cookies) has one
vote per side and period: the part of its requests there that failed.  A log file holds five minutes
and is delivered after them, by each node of the load balancer: figures are that much later.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import urlsplit

from kirikae.aws import logs_bucket
from kirikae.aws.elbv2 import TargetGroup
from kirikae.aws.session import Aws
from kirikae.move.judge import QUANTILES
from kirikae.traffic.batches import NOBODY, Arm, Batch
from kirikae.traffic.figures import (
    PAST_PERIOD_S,
    PAST_S,
    TRAILING_S,
    Asked,
    Unread,
    dispersion_of,
    periods,
)

_FIELD = re.compile(r'"[^"]*"|\S+')
_CLIENT = 3
_TARGET = 4
_TARGET_S = 6
_STATUS = 8
_REQUEST = 12
_AGENT = 13
_GROUP = 16
_CREATED = 21
_ABORTED = 460
"""The client closed the connection (ELB user guide, HTTP 460): nobody's error."""
_READS = ("GET", "HEAD", "OPTIONS", "-")
_DIGITS = 6
_SAMPLE = 20_000
_LEAST = 100
MOST_LINES = 1_000_000
"""Of the past: some ten seconds of reading."""
_FILE_S = 900.0
"""A file is looked for so long after its requests began: five minutes of log, and its delivery."""


class Request(NamedTuple):
    """One line.  ``at``: when it arrived.  ``seconds``: the target's time, None if it did not
    answer.  ``rejected``: answered with 4xx.  ``writes``: it is no GET or HEAD.
    ``target``: address and port of who was asked; empty where nobody could be."""

    at: float
    side: str
    client: str
    bad: bool
    seconds: float | None
    path: str
    rejected: bool = False
    writes: bool = False
    target: str = ""


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
    if not math.isfinite(took):
        raise ValueError(fields[_TARGET_S])
    if status == _ABORTED:
        return None
    method, _, rest = fields[_REQUEST].strip('"').partition(" ")
    client = fields[_CLIENT].rpartition(":")[0] + fields[_AGENT]
    return Request(
        at,
        groups[fields[_GROUP]],
        client,
        status >= 500,
        took if took >= 0 else None,
        urlsplit(rest.rpartition(" ")[0]).path,
        400 <= status < 500,
        method not in _READS,
        fields[_TARGET].strip("-"),
    )


class Logged(NamedTuple):
    """A file of the log.  ``ended``: when its five minutes did."""

    ended: float
    requests: Iterable[Request]


class Votes:
    """Requests of one period by side, client and route, as one vote per client and side (or, if
    asked, as one each).

    A vote is shared out over what the client asked for, so that all routes together are one.
    """

    def __init__(self, per_client: bool) -> None:
        self._per_client = per_client
        self._asked: dict[str, dict[str, list[tuple[str, Request]]]] = {
            "old": {},
            "new": {},
        }
        self._in_all: Counter[str] = Counter()

    def add(self, request: Request, route: str = "") -> None:
        clients = self._asked[request.side]
        clients.setdefault(request.client, []).append((route, request))
        self._in_all[request.client] += 1

    def routes(self, bounds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Arm]]:
        """Route -> side -> counts."""
        found: dict[str, dict[str, Arm]] = {}
        for side, clients in self._asked.items():
            sums: dict[str, _Sum] = {}
            for client, asked in clients.items():
                weight = 1 / len(asked) if self._per_client else 1.0
                for route, request in asked:
                    if route not in sums:
                        sums[route] = _Sum(bounds[side])
                    sums[route].add(request, weight, self._in_all[client])
            for route, counted in sums.items():
                found.setdefault(route, {})[side] = counted.arm(self._per_client)
        return found


class _Sum:
    """Weights of one side's requests at one route."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._served = 0
        self._votes = 0.0
        self._bad = 0.0
        self._rejected = 0.0
        self._slow = dict.fromkeys(bounds, 0.0)
        self._mix = {"per_client": 0.0, "writes": 0.0}

    def add(
        self,
        request: Request,
        weight: float,
        of_client: int,
    ) -> None:
        self._served += 1
        self._votes += weight
        self._bad += weight * request.bad
        self._rejected += weight * request.rejected
        for bound in self._slow:
            if request.seconds is None or request.seconds > bound:
                self._slow[bound] += weight
        self._mix["per_client"] += of_client
        self._mix["writes"] += request.writes

    def arm(self, voted: bool) -> Arm:
        return arm_of(
            self._votes,
            self._bad,
            self._rejected,
            self._slow,
            self._served if voted else None,
            self._mix,
        )


def arm_of(
    votes: float,
    bad: float,
    rejected: float,
    slow: Mapping[float, float],
    served: int | None,
    mix: Mapping[str, float],
) -> Arm:
    """Votes, of which these are bad.  ``served``: the requests that they stand for; None: each
    request is one."""
    of = _count(votes)
    within = {bound: max(0, of - _count(n)) for bound, n in slow.items()}
    return Arm(
        of,
        min(of, _count(bad)),
        None,
        {bound: _count(n) for bound, n in within.items()},
        min(of, _count(rejected)),
        served,
        mix=mix,
    )


def _count(weights: float) -> float:
    """To six digits, and as a whole number where it is one."""
    found = round(weights, _DIGITS)
    return int(found) if found == int(found) else found


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
        self.per_client = per_client
        self._groups = {old.arn: "old", new.arn: "new"}
        self._read: set[str] = set()
        self._unread = Unread()
        self._waiting: list[Request] = []
        self._old_times: deque[tuple[float, float]] = deque(maxlen=_SAMPLE)

    def _fetch(self, since: float, until: float) -> None:
        """Every file that has come since the last look."""
        for key in logs_bucket.files(
            self._aws,
            self._place,
            since,
            until + _FILE_S,
        ):
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
        for stamp, votes in self._votes(stamps).items():
            counted = votes.routes(asked.bounds)
            found.append(asked.batch(stamp, self._period_s, counted or {"": {}}))
        return found

    def past(self, until: float, bounds: Mapping[str, float]) -> dict[str, float]:
        """Of as much of the day before as may be read (``back_from``), minute by minute, in votes
        of the periods that the move has."""
        end = math.floor(until / PAST_PERIOD_S) * PAST_PERIOD_S
        asked = {"old": sorted(set(bounds.values())), "new": ()}
        begun: dict[int, Votes] = {}
        minutes: dict[int, Arm] = {}
        for file in self.back_from(end):
            for stamp in [stamp for stamp in begun if stamp >= file.ended]:
                minute = stamp - stamp % PAST_PERIOD_S
                counted = begun.pop(stamp).routes(asked)[""]["old"]
                minutes[minute] = minutes.get(minute, NOBODY).plus(counted)
            for request in file.requests:
                stamp = math.floor(request.at / self._period_s) * self._period_s
                if stamp < end:
                    begun.setdefault(stamp, Votes(self.per_client)).add(request)
        return dispersion_of([minutes[stamp] for stamp in sorted(minutes)], bounds)

    def back_from(self, until: float) -> Iterator[Logged]:
        """The old side's requests of the day before, the latest file first; where it is more than
        a million lines, of as much of the day."""
        since = until - PAST_S
        lines = 0
        for key in reversed(
            logs_bucket.files(
                self._aws,
                self._place,
                since,
                until + _FILE_S,
            )
        ):
            found = logs_bucket.lines(self._aws, self._place, key) or ()
            yield Logged(logs_bucket.ended(key), self._of_old(found))
            lines += len(found)
            if lines >= MOST_LINES:
                return
        yield Logged(since, ())

    def _of_old(self, lines: Iterable[str]) -> Iterator[Request]:
        """What cannot be read is nobody's."""
        for line in lines:
            with suppress(ValueError):
                request = request_of(line, self._groups)
                if request is not None and request.side == "old":
                    yield request

    def _votes(self, stamps: range) -> dict[int, Votes]:
        """By period; nobody asks for older ones again."""
        votes = {stamp: Votes(self.per_client) for stamp in stamps}
        for request in self._waiting:
            if stamps.start <= request.at < stamps.stop:
                stamp = int(request.at // self._period_s) * self._period_s
                votes[stamp].add(request, self._route(request.path))
        self._waiting = [request for request in self._waiting if request.at >= stamps.start]
        return votes

    def _route(self, path: str) -> str:
        return next(
            (route for route in self._routes if fnmatchcase(path, route)),
            "",
        )
