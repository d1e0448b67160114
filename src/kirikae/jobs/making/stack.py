"""The new side of one move of jobs: its names, and what every file of it needs to know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.jobs.job import RunsIn
from kirikae.jobs.opening import DYNAMO
from kirikae.jobs.settings import JobsMove, NewJobs
from kirikae.jobs.tables import Jobs
from kirikae.model.project import Project

Definition = dict[str, Any]
PORT = 8062
CRONTAB = "/kirikae/crontab"
"""The folder of the crontab in the schedulers' image."""


@dataclass(frozen=True, slots=True)
class Stack:
    """``move``: its name.  ``new``: its settings for the new side.  ``jobs``: of its crontab."""

    project: Project
    move: str
    settings: JobsMove
    new: NewJobs
    jobs: Jobs

    @property
    def name(self) -> str:
        """Begins the name of everything that is made."""
        return f"{self.project.service}-{self.move}"

    @property
    def folder(self) -> str:
        """Of the files, from the project file's own."""
        return f"{self.project.fleets.new.definitions.rstrip('/')}/jobs-{self.move}"

    @property
    def cluster(self) -> str:
        """Of every task."""
        return self.project.fleets.new.cluster

    @property
    def queue(self) -> str:
        """Name of the FIFO queue."""
        return self.new.queue or f"{self.name}.fifo"

    @property
    def dead_queue(self) -> str:
        """Where messages go that nobody can carry out."""
        return f"{self.queue.removesuffix('.fifo')}-dead.fifo"

    @property
    def table(self) -> str | None:
        """Of the ledger; None: it is asked over HTTP."""
        named = self.settings.ledger
        return named.removeprefix(DYNAMO) if named.startswith(DYNAMO) else None

    @property
    def log_group(self) -> str:
        """Of all its tasks."""
        return f"/ecs/{self.name}"

    def arn(self, service: str, rest: str) -> str:
        """In this project's region and account."""
        return f"arn:aws:{service}:{self.project.region}:{self.project.account}:{rest}"

    def role(self, part: str) -> str:
        """Name of the role of the scheduler, the worker, the ledger, or of ECS itself."""
        return f"{self.name}-{part}"

    def role_arn(self, part: str) -> str:
        """Roles are of no region."""
        return f"arn:aws:iam::{self.project.account}:role/{self.role(part)}"

    @property
    def execution_role(self) -> str:
        """With which ECS pulls images, reads secrets and writes logs."""
        return self.project.build.execution_role or self.role_arn("execution")

    @property
    def serves_ledger(self) -> bool:
        """Guards on hosts speak HTTP alone: before a table somebody has to answer them."""
        return self.table is not None and self.new.token_secret is not None

    def apart(self) -> list[str]:
        """IDs of jobs that run as tasks of their own."""
        return [each.job.id for each in self.jobs.timed if each.job.runs_in is RunsIn.OWN_TASK]

    def inside(self) -> list[str]:
        """IDs of jobs that run in the worker."""
        return [each.job.id for each in self.jobs.timed if each.job.runs_in is RunsIn.WORKER]

    def secrets(self) -> Mapping[str, str]:
        """Variable of the worker -> where it lies."""
        return dict(sorted(self.project.build.secrets.items()))

    def topics(self) -> Iterator[str]:
        """ARNs that are told by SNS."""
        for way in self.new.tell:
            if way.startswith("sns:"):
                yield way.removeprefix("sns:")


def as_file(definition: Mapping[str, Any]) -> str:
    """JSON that a person can read and change."""
    return json.dumps(definition, indent=2, ensure_ascii=False) + "\n"
