"""What may become of a firing: pure functions from one row to the next.

Whoever keeps the rows reads, asks here, and writes what came back, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from kirikae.jobs.job import Firing, OnCrash, Overlap, Owner, Run, State
from kirikae.jobs.ledger import BEAT_S, Claim, Ending, Hold, Mark, Refused, Wanted, Why

KILL_GRACE_S = 20.0
"""How long a replaced run may take to notice at its next heartbeat and to end its command."""
_LONGEST_BACKOFF_S = 3600.0
_MOST_TAIL = 4096
_MOST_REASON = 500
RESENT_S = 900.0
UNKNOWN_FOR_S = 600.0
"""A firing that only a guard wrote down waits so long for a scheduler that knows the job."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Who holds a lock, or held it last.  ``ended`` is None while it is held."""

    firing: str
    job: str
    due: int
    fence: int
    began: float
    lease_until: float
    ended: float | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The same again."""
        return cls(**plain)

    def held(self, now: float) -> bool:
        """By a run that still beats."""
        return self.ended is None and self.lease_until > now


def written(wanted: Wanted, owner: Owner, now: float) -> Firing:
    """A firing that nobody had written down."""
    state = State.RECORDED if owner is Owner.OLD else State.ADMITTED
    if wanted.missed:
        state = State.MISSED
    return Firing(
        wanted.job,
        wanted.due,
        owner,
        state,
        now,
        digest=wanted.digest,
        serial=wanted.serial,
        policy=wanted.policy,
        late_by_s=wanted.late_by_s,
        ended=now if wanted.missed else None,
        reason="outside the catch-up window" if wanted.missed else "",
    )


def completed(firing: Firing, wanted: Wanted) -> Firing | None:
    """A guard that asked first knew no definition; the scheduler adds it.  None: nothing to add."""
    if firing.digest or not wanted.digest or firing.state.over:
        return None
    return firing.changed(
        digest=wanted.digest,
        serial=wanted.serial,
        policy=wanted.policy,
    )


def claimed(firing: Firing, claim: Claim, now: float) -> Firing | Refused:
    """``firing``: already settled by ``swept``.  The overlap rule is asked apart."""
    if firing.side is not claim.side:
        return Refused(Why.OTHER_SIDE, firing)
    if firing.state.over:
        return Refused(Why.OVER, firing)
    if claim.attempt is not None and claim.attempt != firing.attempt:
        late = claim.attempt < firing.attempt
        return Refused(Why.SUPERSEDED if late else Why.UNKNOWN, firing)
    if firing.state.live:
        if firing.holder != claim.holder:
            return Refused(
                Why.HELD,
                firing,
                firing.lease_until,
            )
        # The same claim again: its answer was lost on the way.
        return firing.changed(lease_until=now + claim.lease_s)
    if firing.not_before > now:
        return Refused(
            Why.TOO_EARLY,
            firing,
            firing.not_before,
        )
    return _granted(
        firing,
        claim,
        now,
    )


def _granted(firing: Firing, claim: Claim, now: float) -> Firing:
    fence = firing.fence + 1
    run = Run(
        firing.attempt,
        fence,
        claim.holder,
        claim.side,
        now,
        started=now if claim.start else None,
    )
    return firing.changed(
        state=State.RUNNING if claim.start else State.CLAIMED,
        fence=fence,
        holder=claim.holder,
        lease_until=now + claim.lease_s,
        runs=firing.with_run(run),
    )


def overlap(firing: Firing, slot: Slot | None, now: float) -> Why | None:
    """What the lock says: None lets it run."""
    rule = firing.policy.overlap
    if rule is Overlap.ALLOW or slot is None or slot.firing == firing.id:
        return None
    if _left_out(firing, slot, now):
        return Why.SKIPPED
    return Why.OVERLAP if slot.held(now) else None


def _left_out(firing: Firing, slot: Slot, now: float) -> bool:
    """Was the lock held when it was due (``skip``), or did another wait for it already
    (``queue-one``)?"""
    rule = firing.policy.overlap
    asked = max(firing.due * 60.0, firing.created)
    earlier = slot.due * 60.0 <= asked
    if rule is Overlap.SKIP:
        return slot.held(now) or (earlier and asked < (slot.ended or _end(slot, now)))
    return rule is Overlap.QUEUE_ONE and earlier and asked < slot.began


def _end(slot: Slot, now: float) -> float:
    """Nobody said how it ended: it held the lock as long as its lease did."""
    return min(slot.lease_until, now)


def skipped(firing: Firing, slot: Slot, now: float) -> Firing:
    """Its row says why it never ran."""
    reason = f"{slot.firing} had not ended when it was due"
    return firing.changed(
        state=State.SKIPPED,
        ended=now,
        reason=reason,
    )


def replaced(firing: Firing, by: str, now: float) -> Firing:
    """``kill-old``: its fence counts no more, so its worker ends the command at its next beat."""
    return _ended(
        firing,
        Ending(State.FAILED, reason=f"replaced by {by}"),
        now,
    )


def waning(slot: Slot, now: float) -> Slot:
    """The lock of a replaced run falls as soon as that run can have noticed."""
    return replace(slot, lease_until=min(slot.lease_until, now + BEAT_S + KILL_GRACE_S))


def taken(firing: Firing) -> Slot:
    """The lock of a claim that was granted."""
    run = firing.last_run()
    began = firing.created if run is None else run.began
    return Slot(
        firing.id,
        firing.job,
        firing.due,
        firing.fence,
        began,
        firing.lease_until,
    )


def holds(firing: Firing | None, hold: Hold) -> bool:
    """Is this fence the newest, and is it not settled yet?"""
    return firing is not None and firing.fence == hold.fence and firing.state.live


def said_before(firing: Firing, hold: Hold, ending: Ending) -> bool:
    """The same ending again: its answer was lost on the way."""
    run = firing.last_run()
    if run is None or run.fence != hold.fence or run.ended is None:
        return False
    return (run.exit_code, run.reason, run.tail) == (
        ending.exit_code,
        ending.reason,
        ending.tail,
    )


def started(firing: Firing, now: float, task: str) -> Firing:
    """The command begins."""
    run = firing.last_run()
    assert run is not None
    begun = replace(
        run,
        started=run.started or now,
        task=task or run.task,
    )
    return firing.changed(state=State.RUNNING, runs=firing.with_run(begun))


def kept_short(ending: Ending) -> Ending:
    """A row holds the end of the output, not all of it."""
    reason = ending.reason[:_MOST_REASON]
    return replace(
        ending,
        tail=ending.tail[-_MOST_TAIL:],
        reason=reason,
    )


def finished(firing: Firing, ending: Ending, now: float) -> Firing:
    """As its worker says; a failure with retries left goes back to be sent once more."""
    if ending.give_back:
        return _given_back(
            firing,
            ending,
            now,
        )
    retry = ending.state is not State.SUCCEEDED and ending.again
    ended = _ended(
        firing,
        ending,
        now,
    )
    return _once_more(ended, now) if retry and _may_retry(ended, now) else ended


def _ended(firing: Firing, ending: Ending, now: float) -> Firing:
    run = firing.last_run()
    assert run is not None
    last = replace(
        run,
        ended=now,
        exit_code=ending.exit_code,
        reason=ending.reason,
        tail=ending.tail,
        lost=ending.state is State.LOST,
    )
    return firing.changed(
        state=ending.state,
        ended=now,
        lease_until=0.0,
        exit_code=ending.exit_code,
        reason=ending.reason,
        runs=firing.with_run(last),
    )


def _given_back(firing: Firing, ending: Ending, now: float) -> Firing:
    """Not started, or allowed to run again: the message is there for somebody else."""
    ended = _ended(
        firing,
        ending,
        now,
    )
    if firing.state is State.CLAIMED:
        return replace(
            ended,
            state=_waiting(firing),
            ended=None,
            reason="",
        )
    return replace(_once_more(ended, now), not_before=now)


def _waiting(firing: Firing) -> State:
    return State.RECORDED if firing.side is Owner.OLD else State.SENT


def _may_retry(firing: Firing, now: float) -> bool:
    return firing.attempt <= firing.policy.retries and firing.side is Owner.NEW


def _once_more(firing: Firing, now: float) -> Firing:
    """The next attempt is a message of its own."""
    wait_s = min(firing.policy.backoff_s * 2 ** (firing.attempt - 1), _LONGEST_BACKOFF_S)
    return replace(
        firing,
        state=State.ADMITTED,
        attempt=firing.attempt + 1,
        not_before=now + wait_s,
        sent_at=None,
        ended=None,
    )


def swept(firing: Firing, now: float) -> Firing | None:
    """Settle a lease that ran out, or a start that comes too late.  None: nothing to settle."""
    if firing.state.live:
        return _abandoned(firing, now) if firing.lease_until <= now else None
    reason = _missed(firing, now)
    if reason:
        return firing.changed(
            state=State.MISSED,
            ended=now,
            reason=reason,
        )
    if firing.state is State.SENT and resent_at(firing) <= now:
        # Its message may be in the dead-letter queue, or gone with a purge: the ledger refuses a
        # second one, should both arrive.
        return firing.changed(state=State.ADMITTED, sent_at=None)
    return None


def resent_at(firing: Firing) -> float:
    """When a message that nobody claimed is sent once more."""
    return (firing.sent_at or firing.created) + RESENT_S


def _missed(firing: Firing, now: float) -> str:
    if firing.state not in (State.RECORDED, State.ADMITTED, State.SENT):
        return ""
    if firing.start_by is not None and firing.start_by < now:
        return "did not start before its deadline"
    if firing.state is State.RECORDED:
        return ""
    if not firing.digest and firing.created + UNKNOWN_FOR_S < now:
        return "no scheduler knows this job"
    return ""


def _abandoned(firing: Firing, now: float) -> Firing:
    """Its worker does not beat any more."""
    if firing.state is State.CLAIMED:
        reason = "its worker went away before the start"
        ended = _ended(
            firing,
            Ending(State.LOST, reason=reason),
            now,
        )
        return replace(
            ended,
            state=_waiting(firing),
            ended=None,
            reason="",
        )
    reason = "its worker went away in the middle"
    ended = _ended(
        firing,
        Ending(State.LOST, reason=reason),
        now,
    )
    if firing.policy.on_crash is OnCrash.RERUN and firing.side is Owner.NEW:
        return replace(_once_more(ended, now), not_before=now)
    return ended


def raised(stands: Mark | None, mark: Mark) -> Mark:
    """Neither the serial nor the minute ever falls; only the newest table raises the minute."""
    if stands is None:
        return mark
    if mark.serial < stands.serial:
        return stands
    return Mark(mark.serial, max(mark.minute, stands.minute))
