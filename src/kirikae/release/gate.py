"""The health gate: a release serves on a host once the host answers every check, three times in a
row, and names that release."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kirikae.hosts.errors import CommandFailed
from kirikae.hosts.ssh import Answer, Host
from kirikae.model.checks import unmet
from kirikae.model.project import Check
from kirikae.model.said import Words
from kirikae.release.errors import GateShut

ROUNDS = 3
"""So many times in a row all checks must pass: old workers may still answer right after a
reload."""
POLL_S = 0.3
_ANSWERS_AT_ALL = (Check(get="/"),)


@dataclass(frozen=True, slots=True)
class Gate:
    """``header`` names the release in every answer (None: the service does not tell)."""

    port: int
    checks: Sequence[Check]
    header: str | None
    patience_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, host: Host, release_id: str | None) -> None:
        """``release_id`` None: whichever release, as long as it answers well.

        Raises GateShut with what was wrong at the end of the patience, HostSilent.
        """
        deadline = self.clock() + self.patience_s
        passed = 0
        while True:
            trouble = self.trouble(host, release_id)
            passed = 0 if trouble else passed + 1
            if passed >= ROUNDS:
                return
            if trouble and self.clock() > deadline:
                raise GateShut(trouble)
            self.sleep(POLL_S)

    def trouble(self, host: Host, release_id: str | None) -> str | None:
        """The first check that this host does not pass, told with its name; None: it passes all.
        Raises HostSilent."""
        for check in self.checks or _ANSWERS_AT_ALL:
            try:
                answer = host.get(self.port, check.get)
            except CommandFailed as error:
                return str(error)
            problem = self._problem(
                check,
                answer,
                release_id,
            )
            if problem is not None:
                return f"{host.name}: {problem}"
        return None

    def _problem(
        self,
        check: Check,
        answer: Answer,
        release_id: str | None,
    ) -> str | None:
        unfit = unmet(
            check,
            answer.status,
            answer.body,
        )
        if unfit is not None:
            return Words.of().say(unfit)
        if self.header is None or release_id is None:
            return None
        named = answer.headers.get(self.header.lower())
        if named != release_id:
            return f"GET {check.get} came from release {named or 'none'}, not {release_id}"
        return None
