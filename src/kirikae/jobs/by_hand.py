"""Share 0 without kirikae: the new side is stopped, then cron runs its lines without asking.

Whose a job is stands in the ledger; where that does not answer, neither side may ask it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kirikae.jobs.settings import JobsMove
from kirikae.model.project import Project
from kirikae.model.said import Said, said, text


def by_hand(settings: JobsMove, project: Project) -> Said:
    """For who has pressed the red button, and the ledger did not answer."""
    services = list(_services(settings, project))
    if not services:
        return said("jobs.hand_back.unknown")
    where = ("--region", project.region, "--cluster", project.fleets.new.cluster)
    commands = [
        shlex.join(("aws", "ecs", "update-service", *where, "--service", each))
        + " --desired-count 0 --query service.desiredCount"
        for each in services
    ]
    return said("jobs.hand_back.services", commands=text("\n".join(commands)))


def _services(settings: JobsMove, project: Project) -> Iterator[str]:
    """As `jobs write` names them; none where somebody else made the new side."""
    if settings.new is None:
        return
    move = next(name for name, each in project.moves.items() if each == settings)
    for at in range(settings.new.schedulers):
        yield f"{project.service}-{move}-scheduler-{at + 1}"
    yield f"{project.service}-{move}-worker"
