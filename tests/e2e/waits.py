"""Waiting for a move, as long as it moves."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Protocol

from tests.pace import PACE, eventually

MOST = 6.0
POLL_S = 0.5
"""Each look is a process of its own; without a pause they would be all that the machine does."""


def at_this_pace(project: str) -> str:
    """A project file with bake times, and answer times that are fast enough, as this machine has
    them now: a step must last until somebody has looked at it."""
    slowness = min(MOST, PACE.slowness())

    def longer(found: re.Match[str]) -> str:
        return f"{found[1]}: {math.ceil(slowness * int(found[2]))}s"

    return re.sub(r"(bake|fast_enough): (\d+)s", longer, project)


class Asks(Protocol):
    """Somebody with a shell."""

    def run(self, *arguments: str) -> tuple[int, str, str]: ...


def status(user: Asks) -> dict[str, Any]:
    """What `move status web` says; nothing before there is a move."""
    code, out, _ = user.run("move", "status", "web", "--json")
    return json.loads(out) if code == 0 else {}


def until_share(user: Asks, share: str) -> None:
    """The journal and the load balancer agree on it."""

    def shares() -> tuple[Any, Any]:
        seen = status(user)
        return seen.get("share"), seen.get("found_share")

    eventually(lambda: shares() == (share, share), f"the move is at {share}", 90, shares, POLL_S)


def until_phase(user: Asks, phase: str) -> None:
    eventually(
        lambda: status(user).get("phase") == phase, f"the move is {phase}", 90, poll_s=POLL_S
    )
