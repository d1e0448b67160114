"""The kind of move ``workers``: what is registered.

Every verb of every move reads this: what only this kind's own moves need is imported by them.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kirikae.jobs.workers.permissions import permissions
from kirikae.jobs.workers.settings import WorkersMove
from kirikae.model.catalogue import load
from kirikae.model.project import Project
from kirikae.model.said import Said, said, text, words_of
from kirikae.move.kind import Bench, Kind, Turned

if TYPE_CHECKING:
    from kirikae.jobs.workers.thing import WorkersThing


def _open(settings: WorkersMove, bench: Bench) -> WorkersThing:
    from kirikae.jobs.workers.thing import WorkersThing

    return WorkersThing(
        bench.aws,
        bench.project,
        settings,
        bench.journal,
        bench.clock,
    )


def _by_hand(settings: WorkersMove, project: Project) -> Said:
    """The new side's tasks end what they have begun; then the units consume again."""
    cluster = settings.new.cluster or project.fleets.new.cluster
    words = ("--region", project.region, "--cluster", cluster)
    service = ("--service", settings.new.ecs_service, "--desired-count", "0")
    return said(
        "workers.by_hand",
        commands=text(shlex.join(("aws", "ecs", "update-service", *words, *service))),
        units=text(shlex.join(("systemctl", "start", *reversed(settings.old.units)))),
        hosts=[str(host) for host in settings.old.hosts or project.fleets.old.hosts],
    )


WORKERS: Kind[WorkersMove] = Kind(
    name="workers",
    settings=WorkersMove,
    words=words_of("kirikae.jobs.workers"),
    open=_open,
    permissions=permissions,
    turns=lambda settings: (Turned("ecs_service", settings.new.ecs_service),),
    by_hand=_by_hand,
    catalogue=load("kirikae.jobs.workers"),
)
