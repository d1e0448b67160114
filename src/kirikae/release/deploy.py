"""Put one release on the fleets, one after the other, or put back what ran before: under the
service's lock, each fleet written down before and after.

A fleet that fails goes back by itself, or says that somebody has to look.  The fleets before it
keep the release that they were given, the fleets after it are not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kirikae.model.errors import KirikaeError
from kirikae.release.errors import NothingBefore, RolledBack
from kirikae.release.fleet import Fleet, Step
from kirikae.release.ledger import Deployed, Ledger, OpenEntry, Outcome
from kirikae.release.lock import Lock


@dataclass(frozen=True, slots=True)
class Ended:
    """Every fleet that was begun, in order, as the ledger has it; ``trouble`` is why the last one
    is not done."""

    entries: tuple[Deployed, ...]
    trouble: KirikaeError | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done on one fleet; ``act`` answers with the ledger's ``detail``."""

    fleet: Fleet
    release: str
    act: Callable[[OpenEntry], str]


def steps(release_id: str, fleets: Iterable[Fleet]) -> list[Step]:
    """What ``deploy`` would do, in order.  Changes nothing; raises what stands in the way on any
    fleet."""
    return [step for fleet in fleets for step in fleet.steps(release_id)]


def deploy(release_id: str, fleets: Sequence[Fleet], ledger: Ledger, lock: Lock) -> Ended:
    """Every fleet is asked what stands in the way before the first one is touched.  Raises that,
    and UnderWay; what goes wrong afterwards is in the answer."""
    steps(release_id, fleets)
    return _in_turn([_putting(release_id, fleet) for fleet in fleets], ledger, lock)


def _putting(release_id: str, fleet: Fleet) -> _Work:
    return _Work(fleet, release_id, lambda entry: fleet.deploy(release_id, entry))


def last_done(sides: Iterable[str], ledger: Ledger) -> dict[str, Deployed]:
    """Side -> the last deploy of it that was done, as long as something ran before it.  Raises
    NothingBefore."""
    return {side: _last_done(side, ledger) for side in sides}


def _last_done(side: str, ledger: Ledger) -> Deployed:
    last = ledger.serving(side)
    if last is None or not last.former:
        raise NothingBefore(
            f"the ledger knows nothing that ran on the {side} fleet before; "
            "`kirikae release status` shows it"
        )
    return last


def before(fleets: Sequence[Fleet], ledger: Ledger) -> dict[str, Deployed]:
    """Side -> the deploy that ``roll_back`` would undo.  Raises NothingBefore, also where the fleet
    itself cannot go back."""
    last = last_done([fleet.side for fleet in fleets], ledger)
    for fleet in fleets:
        fleet.assert_can_go_back(last[fleet.side])
    return last


def roll_back(fleets: Sequence[Fleet], ledger: Ledger, lock: Lock) -> Ended:
    """Put back what ran before the last deploy that was done.  Raises NothingBefore before any
    fleet is touched, and UnderWay; what goes wrong afterwards is in the answer."""
    last = before(fleets, ledger)
    return _in_turn([_putting_back(last, fleet) for fleet in fleets], ledger, lock)


def _putting_back(last: Mapping[str, Deployed], fleet: Fleet) -> _Work:
    undone = last[fleet.side]
    return _Work(fleet, undone.former, lambda entry: fleet.put_back(undone, entry))


def _in_turn(works: Iterable[_Work], ledger: Ledger, lock: Lock) -> Ended:
    ended: list[Deployed] = []
    with lock.held() as assert_ours:
        for work in works:
            entry = OpenEntry(ledger, ledger.begin(work.release, work.fleet.side), assert_ours)
            trouble = _written_down(work, entry)
            ended.append(entry.now)
            if trouble is not None:
                return Ended(tuple(ended), trouble)
    return Ended(tuple(ended))


def _written_down(work: _Work, entry: OpenEntry) -> KirikaeError | None:
    """Do it between two writes of the ledger; the answer is what went wrong."""
    try:
        # Ahead of the first change; what a killed run noted stays.
        entry.note(previous={**work.fleet.running(), **entry.now.previous})
        detail = work.act(entry)
    except KirikaeError as error:
        known = isinstance(error, RolledBack)
        entry.end(Outcome.ROLLED_BACK if known else Outcome.NOT_FINISHED, str(error))
        return error
    entry.end(Outcome.DONE, detail)
    return None
