"""The old side's targets, told apart by the load balancer's access log: what each of them answered,
and what all the others did, minute by minute.

A client has one vote at a target and one at all the others together, as it has on each side of a
move (``access_log``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import floor

from kirikae.traffic.access_log import AccessLog, Request, arm_of
from kirikae.traffic.batches import Arm

MINUTE_S = 60
_ASKED = 0
_WRITES = 1
_BAD = 2
_REJECTED = 3
_SLOW = 4
"""Places in a row of counts; the slow ones, by bound, are the last."""


def by_target(log: AccessLog, until: float, bounds: Sequence[float]) -> ByTarget:
    """Over the day before ``until``, or as much of it as may be read."""
    counted = ByTarget(until, bounds, log.per_client)
    for file in log.back_from(until):
        counted.close(file.ended)
        for request in file.requests:
            counted.add(request)
    return counted


class ByTarget:
    """Feed it requests of the old side from the latest to the earliest log file.

    ``alone``, ``others``: target -> Unix time of a minute -> what it answered, and what all the
    others did.  ``whole``: what all of them did.  Requests that no target was asked for (the
    balancer answered them) are nobody's.
    """

    def __init__(
        self,
        until: float,
        bounds: Sequence[float],
        per_client: bool,
    ) -> None:
        """``bounds``: the times in seconds, rising, above which an answer is slow."""
        self._until = floor(until / MINUTE_S) * MINUTE_S
        self._bounds = bounds
        self._per_client = per_client
        self._open: dict[int, _Minute] = {}
        self.asked = 0
        self.alone: dict[str, dict[int, Arm]] = {}
        self.others: dict[str, dict[int, Arm]] = {}
        self.whole: dict[int, Arm] = {}

    def add(self, request: Request) -> None:
        stamp = floor(request.at / MINUTE_S) * MINUTE_S
        if not request.target or stamp >= self._until:
            return
        if stamp not in self._open:
            self._open[stamp] = _Minute(self._bounds, self._per_client)
        self._open[stamp].add(request)

    def close(self, ended: float) -> None:
        """Files that ended by then are all that is left: later minutes are complete."""
        for stamp in [stamp for stamp in self._open if stamp >= ended]:
            self._count(stamp, self._open.pop(stamp))

    def _count(self, stamp: int, minute: _Minute) -> None:
        whole = minute.whole()
        self.whole[stamp] = whole.arm(self._bounds, self._per_client)
        for target, (alone, others) in minute.sides(whole).items():
            self.asked += alone.served
            self.alone.setdefault(target, {})[stamp] = alone.arm(self._bounds, self._per_client)
            self.others.setdefault(target, {})[stamp] = others.arm(self._bounds, self._per_client)


class _Minute:
    """Counts of one minute by client and target."""

    def __init__(self, bounds: Sequence[float], per_client: bool) -> None:
        self._bounds = bounds
        self._per_client = per_client
        self._clients: dict[str, dict[str, list[int]]] = {}

    def add(self, request: Request) -> None:
        targets = self._clients.setdefault(request.client, {})
        counts = targets.setdefault(request.target, self._row())
        counts[_ASKED] += 1
        counts[_WRITES] += request.writes
        counts[_BAD] += request.bad
        counts[_REJECTED] += request.rejected
        bounds = self._bounds
        took = request.seconds
        for place in range(len(bounds) if took is None else bisect_left(bounds, took)):
            counts[_SLOW + place] += 1

    def _row(self) -> list[int]:
        return [0] * (_SLOW + len(self._bounds))

    def whole(self) -> _Sum:
        found = self._nothing()
        for targets in self._clients.values():
            of_client = _together(targets)
            found.add(of_client, of_client[_ASKED])
        return found

    def _nothing(self) -> _Sum:
        return _Sum(self._row(), self._per_client)

    def sides(self, whole: _Sum) -> dict[str, tuple[_Sum, _Sum]]:
        """Target -> what it answered, and what all the others did.

        Of the others most clients' votes are those of the whole: only who asked this target has
        another one there.
        """
        found: dict[str, tuple[_Sum, _Sum]] = {}
        for targets in self._clients.values():
            of_client = _together(targets)
            asked = of_client[_ASKED]
            for target, counts in targets.items():
                alone, others = found.setdefault(target, (self._nothing(), whole.copy()))
                alone.add(counts, asked)
                others.add(of_client, asked, -1)
                others.add(_without(of_client, counts), asked)
        return found


def _together(targets: Mapping[str, Sequence[int]]) -> list[int]:
    """What one client asked of all of them."""
    return list(map(sum, zip(*targets.values(), strict=True)))


def _without(counts: Sequence[int], part: Sequence[int]) -> list[int]:
    return [n - m for n, m in zip(counts, part, strict=True)]


class _Sum:
    """Votes, and the requests behind them."""

    def __init__(
        self,
        votes: Sequence[float],
        per_client: bool,
        served: int = 0,
    ) -> None:
        self._votes = list(votes)
        self._per_client = per_client
        self._per_client_asked = 0
        self._writes = 0
        self.served = served

    def copy(self) -> _Sum:
        found = _Sum(self._votes, self._per_client, self.served)
        found._per_client_asked = self._per_client_asked
        found._writes = self._writes
        return found

    def add(
        self,
        counts: Sequence[int],
        of_client: int,
        sign: int = 1,
    ) -> None:
        """``of_client``: how often this client asked in all."""
        asked = counts[_ASKED]
        if not asked:
            return
        weight = sign / asked if self._per_client else sign
        self._votes = [vote + weight * n for vote, n in zip(self._votes, counts, strict=True)]
        self.served += sign * asked
        self._per_client_asked += sign * asked * of_client
        self._writes += sign * counts[_WRITES]

    def arm(self, bounds: Sequence[float], voted: bool) -> Arm:
        mix = {
            "per_client": float(self._per_client_asked),
            "writes": float(self._writes),
        }
        return arm_of(
            self._votes[_ASKED],
            self._votes[_BAD],
            self._votes[_REJECTED],
            dict(zip(bounds, self._votes[_SLOW:], strict=True)),
            self.served if voted else None,
            mix,
        )
