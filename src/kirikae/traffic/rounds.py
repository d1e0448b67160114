"""Rounds of probes: each healthy target of both sides is asked the project's checks, again and
again while the move goes on.

A target that is broken fails round after round; where a part of all answers fails on both sides, a
target of the new side does so now and then by chance, while none of the old side happens to.  So
the old side is asked more often before a round counts, and the more of its own answers fail, by the
last hour or by the last half minute, the more rounds it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from kirikae.model.said import Said
from kirikae.traffic.batches import Arm
from kirikae.traffic.guards import Recent
from kirikae.traffic.probes import Probe
from kirikae.traffic.readiness import Members, Readiness

_LEAST_ROUNDS = 3
"""In which a target fails before it counts as harm; the last of them are judged."""
_JUDGED = 2
_CHANCE = 3e-8
"""About one of a hundred in a day of rounds with twenty targets."""
_HOUR_S = 3600.0
_LEAST_OF_HOUR = 200
_LATELY_S = 30.0
_ASKED_AGAIN = 24
_AGAIN_S = 3.0


def rounds_of(failing: float) -> int:
    """In how many rounds in a row a target must fail, where so large a part of the old side's
    probes does."""
    if failing >= 1:
        return _JUDGED * _ASKED_AGAIN
    if failing <= 0:
        return _LEAST_ROUNDS
    return max(_LEAST_ROUNDS, math.ceil(math.log(_CHANCE) / math.log(failing)))


class Rounds:
    """What it remembers is lost with the driver: the next one begins anew."""

    def __init__(self, readiness: Readiness, clock: Callable[[], float]) -> None:
        self._readiness = readiness
        self._clock = clock
        self._row: dict[str, int] = {}
        """Targets of the new side that failed in the last rounds, all alike, and in how many."""
        self._old = (Recent(_HOUR_S, _LEAST_OF_HOUR), Recent(_LATELY_S, 1))
        self.suspects: Mapping[str, Said] = {}
        """Of the targets that failed last, what was wrong."""

    def ask(self) -> dict[str, Arm]:
        """One round.  Raises AwsUnreachable: nobody knows the targets."""
        old = self._readiness.members("old")
        new = self._readiness.members("new")
        sides = {
            "old": Arm(healthy=len(old.healthy)),
            "new": Arm(healthy=len(new.healthy)),
        }
        if not self._readiness.project.checks:
            return sides
        failed_old = self._ask_old(old)
        self._note(_troubles(self._readiness.probes(new)))
        if self._lasting() and not failed_old:
            self._ask_again(old)
        failed = {"old": failed_old, "new": self._lasting()}
        return {side: arm._replace(probe_failed=failed[side]) for side, arm in sides.items()}

    def _note(self, failed: Mapping[str, Said]) -> None:
        """Those of the row that failed once more; where none did, a new row begins."""
        still = [target for target in self._row if target in failed]
        self._row = {target: self._row.get(target, 0) + 1 for target in still or failed}
        self.suspects = {target: failed[target] for target in self._row}

    def _lasting(self) -> int:
        """How many targets fail for longer than chance explains."""
        failing = max(asked.bad / (asked.of or 1) for asked in self._old)
        least = rounds_of(failing) - _JUDGED + 1
        return sum(rounds >= least for rounds in self._row.values())

    def _ask_old(self, old: Members) -> int:
        probes = self._readiness.probes(old)
        failed = len(_troubles(probes))
        for asked in self._old:
            asked.push(self._clock(), failed, len(probes))
        return failed

    def _ask_again(self, old: Members) -> None:
        """The new side fails alone, as far as one question a target tells.  One after another, so
        that a slow old side is not pressed."""
        until = self._clock() + _AGAIN_S
        for _ in range(math.ceil(_ASKED_AGAIN / max(1, len(old.healthy)))):
            self._ask_old(old)
            if self._clock() >= until:
                break


def _troubles(probes: list[Probe]) -> dict[str, Said]:
    return {probe.target: probe.trouble for probe in probes if probe.trouble is not None}
