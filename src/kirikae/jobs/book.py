"""The ledger's law on rows that somebody keeps: every call is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from kirikae.jobs import law
from kirikae.jobs.job import Firing, Job, Overlap, Owner, Policy, State
from kirikae.jobs.law import Slot
from kirikae.jobs.ledger import (
    LEASE_S,
    Admitted,
    Claim,
    Ending,
    Hold,
    Mark,
    Refused,
    Wanted,
    Why,
)
from kirikae.jobs.rows import KEPT_MIN, Key, Listed, Rows, View, Written

_UNSENT = "unsent"
_LIVE = "live"
_WAITING = "waiting"


class Book:
    """A ``Ledger`` on any ``Rows``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def now(self) -> float:
        return self._rows.now()

    def close(self) -> None:
        """The rows are let go of."""
        self._rows.close()

    # -- definitions, owners, marks

    def define(self, jobs: Sequence[Job]) -> None:
        self._rows.each([partial(_define, job=job) for job in jobs])

    def definition(self, digest: str) -> Job | None:
        plain = self._rows.together(lambda view: view.get(Key("definition", digest)))
        return None if plain is None else Job.from_plain(plain)

    def owners(self) -> Mapping[str, Owner]:
        found = self._rows.part("owner")
        return {job: Owner(plain["owner"]) for job, plain in found}

    def own(self, jobs: Sequence[str], owner: Owner, only_new: bool = False) -> None:
        acts = [
            partial(
                _own,
                job=job,
                owner=owner,
                only_new=only_new,
            )
            for job in jobs
        ]
        self._rows.each(acts)

    def since(self, jobs: Sequence[str], minute: int) -> Mapping[str, int]:
        acts = [
            partial(
                _since,
                job=job,
                minute=minute,
            )
            for job in jobs
        ]
        return dict(
            zip(
                jobs,
                self._rows.each(acts),
                strict=True,
            )
        )

    def mark(self, table: str) -> Mark | None:
        return self._rows.together(partial(_mark, table=table))

    def raise_mark(self, table: str, mark: Mark) -> Mark:
        return self._rows.together(
            partial(
                _raise_mark,
                table=table,
                mark=mark,
            )
        )

    # -- the life of a firing

    def admit(self, wanted: Sequence[Wanted]) -> list[Admitted]:
        now = self.now()
        oldest = int(now // 60) - KEPT_MIN
        acts = [
            partial(
                _admit,
                wanted=each,
                now=now,
                oldest=oldest,
            )
            for each in wanted
        ]
        return self._rows.each(acts)

    def sent(self, firings: Sequence[Firing]) -> None:
        now = self.now()
        self._rows.each(
            [
                partial(
                    _sent,
                    firing=firing,
                    now=now,
                )
                for firing in firings
            ]
        )

    def unsent(self, most: int = 1000) -> list[Firing]:
        found = self._listed(_UNSENT, most)
        now = self.now()
        return [each for each in found if each.digest and law.swept(each, now) is None]

    def claim(self, claim: Claim) -> Firing | Refused:
        return self._rows.together(
            partial(
                _claim,
                claim=claim,
                now=self.now(),
            )
        )

    def start(self, hold: Hold, task: str = "") -> bool:
        now = self.now()
        return self._held(
            hold,
            lambda firing: law.started(
                firing,
                now,
                task,
            ),
        )

    def heartbeat(self, hold: Hold, lease_s: float = LEASE_S) -> bool:
        until = self.now() + lease_s
        return self._held(hold, lambda firing: firing.changed(lease_until=until))

    def finish(self, hold: Hold, ending: Ending) -> bool:
        return self._rows.together(
            partial(
                _finish,
                hold=hold,
                ending=law.kept_short(ending),
                now=self.now(),
            ),
        )

    def _held(self, hold: Hold, change: Callable[[Firing], Firing]) -> bool:
        act = partial(
            _held,
            hold=hold,
            change=change,
            now=self.now(),
        )
        return self._rows.together(act)

    def sweep(self, most: int = 1000) -> list[Firing]:
        now = self.now()
        self._rows.forget(int(now // 60) - KEPT_MIN)
        acts = [
            partial(
                _sweep,
                job=firing.job,
                due=firing.due,
                now=now,
            )
            for name in (_LIVE, _WAITING, _UNSENT)
            for firing in self._listed(name, most)
            if law.swept(firing, now) is not None
        ]
        return [firing for firing in self._rows.each(acts) if firing is not None]

    def _listed(self, name: str, most: int) -> list[Firing]:
        found = self._rows.listed(
            name,
            self.now(),
            most,
        )
        return [Firing.from_plain(plain) for plain in found]

    # -- looking

    def firing(self, job: str, due: int) -> Firing | None:
        return self._rows.together(
            partial(
                _firing,
                job=job,
                due=due,
            )
        )

    def history(
        self,
        job: str | None = None,
        since: int | None = None,
        until: int | None = None,
        most: int = 200,
    ) -> list[Firing]:
        part = None if job is None else _part(job)
        found = self._rows.newest(
            part,
            since,
            until,
            most,
        )
        return [Firing.from_plain(plain) for plain in found]


def _part(job: str) -> str:
    return f"firing/{job}"


def _key(job: str, due: int) -> Key:
    return Key(_part(job), f"{due:012d}")


def _firing(view: View, job: str, due: int) -> Firing | None:
    plain = view.get(_key(job, due))
    return None if plain is None else Firing.from_plain(plain)


def _put(view: View, firing: Firing) -> None:
    view.put(
        _key(firing.job, firing.due),
        Written(
            firing.to_plain(),
            _list(firing),
            firing.due,
        ),
    )


def _list(firing: Firing) -> Listed | None:
    """Whoever sends or sweeps finds it there."""
    if firing.state is State.ADMITTED:
        return Listed(_UNSENT, firing.not_before)
    if firing.state.live:
        return Listed(_LIVE, firing.lease_until)
    if firing.state is State.SENT:
        start_by = firing.start_by
        resent_at = law.resent_at(firing)
        return Listed(_WAITING, resent_at if start_by is None else min(start_by, resent_at))
    return None


def _define(view: View, job: Job) -> None:
    key = Key("definition", job.digest)
    if view.get(key) is None:
        view.put(key, Written(job.to_plain()))


def _owner(view: View, job: str) -> Owner:
    plain = view.get(Key("owner", job))
    return Owner.OLD if plain is None else Owner(plain["owner"])


def _own(view: View, job: str, owner: Owner, only_new: bool) -> None:
    key = Key("owner", job)
    stands = view.get(key)
    if stands is None or (stands["owner"] != owner and not only_new):
        view.put(key, Written({"owner": str(owner)}))


def _since(view: View, job: str, minute: int) -> int:
    key = Key("since", job)
    stands = view.get(key)
    if stands is not None:
        return int(stands["minute"])
    view.put(key, Written({"minute": minute}))
    return minute


def _mark(view: View, table: str) -> Mark | None:
    plain = view.get(Key("mark", table))
    return None if plain is None else Mark(int(plain["serial"]), int(plain["minute"]))


def _raise_mark(view: View, table: str, mark: Mark) -> Mark:
    stands = _mark(view, table)
    raised = law.raised(stands, mark)
    if raised != stands:
        view.put(Key("mark", table), Written(asdict(raised)))
    return raised


def _admit(view: View, wanted: Wanted, now: float, oldest: int) -> Admitted:
    stands = _firing(
        view,
        wanted.job,
        wanted.due,
    )
    if stands is None:
        late = replace(wanted, missed=True) if wanted.due < oldest else wanted
        fresh = law.written(
            late,
            _owner(view, wanted.job),
            now,
        )
        if wanted.due < oldest:
            # Its row may have been there and gone: not written again, and never run.
            return Admitted(fresh, False)
        _put(view, fresh)
        return Admitted(fresh, True)
    completed = law.completed(stands, wanted)
    if completed is not None:
        _put(view, completed)
    return Admitted(completed or stands, False)


def _sent(view: View, firing: Firing, now: float) -> None:
    stands = _firing(
        view,
        firing.job,
        firing.due,
    )
    if stands is None or stands.attempt != firing.attempt:
        return
    if stands.state is State.ADMITTED:
        _put(view, stands.changed(state=State.SENT, sent_at=now))


def _claim(view: View, claim: Claim, now: float) -> Firing | Refused:
    firing = _firing(
        view,
        claim.job,
        claim.due,
    )
    if firing is None:
        if claim.admit is None:
            return Refused(Why.UNKNOWN)
        firing = _admitted_by(
            view,
            claim,
            claim.admit,
            now,
        )
    settled = law.swept(firing, now)
    if settled is not None:
        _settle(
            view,
            firing,
            settled,
            now,
        )
        firing = settled
    granted = law.claimed(
        firing,
        claim,
        now,
    )
    if isinstance(granted, Refused):
        return granted
    refused = _overlapped(
        view,
        granted,
        firing,
        now,
    )
    if refused is not None:
        return refused
    _put(view, granted)
    _lock(view, granted)
    return granted


def _admitted_by(view: View, claim: Claim, policy: Policy, now: float) -> Firing:
    """The one who asks first writes it down; from then on its side is settled."""
    wanted = Wanted(
        claim.job,
        claim.due,
        policy=policy,
    )
    firing = law.written(
        wanted,
        _owner(view, claim.job),
        now,
    )
    _put(view, firing)
    return firing


def _slot_key(firing: Firing) -> Key:
    return Key("lock", firing.lock)


def _slot(view: View, firing: Firing) -> Slot | None:
    plain = view.get(_slot_key(firing))
    return None if plain is None else Slot.from_plain(plain)


def _lock(view: View, firing: Firing) -> None:
    if firing.policy.overlap is not Overlap.ALLOW:
        view.put(_slot_key(firing), Written(asdict(law.taken(firing))))


def _overlapped(view: View, granted: Firing, firing: Firing, now: float) -> Refused | None:
    if firing.policy.overlap is Overlap.ALLOW:
        return None
    slot = _slot(view, firing)
    why = law.overlap(
        firing,
        slot,
        now,
    )
    if why is None or slot is None:
        return None
    if why is Why.SKIPPED:
        skipped = law.skipped(
            firing,
            slot,
            now,
        )
        _put(view, skipped)
        return Refused(why, skipped)
    if firing.policy.overlap is Overlap.KILL_OLD:
        slot = _replace(
            view,
            slot,
            firing,
            now,
        )
    return Refused(
        why,
        firing,
        slot.lease_until,
    )


def _replace(view: View, slot: Slot, firing: Firing, now: float) -> Slot:
    """End the earlier run on paper; its lock stays until it can have noticed."""
    old = _firing(
        view,
        slot.job,
        slot.due,
    )
    if old is None or not old.state.live or old.fence != slot.fence:
        return slot
    _put(
        view,
        law.replaced(
            old,
            firing.id,
            now,
        ),
    )
    waning = law.waning(slot, now)
    view.put(_slot_key(firing), Written(asdict(waning)))
    return waning


def _held(view: View, hold: Hold, change: Callable[[Firing], Firing], now: float) -> bool:
    firing = _firing(
        view,
        hold.job,
        hold.due,
    )
    if firing is None or not law.holds(firing, hold):
        return False
    _settle(
        view,
        firing,
        change(firing),
        now,
    )
    return True


def _finish(view: View, hold: Hold, ending: Ending, now: float) -> bool:
    if _held(
        view,
        hold,
        lambda firing: law.finished(
            firing,
            ending,
            now,
        ),
        now,
    ):
        return True
    firing = _firing(
        view,
        hold.job,
        hold.due,
    )
    if firing is None:
        return False
    _unlock(
        view,
        firing,
        hold,
        now,
    )
    return law.said_before(
        firing,
        hold,
        ending,
    )


def _unlock(view: View, firing: Firing, hold: Hold, now: float) -> None:
    """A replaced run that says its end lets the next one begin; its ending does not count."""
    slot = _slot(view, firing)
    if slot is None or slot.firing != firing.id:
        return
    if slot.fence == hold.fence and slot.ended is None and not firing.state.live:
        view.put(_slot_key(firing), Written(asdict(replace(slot, ended=now))))


def _settle(view: View, before: Firing, after: Firing, now: float) -> None:
    """Write it down, and let the lock follow."""
    _put(view, after)
    if before.policy.overlap is Overlap.ALLOW or not before.state.live:
        return
    slot = _slot(view, before)
    if slot is None or slot.firing != before.id or slot.fence != before.fence:
        return
    ended = None if after.state.live else now
    kept = replace(
        slot,
        lease_until=after.lease_until,
        ended=ended,
    )
    view.put(_slot_key(before), Written(asdict(kept)))


def _sweep(view: View, job: str, due: int, now: float) -> Firing | None:
    firing = _firing(
        view,
        job,
        due,
    )
    settled = None if firing is None else law.swept(firing, now)
    if firing is None or settled is None:
        return None
    _settle(
        view,
        firing,
        settled,
        now,
    )
    return settled
