"""What ends a rehearsal before its time."""

from __future__ import annotations

AGAIN = "run `make rehearse` again; with REHEARSAL_KEEP_FAILED=1 it leaves everything for a look"


class Trouble(Exception):
    """The rehearsal cannot go on; ``what_to_do`` is one sentence for whoever ran it."""

    def __init__(self, why: str, what_to_do: str = AGAIN) -> None:
        super().__init__(why)
        self.what_to_do = what_to_do


class Stopped(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
