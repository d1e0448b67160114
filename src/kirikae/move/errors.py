"""What can go wrong while a move is driven.

KirikaeError
├── UsageProblem
│   └── UnknownMove      2  no entry of this move is in the journal
├── Beaten               1  another driver wrote this entry first
├── NewerFormat          1  the journal was written by a newer kirikae
├── HandOnKnob           1  somebody else turned the share
├── AnotherSubject       1  the project file names another thing than the move that is under way
├── Unfinished
│   ├── LeaseLost        3  another driver took over
│   ├── StillThere       3  share 0 could not be set, although it was tried for minutes
│   └── LeftAlone        3  a live move was left without a driver
└── Waiting
    ├── Driven           5  another driver holds the lease
    └── Stopped          5  the driver was told to stop
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError, Unfinished, UsageProblem, Waiting
from kirikae.model.share import percent


class UnknownMove(UsageProblem):
    """No entry of this move is in the journal."""


class Beaten(KirikaeError):
    """Another driver wrote this entry first; read again before acting."""


class NewerFormat(KirikaeError):
    """The journal was written by a newer kirikae."""


class HandOnKnob(KirikaeError):
    """The share in the world is not the one the journal says: somebody else turned it.

    ``found``: the share in permille; None where what is set says nothing about it.
    """

    def __init__(self, found: int | None, expected: int) -> None:
        at = "no share that can be told" if found is None else percent(found)
        super().__init__(f"the share was set to {at}; the journal says {percent(expected)}")
        self.found = found
        self.expected = expected


def assert_no_hand(found: int | None, expected: tuple[int, ...] | None) -> None:
    """``expected``: the shares (permille) that may be found; None: any.  Raises HandOnKnob."""
    if expected is not None and found not in expected:
        raise HandOnKnob(found, expected[0])


class AnotherSubject(KirikaeError):
    """What the project file names is not what this move began with."""


class LeaseLost(Unfinished):
    """Another driver took over; this one must not act any more."""


class StillThere(Unfinished):
    """Share 0 could not be set."""


class LeftAlone(Unfinished):
    """What a live move met did not go away: it is left where it is."""


class Driven(Waiting):
    """Somebody else drives this move."""


class Stopped(Waiting):
    """The driver was told to stop; the move stands as the journal says."""
