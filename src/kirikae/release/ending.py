"""How a deployment of an ECS service can end: a closed set, each with an exit code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kirikae.model.errors import Exit


class Ending(StrEnum):
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"
    SCALED_TO_ZERO = "scaled_to_zero"
    TIMED_OUT = "timed_out"
    PAUSED = "paused"


EXITS: Mapping[Ending, Exit] = {
    Ending.SUCCEEDED: Exit.DONE,
    Ending.ROLLED_BACK: Exit.BACKED_OUT,
    Ending.STOPPED: Exit.UNFINISHED,
    Ending.SUPERSEDED: Exit.UNFINISHED,
    Ending.SCALED_TO_ZERO: Exit.UNFINISHED,
    Ending.TIMED_OUT: Exit.UNFINISHED,
    Ending.PAUSED: Exit.UNFINISHED,
}
"""A pause that was asked for is done."""
_STOPPED = frozenset(["STOPPED", "STOP_REQUESTED", "ROLLBACK_FAILED"])
_ROLLED_BACK = frozenset(["ROLLBACK_SUCCESSFUL"])
_GOING_BACK = frozenset(["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"])


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look says of our own deployment, and nothing of anybody else's.

    ``status``: of the service deployment (empty: AWS does not say).  ``rollout``: of its entry in
    the service (empty: it has none any more).  ``is_primary``: that entry is the service's primary
    one.  ``serves``: as many tasks run as are desired, and the load balancer answers.
    """

    status: str
    rollout: str
    is_primary: bool
    desired: int
    serves: bool
    paused: bool = False
    former_serves: bool = False
    """The primary one runs what ran before again."""


def judged(sight: Sight) -> Ending | None:
    """None: it goes on."""
    if sight.status in _ROLLED_BACK or sight.rollout == "FAILED":
        return Ending.ROLLED_BACK
    if sight.status in _STOPPED:
        return Ending.STOPPED
    if sight.status in _GOING_BACK:
        # Told once it is known where it ends.
        return None
    if not sight.is_primary:
        return Ending.ROLLED_BACK if sight.former_serves else Ending.SUPERSEDED
    if sight.paused:
        return Ending.PAUSED
    return _of_progress(sight)


def _of_progress(sight: Sight) -> Ending | None:
    """ECS takes a deployment without tasks for completed, too."""
    complete = sight.status == "SUCCESSFUL" or sight.rollout == "COMPLETED"
    if not complete:
        return None
    if not sight.desired:
        return Ending.SCALED_TO_ZERO
    return Ending.SUCCEEDED if sight.serves else None
