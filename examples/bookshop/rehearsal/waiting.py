"""Waiting that goes on as long as something moves: what a slow machine needs is no fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from trouble import Trouble

Seen = TypeVar("Seen")
PAUSE_S = 0.3


def until(
    what: str,
    look: Callable[[], Seen],
    there: Callable[[Seen], bool],
    still_s: float,
    beside: Callable[[], None] = lambda: None,
) -> Seen:
    """What was seen when it was there.

    Gives up when nothing that ``look`` sees has changed for ``still_s`` seconds.  ``beside`` is
    done at each look.
    """
    seen = look()
    changed = time.monotonic()
    while not there(seen):
        if time.monotonic() - changed > still_s:
            raise Trouble(
                f"waited for it that {what}, and nothing moved for {still_s:.0f} s: {seen}"
            )
        beside()
        time.sleep(PAUSE_S)
        before = seen
        seen = look()
        if seen != before:
            changed = time.monotonic()
    return seen
