"""The kind of move ``workers``: what is registered."""

from __future__ import annotations

from kirikae.jobs.workers.permissions import permissions
from kirikae.jobs.workers.settings import WorkersMove
from kirikae.jobs.workers.thing import WorkersThing
from kirikae.model.catalogue import load
from kirikae.model.said import words_of
from kirikae.move.kind import Bench, Kind, Turned


def _open(settings: WorkersMove, bench: Bench) -> WorkersThing:
    return WorkersThing(
        bench.aws,
        bench.project,
        settings,
        bench.journal,
        bench.clock,
    )


WORKERS: Kind[WorkersMove] = Kind(
    name="workers",
    settings=WorkersMove,
    words=words_of("kirikae.jobs.workers"),
    open=_open,
    permissions=permissions,
    turns=lambda settings: (Turned("ecs_service", settings.new.ecs_service),),
    catalogue=load("kirikae.jobs.workers"),
)
