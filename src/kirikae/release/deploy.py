"""Put one release on the fleets, one after the other, or put back what ran before: under the
service's lock, each fleet written down before and after.

A fleet that fails goes back by itself, or says that somebody has to look.  The fleets before it
keep the release that they were given, the fleets after it are not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kirikae.model.errors import KirikaeError
from kirikae.release.errors import LockLost, NotFinished, NothingBefore, RolledBack
from kirikae.release.fleet import Fleet, Step, asked_as
from kirikae.release.ledger import Deployed, Ledger, OpenEntry, Outcome
from kirikae.release.lock import Lock
from kirikae.release.stopped import StoppedTask
from kirikae.release.way_back import Good, way_back


@dataclass(frozen=True, slots=True)
class Ended:
    """Every fleet that was begun, in order, as the ledger has it; ``trouble`` is why the last one
    is not done."""

    entries: tuple[Deployed, ...]
    trouble: KirikaeError | None = None

    @property
    def stopped(self) -> tuple[StoppedTask, ...]:
        """Why tasks stopped, where the trouble is that they did."""
        if isinstance(self.trouble, NotFinished | RolledBack):
            return tuple(self.trouble.stopped)
        return ()

    @property
    def ending(self) -> str | None:
        """Of the ECS deployment, one of ``Ending``; None where none was waited for."""
        if isinstance(self.trouble, NotFinished | RolledBack) and self.trouble.ending is not None:
            return str(self.trouble.ending)
        return None


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done on one fleet; ``act`` answers with the ledger's ``detail``."""

    fleet: Fleet
    release: str
    act: Callable[[OpenEntry], str]
    rollback: bool = False


def steps(release_id: str, fleets: Iterable[Fleet]) -> list[Step]:
    """What ``deploy`` would do, in order.  Changes nothing; raises what stands in the way on any
    fleet."""
    return [step for fleet in fleets for step in fleet.steps(release_id)]


def deploy(
    release_id: str,
    fleets: Sequence[Fleet],
    ledger: Ledger,
    lock: Lock,
    ahead: Callable[[], None] = lambda: None,
) -> Ended:
    """Every fleet is asked what stands in the way before the first one is touched.  Raises that,
    and UnderWay; what goes wrong afterwards is in the answer.

    ``ahead``: done once under the lock, before the first fleet, such as a migration; what it raises
    leaves every fleet as it is.
    """
    steps(release_id, fleets)
    return _in_turn(
        [_putting(release_id, fleet) for fleet in fleets],
        ledger,
        lock,
        ahead,
    )


def _putting(release_id: str, fleet: Fleet) -> _Work:
    return _Work(
        fleet,
        release_id,
        lambda entry: fleet.deploy(release_id, entry),
    )


def targets(sides: Iterable[str], ledger: Ledger) -> dict[str, Good]:
    """Side -> what a rollback puts back there.  Raises NothingBefore."""
    return {side: _target(side, ledger) for side in sides}


def _target(side: str, ledger: Ledger) -> Good:
    found = way_back(ledger.of(side))
    if found is None:
        raise NothingBefore(
            f"the ledger knows no release that was done on the {side} fleet before; "
            "`kirikae release status` shows it; deploy one by its ID: "
            f"`kirikae release deploy ID {asked_as(side)}`"
        )
    return found


def before(fleets: Sequence[Fleet], ledger: Ledger) -> dict[str, Good]:
    """Side -> what ``roll_back`` would put back.  Raises NothingBefore, also where the fleet
    itself cannot go back."""
    found = targets([fleet.side for fleet in fleets], ledger)
    for fleet in fleets:
        fleet.assert_can_go_back(found[fleet.side])
    return found


def roll_back(
    fleets: Sequence[Fleet],
    ledger: Ledger,
    lock: Lock,
    ahead: Callable[[], None] = lambda: None,
) -> Ended:
    """Put the last release back that was done before.  Raises NothingBefore before any fleet is
    touched, and UnderWay; what goes wrong afterwards is in the answer."""
    found = before(fleets, ledger)
    works = [_putting_back(found[fleet.side], fleet) for fleet in fleets]
    return _in_turn(
        works,
        ledger,
        lock,
        ahead,
    )


def _putting_back(target: Good, fleet: Fleet) -> _Work:
    return _Work(
        fleet,
        target.release,
        lambda entry: fleet.put_back(target, entry),
        rollback=True,
    )


def _in_turn(
    works: Iterable[_Work],
    ledger: Ledger,
    lock: Lock,
    ahead: Callable[[], None],
) -> Ended:
    ended: list[Deployed] = []
    with lock.held() as assert_ours:
        ahead()
        for work in works:
            begun = ledger.begin(
                work.release,
                work.fleet.side,
                work.rollback,
            )
            entry = OpenEntry(
                ledger,
                begun,
                assert_ours,
            )
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
    except LockLost as error:
        # The entry may be another process's by now.
        return error
    except KirikaeError as error:
        known = isinstance(error, RolledBack)
        entry.end(Outcome.ROLLED_BACK if known else Outcome.NOT_FINISHED, str(error))
        return error
    entry.end(Outcome.DONE, detail)
    return None
