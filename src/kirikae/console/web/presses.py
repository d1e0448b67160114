"""The red button in the browser: the same function as ``kirikae back-out``, on a thread of its own.

Share 0 comes first and within a second; what follows (the journal, late calls of a driver) may take
longer, and nobody has to wait for an answer of the browser.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from kirikae.console import pressing
from kirikae.console.here import Answer, Here, refused
from kirikae.model.errors import KirikaeError
from kirikae.model.said import text

_FIRST_S = 2.0
"""So long the browser waits for the whole answer; most are there by then."""


@dataclass(slots=True)
class Press:
    """One press: what was told while it was done, and the answer once there is one."""

    move: str
    who: str
    at: float
    told: list[str] = field(default_factory=list)
    answer: Answer | None = None

    @property
    def lines(self) -> list[str]:
        """What a tired person reads, the outcome last."""
        if self.answer is None:
            return list(self.told)
        return [*self.told, *self.answer.lines, *self.answer.notes]


@dataclass(slots=True)
class Presses:
    """The last press of each move, for every page that shows it."""

    _last: dict[tuple[str, str], Press] = field(default_factory=dict)

    def of(self, place: str, move: str) -> Press | None:
        """None: nobody has pressed since the console was started."""
        return self._last.get((place, move))

    def press(
        self,
        place: str,
        here: Here,
        move: str,
        reason: str,
    ) -> Press:
        """Answers when it is done, or after two seconds; then it goes on by itself."""
        made = Press(
            move,
            here.person,
            time.time(),
        )
        self._last[place, move] = made
        # No daemon: a console that is stopped in the middle first ends what it began.
        thread = threading.Thread(
            target=_carry_out, args=(made, here, move, reason), name=f"button {move}"
        )
        thread.start()
        thread.join(_FIRST_S)
        return made


def _carry_out(
    made: Press,
    here: Here,
    move: str,
    reason: str,
) -> None:
    try:
        made.answer = pressing.back_out(
            here,
            move,
            text(reason),
            False,
            made.told.append,
        )
    except KirikaeError as error:
        made.answer = refused(error.exit, str(error))
