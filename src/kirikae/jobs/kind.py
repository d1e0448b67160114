"""The kind of move ``jobs``: what is registered.

Every verb of every move reads this: what only this kind's own moves need is imported by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kirikae.jobs.by_hand import by_hand
from kirikae.jobs.settings import JobsMove
from kirikae.model.catalogue import load
from kirikae.model.said import words_of
from kirikae.move.kind import Bench, Kind, Statement, Turned

if TYPE_CHECKING:
    from kirikae.jobs.ledger import Ledger
    from kirikae.jobs.thing import JobsThing


def _open(settings: JobsMove, bench: Bench) -> JobsThing:
    from kirikae.jobs.opening import open_ledger
    from kirikae.jobs.thing import JobsThing

    def ledger() -> Ledger:
        token = settings.token_file
        named = None if token is None else str(bench.folder / token)
        return open_ledger(settings.ledger, named, table)

    def table(name: str) -> Ledger:
        from kirikae.aws.light import LightAws
        from kirikae.jobs.dynamo_rows import dynamo_ledger

        return dynamo_ledger(LightAws(bench.project.region), name)

    return JobsThing(
        settings,
        ledger,
        bench.journal,
        bench.clock,
        bench.folder,
    )


def _permissions(settings: JobsMove, bench: Bench) -> Sequence[Statement]:
    """A ledger over HTTP asks for its token, and for nothing of AWS."""
    from kirikae.jobs.making.roles import of_ledger
    from kirikae.jobs.opening import DYNAMO

    if not settings.ledger.startswith(DYNAMO):
        return ()
    project = bench.project
    return (of_ledger(project.region, project.account, settings.ledger.removeprefix(DYNAMO)),)


def _turns(settings: JobsMove) -> tuple[Turned, ...]:
    return (Turned("jobs", settings.named),)


JOBS: Kind[JobsMove] = Kind(
    name="jobs",
    settings=JobsMove,
    words=words_of("kirikae.jobs"),
    open=_open,
    permissions=_permissions,
    turns=_turns,
    by_hand=by_hand,
    catalogue=load("kirikae.jobs"),
)
