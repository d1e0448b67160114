"""The ledger: which firings there are, who holds them, and how they ended.

One key, (job, due); a lease says who may run it now, a fence who may say how it ended.
``SqliteRows`` and ``DynamoRows`` keep the rows, ``Book`` knows the law, and ``HttpLedger`` asks a
``Book`` that another process owns.  All of them pass ``tests/contract/test_ledger.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kirikae.jobs.job import LIKE_CRON, Firing, Job, Owner, Policy, State

LEASE_S = 60.0
BEAT_S = 15.0


class Why(StrEnum):
    """Why a claim is refused; what a worker does with the message follows from it."""

    OTHER_SIDE = "other-side"
    """The firing belongs to the other side."""
    HELD = "held"
    """Somebody runs it at this moment: leave the message, ask later."""
    OVER = "over"
    """It has ended: delete the message."""
    SUPERSEDED = "superseded"
    """A later attempt is under way: delete the message."""
    OVERLAP = "overlap"
    """An earlier firing of the same lock still runs, and this one has to wait."""
    SKIPPED = "skipped"
    """An earlier firing of the same lock ran when it was due: it does not run at all."""
    MISSED = "missed"
    """Its start deadline has passed."""
    TOO_EARLY = "too-early"
    """A retry whose time has not come."""
    UNKNOWN = "unknown"
    """No such firing was admitted."""

    @property
    def final(self) -> bool:
        """May the message be deleted?"""
        return self not in (Why.HELD, Why.OVERLAP, Why.TOO_EARLY, Why.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Refused:
    """``firing``: as it stands, if there is one.  ``until``: when asking again makes sense."""

    why: Why
    firing: Firing | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker or a guard asks for.

    ``attempt``: the one its message names; None: whichever is next.  ``admit``: with this policy,
    if nobody has written it down (a guard knows its own firings).  ``start``: the command begins
    at once, so ``start`` need not be called.
    """

    job: str
    due: int
    side: Owner
    holder: str
    lease_s: float = LEASE_S
    attempt: int | None = None
    admit: Policy | None = None
    start: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """What a granted claim is proven by: the fence must still be the newest."""

    job: str
    due: int
    fence: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.  ``state``: SUCCEEDED, FAILED or NOT_STARTED.  ``again``: may it be retried
    by its policy?  ``give_back``: nothing was started, somebody else shall have it."""

    state: State
    exit_code: int | None = None
    reason: str = ""
    tail: str = ""
    again: bool = True
    give_back: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to which minute all firings of a table of jobs are admitted, and by which serial."""

    serial: int
    minute: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """``fresh``: this call wrote it down; otherwise it was there already."""

    firing: Firing
    fresh: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A firing to be admitted.  ``missed``: too late, only to be written down as missed."""

    job: str
    due: int
    digest: str = ""
    serial: int = 0
    policy: Policy = LIKE_CRON
    late_by_s: float = 0.0
    missed: bool = False


class Ledger(Protocol):
    """Every call is atomic and durable when it returns; every one may be repeated.

    Raises LedgerAway where it cannot be reached or written; then nothing is known of the call.
    """

    def now(self) -> float:
        """Seconds, by the clock that leases are measured with."""
        ...

    def define(self, jobs: Sequence[Job]) -> None:
        """Keep definitions by their digests."""
        ...

    def definition(self, digest: str) -> Job | None:
        """None: nobody kept it."""
        ...

    def owners(self) -> Mapping[str, Owner]:
        """Of all jobs that were ever handed to somebody; every other job is the old side's."""
        ...

    def own(self, jobs: Sequence[str], owner: Owner, only_new: bool = False) -> None:
        """Hand jobs over; firings that are written down already stay where they are.

        ``only_new``: leave those alone that have an owner."""
        ...

    def since(self, jobs: Sequence[str], minute: int) -> Mapping[str, int]:
        """When each job was first heard of; those that are new are written down as of this
        minute."""
        ...

    def mark(self, table: str) -> Mark | None:
        """None: this table was never admitted."""
        ...

    def raise_mark(self, table: str, mark: Mark) -> Mark:
        """It never falls.  The answer is what stands: another serial there means that a newer
        table is in force."""
        ...

    def admit(self, wanted: Sequence[Wanted]) -> list[Admitted]:
        """In the order that was asked; the same firing is fresh once in the world."""
        ...

    def sent(self, firings: Sequence[Firing]) -> None:
        """Their messages are in the queue."""
        ...

    def unsent(self, most: int = 1000) -> list[Firing]:
        """What the new side owns, whose time has come, and no message carries yet."""
        ...

    def claim(self, claim: Claim) -> Firing | Refused:
        """The lease, under a fence that nobody had before; or why not."""
        ...

    def start(self, hold: Hold, task: str = "") -> bool:
        """From here on the command may have had effects.  False: the fence is not the newest."""
        ...

    def heartbeat(self, hold: Hold, lease_s: float = LEASE_S) -> bool:
        """Lengthen the lease.  False: it was lost; end the command."""
        ...

    def finish(self, hold: Hold, ending: Ending) -> bool:
        """False: the fence is not the newest, and this ending does not count."""
        ...

    def sweep(self, most: int = 1000) -> list[Firing]:
        """Settle leases that ran out and firings that began too late; what changed."""
        ...

    def firing(self, job: str, due: int) -> Firing | None:
        """As it stands."""
        ...

    def history(
        self,
        job: str | None = None,
        since: int | None = None,
        until: int | None = None,
        most: int = 200,
    ) -> list[Firing]:
        """The newest first; ``since`` and ``until`` are minutes, the last not included."""
        ...
