"""Figures per load balancer and target group, counted from HAProxy's log by the second.

Latency is kept as counts per whole millisecond, HAProxy's own resolution, so that ``TC(a:b)`` is
exact."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kirikae.local.elb.actions import chosen
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.figures")

KEPT_S = 3 * 3600
# pipe(7): the largest that an unprivileged process may have unless the system says otherwise.
_BUFFER = 1 << 20
_READ_AT_ONCE = 1 << 18
_OWN_ERRORS = (500, 502, 503, 504)
"""Of the load balancer's own answers those that have a count each."""
_ANSWERED_BY_RULE = {
    "redirect": "HTTP_Redirect_Count",
    "fixed-response": "HTTP_Fixed_Response_Count",
}
LINE = "%f %b %s %ST %Tr %ts %U %B %[var(txn.rule)] %[http_first_req]"
"""What HAProxy tells of every request; the access log's own fields follow where one is kept."""
_LEAST_FIELDS = 11


@dataclass(frozen=True, slots=True)
class Told:
    """One request as HAProxy's log tells it."""

    listener: str
    group: str
    """Empty where the load balancer answered by itself."""
    slot: str
    status: int
    response_ms: int
    """-1 where no target answered."""
    ended: str
    received: int
    sent: int
    rule: str
    first: bool
    """The first request of its connection."""
    more: list[str]

    @property
    def by_target(self) -> bool:
        """Did a target answer?"""
        return bool(self.group) and self.response_ms >= 0

    def counts(self) -> Counter[str]:
        """Names of the counts that rise, and by how much."""
        found = Counter(
            {
                "RequestCount": 1,
                "ProcessedBytes": self.received + self.sent,
            }
        )
        family = f"{self.status // 100}XX"
        if self.by_target:
            found[f"HTTPCode_Target_{family}_Count"] = 1
            return found
        found[f"HTTPCode_ELB_{family}_Count"] = 1
        if self.status in _OWN_ERRORS:
            found[f"HTTPCode_ELB_{self.status}_Count"] = 1
        if self.group and self.ended[1:2] == "C":
            found["TargetConnectionErrorCount"] = 1
        return found


def read_line(line: str) -> Told | None:
    """One log line; None for other lines, and for a request whose client went away: nobody's
    request."""
    fields = line.split()
    if len(fields) < _LEAST_FIELDS or fields[0] != "R":
        return None
    _, listener, backend, slot, status, response_ms, ended, received, sent, rule, first = fields[
        :_LEAST_FIELDS
    ]
    if not status.isdigit() or ended.startswith("C"):
        return None
    return Told(
        listener,
        backend.removeprefix("tg-") if backend.startswith("tg-") else "",
        slot,
        int(status),
        int(response_ms),
        ended,
        int(received),
        int(sent),
        rule,
        first == "1",
        fields[_LEAST_FIELDS:],
    )


@dataclass
class _Second:
    """What is counted of one subject in one second."""

    counts: Counter[str] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)


class Recorder:
    """Reads the log pipe that HAProxy writes to.  The pipe keeps some seconds of lines while nobody
    reads."""

    def __init__(
        self,
        state: State,
        pipe: Path,
        keep: Callable[[Told], None] = lambda told: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``keep`` is told of each request of a load balancer whose access log is on; figures are
        filed by ``clock``."""
        self._state = state
        self._pipe = pipe
        self._keep = keep
        self._clock = clock
        self._open: dict[tuple[str, int], _Second] = defaultdict(_Second)
        self._rest = b""
        self._fd = -1

    def start(self) -> None:
        """Open the pipe and read it as lines come; called once, within the event loop.

        Raises OSError where there is no pipe.
        """
        self._fd = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _BUFFER)
        except OSError as error:
            log.warning("the log pipe keeps its default size: %s", error)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def stop(self) -> None:
        """Read no more, and write down every second that was begun.  May be called again."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self.write_out(math.inf)

    def _read(self) -> None:
        """Take what the pipe has now; half a line waits for its other half.

        A line that cannot be read is told of and skipped: no figure is worth the loop.
        """
        try:
            data = os.read(self._fd, _READ_AT_ONCE)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        second = int(self._clock())
        for line in lines:
            try:
                self._take(second, read_line(line.decode(errors="replace")))
            except (ValueError, OSError) as error:
                log.warning("a log line cannot be read or kept (%s): %r", error, line[:400])

    def _take(self, second: int, told: Told | None) -> None:
        """Count one request for its target group and for its listener."""
        if told is None:
            return
        counts = told.counts()
        for subject in filter(None, (told.group, told.listener)):
            current = self._open[subject, second]
            current.counts.update(counts)
            if told.by_target:
                current.times[told.response_ms] += 1
        own = self._open[told.listener, second].counts
        if told.first:
            own["NewConnectionCount"] += 1
        if not told.group and (kind := _ANSWERED_BY_RULE.get(self._action_of(told.rule))):
            own[kind] += 1
        if told.more:
            self._keep(told)

    def _action_of(self, rule_id: str) -> str:
        """Empty for a rule that is gone."""
        for rule in self._state.rules.all():
            if rule["id"] == rule_id:
                return chosen(rule["actions"])["Type"]
        return ""

    def write_out(self, now: float) -> None:
        """Put every second that is over into the store; several parts of one second are added
        up."""
        for subject, second in [key for key in self._open if key[1] < now - 1]:
            current = self._open[subject, second]
            counts = Counter(current.counts)
            times = Counter(current.times)
            for _, before in self._state.counted(subject, second, second + 1):
                counts.update(before["counts"])
                times.update(before["times"])
            self._state.put_figure(
                subject,
                second,
                {
                    "counts": counts,
                    "times": times,
                },
            )
            del self._open[subject, second]

    def write_gauges(self, now: float, connections: Mapping[str, int]) -> None:
        """Healthy and unhealthy targets of each group; open connections of each listener."""
        targets = self._state.targets.all()
        for group in self._state.groups.all():
            states = [target["state"] for target in targets if target["group"] == group["id"]]
            hosts = {
                "HealthyHostCount": states.count("healthy"),
                "UnHealthyHostCount": states.count("unhealthy"),
            }
            self._state.put_figure(f"gauge/{group['id']}", int(now), hosts)
        for listener in self._state.listeners.all():
            key = listener["id"]
            if key in connections:
                open_now = {"ActiveConnectionCount": connections[key]}
                self._state.put_figure(f"gauge/{key}", int(now), open_now)
