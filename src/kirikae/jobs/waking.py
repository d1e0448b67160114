"""A host that was asleep: cron starts its job once for each minute that it makes up, all at once.

None of these guards knows its minute.  The first is given the latest one; whoever comes after it
from the same host is given the next older one that nobody has run.  Up to five minutes every minute
is made up, up to three hours those of fixed times; what was run on time before ends the search, so
a second start by hand runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kirikae.jobs.job import Firing, Owner
from kirikae.jobs.ledger import Claim, Ledger, Refused, Why
from kirikae.model.crontab.schedule import Schedule
from kirikae.model.crontab.zones import Zone

WILD_MIN = 5
FIXED_MIN = 180
"""So far back does cron make up (cron.c of Debian's cron, ``wakeupKind``)."""
_TAKEN = (Why.HELD, Why.OVER)


def claimed_after_sleep(
    ledger: Ledger, claim: Claim, schedule: Schedule, zone: Zone
) -> Firing | Refused:
    """``claim``: of the latest due minute.  Every claim may be repeated by its holder, so this may
    be, too."""
    answer = ledger.claim(claim)
    if not isinstance(answer, Refused) or claim.side is Owner.NEW or not _by_host(answer, claim):
        return answer
    back = WILD_MIN if schedule.wild else FIXED_MIN
    rows = ledger.history(claim.job, claim.due - FIXED_MIN * 8, claim.due + 1, 2000)
    for due in made_up(
        list(zone.dues(schedule, claim.due - back + 1, claim.due)), rows, _host(claim.holder)
    ):
        found = ledger.claim(replace(claim, due=due))
        if not isinstance(found, Refused):
            return found
    return answer


def _by_host(answer: Refused, claim: Claim) -> bool:
    """This very host has it: of another one's nothing is to be learnt, and nothing is asked."""
    if answer.why not in _TAKEN or answer.firing is None:
        return False
    return any(_host(run.holder) == _host(claim.holder) for run in answer.firing.runs)


def made_up(dues: Sequence[int], rows: Iterable[Firing], host: str) -> list[int]:
    """Which of the older minutes this host may be making up, the newest first.

    ``rows``: of the job.  Empty where this host ran none of them on time: nothing says that it
    slept."""
    on_time = [row.due for row in rows if _ran_on_time(row, host)]
    older = [due for due in on_time if due < max(dues, default=0) + 1]
    if not older:
        return []
    return [due for due in reversed(dues) if due > max(older)]


def _ran_on_time(row: Firing, host: str) -> bool:
    """By the host's own clock, which its holder tells: ``host:number:seconds``."""
    for run in row.runs:
        began = run.holder.rpartition(":")[2]
        if _host(run.holder) == host and began.isdigit() and int(began) // 60 == row.due:
            return True
    return False


def _host(holder: str) -> str:
    return holder.partition(":")[0]
